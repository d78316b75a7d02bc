using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>One server with engine for a class of tests; each test makes its own sink.</summary>
public sealed class IngestServer : IAsyncLifetime
{
    readonly TemporaryDirectory _data = new();
    readonly TemporaryDirectory _backups = new();
    ServerProcess? _process;
    ApiClient? _api;
    int _sinks;

    internal ServerProcess Process => _process!;

    internal ApiClient Api => _api!;

    internal string DatabaseId { get; private set; } = "";

    internal string DataDirectory => _data.Path;

    internal string BackupDirectory => _backups.Path;

    internal HttpClient Http { get; private set; } = new();

    public async ValueTask InitializeAsync()
    {
        _process = await ServerProcess.StartAsync(_data.Path, "Sluice.Server", TestContext.Current.CancellationToken, ("Sluice__Backup__Directory", _backups.Path));
        _api = await ApiClient.LoginAsync(_process.HttpPort, TestContext.Current.CancellationToken);
        Http.BaseAddress = new Uri($"http://127.0.0.1:{_process.HttpPort}/");
        Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", _api.Token);
        DatabaseId = await _api.CreateAsync("v2/databases", """{"name":"ingest"}""", TestContext.Current.CancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        _api?.Dispose();
        if (_process is not null)
            await _process.DisposeAsync();
        _data.Dispose();
        _backups.Dispose();
    }

    /// <summary>A table with a Number <c>_id</c> and a column <c>price decimal(2)</c>, and a sink that maps <c>id</c> and <c>price</c> to them.</summary>
    internal async Task<string> MakeSinkAsync()
    {
        var name = $"t{Interlocked.Increment(ref _sinks)}";
        var cancellation = TestContext.Current.CancellationToken;
        await Api.CreateAsync($"v2/tables/{DatabaseId}", $$$"""{"name":"{{{name}}}","options":{"keys":false,"trackExistence":true}}""", cancellation);
        await Api.CreateAsync($"v2/tables/{DatabaseId}/{name}/fields/price", """{"options":{"type":"decimal","scale":2}}""", cancellation);
        return await Api.CreateAsync("v2/sinks", $$$$"""
            {"name":"{{{{name}}}}","sink_details":{"database_id":"{{{{DatabaseId}}}}","table":"{{{{name}}}}"},
             "schema":{"type":"json","id_field":"_id","allow_missing_fields":true,
              "definition":[{"name":"_id","path":["id"]},{"name":"price","path":["price"]}]}}
            """, cancellation);
    }

    internal async Task<HttpResponseMessage> SendAsync(string sinkId, string body, string? contentType = "application/json", string? query = null, Action<HttpRequestMessage>? change = null) =>
        await SendAsync(sinkId, Encoding.UTF8.GetBytes(body), contentType, query, change);

    internal async Task<HttpResponseMessage> SendAsync(string sinkId, byte[] body, string? contentType = null, string? query = null, Action<HttpRequestMessage>? change = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"v2/sinks/{sinkId}{query}") { Content = new ByteArrayContent(body) };
        if (contentType is not null)
            request.Content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        change?.Invoke(request);
        return await Http.SendAsync(request, TestContext.Current.CancellationToken);
    }

    internal static string Records(int first, int count) =>
        $$"""{"records":[{{string.Join(",", Enumerable.Range(first, count).Select(id => $$$"""{"value":{"id":{{{id}}},"price":1.25}}"""))}}]}""";

    internal static async Task<JsonElement> ReadJsonAsync(HttpResponseMessage response) =>
        JsonElement.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
}
