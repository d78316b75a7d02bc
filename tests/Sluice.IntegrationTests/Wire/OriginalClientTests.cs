using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Wire;

/// <summary>
/// The control plane in the words of the original's clients (quick start, notebook, CSV tutorial, sandbox script), over a bare socket:
/// what they send, and what they look at in the answers.
/// </summary>
public sealed partial class OriginalClientTests : IAsyncLifetime
{
    const string Credentials = $$"""{"USERNAME":"{{ServerUnderTest.Email}}","PASSWORD":"{{ServerUnderTest.Password}}"}""";

    ServerUnderTest _server = null!;
    string _token = "";

    public async ValueTask InitializeAsync()
    {
        _server = await ServerUnderTest.StartWithEngineAsync();
        // the pipeline of the quick start cuts the token out of the raw answer to a login without content type
        var login = await SendAsync("POST /", Credentials);
        _token = await BashAsync("""grep -Eo '"IdToken":.*?[^\\]",' | sed -e 's/[\"\,\: ]*//g' | sed -e 's/IdToken//'""", login.Body);
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    [Theory]
    [InlineData("v2", "database")]
    [InlineData("v1", "deployment")]
    public async Task A_database_lives_through_its_states_with_its_tables_and_sinks(string version, string noun)
    {
        var shapes = await AskAsync(200, $"GET /{version}/service-properties/{noun}:shapes");
        Assert.Contains("8GB-Development", shapes["resources"]!.AsArray().Select(shape => shape!["name"]!.GetValue<string>()));

        var made = await SendAsync($"POST /{version}/{noun}s", $$$"""{"name":"db-1660000000000","{{{noun}}}_options":{"shape":"8GB-Development"}}""", Authorization);
        Assert.Equal(201, made.Status);
        Assert.Matches(@"^\{\r?\n +""id"": ""[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}"",\r?\n", made.Body); // shell clients cut by line
        var database = JsonNode.Parse(made.Body)!["id"]!.GetValue<string>();
        await PollAsync($"GET /{version}/{noun}s/{database}", $"{noun}_status", "RUNNING");
        Assert.Equal(database, (await AskAsync(200, $"GET /{version}/{noun}s"))["resources"]![0]!["id"]!.GetValue<string>());
        await RefusedAsync(409, "ResourceAlreadyExists", $"POST /{version}/{noun}s", """{"name":"db-1660000000000"}""");
        await RefusedAsync(400, "MissingParameter", $"POST /{version}/{noun}s", "{}");

        var table = await AskAsync(201, $"POST /{version}/tables/{database}/", """{"name":"iris","description":"","options":{"keys":false,"trackExistence":true}}""");
        Assert.Matches(Uuid(), table["id"]!.GetValue<string>());
        await RefusedAsync(409, "ResourceAlreadyExists", $"POST /{version}/tables/{database}", """{"name":"iris","options":{"keys":false}}""");
        await RefusedAsync(404, "ResourceNotFound", $"POST /{version}/tables/{Guid.NewGuid()}", """{"name":"iris","options":{"keys":false}}""");
        Assert.Equal("iris", (await AskAsync(200, $"GET /{version}/tables/{database}"))["resources"]![0]!["name"]!.GetValue<string>());

        // as the UI of the original sent them
        foreach (var (column, options) in new[]
        {
            ("a", """{"type":"int","min":-9007199254740991,"max":9007199254740991}"""), ("b", """{"type":"timestamp","timeUnit":"s"}"""), ("c", """{"type":"decimal","scale":2}"""),
            ("d", """{"type":"mutex","keys":true}"""), ("e", """{"type":"set","keys":true,"cacheType":"none"}"""), ("f", """{"type":"mutex"}"""), ("g", """{"type":"set"}"""), ("h", """{"type":"bool"}"""),
            ("i", """{"type":"time","timeQuantum":"YMD","ttl":"24h","keys":true}"""),
        })
            await AskAsync(201, $"POST /{version}/tables/{database}/iris/fields/{column}", $$"""{"options":{{options}}}""");
        await RefusedAsync(409, "ResourceAlreadyExists", $"POST /{version}/tables/{database}/iris/fields/a", """{"options":{"type":"int"}}""");
        await RefusedAsync(400, "InvalidParameter", $"POST /{version}/tables/{database}/iris/fields/z", """{"options":{"type":"int","sclae":2}}""");
        await AskAsync(202, $"DELETE /{version}/tables/{database}/iris/fields/h");
        await RefusedAsync(404, "ResourceNotFound", $"DELETE /{version}/tables/{database}/iris/fields/h");

        var body = SinkBody($"{noun}_id", database, "iris");
        var sink = await AskAsync(201, $"POST /{version}/sinks", body);
        var id = sink["id"]!.GetValue<string>();
        Assert.Equal(database, sink["sink_details"]![$"{noun}_id"]!.GetValue<string>());
        await PollAsync($"GET /{version}/sinks/{id}", "sink_status", "ACTIVE");
        await RefusedAsync(409, "ResourceAlreadyExists", $"POST /{version}/sinks", body);
        await RefusedAsync(400, "RelatedResourceNotFound", $"POST /{version}/sinks", SinkBody($"{noun}_id", database, "none"));
        await RefusedAsync(400, "RelatedResourceNotFound", $"POST /{version}/sinks", SinkBody($"{noun}_id", Guid.NewGuid().ToString(), "iris"));

        foreach (var type in new[] { "Content-Type: tapplication/json", "Content-Type: text/plain", "Content-Type: Content-Type: application/json", "" })
        {
            var sent = await SendAsync($"POST /{version}/sinks/{id}", """{"records":[{"value":{"id":1,"x":{"y":5}}},{"value":{"id":"two"}}]}""", $"{Authorization}\n{type}".TrimEnd());
            var answer = JsonNode.Parse(sent.Body)!;
            Assert.Equal((200, 1, 1), (sent.Status, answer["success_count"]!.GetValue<int>(), answer["error_count"]!.GetValue<int>()));
            Assert.Equal("InvalidBody", answer["records"]![1]!["error_code"]!.GetValue<string>());
        }

        // deleted from the outside in, each polled until it is not found
        await RefusedAsync(409, "IncorrectState", $"DELETE /{version}/{noun}s/{database}");
        foreach (var path in new[] { $"/{version}/sinks/{id}", $"/{version}/tables/{database}/iris", $"/{version}/{noun}s/{database}" })
        {
            await AskAsync(202, $"DELETE {path}");
            await PollGoneAsync(path);
        }
    }

    [Theory]
    [InlineData("PUT")]
    [InlineData("PATCH")]
    public async Task A_sink_is_changed_by_the_body_that_made_it(string method)
    {
        var database = (await AskAsync(201, "POST /v2/databases", """{"name":"db"}"""))["id"]!.GetValue<string>();
        await AskAsync(201, $"POST /v2/tables/{database}", """{"name":"t","options":{"keys":false},"fields":[{"name":"a","options":{"type":"int"}}]}""");
        var made = await AskAsync(201, "POST /v2/sinks", SinkBody("database_id", database, "t"));
        var path = $"/v2/sinks/{made["id"]!.GetValue<string>()}";

        var changed = await AskAsync(200, $"{method} {path}", SinkBody("database_id", database, "t").Replace("\"x\",\"y\"", "\"z\"", StringComparison.Ordinal));

        Assert.Equal(2, changed["mapping_version"]!.GetValue<int>());
        Assert.Equal("""["z"]""", changed["schema"]!["definition"]![1]!["path"]!.ToJsonString());
        await PollAsync($"GET {path}", "sink_status", "ACTIVE");
        // what was read may be sent back
        Assert.Equal(3, (await AskAsync(200, $"{method} {path}", (await AskAsync(200, $"GET {path}")).ToJsonString()))["mapping_version"]!.GetValue<int>());
    }

    [Fact]
    public async Task The_eleventh_database_is_one_too_many()
    {
        for (var i = 0; i < 10; i++)
            await AskAsync(201, "POST /v2/databases", $$"""{"name":"db{{i}}"}""");

        var refused = await RefusedAsync(400, "ResourceLimitExceeded", "POST /v2/databases", """{"name":"one-more"}""");
        Assert.EndsWith("limit has been reached", refused["message"]!.GetValue<string>(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("Content-Type: application/x-www-form-urlencoded")]
    [InlineData("Content-Type: application/json")]
    public async Task A_login_is_taken_as_curl_and_requests_send_it(string type)
    {
        Assert.Equal(200, (await SendAsync("POST /", Credentials, type)).Status);
        Assert.NotEqual(200, (await SendAsync("POST /", Credentials.Replace(ServerUnderTest.Password, "wrong", StringComparison.Ordinal), type)).Status);
    }

    [Theory]
    [InlineData("Authorization: Bearer ")]
    [InlineData("authorization: Bearer ")]
    [InlineData("Authorization: ")]
    public async Task A_token_is_taken_with_and_without_bearer(string header) =>
        Assert.Equal(200, (await SendAsync("GET /v2/databases", "", header + _token)).Status);

    [Fact]
    public async Task A_key_is_made_as_its_client_makes_it()
    {
        var user = (await AskAsync(200, "GET /v2/users/current"))["id"]!.GetValue<string>();
        var secret = (await AskAsync(201, $"POST /v2/users/{user}/keys", """{"description":"sql examples"}"""))["secret"]!.GetValue<string>();
        Assert.Equal(200, (await SendAsync("GET /v2/databases", "", $"X-API-Key: {secret}")).Status);
    }

    string Authorization => $"Authorization: Bearer {_token}";

    /// <summary>With the members that the UI of September 2022 sent and nobody needs.</summary>
    static string SinkBody(string databaseMember, string database, string table) => $$$$"""
        {"name":"source","sink_details":{"{{{{databaseMember}}}}":"{{{{database}}}}","table":"{{{{table}}}}"},
         "schema":{"type":"json","id_field":"_id","primary_key_fields":null,"allow_missing_fields":true,
          "definition":[{"name":"_id","path":["id"],"type":"id","config":{"Mutex":true}},{"name":"a","path":["x","y"],"type":"int","config":{"Min":-5,"Max":5,"ForeignIndex":""}}]}}
        """;

    async Task<JsonNode> AskAsync(int status, string call, string body = "")
    {
        var answer = await SendAsync(call, body, Authorization);
        Assert.True(answer.Status == status, $"{call}: {answer.Status} instead of {status}: {answer.Body}");
        return JsonNode.Parse(answer.Body)!;
    }

    async Task<JsonNode> RefusedAsync(int status, string code, string call, string body = "")
    {
        var answer = await AskAsync(status, call, body);
        Assert.Equal(code, answer["code"]!.GetValue<string>());
        Assert.NotEqual("", answer["message"]!.GetValue<string>());
        return answer;
    }

    async Task PollAsync(string call, string member, string state)
    {
        for (var tries = 0; ; tries++)
        {
            var answer = await AskAsync(200, call);
            Assert.Equal(answer[member]!.GetValue<string>(), answer["status"]!.GetValue<string>());
            if (answer[member]!.GetValue<string>() == state)
                return;

            Assert.True(tries < 100, $"{call} stays {answer[member]}");
            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>One client takes a body without a status member for gone, the others the 404.</summary>
    async Task PollGoneAsync(string path)
    {
        for (var tries = 0; ; tries++)
        {
            var answer = await SendAsync($"GET {path}", "", Authorization);
            if (answer.Status == 404)
            {
                Assert.DoesNotContain(JsonNode.Parse(answer.Body)!.AsObject(), member => member.Key.EndsWith("status", StringComparison.Ordinal));
                return;
            }

            Assert.Equal("DELETING", JsonNode.Parse(answer.Body)!["status"]!.GetValue<string>());
            Assert.True(tries < 100, $"{path} stays");
            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, TestContext.Current.CancellationToken);
        }
    }

    Task<RawAnswer> SendAsync(string call, string body, string headers = "") => RawHttp.SendAsync(
        _server.Http.BaseAddress!.Port, headers.Length == 0 ? call : $"{call}\n{headers}", Encoding.UTF8.GetBytes(body), TestContext.Current.CancellationToken);

    static async Task<string> BashAsync(string script, string input)
    {
        using var bash = Process.Start(new ProcessStartInfo("bash", ["-c", script]) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        await bash.StandardInput.WriteAsync(input);
        bash.StandardInput.Close();
        var output = await bash.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await bash.WaitForExitAsync(TestContext.Current.CancellationToken);
        return output.Trim();
    }

    [GeneratedRegex("^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")]
    private static partial Regex Uuid();
}
