using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class AuditTests
{
    const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>CR, LF, a forged line, an ANSI colour, C1, the line and paragraph separators, half a surrogate pair's neighbours, quotes.</summary>
    const string Hostile = "x\r\n{\"sequence\":1,\"action\":\"login\"}\u001b[31m\u009b\u2028\u2029\u0085\"\\\0\ud83d\ude00";

    [Fact]
    public async Task Each_thing_that_happens_is_one_line_that_says_who_what_and_from_where()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var token = await server.IdTokenAsync(ServerUnderTest.Email);
        (await server.PostAsync("/", $$"""{"USERNAME":"{{ServerUnderTest.Email}}","PASSWORD":"wrong"}""")).Dispose();
        (await server.PostAsync("/", """{"REFRESH_TOKEN":"wrong"}""")).Dispose();
        var (ann, annsToken) = await server.AddUserAsync(token, "ann@x.org", "Reader");
        await server.JsonAsync(HttpStatusCode.Forbidden, HttpMethod.Post, "/v2/databases?secret=1", annsToken, """{"name":"no"}""");
        await server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, "/v2/databases", "forged");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Put, $"/v2/users/{ann}", token, """{"role":"User"}""");
        var database = Id(await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/databases", token, """{"name":"db"}"""));
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/databases/{database}/query/sql", token, "CREATE TABLE t (_id ID, a INT)");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/databases/{database}/query/sql", token, "INSERT INTO t (_id, a) VALUES (1, 'secret')");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/databases/{database}/query/sql", token, "SELECT * FROM t");
        var sink = Id(await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/sinks", token, $$$"""
            {"name":"s","sink_details":{"database_id":"{{{database}}}","table":"t"},"schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}}
            """));
        var key = await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/users/current/keys", token, $$"""{"description":"k","role":"IngestKey","sinks":["{{sink}}"]}""");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/sinks/{sink}", key: key.GetProperty("secret").GetString(), body: """{"records":[]}""");
        await server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Delete, $"/v2/users/current/keys/{Id(key)}", token);
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Patch, $"/v2/sinks/{sink}", token, """{"max_records":5}""");
        await server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Delete, $"/v2/sinks/{sink}", token);
        await server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Delete, $"/v2/tables/{database}/t", token);
        await server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Delete, $"/v2/databases/{database}", token);
        await server.JsonAsync(HttpStatusCode.Accepted, HttpMethod.Post, "/v2/logout", annsToken);

        var page = await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/audit", token);
        var lines = page.GetProperty("resources").EnumerateArray().Reverse().ToList();
        Assert.Equal(
            [
                $"login ok {ServerUnderTest.Email}", $"login failed {ServerUnderTest.Email}", "login.refresh failed ", $"invite.create ok {ServerUnderTest.Email}", "invite.accept ok ann@x.org", "login ok ann@x.org",
                "denied denied ann@x.org", "denied denied ", $"user.update ok {ServerUnderTest.Email}", $"database.create ok {ServerUnderTest.Email}", $"table.create ok {ServerUnderTest.Email}",
                $"sql.write ok {ServerUnderTest.Email}", $"sql.write failed {ServerUnderTest.Email}", $"sink.create ok {ServerUnderTest.Email}", $"key.create ok {ServerUnderTest.Email}", $"key.revoke ok {ServerUnderTest.Email}",
                $"sink.update ok {ServerUnderTest.Email}", $"sink.delete ok {ServerUnderTest.Email}", $"table.delete ok {ServerUnderTest.Email}", $"database.delete ok {ServerUnderTest.Email}", "logout ok ann@x.org",
            ],
            lines.Select(line => $"{Text(line, "action")} {Text(line, "result")} {Text(line, "email")}"));
        Assert.Equal(Enumerable.Range(1, lines.Count).Select(i => (long)i), lines.Select(AuditFile.SequenceOf));
        Assert.All(lines, line => Assert.Equal("127.0.0.1", Text(line, "address")));
        Assert.All(lines, line => Assert.NotEqual("", Text(line, "request_id")));

        Assert.Equal("POST /v2/databases", Text(lines[6], "target")); // without the query
        Assert.Equal("role Reader -> User", Text(lines[8], "detail"));
        Assert.Equal($"sha256 {Convert.ToHexStringLower(SHA256.HashData("CREATE TABLE t (_id ID, a INT)"u8))}", Text(lines[11], "detail"));
        Assert.Equal((sink, "s"), (Text(lines[13], "target_id"), Text(lines[13], "target_name")));
        Assert.DoesNotContain("secret", page.GetRawText(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_refusal_has_the_request_id_of_its_line()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var refused = await server.JsonAsync(HttpStatusCode.Unauthorized, HttpMethod.Get, "/v2/databases");

        var page = await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, "/v2/audit", await server.IdTokenAsync(ServerUnderTest.Email));
        Assert.Contains(page.GetProperty("resources").EnumerateArray(), line => Text(line, "action") == "denied" && Text(line, "request_id") == refused.GetProperty("request_id").GetString());
    }

    [Fact]
    public async Task Whatever_is_in_names_and_addresses_is_one_line_of_ascii()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync(ServerUnderTest.Email);
        (await server.PostAsync("/", JsonSerializer.Serialize(new { USERNAME = Hostile, PASSWORD = "x" }))).Dispose();
        (await server.SendAsync(HttpMethod.Get, "/v2/databases/" + Uri.EscapeDataString(Hostile.Replace("\0", "", StringComparison.Ordinal)))).Dispose();
        await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/users/current/keys", token, JsonSerializer.Serialize(new { description = Hostile }));
        await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/users/current/keys", token, JsonSerializer.Serialize(new { description = new string('x', 255) + "y" }));

        var text = await File.ReadAllTextAsync(Assert.Single(Files(Path.Combine(server.Data.Path, "audit"))), TestContext.Current.CancellationToken);
        Assert.Equal(5, text.Count(character => character == '\n'));
        Assert.All(text, character => Assert.True(character is '\n' or (>= ' ' and <= '~'), $"U+{(int)character:x4}"));
        Assert.Equal(
            [ServerUnderTest.Email, Hostile.ToLowerInvariant(), null],
            text.Split('\n').Take(3).Select(line => JsonElement.Parse(line).TryGetProperty("email", out var email) ? email.GetString() : null));
        Assert.Equal(Hostile, JsonElement.Parse(text.Split('\n')[3]).GetProperty("target_name").GetString());
    }

    [Fact]
    public async Task The_log_is_paged_from_the_newest_on_and_for_administrators_only()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync(ServerUnderTest.Email);
        for (var i = 0; i < 6; i++)
            await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/databases", token, $$"""{"name":"db{{i}}"}""");

        var seen = new List<string>();
        var next = "/v2/audit?limit=3";
        while (next.Length > 0)
        {
            var page = await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, next, token);
            seen.AddRange(page.GetProperty("resources").EnumerateArray().Select(line => $"{Text(line, "action")} {Text(line, "target_name")}"));
            next = page.GetProperty("next_before").ValueKind == JsonValueKind.Null ? "" : $"/v2/audit?limit=3&before={page.GetProperty("next_before").GetInt64()}";
        }

        Assert.Equal(["database.create db5", "database.create db4", "database.create db3", "database.create db2", "database.create db1", "database.create db0", "login "], seen);
        await server.JsonAsync(HttpStatusCode.BadRequest, HttpMethod.Get, "/v2/audit?limit=0", token);
        await server.JsonAsync(HttpStatusCode.BadRequest, HttpMethod.Get, "/v2/audit?before=x", token);
    }

    [Fact]
    public void Files_are_closed_to_others_rotated_and_bounded()
    {
        using var directory = new TemporaryDirectory();
        using var log = Open(directory, new AuditOptions { MaxFileBytes = 1_000, MaxFiles = 3 });
        for (var i = 1; i <= 100; i++)
            log.Write(new AuditEvent("table.create", AuditResult.Ok) { TargetName = $"table {i}" });

        var files = Files(directory.Path);
        Assert.Equal(3, files.Count);
        Assert.All(files, file => Assert.InRange(new FileInfo(file).Length, 1, 1_000));
        Assert.All(files, file => Assert.Equal(OwnerOnly, File.GetUnixFileMode(file)));
        var kept = log.Read(long.MaxValue, 1_000);
        Assert.Equal(Enumerable.Range(0, kept.Count).Select(i => 100L - i), kept.Select(AuditFile.SequenceOf));
        Assert.InRange(kept.Count, 10, 50);
    }

    [Fact]
    public void A_restart_goes_on_in_the_same_file_and_a_torn_line_is_cut_off()
    {
        using var directory = new TemporaryDirectory();
        using (var first = Open(directory))
            Fill(first, 3);
        var file = Assert.Single(Files(directory.Path));
        File.AppendAllText(file, """{"sequence":4,"acti""");

        using (var second = Open(directory))
        {
            Assert.Equal([3L, 2L, 1L], second.Read(long.MaxValue, 10).Select(AuditFile.SequenceOf));
            Fill(second, 2);
            Assert.Equal([5L, 4L, 3L, 2L, 1L], second.Read(long.MaxValue, 10).Select(AuditFile.SequenceOf));
        }

        Assert.Equal(file, Assert.Single(Files(directory.Path)));
    }

    [Fact]
    public void A_flood_of_one_kind_is_counted_and_pushes_nothing_else_out()
    {
        using var directory = new TemporaryDirectory();
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch.AddYears(60));
        using (var log = AuditLog.Open(directory.Path, new AuditOptions(), time, NullLogger.Instance))
        {
            Flood(log, AuditAction.Denied, AuditLog.LinesAMinute + 50);
            log.Write(new AuditEvent("key.create", AuditResult.Ok));
            time.Advance(TimeSpan.FromMinutes(1));
            Flood(log, AuditAction.Denied, 1);
            Flood(log, AuditAction.Login, AuditLog.LinesAMinute + 2);
        }

        using var reopened = Open(directory);
        var lines = reopened.Read(long.MaxValue, 10_000);
        Assert.Equal(AuditLog.LinesAMinute + 1, lines.Count(line => Text(line, "action") == AuditAction.Denied));
        Assert.Single(lines, line => Text(line, "action") == "key.create");
        Assert.Equal(
            ["2 more of login in the minute of 2030-01-01T00:01Z", "50 more of denied in the minute of 2030-01-01T00:00Z"],
            lines.Where(line => Text(line, "action") == "suppressed").Select(line => Text(line, "detail")));
    }

    [Fact]
    public void A_line_that_cannot_be_written_is_told_and_stops_nobody()
    {
        using var directory = new TemporaryDirectory();
        using var faults = new CountingLogger();
        using var log = AuditLog.Open(directory.Path, new AuditOptions { MaxFileBytes = 1 }, TimeProvider.System, faults);
        Fill(log, 1);
        Directory.Delete(directory.Path, recursive: true);

        Fill(log, 1); // needs another file
        Assert.Equal(1, faults.Count);

        Directory.CreateDirectory(directory.Path);
        Fill(log, 1);
        Assert.Equal([2L], log.Read(long.MaxValue, 10).Select(AuditFile.SequenceOf));
    }

    static AuditLog Open(TemporaryDirectory directory, AuditOptions? options = null) =>
        AuditLog.Open(directory.Path, options ?? new AuditOptions(), TimeProvider.System, NullLogger.Instance);

    static void Fill(AuditLog log, int count)
    {
        for (var i = 0; i < count; i++)
            log.Write(AuditEvent.By(new Caller(Guid.NewGuid(), "a@x.org", Sluice.Server.Catalog.Role.User, null), "table.create"));
    }

    static void Flood(AuditLog log, string action, int count)
    {
        for (var i = 0; i < count; i++)
            log.Write(new AuditEvent(action, AuditResult.Denied));
    }

    static List<string> Files(string directory) => [.. Directory.EnumerateFiles(directory).Order(StringComparer.Ordinal)];

    static string Id(JsonElement resource) => resource.GetProperty("id").GetString()!;

    static string Text(JsonElement line, string member) => line.TryGetProperty(member, out var value) ? value.GetString()! : "";

    sealed class CountingLogger : ILogger, IDisposable
    {
        public int Count { get; private set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Count++;

        public void Dispose()
        {
        }
    }
}
