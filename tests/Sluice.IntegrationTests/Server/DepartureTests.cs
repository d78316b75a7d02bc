using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Sluice.Server;
using Sluice.Server.Audit;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>A client that leaves while it sends is no fault of the server, and a disk that fails is one, whoever leaves.</summary>
public sealed class DepartureTests
{
    const int Times = 200;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_connection_that_is_reset_within_a_body_is_no_error()
    {
        await using var server = await ServerUnderTest.StartAsync("--Logging:LogLevel:Default", "Error", "--Logging:LogLevel:Microsoft", "Error");
        using var log = Listen(server);
        for (var i = 0; i < Times; i++)
        {
            // a TcpClient would end in order before it resets
            using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { LingerState = new LingerOption(enable: true, 0) };
            await socket.ConnectAsync(IPAddress.Loopback, server.Http.BaseAddress!.Port, Cancellation);
            await socket.SendAsync("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n"u8.ToArray(), Cancellation);
            _ = await socket.ReceiveAsync(new byte[100], Cancellation); // the body is being read
            await socket.SendAsync("abcdef"u8.ToArray(), Cancellation);
        }
        await server.StopAsync();

        Assert.Empty(log.Errors);
    }

    [Fact]
    public async Task A_request_that_is_cancelled_within_a_body_over_http_2_is_no_error()
    {
        await using var server = await ServerUnderTest.StartAsync("--Logging:LogLevel:Default", "Error", "--Logging:LogLevel:Microsoft", "Error");
        using var log = Listen(server);
        using var http = server.TrustingClient(HttpVersion.Version20);
        for (var i = 0; i < Times; i++)
        {
            using var gone = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
            using var request = new HttpRequestMessage(HttpMethod.Post, "/") { Content = new HalfContent(gone), Version = HttpVersion.Version20, Headers = { ExpectContinue = true } };
            await Assert.ThrowsAnyAsync<Exception>(() => http.SendAsync(request, gone.Token));
        }
        using (var alive = await http.GetAsync("/health", Cancellation)) Assert.Equal(HttpStatusCode.OK, alive.StatusCode); // behind all of them on the connection
        await server.StopAsync();

        Assert.Empty(log.Errors);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_disk_that_fails_is_told_whether_or_not_the_client_is_there(bool isGone)
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var log = new ErrorLog();

        await InvokeAsync(server, log, isGone, () => throw new IOException("no space left on device"));

        Assert.Contains("no space left on device", Assert.Single(log.Errors), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_body_that_fails_is_the_client_which_leaves_before_or_after_the_server_has_noticed(bool isGone)
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var log = new ErrorLog();
        var body = new ClientBody(new Failing(new IOException("The client reset the request stream.")));

        var context = await InvokeAsync(server, log, isGone, async () => _ = await body.ReadAsync(new byte[1], Cancellation));

        Assert.Empty(log.Errors);
        Assert.Equal(0, context.Response.Body.Length);
        await Assert.ThrowsAsync<BadHttpRequestException>(async () => _ = await new ClientBody(new Failing(new BadHttpRequestException("too slow", 408))).ReadAsync(new byte[1], Cancellation));
    }

    static async Task<HttpContext> InvokeAsync(ServerUnderTest server, ErrorLog log, bool isGone, Func<Task> next)
    {
        using var factory = LoggerFactory.Create(logging => logging.AddProvider(log));
        var services = server.Services;
        var edge = new RequestEdge(_ => next(), services.GetRequiredService<Drain>(), services.GetRequiredService<RefusalMeter>(), services.GetRequiredService<AuditLog>(), factory.CreateLogger<RequestEdge>());
        var context = new DefaultHttpContext();
        context.Response.Body = new MemoryStream();
        context.Features.Set<IHttpRequestLifetimeFeature>(new Lifetime { RequestAborted = new CancellationToken(isGone) });
        try
        {
            await edge.InvokeAsync(context);
        }
        catch (OperationCanceledException) when (isGone)
        {
            // the refusal has nobody to go to
        }
        return context;
    }

    static ErrorLog Listen(ServerUnderTest server)
    {
        var log = new ErrorLog();
        server.Services.GetRequiredService<ILoggerFactory>().AddProvider(log);
        return log;
    }

    sealed class Lifetime : IHttpRequestLifetimeFeature
    {
        public CancellationToken RequestAborted { get; set; }

        public void Abort()
        {
            // nobody is connected
        }
    }

    sealed class Failing(Exception cause) : InputStream
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => throw cause;
    }

    /// <summary>Sends six bytes, when the body is being read, and then takes the request back.</summary>
    sealed class HalfContent(CancellationTokenSource gone) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync("abcdef"u8.ToArray(), Cancellation);
            await stream.FlushAsync(Cancellation);
            await gone.CancelAsync();
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, gone.Token);
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 1_000;
            return true;
        }
    }

    /// <summary>Errors that are logged, with their exceptions. Any thread.</summary>
    sealed class ErrorLog : ILoggerProvider, ILogger
    {
        public ConcurrentQueue<string> Errors { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Error;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel)) Errors.Enqueue($"{eventId} {formatter(state, exception)} {exception}");
        }

        public void Dispose()
        {
            // nothing is held
        }
    }
}
