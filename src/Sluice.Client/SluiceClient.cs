using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Sluice.Client;

/// <summary>
/// The REST API as typed calls. Every call throws <see cref="SluiceApiException"/> when the server refuses it and
/// <see cref="HttpRequestException"/> when it cannot be reached. Any thread; nothing is retried here, but that an expired id token is renewed
/// once with the refresh token, when there is one. <see cref="SluiceBatcher"/> sends streams of records, and retries.
/// </summary>
/// <param name="http">Has the server's origin as its base address, as in <c>https://localhost:7443/</c>. The caller disposes it.</param>
public sealed class SluiceClient(HttpClient http)
{
    const string LoginPath = "v2/login";

    readonly Lock _lock = new();
    Task _renewal = Task.CompletedTask; // under _lock
    string? _idToken;
    string? _refreshToken;

    /// <summary>Called with the new tokens after each login and renewal, so that they can be kept.</summary>
    public Func<AuthenticationResult, Task>? OnTokens { get; init; }

    /// <summary>
    /// Called to renew the id token, with what does it. For a login that several processes share, where each renewal makes the refresh token before it
    /// useless: it can hold a lock meanwhile, and take (<see cref="UseToken"/>) the newest refresh token first. <c>null</c>: just renews.
    /// </summary>
    public Func<Func<Task>, Task>? OnRenewal { get; init; }

    /// <summary>Logs in and sends the id token with every later call.</summary>
    public async Task<LoginAnswer> LoginAsync(string username, string password, CancellationToken cancellation)
    {
        var answer = await SendOnceAsync(
            HttpMethod.Post, LoginPath, Json(new LoginRequest(username, password), WireJson.Default.LoginRequest), WireJson.Default.LoginAnswer, cancellation);
        await TakeAsync(answer.AuthenticationResult);
        return answer;
    }

    /// <param name="refreshToken">Renews the id token when it has expired; <c>null</c>: nothing does.</param>
    public void UseToken(string idToken, string? refreshToken = null) => (_idToken, _refreshToken) = (idToken, refreshToken);

    /// <summary>Sends the key with every later call, instead of a token.</summary>
    public void UseApiKey(string secret)
    {
        (_idToken, _refreshToken) = (null, null);
        http.DefaultRequestHeaders.Remove("X-API-Key");
        http.DefaultRequestHeaders.Add("X-API-Key", secret);
    }

    /// <summary>The header that goes with every call, for programs that make some calls themselves; <c>null</c>: nobody is logged in.</summary>
    public (string Name, string Value)? Credential =>
        _idToken is { } token ? ("Authorization", $"Bearer {token}")
        : http.DefaultRequestHeaders.TryGetValues("X-API-Key", out var keys) ? ("X-API-Key", keys.First())
        : null;

    public Task<UserResource> GetCurrentUserAsync(CancellationToken cancellation) => GetAsync("v2/users/current", WireJson.Default.UserResource, cancellation);

    /// <param name="user">Id of a user, or <c>current</c>.</param>
    public async Task<IReadOnlyList<KeyResource>> ListKeysAsync(string user, CancellationToken cancellation) =>
        (await GetAsync($"v2/users/{user}/keys", WireJson.Default.ResourceListKeyResource, cancellation)).Resources;

    /// <summary>Makes a key; its secret is in this answer and nowhere else.</summary>
    public Task<KeyResource> CreateKeyAsync(string user, KeyRequest key, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, $"v2/users/{user}/keys", Json(key, WireJson.Default.KeyRequest), WireJson.Default.KeyResource, cancellation);

    /// <summary>Makes a backup on the server; returns when it is complete, which takes as long as the disk needs.</summary>
    public Task<BackupResource> CreateBackupAsync(BackupRequest backup, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, "v2/backups", Json(backup, WireJson.Default.BackupRequest), WireJson.Default.BackupResource, cancellation);

    /// <summary>The complete backups, oldest first.</summary>
    public async Task<IReadOnlyList<BackupResource>> ListBackupsAsync(CancellationToken cancellation) =>
        (await GetAsync("v2/backups", WireJson.Default.ResourceListBackupResource, cancellation)).Resources;

    public Task<KeyResource> ChangeKeyAsync(string user, Guid key, KeyChange change, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Put, $"v2/users/{user}/keys/{key}", Json(change, WireJson.Default.KeyChange), WireJson.Default.KeyResource, cancellation);

    public Task<KeyResource> RevokeKeyAsync(string user, Guid key, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Delete, $"v2/users/{user}/keys/{key}", null, WireJson.Default.KeyResource, cancellation);

    public async Task<IReadOnlyList<DatabaseResource>> ListDatabasesAsync(CancellationToken cancellation) =>
        (await GetAsync("v2/databases", WireJson.Default.ResourceListDatabaseResource, cancellation)).Resources;

    public Task<DatabaseResource> CreateDatabaseAsync(DatabaseRequest database, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, "v2/databases", Json(database, WireJson.Default.DatabaseRequest), WireJson.Default.DatabaseResource, cancellation);

    public Task<DatabaseResource> GetDatabaseAsync(Guid id, CancellationToken cancellation) =>
        GetAsync($"v2/databases/{id}", WireJson.Default.DatabaseResource, cancellation);

    /// <param name="force">Drops the database's tables too; without it a database with tables is refused.</param>
    public Task<DatabaseResource> DeleteDatabaseAsync(Guid id, bool force, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Delete, $"v2/databases/{id}{(force ? "?force=true" : "")}", null, WireJson.Default.DatabaseResource, cancellation);

    public async Task<IReadOnlyList<TableResource>> ListTablesAsync(Guid databaseId, CancellationToken cancellation) =>
        (await GetAsync($"v2/tables/{databaseId}", WireJson.Default.ResourceListTableResource, cancellation)).Resources;

    public Task<TableResource> CreateTableAsync(Guid databaseId, TableRequest table, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, $"v2/tables/{databaseId}", Json(table, WireJson.Default.TableRequest), WireJson.Default.TableResource, cancellation);

    public Task<TableResource> GetTableAsync(Guid databaseId, string table, CancellationToken cancellation) =>
        GetAsync(TablePath(databaseId, table), WireJson.Default.TableResource, cancellation);

    public Task<TableResource> DeleteTableAsync(Guid databaseId, string table, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Delete, TablePath(databaseId, table), null, WireJson.Default.TableResource, cancellation);

    public Task<ColumnResource> AddColumnAsync(Guid databaseId, string table, string column, ColumnOptionsBody options, CancellationToken cancellation) =>
        SendAsync(
            HttpMethod.Post,
            ColumnPath(databaseId, table, column),
            Json(new ColumnRequest(null, options), WireJson.Default.ColumnRequest),
            WireJson.Default.ColumnResource,
            cancellation);

    public Task<ColumnResource> DropColumnAsync(Guid databaseId, string table, string column, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Delete, ColumnPath(databaseId, table, column), null, WireJson.Default.ColumnResource, cancellation);

    public async Task<IReadOnlyList<SinkResource>> ListSinksAsync(CancellationToken cancellation) =>
        (await GetAsync("v2/sinks", WireJson.Default.ResourceListSinkResource, cancellation)).Resources;

    public Task<SinkResource> CreateSinkAsync(SinkRequest sink, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, "v2/sinks", Json(sink, WireJson.Default.SinkRequest), WireJson.Default.SinkResource, cancellation);

    public Task<SinkResource> GetSinkAsync(Guid id, CancellationToken cancellation) =>
        GetAsync($"v2/sinks/{id}", WireJson.Default.SinkResource, cancellation);

    /// <summary>Replaces the mapping and the limits; name, database and table cannot change.</summary>
    public Task<SinkResource> UpdateSinkAsync(Guid id, SinkRequest sink, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Put, $"v2/sinks/{id}", Json(sink, WireJson.Default.SinkRequest), WireJson.Default.SinkResource, cancellation);

    public Task<SinkResource> DeleteSinkAsync(Guid id, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Delete, $"v2/sinks/{id}", null, WireJson.Default.SinkResource, cancellation);

    /// <summary>Sends the body of one request as it is. When this returns, every record with status <c>success</c> is durable.</summary>
    /// <param name="body">Records as <see cref="SendOptions.ContentType"/> says.</param>
    public Task<IngestAnswer> SendAsync(Guid sinkId, ReadOnlyMemory<byte> body, SendOptions options, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, $"v2/sinks/{sinkId}{options.Query()}", () => RecordsContent(body, options), WireJson.Default.IngestAnswer, cancellation, options.IdempotencyKey);

    /// <summary>Newest first.</summary>
    public async Task<IReadOnlyList<SinkErrorResource>> ListErrorsAsync(Guid sinkId, CancellationToken cancellation) =>
        (await GetAsync($"v2/sinks/{sinkId}/errors", WireJson.Default.ResourceListSinkErrorResource, cancellation)).Resources;

    public async Task<IReadOnlyList<SinkMetricResource>> ListMetricsAsync(Guid sinkId, CancellationToken cancellation) =>
        (await GetAsync($"v2/sinks/{sinkId}/metrics", WireJson.Default.ResourceListSinkMetricResource, cancellation)).Resources;

    /// <summary>The sink's counters since it was made.</summary>
    public Task<LedgerResource> GetLedgerAsync(Guid sinkId, CancellationToken cancellation) =>
        GetAsync($"v2/sinks/{sinkId}/ledger", WireJson.Default.LedgerResource, cancellation);

    /// <summary>
    /// The records of a sink as they become durable, from now on; ends when the server ends it. A reader that is too slow misses records, and is
    /// told how many (<see cref="TailResource.Missed"/>).
    /// </summary>
    /// <param name="filter">Only records whose text holds this; <c>null</c>: all.</param>
    /// <exception cref="IOException">The connection broke.</exception>
    public async IAsyncEnumerable<TailResource> TailAsync(Guid sinkId, bool rejectedOnly, string? filter, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var path = $"v2/sinks/{sinkId}/tail?errors={(rejectedOnly ? "true" : "false")}&filter={Uri.EscapeDataString(filter ?? "")}";
        using var response = await WithRenewalAsync(() => AnswerAsync(HttpMethod.Get, path, null, HttpCompletionOption.ResponseHeadersRead, cancellation), cancellation);
        using var lines = new StreamReader(await response.Content.ReadAsStreamAsync(cancellation));
        while (await lines.ReadLineAsync(cancellation) is { } line)
        {
            if (line.Length == 0) continue; // the connection lives
            yield return JsonSerializer.Deserialize(line, WireJson.Default.TailResource) ?? throw new JsonException("a line of the tail is JSON null");
        }
    }

    /// <summary>The groups of records that failed, newest first.</summary>
    public Task<QuarantineResource> GetQuarantineAsync(Guid sinkId, CancellationToken cancellation) =>
        GetAsync($"v2/sinks/{sinkId}/quarantine", WireJson.Default.QuarantineResource, cancellation);

    /// <summary>The records of one group, oldest first.</summary>
    /// <param name="after"><see cref="QuarantinePage.Next"/> of the page before; <c>null</c>: the first page.</param>
    public Task<QuarantinePage> ListQuarantinedAsync(Guid sinkId, string group, string? after, int limit, CancellationToken cancellation) =>
        GetAsync(
            FormattableString.Invariant($"v2/sinks/{sinkId}/quarantine?group={Uri.EscapeDataString(group)}&limit={limit}{(after is null ? "" : $"&after={Uri.EscapeDataString(after)}")}"),
            WireJson.Default.QuarantinePage, cancellation);

    /// <summary>Sends records that failed again through the present mapping, each at most once, and returns when they are in the table.</summary>
    public Task<ReplayAnswer> ReplayAsync(Guid sinkId, ReplayRequest replay, CancellationToken cancellation) =>
        SendAsync(HttpMethod.Post, $"v2/sinks/{sinkId}/quarantine/replay", Json(replay, WireJson.Default.ReplayRequest), WireJson.Default.ReplayAnswer, cancellation);

    /// <summary>Every version of the sink's mapping, newest first.</summary>
    public async Task<IReadOnlyList<SinkMappingResource>> ListMappingsAsync(Guid sinkId, CancellationToken cancellation) =>
        (await GetAsync($"v2/sinks/{sinkId}/mappings", WireJson.Default.ResourceListSinkMappingResource, cancellation)).Resources;

    /// <summary>Runs one SQL statement. An error in the SQL does not throw: it is in <see cref="SqlAnswer.Error"/>.</summary>
    public Task<SqlAnswer> QueryAsync(Guid databaseId, string sql, CancellationToken cancellation) =>
        SendAsync(
            HttpMethod.Post, $"v2/databases/{databaseId}/query/sql", () => new StringContent(sql, Encoding.UTF8, "text/plain"), WireJson.Default.SqlAnswer, cancellation);

    /// <summary>Whether the server takes records.</summary>
    public async Task<bool> IsReadyAsync(CancellationToken cancellation)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "health/ready");
        using var response = await ReachAsync(request, HttpCompletionOption.ResponseContentRead, cancellation);
        return response.IsSuccessStatusCode;
    }

    static string TablePath(Guid databaseId, string table) => $"v2/tables/{databaseId}/{Uri.EscapeDataString(table)}";

    static string ColumnPath(Guid databaseId, string table, string column) =>
        $"{TablePath(databaseId, table)}/fields/{Uri.EscapeDataString(column)}";

    static Func<HttpContent> Json<T>(T value, JsonTypeInfo<T> type) => () => JsonContent.Create(value, type);

    static ReadOnlyMemoryContent RecordsContent(ReadOnlyMemory<byte> body, SendOptions options)
    {
        var content = new ReadOnlyMemoryContent(body) { Headers = { ContentType = new MediaTypeHeaderValue(options.ContentType) } };
        if (options.ContentEncoding is { } encoding) content.Headers.ContentEncoding.Add(encoding);
        return content;
    }

    Task<T> GetAsync<T>(string path, JsonTypeInfo<T> type, CancellationToken cancellation) => SendAsync(HttpMethod.Get, path, null, type, cancellation);

    Task<T> SendAsync<T>(
        HttpMethod method, string path, Func<HttpContent>? content, JsonTypeInfo<T> type, CancellationToken cancellation, string? idempotencyKey = null) =>
        WithRenewalAsync(() => SendOnceAsync(method, path, content, type, cancellation, idempotencyKey), cancellation);

    async Task<T> SendOnceAsync<T>(
        HttpMethod method, string path, Func<HttpContent>? content, JsonTypeInfo<T> type, CancellationToken cancellation, string? idempotencyKey = null)
    {
        using var response = await AnswerAsync(method, path, content, HttpCompletionOption.ResponseContentRead, cancellation, idempotencyKey);
        return await response.Content.ReadFromJsonAsync(type, cancellation)
            ?? throw new JsonException($"the answer to {method} {path} is JSON null");
    }

    async Task<T> WithRenewalAsync<T>(Func<Task<T>> call, CancellationToken cancellation)
    {
        var token = _idToken;
        try
        {
            return await call();
        }
        catch (SluiceApiException e) when (e.Status == HttpStatusCode.Unauthorized && _refreshToken is not null)
        {
            await RenewAsync(token, cancellation);
            return await call();
        }
    }

    /// <summary>The answer to one request, when it is no refusal; the caller disposes it.</summary>
    async Task<HttpResponseMessage> AnswerAsync(
        HttpMethod method, string path, Func<HttpContent>? content, HttpCompletionOption completion, CancellationToken cancellation, string? idempotencyKey = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = content?.Invoke() };
        if (idempotencyKey is not null) request.Headers.Add("Idempotency-Key", idempotencyKey);
        if (_idToken is { } token && path != LoginPath) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        var response = await ReachAsync(request, completion, cancellation);
        if (response.IsSuccessStatusCode) return response;
        using (response) throw await RefusalAsync(response, cancellation);
    }

    /// <summary>Of a connection that is reset as it is made, .NET throws what the socket says as it is.</summary>
    async Task<HttpResponseMessage> ReachAsync(HttpRequestMessage request, HttpCompletionOption completion, CancellationToken cancellation)
    {
        try
        {
            return await http.SendAsync(request, completion, cancellation);
        }
        catch (SocketException e)
        {
            throw new HttpRequestException(HttpRequestError.ConnectionError, e.Message, e);
        }
    }

    /// <summary>Gets a new id token, unless another call has done so, or is doing so, since <paramref name="expired"/> was sent.</summary>
    Task RenewAsync(string? expired, CancellationToken cancellation)
    {
        lock (_lock)
        {
            if (_renewal.IsCompleted && _idToken != expired) return Task.CompletedTask;
            if (_renewal.IsCompleted) _renewal = OnRenewal is { } onRenewal ? onRenewal(RenewOnceAsync) : RenewOnceAsync();
            return _renewal.WaitAsync(cancellation);
        }
    }

    async Task RenewOnceAsync()
    {
        var refresh = new LoginRequest(RefreshToken: _refreshToken);
        await TakeAsync((await SendOnceAsync(
            HttpMethod.Post, LoginPath, Json(refresh, WireJson.Default.LoginRequest), WireJson.Default.LoginAnswer, CancellationToken.None)).AuthenticationResult);
    }

    async Task TakeAsync(AuthenticationResult tokens)
    {
        UseToken(tokens.IdToken, tokens.RefreshToken ?? _refreshToken);
        if (OnTokens is { } onTokens) await onTokens(tokens);
    }

    static async Task<SluiceApiException> RefusalAsync(HttpResponseMessage response, CancellationToken cancellation)
    {
        var text = await response.Content.ReadAsStringAsync(cancellation);
        return new SluiceApiException(response.StatusCode, ReadRefusal(text) ?? new RefusalBody($"Http{(int)response.StatusCode}", response.ReasonPhrase ?? "", null, null))
        {
            RetryAfter = RetryAfter(response.Headers),
        };
    }

    static TimeSpan? RetryAfter(HttpResponseHeaders headers)
    {
        if (headers.RetryAfter is not { Date: { } date }) return headers.RetryAfter?.Delta;
        var left = date - (headers.Date ?? TimeProvider.System.GetUtcNow()); // by the clock of who says it
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
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
