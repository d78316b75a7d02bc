using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Xunit;

namespace Sluice.IntegrationTests;

/// <summary>The API in raw JSON, for tests that must not depend on the product's own client.</summary>
sealed class ApiClient : IDisposable
{
    readonly HttpClient _http;

    public ApiClient(int httpPort) => _http = new HttpClient(new LostConnections()) { BaseAddress = new Uri($"http://127.0.0.1:{httpPort}/"), Timeout = TimeSpan.FromSeconds(30) };

    /// <summary>As the administrator, who may have logged in before.</summary>
    public static async Task<ApiClient> LoginAsync(int httpPort, CancellationToken cancellation)
    {
        var client = new ApiClient(httpPort);
        if (await FirstStart.LogInAsync(ServerProcess.Email) is { } logIn)
        {
            client.UseToken(logIn.GetProperty("IdToken").GetString()!);
            if ((await client.GetAsync("v2/users/current", cancellation)).Status == HttpStatusCode.OK) return client;
        }
        client.Dispose(); // the token is of another data directory
        return await LoginAnewAsync(httpPort, cancellation);
    }

    public static async Task<ApiClient> LoginAnewAsync(int httpPort, CancellationToken cancellation)
    {
        var client = new ApiClient(httpPort);
        var answer = await client.PostAsync("", new JsonObject { ["USERNAME"] = ServerProcess.Email, ["PASSWORD"] = ServerProcess.Password }.ToJsonString(), cancellation);
        client.UseToken(answer.Json["AuthenticationResult"]!["IdToken"]!.GetValue<string>());
        return client;
    }

    public string Token { get; private set; } = "";

    public void UseToken(string token)
    {
        Token = token;
        _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
    }

    public Task<Answer> PostAsync(string path, string body, CancellationToken cancellation) => SendAsync(HttpMethod.Post, path, Encoding.UTF8.GetBytes(body), cancellation);

    public Task<Answer> PutAsync(string path, string body, CancellationToken cancellation) => SendAsync(HttpMethod.Put, path, Encoding.UTF8.GetBytes(body), cancellation);

    public Task<Answer> GetAsync(string path, CancellationToken cancellation) => SendAsync(HttpMethod.Get, path, null, cancellation);

    public async Task<Answer> SendAsync(HttpMethod method, string path, byte[]? body, CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(method, new Uri(path, UriKind.Relative)) { Content = body is null ? null : new ByteArrayContent(body) };
        using var answer = await _http.SendAsync(request, cancellation);
        return new Answer(answer.StatusCode, await answer.Content.ReadAsStringAsync(cancellation));
    }

    /// <summary>Rows of one SQL statement; an error in the answer fails the test.</summary>
    public async Task<JsonArray> QueryAsync(string databaseId, string sql, CancellationToken cancellation)
    {
        var answer = await PostAsync($"v2/databases/{databaseId}/query/sql", sql, cancellation);
        Assert.True(answer.Status == HttpStatusCode.OK && answer.Json["error"] is null, $"{sql}: {answer.Text}");
        return answer.Json["data"]!.AsArray();
    }

    /// <summary>Creates what a test needs: each answer must be 201; returns the id.</summary>
    public async Task<string> CreateAsync(string path, string body, CancellationToken cancellation)
    {
        var answer = await PostAsync(path, body, cancellation);
        Assert.True(answer.Status == HttpStatusCode.Created, $"POST {path}: {(int)answer.Status} {answer.Text}");
        return answer.Json["id"]?.GetValue<string>() ?? "";
    }

    public void Dispose() => _http.Dispose();

    /// <summary>Waits until everything accepted by the sink is loaded or failed, or nothing has moved for five seconds; returns its ledger.</summary>
    public async Task<JsonNode> WaitLoadedAsync(string sinkId, CancellationToken cancellation)
    {
        var (last, since) = (long.MinValue, 0L);
        while (true)
        {
            var ledger = (await GetAsync($"v2/sinks/{sinkId}/ledger", cancellation)).Json;
            var pending = ledger["pending"]!.GetValue<long>();
            if (pending != last) (last, since) = (pending, TimeProvider.System.GetTimestamp());
            if (pending == 0 || TimeProvider.System.GetElapsedTime(since) > TimeSpan.FromSeconds(5)) return ledger;
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, cancellation);
        }
    }
}

/// <summary>One answer of the API.</summary>
sealed record Answer(HttpStatusCode Status, string Text)
{
    public JsonNode Json => JsonNode.Parse(Text)!;
}
