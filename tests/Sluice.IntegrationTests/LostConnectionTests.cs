using System.Net;
using System.Net.Sockets;
using Sluice.Client;
using Xunit;

namespace Sluice.IntegrationTests;

/// <summary>A server dies while a connection to it is made: .NET throws what the socket says as it is; whoever retries must see a server that cannot be reached.</summary>
public sealed class LostConnectionTests
{
    static readonly Uri s_server = new("http://127.0.0.1:1/");

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>Why the two below are needed; when this fails, .NET maps it itself.</summary>
    [Fact]
    public async Task A_connection_that_is_reset_as_it_is_made_throws_what_the_socket_says()
    {
        using var http = new HttpClient(Resetting());
        await Assert.ThrowsAsync<SocketException>(() => http.GetAsync(s_server, Cancellation));
    }

    [Fact]
    public async Task The_tests_clients_see_a_server_that_cannot_be_reached()
    {
        using var http = new HttpClient(new LostConnections(Resetting()));
        var thrown = await Assert.ThrowsAsync<HttpRequestException>(() => http.GetAsync(s_server, Cancellation));
        Assert.Equal(HttpRequestError.ConnectionError, thrown.HttpRequestError);
    }

    [Fact]
    public async Task The_products_client_sees_a_server_that_cannot_be_reached()
    {
        using var http = new HttpClient(Resetting()) { BaseAddress = s_server };
        await Assert.ThrowsAsync<HttpRequestException>(() => new SluiceClient(http).ListSinksAsync(Cancellation));
        await Assert.ThrowsAsync<HttpRequestException>(() => new SluiceClient(http).IsReadyAsync(Cancellation));
    }

    /// <summary>Hands out connections that their peer has reset.</summary>
    static SocketsHttpHandler Resetting() => new()
    {
        ConnectCallback = async (_, cancellation) =>
        {
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(listener.LocalEndpoint, cancellation);
            using (var peer = await listener.AcceptSocketAsync(cancellation)) peer.LingerState = new LingerOption(true, 0);
            socket.Poll(TimeSpan.FromSeconds(10), SelectMode.SelectRead);
            return new NetworkStream(socket, ownsSocket: true);
        },
    };
}
