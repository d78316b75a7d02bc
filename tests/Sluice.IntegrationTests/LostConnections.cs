using System.Net.Sockets;

namespace Sluice.IntegrationTests;

/// <summary>
/// For clients of a server that may be killed: however the connection is lost, <see cref="HttpRequestException"/> is thrown. Of one that is reset as it is
/// made, .NET throws what the socket says as it is.
/// </summary>
sealed class LostConnections(HttpMessageHandler inner) : DelegatingHandler(inner)
{
    public LostConnections() : this(new SocketsHttpHandler())
    {
    }

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        try
        {
            return await base.SendAsync(request, cancellationToken);
        }
        catch (SocketException e)
        {
            throw new HttpRequestException(HttpRequestError.ConnectionError, e.Message, e);
        }
    }
}
