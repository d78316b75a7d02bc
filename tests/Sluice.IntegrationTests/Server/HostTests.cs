using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Server;
using Sluice.Server.Catalog;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class HostTests
{
    [Fact]
    public async Task A_second_server_on_a_data_directory_ends_at_once_and_names_the_first()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var watch = Stopwatch.StartNew();

        var (exitCode, _, errors) = await RunAsync("--data", server.Data.Path, "--https-port", "0", "--http-port", "0");

        Assert.Equal(3, exitCode);
        Assert.Contains($"in use by process {Environment.ProcessId}", errors, StringComparison.Ordinal);
        Assert.InRange(watch.Elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(20)); // 2 s on an idle machine
        using var health = await server.SendAsync(HttpMethod.Get, "/health");
        Assert.Equal(HttpStatusCode.OK, health.StatusCode);
    }

    [Fact]
    public async Task What_a_connection_has_sent_is_received_in_large_pieces()
    {
        var cancellation = TestContext.Current.CancellationToken;
        await using var server = await ServerUnderTest.StartAsync();
        await using var listener = await server.Services.GetRequiredService<IConnectionListenerFactory>().BindAsync(new IPEndPoint(IPAddress.Loopback, 0), cancellation);
        using var client = new TcpClient();
        await client.ConnectAsync((IPEndPoint)listener.EndPoint, cancellation);
        await client.GetStream().WriteAsync(new byte[2 * ReceiveBuffers.Bytes], cancellation); // before it is accepted: all of it waits

        await using var connection = await listener.AcceptAsync(cancellation);
        var received = await connection!.Transport.Input.ReadAtLeastAsync(2 * ReceiveBuffers.Bytes, cancellation);

        Assert.Equal(ReceiveBuffers.Bytes, received.Buffer.First.Length);
        using var other = connection.Features.Get<IMemoryPoolFeature>()!.MemoryPool.Rent(1);
        Assert.Equal(ReceiveBuffers.Bytes, other.Memory.Length);
        connection.Transport.Input.AdvanceTo(received.Buffer.End);
        await connection.Transport.Input.CompleteAsync();
        await connection.Transport.Output.CompleteAsync();
    }

    [Fact]
    public async Task All_wrong_options_are_named_together_and_nothing_is_made()
    {
        using var parent = new TemporaryDirectory();
        var data = Path.Combine(parent.Path, "data");

        var (exitCode, _, errors) = await RunAsync(
            "--data", data, "--https-port", "70000", "--Sluice:Limits:MaxConnections", "0", "--Sluice:Tls:CertificateFile", "/nowhere.crt", "--Sluice:Tls:Names:0", "a b",
            "--Sluice:Quotas:Sink:RecordsPerSecond", "-1", "--Sluice:Quotas:Key:BurstSeconds", "0");

        Assert.Equal(2, exitCode);
        foreach (var key in new[] { "Sluice:HttpsPort", "Sluice:Limits:MaxConnections", "Sluice:Tls:KeyFile", "Sluice:Tls:CertificateFile", "Sluice:Tls:Names:0", "Sluice:Quotas:Sink:RecordsPerSecond", "Sluice:Quotas:Key:BurstSeconds" })
            Assert.Contains(key, errors, StringComparison.Ordinal);
        Assert.False(Directory.Exists(data));
    }

    [Fact]
    public async Task Values_of_a_wrong_type_and_unknown_switches_are_faults()
    {
        var (exitCode, _, errors) = await RunAsync("--http-port", "many", "--Sluice:Limits:HeaderTimeout", "soon", "--verbose");

        Assert.Equal(2, exitCode);
        Assert.Contains("Sluice:HttpPort is \"many\"", errors, StringComparison.Ordinal);
        Assert.Contains("Sluice:Limits:HeaderTimeout is \"soon\"", errors, StringComparison.Ordinal);
        Assert.Contains("--verbose is not an option", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Help_names_the_options_and_ends_well()
    {
        var (exitCode, output, _) = await RunAsync("--help");

        Assert.Equal(0, exitCode);
        Assert.Contains("--https-port", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_first_administrator_is_made_once_and_a_generated_password_is_shown_once()
    {
        using var data = new TemporaryDirectory();
        var first = await StartAndStopAsync(data);
        var second = await StartAndStopAsync(data);

        Assert.Contains("e-mail:   admin@localhost", first, StringComparison.Ordinal);
        Assert.Matches("password: [A-Za-z0-9]{24}\n", first);
        Assert.Contains("certificate authority", first, StringComparison.Ordinal);
        Assert.Equal("", second);
    }

    [Fact]
    public async Task A_damaged_catalogue_refuses_to_start()
    {
        using var data = new TemporaryDirectory();
        await File.WriteAllTextAsync(Path.Combine(data.Path, "catalog.sqlite"), new string('x', 8_192), TestContext.Current.CancellationToken);

        var (exitCode, _, errors) = await RunAsync("--data", data.Path, "--https-port", "0", "--http-port", "0");

        Assert.Equal(4, exitCode);
        Assert.Contains("catalog.sqlite", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_damaged_token_key_refuses_to_start()
    {
        using var data = new TemporaryDirectory();
        await StartAndStopAsync(data);
        await File.WriteAllTextAsync(Path.Combine(data.Path, "keys", "tokens.key"), "x", TestContext.Current.CancellationToken);

        var fault = await Assert.ThrowsAsync<StartupException>(() => StartAndStopAsync(data));

        Assert.Equal(ExitCode.DamagedData, fault.Code);
    }

    [Fact]
    public async Task The_catalogue_syncs_every_commit()
    {
        await using var server = await ServerUnderTest.StartAsync();
        await using var context = await server.Services.GetRequiredService<IDbContextFactory<CatalogContext>>().CreateDbContextAsync(TestContext.Current.CancellationToken);

        await context.Database.OpenConnectionAsync(TestContext.Current.CancellationToken);
        Assert.Equal("wal", await ScalarAsync(context, "PRAGMA journal_mode"));
        Assert.Equal("2", await ScalarAsync(context, "PRAGMA synchronous")); // FULL
        Assert.Equal("1", await ScalarAsync(context, "PRAGMA foreign_keys"));
    }

    [Fact]
    public async Task Health_needs_no_token_and_readiness_says_what_is_missing()
    {
        await using var server = await ServerUnderTest.StartAsync();

        using var live = await server.SendAsync(HttpMethod.Get, "/health/live");
        using var plain = await server.SendAsync(HttpMethod.Get, "/health");
        using var ready = await server.SendAsync(HttpMethod.Get, "/health/ready");

        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK, HttpStatusCode.ServiceUnavailable), (live.StatusCode, plain.StatusCode, ready.StatusCode));
        Assert.Equal("the engine is not open", (await ServerUnderTest.ReadJsonAsync(ready)).GetProperty("reasons")[0].GetString());
    }

    [Fact]
    public async Task Plain_http_is_served_on_loopback_only_and_never_redirected()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var response = await server.SendAsync(HttpMethod.Get, "/health");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);

        foreach (var address in (await Dns.GetHostAddressesAsync(Dns.GetHostName(), TestContext.Current.CancellationToken)).Where(address => !IPAddress.IsLoopback(address)))
        {
            using var tcp = new TcpClient(address.AddressFamily);
            await Assert.ThrowsAnyAsync<SocketException>(async () => await tcp.ConnectAsync(address, server.Http.BaseAddress!.Port, TestContext.Current.CancellationToken));
        }
    }

    [Fact]
    public async Task A_stop_answers_what_is_under_way_and_refuses_what_comes_after()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync();
        using var counted = Listen(server.Services.GetRequiredService<IMeterFactory>(), "sluice.requests.refused", out var causes);
        using var slow = await HalfALogin.BeginAsync(server.Http.BaseAddress!.Port);
        using var idle = await server.SendAsync(HttpMethod.Get, "/v2/users/current");

        var stopped = server.StopAsync();
        using var refused = await server.SendAsync(HttpMethod.Get, "/v2/users/current");
        using var ready = await server.SendAsync(HttpMethod.Get, "/health/ready");
        using var live = await server.SendAsync(HttpMethod.Get, "/health/live");
        using var metrics = await server.SendAsync(HttpMethod.Get, "/metrics", token);
        var wasStopping = !stopped.IsCompleted;
        var answer = await slow.FinishAsync();
        await stopped;

        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.True(refused.Headers.ConnectionClose);
        Assert.NotNull(refused.Headers.RetryAfter);
        Assert.Equal("draining", (await ServerUnderTest.ReadJsonAsync(refused)).GetProperty("cause").GetString());
        Assert.Equal("draining", Assert.Single(causes)); // the 401 of a request without a token is not counted
        Assert.Equal((HttpStatusCode.ServiceUnavailable, HttpStatusCode.OK), (ready.StatusCode, live.StatusCode));
        Assert.Equal(0, Exposition.Parse(await metrics.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))["sluice_ready"]);
        Assert.True(wasStopping);
        Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/v2/users/current", true, HttpStatusCode.OK)]
    [InlineData("/health/live", false, HttpStatusCode.OK)]
    [InlineData("/openapi/v2.json", false, HttpStatusCode.OK)]
    [InlineData("/docs/", false, HttpStatusCode.OK)]
    [InlineData("/favicon.svg", false, HttpStatusCode.OK)]
    [InlineData("/v2/users/current", false, HttpStatusCode.Unauthorized)]
    [InlineData("/v2/nothing/here", true, HttpStatusCode.NotFound)]
    [InlineData("/v2/login", true, HttpStatusCode.MethodNotAllowed)]
    public async Task Head_is_answered_as_get_is_without_the_content(string path, bool hasToken, HttpStatusCode status)
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = hasToken ? await server.IdTokenAsync() : null;

        foreach (var version in new[] { HttpVersion.Version11, HttpVersion.Version20 })
        {
            using var http = server.TrustingClient(version);
            using var get = await AskAsync(http, HttpMethod.Get);
            using var head = await AskAsync(http, HttpMethod.Head);

            Assert.Equal((status, status), (get.StatusCode, head.StatusCode));
            Assert.Equal(get.Content.Headers.ContentType, head.Content.Headers.ContentType);
            Assert.Equal(get.Content.Headers.Allow, head.Content.Headers.Allow);
            Assert.Equal(status == HttpStatusCode.MethodNotAllowed ? ["POST"] : [], head.Content.Headers.Allow);
            Assert.Empty(await head.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
            Assert.NotEmpty(await get.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
        }

        async Task<HttpResponseMessage> AskAsync(HttpClient http, HttpMethod method)
        {
            using var request = new HttpRequestMessage(method, path) { Version = http.DefaultRequestVersion, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
            if (token is not null)
                request.Headers.TryAddWithoutValidation("Authorization", token);
            return await http.SendAsync(request, TestContext.Current.CancellationToken);
        }
    }

    [Theory]
    [InlineData("/openapi/v3.json", HttpStatusCode.NotFound, "ResourceNotFound", "There is nothing at this address.")]
    [InlineData("/openapi/xv2.json", HttpStatusCode.NotFound, "ResourceNotFound", "There is nothing at this address.")]
    [InlineData("/v2/audit?limit=abc", HttpStatusCode.BadRequest, "InvalidParameter", "The parameter limit must be a whole number of at most 32 bits.")]
    [InlineData("/v2/audit?limit=99999999999", HttpStatusCode.BadRequest, "InvalidParameter", "The parameter limit must be a whole number of at most 32 bits.")]
    [InlineData("/v2/audit?limit=7&before=abc", HttpStatusCode.BadRequest, "InvalidParameter", "The parameter before must be a whole number of at most 64 bits.")]
    [InlineData("/v2/sinks/1/tail?errors=maybe", HttpStatusCode.BadRequest, "InvalidParameter", "The parameter errors must be true or false.")]
    [InlineData("/v2/sinks/1/requests/2?after=x", HttpStatusCode.BadRequest, "InvalidParameter", "The parameter after must be a whole number of at most 32 bits.")]
    public async Task What_the_framework_refuses_is_told_as_every_refusal_is(string path, HttpStatusCode status, string code, string message)
    {
        await using var server = await ServerUnderTest.StartAsync();

        using var response = await server.SendAsync(HttpMethod.Get, path, await server.IdTokenAsync());

        var refusal = await ServerUnderTest.ReadJsonAsync(response);
        Assert.Equal((status, code, message), (response.StatusCode, refusal.GetProperty("code").GetString(), refusal.GetProperty("message").GetString()));
    }

    [Theory]
    [InlineData("chunked", true)]
    [InlineData("Chunked", true)]
    [InlineData("gzip, chunked", false)]
    [InlineData("identity, chunked", false)]
    [InlineData("chunked, chunked", false)]
    [InlineData("gzip\r\nTransfer-Encoding: chunked", false)]
    public async Task A_body_that_is_encoded_for_its_transfer_is_refused_and_not_read_as_if_it_were_not(string coding, bool isTaken)
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(IPAddress.Loopback, server.Http.BaseAddress!.Port, TestContext.Current.CancellationToken);

        var request = $"POST /v2/databases HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        await tcp.GetStream().WriteAsync(Encoding.ASCII.GetBytes(request), TestContext.Current.CancellationToken);
        using var reader = new StreamReader(tcp.GetStream());
        var answer = await reader.ReadToEndAsync(TestContext.Current.CancellationToken);

        Assert.StartsWith(isTaken ? "HTTP/1.1 401" : "HTTP/1.1 400", answer, StringComparison.Ordinal);
        Assert.Equal(!isTaken, answer.Contains("\"code\": \"InvalidContentType\"", StringComparison.Ordinal));
        Assert.Equal(isTaken, answer.Contains("HTTP/1.1 200", StringComparison.Ordinal)); // else the connection is closed
    }

    [Fact]
    public async Task The_api_describes_itself()
    {
        await using var server = await ServerUnderTest.StartAsync();

        using var response = await server.SendAsync(HttpMethod.Get, "/openapi/v2.json");
        var paths = (await ServerUnderTest.ReadJsonAsync(response)).GetProperty("paths");

        foreach (var (path, method, operation) in new[]
        {
            ("/", "post", "loginAtRoot"), ("/v2/login", "post", "login"), ("/v2/users/current", "get", "getCurrentUser"), ("/v2/users/{id}/keys", "post", "postKey"),
            ("/v2/sinks/{id}", "post", "postDataRecords"), ("/v2/sinks/{id}/errors", "get", "getSinkErrors"), ("/v2/sinks/{id}/metrics", "get", "getSinkMetrics"),
            ("/v2/sinks/{id}/ledger", "get", "getSinkLedger"), ("/health/ready", "get", "getReadiness"),
        })
        {
            var described = paths.GetProperty(path).GetProperty(method);
            Assert.Equal(operation, described.GetProperty("operationId").GetString());
            Assert.NotEmpty(described.GetProperty("summary").GetString()!);
            Assert.NotEmpty(described.GetProperty("tags").EnumerateArray());
            Assert.Equal(method == "post", described.TryGetProperty("requestBody", out _));
            Assert.True(described.GetProperty("responses").TryGetProperty("default", out _));
        }
    }

    static async Task<string> ScalarAsync(CatalogContext context, string sql)
    {
        await using var command = context.Database.GetDbConnection().CreateCommand();
        command.CommandText = sql;
        return Convert.ToString(await command.ExecuteScalarAsync(TestContext.Current.CancellationToken), CultureInfo.InvariantCulture)!;
    }

    static async Task<string> StartAndStopAsync(TemporaryDirectory data)
    {
        using var console = new StringWriter { NewLine = "\n" };
        await using var app = ServerApp.Build(
            ["--data", data.Path, "--https-port", "0", "--http-port", "0", "--Logging:LogLevel:Default", "None", "--Logging:LogLevel:Microsoft", "None"],
            TimeProvider.System, console, (_, _) => Task.FromResult<Engine?>(null));
        await app.StartAsync(TestContext.Current.CancellationToken);
        await app.StopAsync();
        return console.ToString();
    }

    /// <param name="causes">The tag <c>cause</c> of each measurement.</param>
    static MeterListener Listen(IMeterFactory factory, string instrument, out ConcurrentQueue<string?> causes)
    {
        var found = causes = [];
        var listener = new MeterListener
        {
            InstrumentPublished = (published, listener) =>
            {
                if (published.Name == instrument && published.Meter.Scope == factory) listener.EnableMeasurementEvents(published);
            },
        };
        listener.SetMeasurementEventCallback<long>((_, _, tags, _) => found.Enqueue(tags.ToArray().Single(tag => tag.Key == "cause").Value as string));
        listener.Start();
        return listener;
    }

    /// <summary>The real program, as a process of its own.</summary>
    static async Task<(int ExitCode, string Output, string Errors)> RunAsync(params string[] args)
    {
        var program = Path.Combine(AppContext.BaseDirectory, "Sluice.Server.dll");
        using var process = Process.Start(new ProcessStartInfo("dotnet", [program, .. args]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, await errors);
    }

    /// <summary>A login whose body arrives in two halves, so that a request is under way for as long as a test likes.</summary>
    sealed class HalfALogin(TcpClient tcp) : IDisposable
    {
        const string Body = $$"""{"USERNAME":"{{ServerUnderTest.Email}}","PASSWORD":"{{ServerUnderTest.Password}}"}""";

        public static async Task<HalfALogin> BeginAsync(int port)
        {
            var tcp = new TcpClient();
            await tcp.ConnectAsync(IPAddress.Loopback, port, TestContext.Current.CancellationToken);
            var request = $"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {Body.Length}\r\n\r\n";
            await tcp.GetStream().WriteAsync(Encoding.ASCII.GetBytes(request), TestContext.Current.CancellationToken);
            // the server asks for the body: the request is with its endpoint
            await tcp.GetStream().ReadExactlyAsync(new byte["HTTP/1.1 100 Continue\r\n\r\n".Length], TestContext.Current.CancellationToken);
            return new HalfALogin(tcp);
        }

        public async Task<string> FinishAsync()
        {
            await tcp.GetStream().WriteAsync(Encoding.ASCII.GetBytes(Body), TestContext.Current.CancellationToken);
            using var reader = new StreamReader(tcp.GetStream());
            return await reader.ReadLineAsync(TestContext.Current.CancellationToken) ?? "";
        }

        public void Dispose() => tcp.Dispose();
    }
}
