using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Sluice.IntegrationTests.Overload;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Hostile;

/// <summary>
/// Hostile SQL on as many connections as may query at once, while records are ingested at a rate: every statement ends in time with an answer of the documented shape, none gets out, memory and
/// disk are bounded, and what was acknowledged is in the table, once.
/// </summary>
public sealed class SqlUnderLoadTests(ITestOutputHelper output) : IDisposable
{
    const int RecordsPerRequest = 100;
    const int Connections = 4; // QueryLimits.MaxConcurrent
    const int ShortAnswerBytes = 64 << 10;
    const long MostBytes = 3_000L << 20;

    static readonly TimeSpan s_limit = TimeSpan.FromSeconds(1);

    readonly TemporaryDirectory _data = new();
    readonly ConcurrentBag<string> _faults = [];
    readonly ConcurrentBag<(TimeSpan Took, string Statement)> _times = [];

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Hostile_statements_end_in_time_and_cost_ingest_neither_records_nor_much_time()
    {
        var (normal, hostile) = await RunAsync(rounds: 1, TimeSpan.FromSeconds(5), [.. HostileStatements.Escapes, .. HostileStatements.Hungry], "", RecordsPerRequest, requestsPerSecond: 50);

        // a busy machine may hold up any statement or request; with queries on the threads that serve requests the p99 was 2.5 s and more
        Assert.All(_times, time => Assert.True(time.Took < s_limit + TimeSpan.FromSeconds(15), $"{time.Took.TotalSeconds:0.00} s: {time.Statement[..Math.Min(200, time.Statement.Length)]}"));
        Assert.InRange(hostile[0].P99, TimeSpan.Zero, 15 * Max(normal[0].P99, TimeSpan.FromMilliseconds(100)));
    }

    [Theory(Explicit = true)] // with --long
    [InlineData("")]
    [InlineData("?format=parquet")]
    public async Task Hostile_statements_end_within_two_seconds_of_their_limit_on_a_quiet_machine(string form)
    {
        var (normal, hostile) = await RunAsync(rounds: 3, TimeSpan.FromSeconds(20), HostileStatements.Hungry, form, RecordsPerRequest, requestsPerSecond: 50);

        Assert.All(_times, time => Assert.True(time.Took < s_limit + TimeSpan.FromSeconds(2), $"{time.Took.TotalSeconds:0.00} s: {time.Statement[..Math.Min(200, time.Statement.Length)]}"));
        Assert.InRange(MedianP99(hostile), TimeSpan.Zero, 2 * Max(MedianP99(normal), TimeSpan.FromMilliseconds(10)));
    }

    /// <summary>500,000 records a second. The p99 of a turn was 1.0 to 10 times the normal; spilled values are not why (ADR 8).</summary>
    [Fact(Explicit = true)] // with --long
    public async Task Hostile_statements_end_within_two_seconds_of_their_limit_beside_half_of_what_two_cores_sustain()
    {
        var (normal, hostile) = await RunAsync(rounds: 3, TimeSpan.FromSeconds(20), HostileStatements.Hungry, "", recordsPerRequest: 1_000, requestsPerSecond: 500);

        Assert.All(_times, time => Assert.True(time.Took < s_limit + TimeSpan.FromSeconds(2), $"{time.Took.TotalSeconds:0.00} s: {time.Statement[..Math.Min(200, time.Statement.Length)]}"));
        Assert.InRange(MedianP99(hostile), TimeSpan.Zero, 10 * Max(MedianP99(normal), TimeSpan.FromMilliseconds(10)));
    }

    static TimeSpan Max(TimeSpan one, TimeSpan other) => one > other ? one : other;

    static TimeSpan MedianP99(List<LoadReport> reports) => reports.Select(report => report.P99).Order().ElementAt(reports.Count / 2);

    /// <summary>Without and with hostile statements in turn; what must hold on every machine is held here.</summary>
    /// <param name="quietTime">Of a turn without them; one with them lasts until each statement has ended.</param>
    async Task<(List<LoadReport> Normal, List<LoadReport> Hostile)> RunAsync(
        int rounds, TimeSpan quietTime, IReadOnlyList<string> statements, string form, int recordsPerRequest, int requestsPerSecond)
    {
        await using var server = await ServerProcess.StartAsync(_data.Path, "Sluice.Server", Cancellation, ("Sluice__Query__Time", s_limit.ToString("c", CultureInfo.InvariantCulture)));
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var database = await api.CreateAsync("v2/databases", """{"name":"d"}""", Cancellation);
        var sink = await MakeTablesAsync(api, database);
        var load = new OpenLoop(server, api.Token, sink, recordsPerRequest);
        await load.RunAsync(requestsPerSecond, TimeSpan.FromSeconds(2), Cancellation); // warm
        await AttackAsync(server, api.Token, database, [.. statements.Take(4 * Connections)], form); // warm, too
        _times.Clear();
        var (normal, hostile) = (new List<LoadReport>(), new List<LoadReport>());
        for (var round = 0; round < rounds; round++)
        {
            normal.Add(await load.RunAsync(requestsPerSecond, quietTime, Cancellation));
            var attack = AttackAsync(server, api.Token, database, statements, form);
            hostile.Add(await load.RunAsync(requestsPerSecond, attack, Cancellation));
            await attack;
            output.WriteLine($"normal:  {normal[^1]}\nhostile: {hostile[^1]}");
        }
        var (slowest, statement) = _times.Max();
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{_times.Count} statements, the slowest {slowest.TotalSeconds:0.00} s: {statement[..Math.Min(120, statement.Length)]}"));

        Assert.Empty(_faults);
        Assert.Equal(rounds * statements.Count, _times.Count);
        Assert.All(normal.Concat(hostile), report =>
        {
            Assert.Empty(report.Broken);
            Assert.Equal(report.Sent, report.Admitted);
            Assert.InRange(report.MostBytes, 0, MostBytes);
        });
        await api.WaitLoadedAsync(sink, Cancellation);
        Assert.Equal(0, await server.StopAsync(Cancellation));
        await AssertOnceAsync(database, load, recordsPerRequest);
        Assert.Empty(Directory.EnumerateFiles(Path.Combine(_data.Path, "tmp"), "*", SearchOption.AllDirectories)); // neither spilled values nor files of answers
        return (normal, hostile);
    }

    /// <summary>Sends each statement once.</summary>
    async Task AttackAsync(ServerProcess server, string token, string database, IReadOnlyList<string> statements, string form)
    {
        using var http = new HttpClient(new LostConnections()) { Timeout = TimeSpan.FromMinutes(2) };
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        var address = new Uri($"http://127.0.0.1:{server.HttpPort}/v2/databases/{database}/query/sql{form}");
        await Parallel.ForEachAsync(statements, new ParallelOptions { MaxDegreeOfParallelism = Connections, CancellationToken = Cancellation }, async (statement, cancellation) =>
        {
            var sql = statement.Replace("{secret}", "/etc/passwd", StringComparison.Ordinal).Replace("{database}", Path.Combine(_data.Path, "catalog.sqlite"), StringComparison.Ordinal);
            var started = TimeProvider.System.GetTimestamp();
            using var request = new HttpRequestMessage(HttpMethod.Post, address) { Content = new StringContent(sql) };
            using var answer = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation);
            var text = await ReadAsync(answer, cancellation);
            _times.Add((TimeProvider.System.GetElapsedTime(started), statement));
            if (Fault(answer, text, HostileStatements.Escapes.Contains(statement)) is { } fault) _faults.Add($"{statement[..Math.Min(200, statement.Length)]}: {fault}");
        });
    }

    /// <returns>The whole of a short answer, the beginning of a long one: the reader shares the machine with the server, and must not take the time that is measured.</returns>
    static async Task<string> ReadAsync(HttpResponseMessage answer, CancellationToken cancellation)
    {
        var kept = new byte[ShortAnswerBytes];
        var rest = new byte[ShortAnswerBytes];
        try
        {
            await using var body = await answer.Content.ReadAsStreamAsync(cancellation);
            var count = await body.ReadAtLeastAsync(kept, kept.Length, throwOnEndOfStream: false, cancellation);
            while (await body.ReadAsync(rest, cancellation) > 0)
            {
            }
            return Encoding.Latin1.GetString(kept, 0, count); // a character for each byte
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return """{"error":"cut"}"""; // an answer that cannot be ended is cut, so that nobody takes it for whole; a server that died fails everything else
        }
    }

    /// <returns>What is wrong with an answer; <c>null</c>: it is as documented.</returns>
    static string? Fault(HttpResponseMessage answer, string text, bool mustFail)
    {
        var begin = $"{(int)answer.StatusCode} {text[..Math.Min(300, text.Length)]}";
        if ((int)answer.StatusCode >= 500) return begin;
        if (text.Contains("root:", StringComparison.Ordinal)) return "got out: " + begin;
        if (answer.IsSuccessStatusCode && answer.Content.Headers.ContentType?.MediaType != "application/json") return mustFail ? "was answered" : null; // a file
        if (text.Length == ShortAnswerBytes) return mustFail ? "was answered: " + begin : null; // only rows are so long
        var body = JsonElement.Parse(text);
        return !mustFail || body.TryGetProperty("error", out _) || body.TryGetProperty("code", out _) ? null : "was answered: " + begin;
    }

    /// <summary>Ids are the server's, so what came twice would be there twice. A server of its own counts, without the short limit.</summary>
    async Task AssertOnceAsync(string database, OpenLoop load, int recordsPerRequest)
    {
        await using var server = await ServerProcess.StartAsync(_data.Path, "Sluice.Server", Cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var rows = await api.QueryAsync(database, $"SELECT sent // {recordsPerRequest} AS body, count(*) AS n, count(DISTINCT sent) AS records FROM events GROUP BY body ORDER BY body", Cancellation);
        var found = rows.ToDictionary(row => row![0]!.GetValue<int>(), row => (row![1]!.GetValue<int>(), row[2]!.GetValue<int>()));
        Assert.All(load.Admitted.Index().Where(body => body.Item > 0), body => Assert.Equal((body.Item * recordsPerRequest, recordsPerRequest), found[body.Index]));
        Assert.Equal(load.Admitted.Count(count => count > 0), found.Count);
        Assert.Equal(0, await server.StopAsync(Cancellation));
    }

    static async Task<string> MakeTablesAsync(ApiClient api, string database)
    {
        await api.CreateAsync($"v2/tables/{database}", """{"name":"iris","options":{"keys":false},"fields":[{"name":"species","options":{"type":"string"}},{"name":"petal","options":{"type":"decimal","scale":2}}]}""", Cancellation);
        await api.CreateAsync($"v2/tables/{database}", """{"name":"events","options":{"keys":false,"auto_id":true},"fields":[{"name":"sent","options":{"type":"int"}},{"name":"price","options":{"type":"decimal","scale":2}}]}""", Cancellation);
        return await api.CreateAsync("v2/sinks", $$$"""
            {"name":"s","sink_details":{"database_id":"{{{database}}}","table":"events"},
             "schema":{"allow_missing_fields":true,"definition":[{"name":"sent","path":["id"]},{"name":"price","path":["price"]}]}}
            """, Cancellation);
    }
}
