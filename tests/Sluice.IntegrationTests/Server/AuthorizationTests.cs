using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Routing;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>Every route there is, asked by every kind of caller, against the table of docs/security.md.</summary>
public sealed partial class AuthorizationTests : IAsyncLifetime
{
    static readonly string Document = Path.Combine(RepositoryRoot(), "docs", "security.md");

    readonly AuthorizationTable _table = AuthorizationTable.Read(Document);
    ServerUnderTest _server = null!;
    Cast _cast = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await ServerUnderTest.StartWithEngineAsync("--Sluice:ControlPlane:MaxDatabases", "1000");
        _cast = await Cast.MakeAsync(_server);
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Fact]
    public async Task Every_route_has_a_row_and_every_row_a_route()
    {
        var calls = Calls();
        var described = (await _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/openapi/v2.json")).GetProperty("paths").EnumerateObject()
            .SelectMany(path => path.Value.EnumerateObject().Select(operation => $"{operation.Name.ToUpperInvariant()} {path.Name}"));

        var missing = new List<string>();
        foreach (var call in calls.Concat(described).Distinct().Where(call => _table.RowOf(call) is null))
            missing.Add($"| `{call}` | {string.Join(" | ", await ObserveAsync(call))} |");

        Assert.True(missing.Count == 0, $"""
            These routes have no row in docs/security.md. This is what they answer now: check every cell, then add the row.
            {string.Join('\n', missing)}
            """);
        Assert.Empty(_table.Rows.Keys.Except(calls.Select(call => _table.RowOf(call)!)));
    }

    [Fact]
    public async Task Every_caller_gets_what_the_table_says()
    {
        var differences = new List<string>();
        var asked = new HashSet<string>(StringComparer.Ordinal);
        foreach (var call in Calls())
        {
            if (_table.RowOf(call) is not { } row)
                continue; // told by the other test

            // hundreds of files with one row: the first is asked for by everybody, the others by nobody
            var columns = AuthorizationTable.IsForMany(row) && !asked.Add(row) ? 1 : AuthorizationTable.Columns.Count;
            for (var column = 0; column < columns; column++)
            {
                var cell = _table.Rows[row][column];
                var hasCase = column != (int)Who.UserForeign || call.Contains('{', StringComparison.Ordinal);
                if (cell == "-" || !hasCase)
                {
                    if (cell == "-" && hasCase && column != (int)Who.UserForeign)
                        differences.Add($"{call}, {AuthorizationTable.Columns[column]}: - stands for a case that there is");
                    continue;
                }

                var status = await AskAsync(call, (Who)column, mayChange: cell == "yes");
                if (!AuthorizationTable.Fits(cell, status))
                    differences.Add($"{call}, {AuthorizationTable.Columns[column]}: {cell} in docs/security.md, {status} from the server");
            }
        }

        Assert.True(differences.Count == 0, string.Join('\n', differences));
    }

    [Fact]
    public async Task A_reader_changes_nothing_by_sql_either()
    {
        var path = $"/v2/databases/{await _cast.ValueAsync("/v2/databases/{id}", "id", Who.Reader, isThrownAway: false)}/query/sql";
        var (token, _) = await _cast.CredentialAsync(Who.Reader, isFresh: false);

        foreach (var sql in new[] { "INSERT INTO t (_id, c) VALUES (1, 1)", "CREATE TABLE u (_id ID, a INT)", "ALTER TABLE t ADD COLUMN d INT", "DROP TABLE t" })
            Assert.Equal("Forbidden", (await _server.JsonAsync(HttpStatusCode.Forbidden, HttpMethod.Post, path, token, sql)).GetProperty("code").GetString());
        await _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, path, token, "SELECT COUNT(*) FROM t");
    }

    [Fact]
    public void The_table_can_be_wrong()
    {
        // negative controls: a route without a row is seen, and so is a status that does not fit
        Assert.Null(_table.RowOf("GET /v2/secrets"));
        Assert.Equal("POST /v2/databases", _table.RowOf("POST /v1/deployments"));
        Assert.False(AuthorizationTable.Fits("401", 200));
        Assert.False(AuthorizationTable.Fits("404", 403));
        Assert.All([302, 401, 403, 404, 405, 500, 503], status => Assert.False(AuthorizationTable.Fits("yes", status)));
        Assert.True(AuthorizationTable.Fits("yes", 400));
        Assert.True(Calls().Count > 50);
    }

    IReadOnlyList<string> Calls() =>
    [
        .. _server.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .SelectMany(endpoint => (endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods is { Count: > 0 } methods ? methods : ["GET"])
                .Select(method => $"{method} {PathOf(endpoint)}"))
            .Distinct(),
    ];

    static string PathOf(RouteEndpoint endpoint) => "/" + Constraint().Replace(endpoint.RoutePattern.RawText!, "{$1}").Trim('/');

    async Task<IReadOnlyList<string>> ObserveAsync(string call)
    {
        var cells = new List<string>();
        foreach (var who in Enum.GetValues<Who>())
        {
            if (who == Who.UserForeign && !call.Contains('{', StringComparison.Ordinal))
            {
                cells.Add("-");
                continue;
            }

            var status = await AskAsync(call, who, mayChange: true);
            cells.Add(AuthorizationTable.Fits("yes", status) ? "yes" : status.ToString(CultureInfo.InvariantCulture));
        }

        return cells;
    }

    /// <param name="mayChange">The call is expected to be carried out: what a DELETE is to remove is made for it.</param>
    async Task<int> AskAsync(string call, Who who, bool mayChange)
    {
        var (method, path) = (call[..call.IndexOf(' ', StringComparison.Ordinal)], call[(call.IndexOf(' ', StringComparison.Ordinal) + 1)..]);
        var isThrownAway = mayChange && method == "DELETE";
        var filled = path;
        foreach (var name in Placeholder().Matches(path).Select(match => match.Groups[1].Value))
            filled = filled.Replace($"{{{name}}}", await _cast.ValueAsync(path, name, who, isThrownAway), StringComparison.Ordinal);

        var isLogout = path.EndsWith("/logout", StringComparison.Ordinal);
        var (token, key) = await _cast.CredentialAsync(who, isFresh: isLogout);
        using var response = await _server.SendAsync(new HttpMethod(method), filled, token, key, _cast.BodyOf(call), HttpCompletionOption.ResponseHeadersRead); // some answers do not end
        return (int)response.StatusCode;
    }

    internal static string RepositoryRoot()
    {
        var directory = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(directory, "Sluice.slnx"))) directory = Path.GetDirectoryName(directory) ?? throw new InvalidOperationException("not in the repository");
        return directory;
    }

    // {id:guid}, {*path} and {id?} are {id}, {path} and {id}
    [GeneratedRegex(@"\{\*{0,2}(\w+)[^}]*\}")]
    private static partial Regex Constraint();

    [GeneratedRegex(@"\{(\w+)\}")]
    private static partial Regex Placeholder();

    /// <summary>Who asks, and what there is to ask for.</summary>
    sealed class Cast
    {
        readonly Dictionary<Who, (string UserId, string? Token, string? Key)> _people = [];
        ServerUnderTest _server = null!;
        string _administrator = "";
        string _database = "";
        string _sink = "";
        string _otherSink = "";
        int _made;

        public static async Task<Cast> MakeAsync(ServerUnderTest server)
        {
            var cast = new Cast { _server = server, _administrator = await server.IdTokenAsync() };
            var administrator = Text(await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/users/current", cast._administrator), "id");
            cast._database = await cast.MakeDatabaseAsync();
            await cast.MakeTableAsync("t");
            await cast.MakeColumnAsync("t", "c");
            (cast._sink, cast._otherSink) = (await cast.MakeSinkAsync(), await cast.MakeSinkAsync());

            var (user, userToken) = await server.AddUserAsync(cast._administrator, "user@x.org");
            var (reader, readerToken) = await server.AddUserAsync(cast._administrator, "reader@x.org", "Reader");
            var (deactivated, deactivatedToken) = await server.AddUserAsync(cast._administrator, "deactivated@x.org");
            await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, $"/v2/users/{deactivated}", cast._administrator, """{"status":"Deactivated"}""");
            var ingestKey = await cast.MakeKeyAsync("current", $$"""{"role":"IngestKey","sinks":["{{cast._sink}}"]}""");
            var expired = await cast.MakeKeyAsync("current", """{"expires_at":"2999-01-01T00:00:00Z"}""");
            await ExpireAsync(server, Text(expired, "id"));

            cast._people[Who.Nobody] = (user, null, null);
            cast._people[Who.IngestKey] = cast._people[Who.IngestKeyElsewhere] = (administrator, null, Text(ingestKey, "secret"));
            cast._people[Who.Reader] = (reader, readerToken, null);
            cast._people[Who.User] = cast._people[Who.UserForeign] = (user, userToken, null);
            cast._people[Who.Administrator] = (administrator, cast._administrator, null);
            cast._people[Who.Deactivated] = (deactivated, deactivatedToken, null);
            cast._people[Who.ExpiredKey] = (administrator, null, Text(expired, "secret"));
            return cast;
        }

        /// <param name="isFresh">A login of its own, for the call that ends it.</param>
        public async Task<(string? Token, string? Key)> CredentialAsync(Who who, bool isFresh)
        {
            var (_, token, key) = _people[who];
            var email = who switch { Who.Reader => "reader@x.org", Who.User => "user@x.org", Who.Administrator => ServerUnderTest.Email, _ => null };
            return (isFresh && email is not null ? await _server.IdTokenAsync(email) : token, key);
        }

        /// <summary>What stands in a path for a placeholder. A route with a placeholder of another name needs a line here.</summary>
        /// <param name="isThrownAway">The call will delete it: make one for it.</param>
        public async Task<string> ValueAsync(string path, string name, Who who, bool isThrownAway)
        {
            var isForeign = who == Who.UserForeign;
            var isLast = path.EndsWith($"{{{name}}}", StringComparison.Ordinal);
            var noun = path.Split('/', StringSplitOptions.RemoveEmptyEntries).First(segment => segment is not ("v1" or "v2"));
            return (noun, name) switch
            {
                ("sinks", "id") => isForeign ? Unknown : isThrownAway && isLast ? await MakeSinkAsync() : who == Who.IngestKeyElsewhere ? _otherSink : _sink,
                ("sinks", "requestId") => Text(await _server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/sinks/{_sink}", _administrator, """{"records":[]}"""), "request_id"),
                ("databases" or "deployments" or "{id}", "id") => isForeign ? Unknown : isThrownAway && isLast ? await MakeDatabaseAsync() : _database,
                ("tables" or "databases", "database") => isForeign ? Unknown : _database,
                ("tables", "table") => isThrownAway && isLast ? await MakeTableAsync($"t{++_made}") : "t",
                ("tables", "column") => isThrownAway && isLast ? await MakeColumnAsync("t", $"c{++_made}") : "c",
                ("users", "id") => isForeign ? _people[Who.Administrator].UserId : _people[who].UserId,
                ("users", "keyId") => Text(await MakeKeyAsync(_people[isForeign ? Who.Administrator : who].UserId, "{}"), "id"),
                ("invites", "id") => isForeign ? Unknown : Text(await InviteAsync(), "id"),
                (_, "path") => "nothing-here",
                (_, [>= 'A' and <= 'Z', ..]) => Unknown, // a page of the console, which looks at its cookie first
                (_, "documentName") => isForeign ? "v9" : "v2",
                _ => throw new InvalidOperationException($"AuthorizationTests does not know what to put for {{{name}}} in {path}: add it to ValueAsync"),
            };
        }

        /// <summary>A body that is right where an empty object would be refused before anybody looks whose thing it is.</summary>
        public string? BodyOf(string call) => call.Replace("/v1/", "/v2/", StringComparison.Ordinal).Replace("deployments", "databases", StringComparison.Ordinal) switch
        {
            "POST /v2/tables/{database}" => $$$"""{"name":"t{{{++_made}}}","options":{"keys":false}}""",
            "POST /v2/tables/{database}/{table}/fields/{column}" => """{"options":{"type":"int"}}""",
            "POST /v2/sinks/{id}/quarantine/replay" => """{"all":true}""",
            "PUT /v2/sinks/{id}" or "POST /v2/sinks/{id}/try" => """{"schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}}""",
            "PATCH /v2/tables/{database}/{table}" => """{"options":{"retention":"30d"}}""",
            "PUT /v2/users/{id}/keys/{keyId}" => """{"description":"renamed"}""",
            "POST /v2/databases/{id}/query/sql" or "POST /databases/{database}/sql" or "POST /v2/sql" or "POST /sql" => "SELECT 1",
            "POST /v2/databases/{id}/query" or "POST /v2/databases/{id}" or "POST /v2/{id}/query" => """{"language":"sql","statement":"SELECT 1"}""",
            _ => call.StartsWith("GET ", StringComparison.Ordinal) || call.StartsWith("DELETE ", StringComparison.Ordinal) ? null : "{}",
        };

        static string Unknown => Guid.NewGuid().ToString();

        async Task<string> MakeDatabaseAsync() => Text(await PostAsync("/v2/databases", $$"""{"name":"db{{++_made}}"}"""), "id");

        async Task<string> MakeTableAsync(string name) => Text(await PostAsync($"/v2/tables/{_database}", $$$"""{"name":"{{{name}}}","options":{"keys":false}}"""), "name");

        async Task<string> MakeColumnAsync(string table, string name) =>
            Text(await PostAsync($"/v2/tables/{_database}/{table}/fields/{name}", """{"options":{"type":"int"}}"""), "name");

        async Task<string> MakeSinkAsync() => Text(
            await PostAsync("/v2/sinks", $$$"""
                {"name":"s{{{++_made}}}","sink_details":{"database_id":"{{{_database}}}","table":"t"},
                 "schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}}
                """),
            "id");

        /// <remarks>Who is deactivated has no key to be made, and needs none.</remarks>
        Task<JsonElement> MakeKeyAsync(string userId, string body) => PostAsync($"/v2/users/{userId}/keys", body);

        Task<JsonElement> InviteAsync() => PostAsync("/v2/invites", $$"""{"email":"guest{{++_made}}@x.org"}""");

        Task<JsonElement> PostAsync(string path, string body) => _server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, path, _administrator, body);

        static async Task ExpireAsync(ServerUnderTest server, string keyId)
        {
            var id = Guid.Parse(keyId);
            await using var context = await server.Services.GetRequiredService<IDbContextFactory<CatalogContext>>().CreateDbContextAsync(TestContext.Current.CancellationToken);
            await context.ApiKeys.Where(key => key.Id == id)
                .ExecuteUpdateAsync(set => set.SetProperty(key => key.ExpiresAt, TimeProvider.System.GetUtcNow()), TestContext.Current.CancellationToken);
            server.Services.GetRequiredService<Callers>().ForgetKey(id);
        }

        static string Text(JsonElement element, string member) => element.GetProperty(member).GetString()!;
    }
}
