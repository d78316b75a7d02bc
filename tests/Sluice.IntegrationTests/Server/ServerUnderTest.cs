using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Sluice.Server;
using Sluice.Server.Accounts;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>A real server on free ports and a throw-away data directory; without an engine unless asked for: what is tested here comes before records.</summary>
sealed class ServerUnderTest : IAsyncDisposable
{
    public const string Email = "admin@localhost";
    public const string Password = "Correct-Horse-9";

    readonly ServerApp _app;
    PeriodicTimer? _pulse;

    ServerUnderTest(ServerApp app, TemporaryDirectory data, FakeTimeProvider time)
    {
        _app = app;
        Data = data;
        Time = time;
        Http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = app.HttpAddress };
    }

    public TemporaryDirectory Data { get; }

    /// <summary>The server's clock; stands still unless it is moved.</summary>
    public FakeTimeProvider Time { get; }

    /// <summary>Plain HTTP on loopback.</summary>
    public HttpClient Http { get; }

    public Uri HttpsAddress => _app.HttpsAddress;

    public IServiceProvider Services => _app.Services;

    public static Task<ServerUnderTest> StartAsync(params string[] args)
    {
        var time = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        return StartAsync(time, time, (_, _) => Task.FromResult<Engine?>(null), args);
    }

    /// <summary>With an engine, which does not work against a clock that stands still: <see cref="Time"/> moves nothing then.</summary>
    public static Task<ServerUnderTest> StartWithEngineAsync(params string[] args) => StartAsync(TimeProvider.System, new FakeTimeProvider(), OpenEngineAsync, args);

    /// <summary>With an engine, and with a clock that runs beside the system's and can be moved ahead.</summary>
    public static async Task<ServerUnderTest> StartRunningAsync()
    {
        var time = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        var pulse = new PeriodicTimer(TimeSpan.FromMilliseconds(10), TimeProvider.System);
        _ = Task.Run(() => RunAsync(time, pulse), TestContext.Current.CancellationToken);
        var server = await StartAsync(time, time, OpenEngineAsync, []);
        server._pulse = pulse;
        return server;
    }

    /// <param name="args">None: the data directory is one that has been started on before.</param>
    static async Task<ServerUnderTest> StartAsync(TimeProvider clock, FakeTimeProvider time, OpenEngine openEngine, string[] args)
    {
        var data = new TemporaryDirectory();
        if (args.Length == 0)
        {
            await FirstStart.CopyAsync(Email, data.Path);
            File.Delete(Path.Combine(data.Path, "keys", "tokens.key")); // what signs with a key is kept by the key's id for the whole process
        }
        var app = ServerApp.Build(
            ["--data", data.Path, "--https-port", "0", "--http-port", "0", "--Sluice:Administrator:Password", Password, "--Logging:LogLevel:Default", "None", "--Logging:LogLevel:Microsoft", "None", .. args],
            clock,
            TextWriter.Null,
            openEngine);
        await app.StartAsync(TestContext.Current.CancellationToken);
        return new ServerUnderTest(app, data, time);
    }

    static Task<Engine?> OpenEngineAsync(IServiceProvider services, CancellationToken cancellation) => ServerApp.OpenEngineAsync(services, (open, _) => open, cancellation);

    static async Task RunAsync(FakeTimeProvider time, PeriodicTimer pulse)
    {
        while (await pulse.WaitForNextTickAsync())
            time.Advance(pulse.Period);
    }

    /// <summary>A client that trusts the server's authority and nothing else.</summary>
    public HttpClient TrustingClient(Version version) => new(TrustingHandler())
    {
        BaseAddress = HttpsAddress,
        DefaultRequestVersion = version,
        DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
    };

    public SocketsHttpHandler TrustingHandler() => new()
    {
        // every name is this server, whether or not the machine can resolve it
        ConnectCallback = async (context, cancellation) =>
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(IPAddress.Loopback, context.DnsEndPoint.Port, cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        },
        SslOptions =
        {
            CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                CustomTrustStore = { X509CertificateLoader.LoadCertificateFromFile(Path.Combine(Data.Path, "tls", "ca.crt")) },
                RevocationMode = X509RevocationMode.NoCheck,
            },
        },
    };

    public Task<HttpResponseMessage> PostAsync(string path, string body, string? contentType = "application/json")
    {
        var content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
        if (contentType is not null)
            content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        return Http.PostAsync(path, content, TestContext.Current.CancellationToken);
    }

    public async Task<JsonElement> LogInAsync(string email = Email, string password = Password)
    {
        using var response = await PostAsync("/", $$"""{"USERNAME":"{{email}}","PASSWORD":"{{password}}"}""");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        return (await ReadJsonAsync(response)).GetProperty("AuthenticationResult");
    }

    /// <summary>Of the administrator, who may have logged in before.</summary>
    public async Task<string> IdTokenAsync()
    {
        if (Time.GetUtcNow() == Time.Start && await FirstStart.LogInAsync(Email) is { } logIn)
        {
            var payload = Base64UrlEncoder.Decode(logIn.GetProperty("IdToken").GetString()!.Split('.')[1]);
            var token = new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(payload, new SigningCredentials(Services.GetRequiredService<TokenKey>().SecurityKey, SecurityAlgorithms.EcdsaSha256));
            using var response = await SendAsync(HttpMethod.Get, "/v2/users/current", token);
            if (response.IsSuccessStatusCode) return token;
        }
        return await IdTokenAsync(Email);
    }

    public async Task<string> IdTokenAsync(string email, string password = Password) => (await LogInAsync(email, password)).GetProperty("IdToken").GetString()!;

    /// <summary>Invites somebody and accepts for them, with <see cref="Password"/>.</summary>
    public async Task<(string Id, string Token)> AddUserAsync(string administrator, string email, string role = "User")
    {
        var invite = await JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/invites", administrator, $$"""{"email":"{{email}}","role":"{{role}}"}""");
        await JsonAsync(HttpStatusCode.OK, HttpMethod.Post, "/v2/invites/accept", null, $$"""{"token":"{{invite.GetProperty("token").GetString()}}","password":"{{Password}}"}""");
        return (invite.GetProperty("user_id").GetString()!, await IdTokenAsync(email));
    }

    /// <summary>A sink that maps <c>id</c> to the key of a table.</summary>
    public async Task<string> MakeSinkAsync(string token)
    {
        var database = (await JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/databases", token, """{"name":"db"}""")).GetProperty("id").GetString();
        await JsonAsync(HttpStatusCode.Created, HttpMethod.Post, $"/v2/tables/{database}", token, """{"name":"t","options":{"keys":false}}""");
        var sink = await JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/sinks", token, $$$"""
            {"name":"s","sink_details":{"database_id":"{{{database}}}","table":"t"},
             "schema":{"type":"json","id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}}
            """);
        return sink.GetProperty("id").GetString()!;
    }

    /// <summary>One call whose status must be as expected; its answer.</summary>
    public async Task<JsonElement> JsonAsync(HttpStatusCode expected, HttpMethod method, string path, string? authorization = null, string? body = null, string? key = null)
    {
        using var response = await SendAsync(method, path, authorization, key, body);
        var text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(response.StatusCode == expected, $"{method} {path}: {(int)response.StatusCode} instead of {(int)expected}: {text}");
        return text.Length == 0 ? default : JsonElement.Parse(text);
    }

    /// <param name="authorization">The value of the header, as it is sent.</param>
    public async Task<HttpResponseMessage> SendAsync(
        HttpMethod method, string path, string? authorization = null, string? key = null, string? body = null, HttpCompletionOption until = HttpCompletionOption.ResponseContentRead)
    {
        using var request = new HttpRequestMessage(method, path);
        if (authorization is not null)
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
        if (key is not null)
            request.Headers.Add("X-API-Key", key);
        if (body is not null)
            request.Content = new StringContent(body, new MediaTypeHeaderValue("text/plain"));
        return await Http.SendAsync(request, until, TestContext.Current.CancellationToken);
    }

    public static async Task<JsonElement> ReadJsonAsync(HttpResponseMessage response) =>
        JsonElement.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));

    public Task StopAsync() => _app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.DisposeAsync();
        _pulse?.Dispose();
        Data.Dispose();
    }
}

/// <summary>A directory that is gone after the test.</summary>
sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("sluice-test-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
