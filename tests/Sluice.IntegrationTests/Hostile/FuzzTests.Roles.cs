using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using Sluice.IntegrationTests.Server;
using Xunit;

#pragma warning disable CA5394 // a seed that can be printed is the point

namespace Sluice.IntegrationTests.Hostile;

public sealed partial class FuzzTests
{
    const int ShortRoles = 800;

    /// <summary>
    /// Every route, with whatever body and query, on things that really exist: a role that the table of docs/security.md refuses is refused with that status and changes nothing, and nobody gets a 500.
    /// </summary>
    [Fact]
    public async Task No_role_gets_further_with_mutated_calls_than_the_table_of_roles_says()
    {
        var sink = await server.MakeSinkAsync();
        var stage = await RoleStage.MakeAsync(server);
        var table = AuthorizationTable.Read(Path.Combine(AuthorizationTests.RepositoryRoot(), "docs", "security.md"));
        var paths = (await server.Api.GetAsync("openapi/v2.json", Cancellation)).Json["paths"]!.AsObject();
        var calls = paths.SelectMany(path => path.Value!.AsObject().Select(method => (Path: path.Key, Method: method.Key.ToUpperInvariant()))).ToArray();
        Assert.All(["/v2/logout", "/v2/sinks/{id}/tail", "/v2/backups", "/v2/audit", "/metrics"], path => Assert.Contains(calls, call => call.Path == path));
        var (denied, granted) = (0, 0);

        var pairs = calls.SelectMany(call => Enumerable.Range(0, (int)Who.Administrator + 1).Select(role => (call.Path, call.Method, Role: (Who)role))).ToArray();
        Assert.InRange(pairs.Length, 1, ShortRoles); // else not all of them are met

        await EachAsync("routes by role", ShortRoles, long_: 40_000, sink, async (seed, random) =>
        {
            var (path, method, role) = pairs[seed % pairs.Length]; // in turn: as many cases drawn at random left a third of what must be refused out
            var isRemoval = method == "DELETE";
            var isReal = seed / pairs.Length % 2 == 0 || random.Next(2) == 0;
            var target = new Target(path, isReal && isRemoval ? await stage.MakeAsync(path) : stage.Known(role));
            var address = Parameter().Replace(path, match => isReal ? target.Of(match.Value) : random.Next(2) == 0 ? Uri.EscapeDataString(Names[random.Next(Names.Length)]) : Guid.NewGuid().ToString());
            if (path.EndsWith("/quarantine", StringComparison.Ordinal) && isRemoval) address += $"?group={target.Of("{group}")}";
            else if (random.Next(3) == 0) address += $"?{Queries[random.Next(Queries.Length)]}={Uri.EscapeDataString(Names[random.Next(Names.Length)])}";
            var isLogout = path.EndsWith("/logout", StringComparison.Ordinal);
            var credential = await stage.CredentialAsync(role, isFresh: isLogout);

            using var request = Request(method, address);
            if (method != "GET") request.Content = new ByteArrayContent(isRemoval ? [] : Body(random, sink));
            if (credential is not null && random.Next(3) != 0) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", credential);
            else if (credential is not null && role is Who.IngestKey or Who.IngestKeyElsewhere) request.Headers.Add("X-API-Key", credential);
            else if (credential is not null) request.Headers.TryAddWithoutValidation("Authorization", credential);
            var (status, text) = await AskAsync(stage.Http, request, isEndless: path.EndsWith("/tail", StringComparison.Ordinal));

            if (text.Length == 0 && status is 400 or 414) return; // the request line is too long: refused before there is a caller
            var what = $"{role}: {method} {address} {status} {text}";
            var cell = table.Rows[table.RowOf($"{method} {path}")!][(int)role];
            if (isReal && cell is "401" or "403") Assert.True(status.ToString(System.Globalization.CultureInfo.InvariantCulture) == cell, $"{cell} instead of {what}");
            else if (cell is "401" or "403") Assert.True(status >= 400, what);
            else if (isReal && isRemoval && role is Who.Administrator && !path.Contains("users", StringComparison.Ordinal))
                Assert.True(status is 200 or 202 || (status is 400 && address.Contains("?force=", StringComparison.Ordinal)), what); // which is a yes or a no, and the value was neither
            if (cell is "401" or "403") Interlocked.Increment(ref denied);
            else if (status < 300) Interlocked.Increment(ref granted);
            if (isReal && isRemoval) await stage.ClearAsync(target, mustExist: cell is "401" or "403");
            if (isLogout && status == 202) Assert.Equal(401, await stage.StatusAsync(credential!));
            if (status == 201 && path == "/v2/backups") Directory.Delete(Path.Combine(server.BackupDirectory, JsonNode.Parse(text)!["name"]!.GetValue<string>()), recursive: true);
        });

        TestContext.Current.TestOutputHelper!.WriteLine($"{denied} denied, {granted} carried out");
        Assert.True(denied > 100 && granted > 100, $"{denied} denied, {granted} carried out");
        Assert.Equal(["a@x.org User Active", "admin@example.com Administrator Active", "r@x.org Reader Active"], await stage.PeopleAsync());
    }

    static async Task<(int Status, string Text)> AskAsync(HttpClient http, HttpRequestMessage request, bool isEndless)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        deadline.CancelAfter(AnswerWithin);
        using var answer = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, deadline.Token);
        var text = isEndless && answer.IsSuccessStatusCode ? "" : await answer.Content.ReadAsStringAsync(deadline.Token);
        AssertAnswer(request, answer, text);
        return ((int)answer.StatusCode, text);
    }

    /// <param name="Values">What stands in the path for a placeholder.</param>
    sealed record Target(string Path, Dictionary<string, string> Values)
    {
        public string Of(string placeholder) =>
            Values.TryGetValue($"{Path.Split('/')[2]} {placeholder}", out var value) || Values.TryGetValue(placeholder, out value) ? value : throw new InvalidOperationException($"nothing to put for {placeholder} in {Path}");
    }

    /// <summary>Callers of every role, and things to call for.</summary>
    sealed class RoleStage(IngestServer server)
    {
        readonly Dictionary<Who, string> _credentials = [];
        readonly Dictionary<Who, Dictionary<string, string>> _known = [];
        int _made;

        /// <summary>Sends no credential by itself.</summary>
        public HttpClient Http { get; } = new(new SocketsHttpHandler { AllowAutoRedirect = false, UseCookies = false }) { BaseAddress = server.Http.BaseAddress };

        public static async Task<RoleStage> MakeAsync(IngestServer server)
        {
            var stage = new RoleStage(server);
            var (sink, other) = (await server.MakeSinkAsync(), await server.MakeSinkAsync());
            foreach (var (email, role) in new[] { ("a@x.org", "User"), ("r@x.org", "Reader") })
            {
                var invite = (await server.Api.PostAsync("v2/invites", $$"""{"email":"{{email}}","role":"{{role}}"}""", Cancellation)).Json["token"]!.GetValue<string>();
                await server.Api.PostAsync("v2/invites/accept", $$"""{"token":"{{invite}}","password":"{{ServerProcess.Password}}"}""", Cancellation);
            }
            stage._credentials[Who.Administrator] = server.Api.Token;
            stage._credentials[Who.User] = await stage.LogInAsync("a@x.org");
            stage._credentials[Who.Reader] = await stage.LogInAsync("r@x.org");
            stage._credentials[Who.IngestKey] = stage._credentials[Who.IngestKeyElsewhere] = (await server.Api.PostAsync("v2/users/current/keys", $$"""{"role":"IngestKey","sinks":["{{sink}}"]}""", Cancellation)).Json["secret"]!.GetValue<string>();
            var request = (await server.Api.PostAsync($"v2/sinks/{sink}", """{"records":[{"value":{"id":1,"price":"no"}}]}""", Cancellation)).Json["request_id"]!.GetValue<string>();
            var invited = await stage.PostAsync("v2/invites", """{"email":"open@x.org"}""");
            foreach (var role in Enum.GetValues<Who>().Where(who => who <= Who.Administrator))
            {
                var user = role is Who.User or Who.Reader ? await stage.UserIdAsync(stage._credentials[role]) : await stage.UserIdAsync(server.Api.Token);
                stage._known[role] = new(StringComparer.Ordinal)
                {
                    ["sinks {id}"] = role == Who.IngestKeyElsewhere ? other : sink,
                    ["databases {id}"] = server.DatabaseId,
                    ["{database}"] = server.DatabaseId,
                    ["{table}"] = "t1",
                    ["{column}"] = "price",
                    ["users {id}"] = user,
                    ["invites {id}"] = Text(invited, "id"),
                    ["{keyId}"] = Text(await stage.PostAsync($"v2/users/{user}/keys", "{}"), "id"),
                    ["{requestId}"] = request,
                    ["{group}"] = "0000000000000001",
                    ["{documentName}"] = "v2",
                    ["{id}"] = server.DatabaseId,
                };
            }
            return stage;
        }

        public Dictionary<string, string> Known(Who role) => _known[role];

        /// <param name="isFresh">A login of its own, for the call that ends it.</param>
        public async Task<string?> CredentialAsync(Who role, bool isFresh) => role switch
        {
            Who.Nobody => null,
            Who.Administrator or Who.User or Who.Reader when isFresh => await LogInAsync(role switch { Who.User => "a@x.org", Who.Reader => "r@x.org", _ => ServerProcess.Email }),
            _ => _credentials[role],
        };

        /// <summary>Something to delete, made for it.</summary>
        public async Task<Dictionary<string, string>> MakeAsync(string path)
        {
            var made = new Dictionary<string, string>(_known[Who.Administrator], StringComparer.Ordinal);
            var name = $"victim{Interlocked.Increment(ref _made)}";
            switch (path)
            {
                case "/v2/databases/{id}":
                    await MakeRoomAsync();
                    made["databases {id}"] = Text(await PostAsync("v2/databases", $$"""{"name":"{{name}}"}"""), "id");
                    break;
                case "/v2/tables/{database}/{table}": made["{table}"] = Text(await PostAsync($"v2/tables/{server.DatabaseId}", $$$"""{"name":"{{{name}}}","options":{"keys":false}}"""), "name"); break;
                case "/v2/tables/{database}/{table}/fields/{column}": made["{column}"] = Text(await PostAsync($"v2/tables/{server.DatabaseId}/t1/fields/{name}", """{"options":{"type":"int"}}"""), "name"); break;
                case "/v2/users/{id}/keys/{keyId}": made["{keyId}"] = Text(await PostAsync("v2/users/current/keys", "{}"), "id"); break;
                case "/v2/invites/{id}": made["invites {id}"] = Text(await PostAsync("v2/invites", $$"""{"email":"{{name}}@x.org"}"""), "id"); break;
                case "/v2/sinks/{id}" or "/v2/sinks/{id}/quarantine":
                    made["sinks {id}"] = Text(await PostAsync("v2/sinks", $$$"""
                        {"name":"{{{name}}}","sink_details":{"database_id":"{{{server.DatabaseId}}}","table":"t1"},"schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"price","path":["price"]}]}}
                        """), "id");
                    if (path.EndsWith("quarantine", StringComparison.Ordinal))
                    {
                        await server.Api.PostAsync($"v2/sinks/{made["sinks {id}"]}?wait=loaded", """{"records":[{"value":{"id":1,"price":"no"}}]}""", Cancellation);
                        made["{group}"] = Text((await GroupsAsync(made["sinks {id}"]))[0]!, "id");
                    }
                    break;
                default: throw new InvalidOperationException($"RoleStage cannot make what DELETE {path} deletes: add it to MakeAsync");
            }
            return made;
        }

        /// <summary>Deletes the databases that mutated bodies have made: there may be few of them.</summary>
        async Task MakeRoomAsync()
        {
            foreach (var database in (await server.Api.GetAsync("v2/databases", Cancellation)).Json["resources"]!.AsArray())
            {
                if (Text(database!, "id") != server.DatabaseId && !Text(database!, "name").StartsWith("victim", StringComparison.Ordinal))
                    await server.Api.SendAsync(HttpMethod.Delete, $"v2/databases/{Text(database!, "id")}", null, Cancellation);
            }
        }

        /// <summary>Deletes what was made, and sees that it was there still if it had to be.</summary>
        public async Task ClearAsync(Target target, bool mustExist)
        {
            var path = Parameter().Replace(target.Path, match => target.Of(match.Value)).TrimStart('/');
            if (path.EndsWith("/quarantine", StringComparison.Ordinal))
            {
                if (mustExist) Assert.Equal(1, (await GroupsAsync(target.Of("{id}")))[0]!["waiting"]!.GetValue<int>());
                path = path[..^"/quarantine".Length];
            }
            var answer = await server.Api.SendAsync(HttpMethod.Delete, path, null, Cancellation);
            Assert.True(answer.Status is HttpStatusCode.Accepted or HttpStatusCode.OK or HttpStatusCode.NoContent || !mustExist, $"DELETE {path} {(int)answer.Status}: it was gone, and nobody who may had deleted it");
        }

        public async Task<int> StatusAsync(string token)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "v2/users/current");
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            using var answer = await Http.SendAsync(request, Cancellation);
            return (int)answer.StatusCode;
        }

        public async Task<IReadOnlyList<string>> PeopleAsync() =>
        [
            .. (await server.Api.GetAsync("v2/users", Cancellation)).Json["resources"]!.AsArray().Where(user => Text(user!, "status") != "Open").Select(user => $"{Text(user!, "email")} {Text(user!, "role")} {Text(user!, "status")}").Order(StringComparer.Ordinal),
        ];

        async Task<JsonArray> GroupsAsync(string sink) => (await server.Api.GetAsync($"v2/sinks/{sink}/quarantine", Cancellation)).Json["resources"]!.AsArray();

        async Task<string> LogInAsync(string email) =>
            (await server.Api.PostAsync("", $$"""{"USERNAME":"{{email}}","PASSWORD":"{{ServerProcess.Password}}"}""", Cancellation)).Json["AuthenticationResult"]!["IdToken"]!.GetValue<string>();

        async Task<string> UserIdAsync(string token)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "v2/users/current");
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            using var answer = await Http.SendAsync(request, Cancellation);
            return Text(JsonNode.Parse(await answer.Content.ReadAsStringAsync(Cancellation))!, "id");
        }

        async Task<JsonNode> PostAsync(string path, string body)
        {
            var answer = await server.Api.PostAsync(path, body, Cancellation);
            Assert.True(answer.Status == HttpStatusCode.Created, $"POST {path}: {(int)answer.Status} {answer.Text}");
            return answer.Json;
        }

        static string Text(JsonNode node, string member) => node[member]!.GetValue<string>();
    }
}
