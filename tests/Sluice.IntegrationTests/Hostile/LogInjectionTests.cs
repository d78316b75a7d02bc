using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Hostile;

/// <summary>Whatever a caller can put into the log, at its most talkative: an event stays one line, nothing in it commands a terminal, and no line is longer than is documented.</summary>
public sealed partial class LogInjectionTests
{
    const string Mark = "zqxj";
    const string PlainForgery = "1999-01-01T00:00:00.000Z info: Forged[1] forged";
    const string JsonForgery = """{"Timestamp":"1999-01-01T00:00:00Z","EventId":1,"LogLevel":"Information","Category":"Forged","Message":"forged"}""";

    // of the text: 4,096 characters of message and 16,384 of exception, each of which may be escaped in six; of JSON: what a request line and its headers may hold, twice
    const int LongestPlain = 6 * (4_096 + 16_384);
    const int LongestJson = 2 * 6 * 32_768;

    /// <summary>Ends of lines, forged events, colours, the title of a terminal's window, C1, separators, a text turned around, NUL, tab, backspace, delete, a pair, half a pair's neighbours.</summary>
    static readonly string s_hostile = $"{Mark}\r\n{PlainForgery}\r\n{JsonForgery}\n{Mark}\u001b[31m\u001b]0;x\a\u009b2J\u2028\u2029\u0085\u202e\u200b\0\t\b\u007f\ud83d\ude00";

    static readonly string[] s_headers =
    [
        "User-Agent", "Idempotency-Key", "Content-Type", "Content-Encoding", "Accept", "Accept-Language", "Cookie", "Referer", "Origin", "X-Forwarded-For", "Forwarded", "X-Request-Id", "traceparent", "Authorization", "X-API-Key", "Expect", "Upgrade", "If-None-Match", "X-HTTP-Method-Override",
    ];

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_event_is_one_line_whatever_its_names_hold(bool isJson)
    {
        using var data = new TemporaryDirectory();
        string log;
        await using (var server = await ServerProcess.StartAsync(
            data.Path, "Sluice.Server", Cancellation, ("Sluice__Log__Json", isJson ? "true" : "false"), ("Logging__LogLevel__Default", "Trace"), ("Logging__LogLevel__Microsoft", "Trace"), ("Logging__LogLevel__Microsoft.AspNetCore", "Trace")))
        {
            var logged = server.Output.Length;
            await SendAllAsync(server);
            Assert.Equal(0, await server.StopAsync(Cancellation));
            log = server.Output[logged..];
        }

        var lines = log.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.TrimEnd('\r')).ToList();
        Assert.All(lines, line => Assert.True(line.Length <= (isJson ? LongestJson : LongestPlain), $"{line.Length} characters: {line[..Math.Min(200, line.Length)]}"));
        if (isJson)
        {
            Assert.All(lines, line => Assert.True(JsonLine().IsMatch(line) && JsonElement.Parse(line).TryGetProperty("Category", out var category) && category.GetString() != "Forged", $"no event of one line: {line}"));
        }
        else
        {
            Assert.All(lines, line => Assert.True(PlainLine().IsMatch(line), $"no event of one line: {line}"));
            Assert.DoesNotContain(lines, line => line.StartsWith("1999", StringComparison.Ordinal));
        }
        Assert.True(lines.Count(line => line.Contains(Mark, StringComparison.Ordinal)) > 20, "what was sent did not reach the log"); // the control
        Assert.Contains(lines, line => line.Contains("\\u001b[31m", StringComparison.OrdinalIgnoreCase));
        Assert.Contains(lines, line => line.Contains("a\\u202eb@x.org changed", StringComparison.OrdinalIgnoreCase)); // at the level that is the default, too

        var audit = Directory.EnumerateFiles(Path.Combine(data.Path, "audit")).SelectMany(File.ReadAllLines).ToList();
        Assert.Contains(audit, line => line.Contains(Mark, StringComparison.Ordinal));
        Assert.All(audit, line => Assert.True(JsonLine().IsMatch(line) && JsonElement.Parse(line).GetProperty("sequence").GetInt64() > 0 && line.Length < 16_384, line));
        Assert.Equal(Enumerable.Range(1, audit.Count).Select(i => (long)i), audit.Select(line => JsonElement.Parse(line).GetProperty("sequence").GetInt64()));
    }

    static async Task SendAllAsync(ServerProcess server)
    {
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var quoted = JsonSerializer.Serialize(s_hostile);
        var invite = (await api.PostAsync("v2/invites", JsonSerializer.Serialize(new { email = "a\u202eb@x.org" }), Cancellation)).Json["token"]!.GetValue<string>();
        await api.PostAsync("v2/invites/accept", JsonSerializer.Serialize(new { token = invite, password = ServerProcess.Password, full_name = s_hostile }), Cancellation);
        var login = await api.PostAsync("", JsonSerializer.Serialize(new { USERNAME = "a\u202eb@x.org", PASSWORD = ServerProcess.Password }), Cancellation);
        using var guest = new ApiClient(server.HttpPort);
        guest.UseToken(login.Json["AuthenticationResult"]!["IdToken"]!.GetValue<string>());
        var database = await guest.CreateAsync("v2/databases", """{"name":"db"}""", Cancellation);
        await guest.CreateAsync($"v2/tables/{database}", """{"name":"t","options":{"keys":true}}""", Cancellation);
        var sink = await guest.CreateAsync("v2/sinks", $$$"""
            {"name":"s","sink_details":{"database_id":"{{{database}}}","table":"t"},"schema":{"primary_key_fields":["_id"],"allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}}
            """, Cancellation);

        foreach (var text in new[] { quoted, JsonSerializer.Serialize(new string('\u001b', 200) + Mark), JsonSerializer.Serialize(Mark + new string('x', 10_000)), "\"\\ud800\"" })
        {
            foreach (var (method, path, body) in new[]
            {
                ("POST", "", $$"""{"USERNAME":{{text}},"PASSWORD":{{text}}}"""), ("POST", "", $$"""{"REFRESH_TOKEN":{{text}}}"""), ("POST", "v2/databases", $$"""{"name":{{text}}}"""), ("POST", $"v2/tables/{database}", $$"""{"name":{{text}},"description":{{text}}}"""),
                ("POST", $"v2/tables/{database}", $$$"""{"name":"u","options":{"keys":false},"description":{{{text}}}}"""), ("POST", "v2/invites", $$"""{"email":{{text}}}"""), ("POST", "v2/invites/accept", $$"""{"token":{{text}},"password":{{text}}}"""),
                ("POST", "v2/sinks", $$$"""{"name":{{{text}}},"sink_details":{"database_id":{{{text}}},"table":{{{text}}}},"schema":{}}"""), ("POST", "v2/users/current/keys", $$"""{"description":{{text}},"role":{{text}}}"""),
                ("POST", "v2/users/current/keys", $$"""{"description":{{text}}}"""), ("PUT", "v2/users/current", $$"""{"full_name":{{text}}}"""), ("PUT", "v2/orgs/current", $$"""{"name":{{text}},"address":{{text}}}"""), ("POST", "v2/backups", $$"""{"name":{{text}}}"""),
                ("PATCH", $"v2/tables/{database}/t", $$$"""{"options":{"retention":{{{text}}}}}"""), ("POST", $"v2/sinks/{sink}/try", $$$"""{"schema":{"id_field":"_id","definition":[{"name":{{{text}}},"path":[{{{text}}}]}]}}"""),
                ("POST", $"v2/sinks/{sink}?wait=loaded", $$$"""{"records":[{"op":"insert","value":{"id":{{{text}}},{{{text}}}:1}},{"op":"insert","value":{"id":{{{text}}}}},{"op":{{{text}}},"value":{"id":[{{{text}}}]}}]}"""),
                ("POST", $"v2/sinks/{sink}/quarantine/replay", """{"all":true}"""), ("POST", $"v2/databases/{database}/infer?name=x", $$$"""{"records":[{"value":{{{{text}}}:{{{text}}}}}]}"""),
            })
                await api.SendAsync(new HttpMethod(method), path, Encoding.UTF8.GetBytes(body), Cancellation);
        }
        foreach (var sql in new[] { s_hostile, $"SELECT '{s_hostile}'", $"SELECT * FROM \"{s_hostile}\"", $"SELECT CAST('{s_hostile}' AS INT)", $"CREATE TABLE \"{s_hostile}\" (_id ID)", $"INSERT INTO t (_id) VALUES ('{s_hostile}')", $"SELECT 1 -- {s_hostile}" })
            await api.PostAsync($"v2/databases/{database}/query/sql", sql, Cancellation);

        var address = Uri.EscapeDataString(s_hostile);
        var lengthy = Mark + new string('y', 7_000);
        foreach (var path in new[]
        {
            $"/{address}", $"/v2/databases/{address}", $"/v2/tables/{database}/{address}", $"/v2/sinks/{address}/errors", $"/v2/sinks/{sink}/requests/{address}", $"/v2/sinks/{sink}?wait={address}", $"/v2/sinks?{address}={address}", $"/sign-in?return={address}",
            $"/openapi/{address}.json", $"/_content/{address}", $"/console.{address}", $"/v2/users/{address}", $"/{lengthy}", $"/v2/databases/{lengthy}", $"/{Mark}%ff%fe%c0%af%00", $"/v2/sinks?q={lengthy}", $"/{Mark}%0aX", $"/{Mark}%0d%0aX",
        })
        {
            foreach (var method in new[] { "GET", "POST", $"{Mark}" })
                await SendAsync(server.HttpPort, $"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\nAuthorization: Bearer {api.Token}\r\n\r\n");
        }
        var value = s_hostile.Replace("\r", "", StringComparison.Ordinal).Replace("\n", "", StringComparison.Ordinal).Replace("\0", "", StringComparison.Ordinal);
        foreach (var header in s_headers)
        {
            foreach (var text in new[] { value, Mark + "\u001b[31m", Mark + new string('z', 20_000), s_hostile })
            {
                var authorization = header == "Authorization" ? "" : $"Authorization: Bearer {api.Token}\r\n";
                await SendAsync(server.HttpPort, $"POST /v2/sinks/{sink}?wait=loaded HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n{authorization}{header}: {text}\r\n\r\n{{}}");
                await SendAsync(server.HttpPort, $"GET /sign-in HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}: {text}\r\n\r\n");
            }
        }
        foreach (var request in new[] { $"GE\u001bT /{Mark} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", $"GET /{Mark}\u001b[31m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", $"GET / HTTP/1.1\r\nHost: {Mark}\u001b[31m\r\nConnection: close\r\n\r\n", $"GET / HTTP/1.1\r\nHost: x\r\nX\u001b: 1\r\nConnection: close\r\n\r\n", $"{s_hostile}\r\n\r\n" })
            await SendAsync(server.HttpPort, request);
    }

    static async Task SendAsync(int port, string request)
    {
        using var socket = new TcpClient { NoDelay = true };
        await socket.ConnectAsync("127.0.0.1", port, Cancellation);
        var stream = socket.GetStream();
        try
        {
            await stream.WriteAsync(Encoding.UTF8.GetBytes(request), Cancellation);
            await stream.CopyToAsync(Stream.Null, Cancellation).WaitAsync(TimeSpan.FromSeconds(20), TimeProvider.System, Cancellation);
        }
        catch (IOException)
        {
            // refused and cut
        }
    }

    [GeneratedRegex(@"\A\d{4}-\d\d-\d\dT\S+ (trce|dbug|info|warn|fail|crit): \S.*\[-?\d+\] [^\p{Cc}\p{Cf}\u2028\u2029]*\z", RegexOptions.CultureInvariant)]
    private static partial Regex PlainLine();

    [GeneratedRegex(@"\A\{[ -~]*\}\z")]
    private static partial Regex JsonLine();
}
