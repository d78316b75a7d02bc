using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Sluice.Client;

/// <summary>
/// The REST API as typed calls. Every call throws <see cref="SluiceApiException"/> when the server refuses it and
/// <see cref="HttpRequestException"/> when it cannot be reached. Any thread; nothing is retried here.
/// </summary>
/// <param name="http">Has the server's origin as its base address, as in <c>https://localhost:7443/</c>. The caller disposes it.</param>
public sealed class SluiceClient(HttpClient http)
{
    /// <summary>Logs in and sends the id token with every later call.</summary>
    public async Task<LoginAnswer> LoginAsync(string username, string password, CancellationToken cancellation)
    {
        var answer = await SendAsync(
            HttpMethod.Post, "v2/login", JsonBody(new LoginRequest(username, password), WireJson.Default.LoginRequest), WireJson.Default.LoginAnswer, cancellation);
        UseToken(answer.AuthenticationResult.IdToken);
        return answer;
    }

    public void UseToken(string idToken) => http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", idToken);

    /// <summary>Sends the key with every later call, instead of a token.</summary>
    public void UseApiKey(string secret)
    {
        http.DefaultRequestHeaders.Authorization = null;
        http.DefaultRequestHeaders.Remove("X-API-Key");
        http.DefaultRequestHeaders.Add("X-API-Key", secret);
    }

    public async Task<IReadOnlyList<DatabaseResource>> ListDatabasesAsync(CancellationToken cancellation) =>
        (await GetAsync("v2/databases", WireJson.Default.ResourceListDatabaseResource, cancellation)).Resources;

    public Task<DatabaseResource> CreateDatabaseAsync(DatabaseRequest database, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, "v2/databases", JsonBody(database, WireJson.Default.DatabaseRequest), WireJson.Default.DatabaseResource, cancellation);

    public Task<DatabaseResource> GetDatabaseAsync(Guid id, CancellationToken cancellation) =>
        GetAsync($"v2/databases/{id}", WireJson.Default.DatabaseResource, cancellation);

    /// <param name="force">Drops the database's tables too; without it a database with tables is refused.</param>
    public Task<DatabaseResource> DeleteDatabaseAsync(Guid id, bool force, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Delete, $"v2/databases/{id}{(force ? "?force=true" : "")}", null, WireJson.Default.DatabaseResource, cancellation);

    public async Task<IReadOnlyList<TableResource>> ListTablesAsync(Guid databaseId, CancellationToken cancellation) =>
        (await GetAsync($"v2/tables/{databaseId}", WireJson.Default.ResourceListTableResource, cancellation)).Resources;

    public Task<TableResource> CreateTableAsync(Guid databaseId, TableRequest table, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, $"v2/tables/{databaseId}", JsonBody(table, WireJson.Default.TableRequest), WireJson.Default.TableResource, cancellation);

    public Task<TableResource> GetTableAsync(Guid databaseId, string table, CancellationToken cancellation) =>
        GetAsync(TablePath(databaseId, table), WireJson.Default.TableResource, cancellation);

    public Task<TableResource> DeleteTableAsync(Guid databaseId, string table, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Delete, TablePath(databaseId, table), null, WireJson.Default.TableResource, cancellation);

    public Task<ColumnResource> AddColumnAsync(Guid databaseId, string table, string column, ColumnOptionsBody options, CancellationToken cancellation) =>
        SendAsync(
            HttpMethod.Post,
            ColumnPath(databaseId, table, column),
            JsonBody(new ColumnRequest(null, options), WireJson.Default.ColumnRequest),
            WireJson.Default.ColumnResource,
            cancellation);

    public Task<ColumnResource> DropColumnAsync(Guid databaseId, string table, string column, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Delete, ColumnPath(databaseId, table, column), null, WireJson.Default.ColumnResource, cancellation);

    public async Task<IReadOnlyList<SinkResource>> ListSinksAsync(CancellationToken cancellation) =>
        (await GetAsync("v2/sinks", WireJson.Default.ResourceListSinkResource, cancellation)).Resources;

    public Task<SinkResource> CreateSinkAsync(SinkRequest sink, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, "v2/sinks", JsonBody(sink, WireJson.Default.SinkRequest), WireJson.Default.SinkResource, cancellation);

    public Task<SinkResource> GetSinkAsync(Guid id, CancellationToken cancellation) =>
        GetAsync($"v2/sinks/{id}", WireJson.Default.SinkResource, cancellation);

    /// <summary>Replaces the mapping and the limits; name, database and table cannot change.</summary>
    public Task<SinkResource> UpdateSinkAsync(Guid id, SinkRequest sink, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Put, $"v2/sinks/{id}", JsonBody(sink, WireJson.Default.SinkRequest), WireJson.Default.SinkResource, cancellation);

    public Task<SinkResource> DeleteSinkAsync(Guid id, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Delete, $"v2/sinks/{id}", null, WireJson.Default.SinkResource, cancellation);

    /// <summary>Sends the body of one request as it is. When this returns, every record with status <c>success</c> is durable.</summary>
    /// <param name="body"><c>{"records":[{"value":{...}}, ...]}</c>, UTF-8.</param>
    /// <param name="idempotencyKey"><c>null</c>: none. With a key, the same body sent again gets the same answer and is not loaded twice.</param>
    public Task<IngestAnswer> SendRecordsAsync(Guid sinkId, ReadOnlyMemory<byte> body, string? idempotencyKey, CancellationToken cancellation)
    {
        var content = new ReadOnlyMemoryContent(body) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
        return SendAsync(HttpMethod.Post, $"v2/sinks/{sinkId}", content, WireJson.Default.IngestAnswer, cancellation, idempotencyKey);
    }

    /// <summary>Newest first.</summary>
    public async Task<IReadOnlyList<SinkErrorResource>> ListErrorsAsync(Guid sinkId, CancellationToken cancellation) =>
        (await GetAsync($"v2/sinks/{sinkId}/errors", WireJson.Default.ResourceListSinkErrorResource, cancellation)).Resources;

    public async Task<IReadOnlyList<SinkMetricResource>> ListMetricsAsync(Guid sinkId, CancellationToken cancellation) =>
        (await GetAsync($"v2/sinks/{sinkId}/metrics", WireJson.Default.ResourceListSinkMetricResource, cancellation)).Resources;

    /// <summary>Runs one SQL statement. An error in the SQL does not throw: it is in <see cref="SqlAnswer.Error"/>.</summary>
    public Task<SqlAnswer> QueryAsync(Guid databaseId, string sql, CancellationToken cancellation) =>
        SendAsync(
            HttpMethod.Post,
            $"v2/databases/{databaseId}/query/sql",
            new StringContent(sql, Encoding.UTF8, "text/plain"),
            WireJson.Default.SqlAnswer,
            cancellation);

    static string TablePath(Guid databaseId, string table) => $"v2/tables/{databaseId}/{Uri.EscapeDataString(table)}";

    static string ColumnPath(Guid databaseId, string table, string column) =>
        $"{TablePath(databaseId, table)}/fields/{Uri.EscapeDataString(column)}";

    static JsonContent JsonBody<T>(T value, JsonTypeInfo<T> type) => JsonContent.Create(value, type);

    Task<T> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancellation) => SendAsync(HttpMethod.Get, path, null, type, cancellation);

    async Task<T> SendAsync<T>(
        HttpMethod method, string path, HttpContent? content, JsonTypeInfo<T> type, CancellationToken cancellation, string? idempotencyKey = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content };
        if (idempotencyKey is not null)
            request.Headers.Add("Idempotency-Key", idempotencyKey);
        using var response = await http.SendAsync(request, cancellation);
        if (!response.IsSuccessStatusCode)
            throw await RefusalAsync(response, cancellation);
        return await response.Content.ReadFromJsonAsync(type, cancellation)
            ?? throw new JsonException($"the answer to {method} {path} is JSON null");
    }

    static async Task<SluiceApiException> RefusalAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        var text = await response.Content.ReadAsStringAsync(cancellation);
        return new SluiceApiException(response.StatusCode, ReadRefusal(text) ?? new RefusalBody($"Http{(int)response.StatusCode}", response.ReasonPhrase ?? "", null, null))
        {
            RetryAfter = response.Headers.RetryAfter?.Delta,
        };
    }

    static RefusalBody? ReadRefusal(string text)
    {
        try
        {
            return JsonSerializer.Deserialize(text, WireJson.Default.RefusalBody) is { Code: not null } body ? body : null;
        }
        catch (JsonException)
        {
            return null; // a proxy's page, or nothing
        }
    }
}
