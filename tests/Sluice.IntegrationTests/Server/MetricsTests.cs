using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary><c>/metrics</c> against the ledgers, against docs/operations.md, and while a loader is held up.</summary>
public sealed partial class MetricsTests
{
    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Metrics_say_what_the_ledgers_say()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var token = await server.IdTokenAsync();
        var (database, sink) = await MakeSinkAsync(server, token);
        var other = await MakeSinkAsync(server, token, database, "other");
        foreach (var (target, body) in new[]
        {
            (sink, """{"records":[{"value":{"id":1,"n":1}},{"value":{"id":2,"n":"x"}},{"value":{"id":3,"n":3}}]}"""),
            (sink, """{"records":[{"value":{"id":-4}}]}"""),
            (other, """{"records":[{"value":{"id":5,"n":5}}]}"""),
        })
        {
            await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/sinks/{target}?wait=loaded", token, body);
        }
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/databases/{database}/query/sql", token, "INSERT INTO t (_id, n) VALUES (6, 6), (7, 7)");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, $"/v2/databases/{database}/query/sql", token, "SELECT COUNT(*) FROM t");

        var metrics = await ReadAsync(server, token);
        foreach (var id in new[] { sink, other })
        {
            var ledger = await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Get, $"/v2/sinks/{id}/ledger", token);
            foreach (var (member, series) in new[]
            {
                ("requests", "sluice_requests_total"), ("received", "sluice_records_received_total"), ("accepted", "sluice_records_accepted_total"), ("rejected", "sluice_records_rejected_total"),
                ("loaded", "sluice_records_loaded_total"), ("failed", "sluice_records_failed_total"), ("pending", "sluice_records_pending"),
            })
            {
                Assert.True(ledger.GetProperty(member).GetInt64() == (long)metrics[$$"""{{series}}{sink="{{id}}"}"""], $"{member} of {ledger}");
            }
        }
        Assert.Equal((2, 4, 2, 2), (Of("sluice_requests_total", sink), Of("sluice_records_received_total", sink), Of("sluice_records_accepted_total", sink), Of("sluice_records_rejected_total", sink)));
        Assert.Equal((2, 2), (Of("sluice_records_accepted_total", "sql"), Of("sluice_records_loaded_total", "sql")));
        Assert.Equal(5, metrics.Samples.Where(sample => sample.Key.StartsWith("sluice_records_loaded_total", StringComparison.Ordinal)).Sum(sample => sample.Value));
        AssertLoaded(metrics);

        // five frames were appended after that of the schema, each answered before the next was sent; the column is a frame too
        var synced = metrics["sluice_log_fsync_seconds_count"];
        Assert.True(synced >= 5 && metrics["sluice_log_group_frames_sum"] == synced && metrics["sluice_log_fsync_seconds_sum"] > 0, $"{synced} syncs of {metrics["sluice_log_group_frames_sum"]} frames");
        Assert.Equal(5, metrics["sluice_load_records_sum"]);
        Assert.Equal(1, metrics["sluice_sql_queries_total{end=\"completed\"}"]);
        Assert.True(metrics["sluice_connections"] >= 1);
        Assert.True(metrics[$$"""sluice_database_bytes{database="{{database}}"}"""] > 0);
        Assert.Equal((1, 0), (metrics["sluice_ready"], metrics["sluice_tables_closed"]));

        double Of(string series, string id) => metrics[$$"""{{series}}{sink="{{id}}"}"""];
    }

    [Fact]
    public async Task Every_series_is_in_the_document_as_it_is_and_no_other()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var token = await server.IdTokenAsync();
        await MakeSinkAsync(server, token); // so that every series has a sample

        var answered = (await ReadAsync(server, token)).Families.Select(family => $"{family.Key} {family.Value.Type} {string.Join(", ", family.Value.Labels)}");
        var document = await File.ReadAllTextAsync(Path.Combine(AuthorizationTests.RepositoryRoot(), "docs", "operations.md"), Cancellation);
        var rows = SeriesRow().Matches(document).ToDictionary(row => row.Groups[1].Value, row => $"{row.Groups[1].Value} {row.Groups[2].Value} {row.Groups[3].Value.Trim()}");

        Assert.Equal(answered.Order(StringComparer.Ordinal), rows.Values.Order(StringComparer.Ordinal));
        var named = NamedSeries().Matches(document).Select(match => match.Value.Replace("_seconds_bucket", "_seconds", StringComparison.Ordinal)).ToHashSet();
        Assert.True(named.Count > 30);
        Assert.Empty(named.Except(rows.Keys)); // an alert on a series that there is not would never fire
    }

    [Fact]
    public async Task A_loader_that_is_held_up_shows_and_so_does_its_end()
    {
        using var data = new TemporaryDirectory();
        var fault = Path.Combine(data.Path, "fault");
        await using var server = await ServerProcess.StartAsync(data.Path, "Sluice.FaultyServer", Cancellation, ("SLUICE_FAULT_FAILING_WHILE", fault));
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var database = await api.CreateAsync("v2/databases", """{"name":"held"}""", Cancellation);
        var table = await api.CreateAsync($"v2/tables/{database}", """{"name":"t","options":{"keys":false}}""", Cancellation);
        var sink = await api.CreateAsync("v2/sinks", SinkBody(database, "held"), Cancellation);

        await File.WriteAllTextAsync(fault, "", Cancellation);
        var answer = await api.PostAsync($"v2/sinks/{sink}", """{"records":[{"value":{"id":1}},{"value":{"id":2}}]}""", Cancellation);
        Assert.Equal(HttpStatusCode.OK, answer.Status);
        var held = await UntilAsync(api, metrics => Only(metrics, "sluice_loader_failing") == 1 && Only(metrics, "sluice_loader_lag_seconds") > 0);
        Assert.Equal((2, 2), (Only(held, "sluice_loader_lag_records"), held[$$"""sluice_records_pending{sink="{{sink}}"}"""]));
        Assert.True(Only(held, "sluice_log_backlog_bytes") > 0);

        var ready = await api.GetAsync("health/ready", Cancellation);
        Assert.Equal((HttpStatusCode.OK, $"loads into table {table} fail, and are tried again"), (ready.Status, Assert.Single(ready.Json["degraded"]!.AsArray())!.GetValue<string>()));

        File.Delete(fault);
        var ended = await UntilAsync(api, metrics => Only(metrics, "sluice_loader_failing") == 0);
        AssertLoaded(ended);
        Assert.Null((await api.GetAsync("health/ready", Cancellation)).Json["degraded"]);
        Assert.Equal(2, ended[$$"""sluice_records_loaded_total{sink="{{sink}}"}"""]);
    }

    [Fact]
    public async Task What_a_server_refuses_counts_by_cause_and_for_itself()
    {
        await using var server = await ServerUnderTest.StartAsync();
        await using var neighbour = await ServerUnderTest.StartAsync();
        var token = await server.IdTokenAsync();
        await server.JsonAsync(HttpStatusCode.ServiceUnavailable, HttpMethod.Get, $"/v2/sinks/{Guid.NewGuid()}/ledger", token); // no engine

        var metrics = await ReadAsync(server, token);
        Assert.Equal((1, 0), (metrics["sluice_requests_refused_total{cause=\"unavailable\"}"], metrics["sluice_requests_refused_total{cause=\"quota\"}"]));
        Assert.Equal(0, metrics["sluice_ready"]);
        Assert.Equal(0, (await ReadAsync(neighbour, await neighbour.IdTokenAsync()))["sluice_requests_refused_total{cause=\"unavailable\"}"]);
    }

    [Theory]
    [InlineData("true", HttpStatusCode.OK)]
    [InlineData("false", HttpStatusCode.Unauthorized)]
    public async Task Without_a_token_they_are_there_when_the_operator_says_so(string anonymous, HttpStatusCode status)
    {
        await using var server = await ServerUnderTest.StartAsync("--Sluice:Metrics:Anonymous", anonymous);
        using var answer = await server.SendAsync(HttpMethod.Get, "/metrics");
        Assert.Equal(status, answer.StatusCode);
    }

    [Fact]
    public async Task A_readers_key_as_bearer_token_is_enough()
    {
        await using var server = await ServerUnderTest.StartAsync();
        var key = await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/users/current/keys", await server.IdTokenAsync(), """{"role":"Reader","description":"prometheus"}""");

        using var answer = await server.SendAsync(HttpMethod.Get, "/metrics", $"Bearer {key.GetProperty("secret").GetString()}");

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(MediaTypeHeaderValue.Parse("text/plain; version=0.0.4; charset=utf-8"), answer.Content.Headers.ContentType);
    }

    [Fact]
    public void What_is_no_exposition_is_seen()
    {
        // negative controls of the reading
        Assert.Equal(["le_", "b"], Exposition.Parse("# TYPE a gauge\na{le_=\"x\\\"}\",b=\"\"} 1\n").Families["a"].Labels);
        Assert.Throws<InvalidDataException>(() => Exposition.Parse("# TYPE a gauge\nb 1\n"));
        Assert.Throws<ArgumentException>(() => Exposition.Parse("# TYPE a gauge\na 1\na 2\n"));
        Assert.Throws<ArgumentException>(() => Exposition.Parse("# TYPE a gauge\n# TYPE a gauge\n"));
        Assert.Throws<KeyNotFoundException>(() => Exposition.Parse("")["a"]);
    }

    /// <summary>What the alert on a remainder says does not hold: nothing is left, in the ledgers and in the log.</summary>
    static void AssertLoaded(Exposition metrics)
    {
        foreach (var series in new[] { "sluice_loader_lag_records", "sluice_loader_lag_seconds", "sluice_log_backlog_bytes", "sluice_loader_failing" })
            Assert.Equal(0, Only(metrics, series));
        Assert.True(Only(metrics, "sluice_log_bytes") > 0);
    }

    /// <summary>The value of the one table there is.</summary>
    static double Only(Exposition metrics, string series) => metrics.Samples.Single(sample => sample.Key.StartsWith(series + "{", StringComparison.Ordinal)).Value;

    static async Task<Exposition> ReadAsync(ServerUnderTest server, string token)
    {
        using var answer = await server.SendAsync(HttpMethod.Get, "/metrics", token);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return Exposition.Parse(await answer.Content.ReadAsStringAsync(Cancellation));
    }

    static async Task<Exposition> UntilAsync(ApiClient api, Func<Exposition, bool> isReached)
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(60), "it never came to that");
            var metrics = Exposition.Parse((await api.GetAsync("metrics", Cancellation)).Text);
            if (isReached(metrics)) return metrics;
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, Cancellation);
        }
    }

    static async Task<(string Database, string Sink)> MakeSinkAsync(ServerUnderTest server, string token)
    {
        var database = Id(await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/databases", token, """{"name":"metered"}"""));
        await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, $"/v2/tables/{database}", token, """{"name":"t","options":{"keys":false}}""");
        await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, $"/v2/tables/{database}/t/fields/n", token, """{"options":{"type":"int"}}""");
        return (database, await MakeSinkAsync(server, token, database, "metered", """,{"name":"n","path":["n"]}"""));
    }

    static async Task<string> MakeSinkAsync(ServerUnderTest server, string token, string database, string name, string columns = "") =>
        Id(await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/sinks", token, SinkBody(database, name, columns)));

    static string SinkBody(string database, string name, string columns = "") => $$$"""
        {"name":"{{{name}}}","sink_details":{"database_id":"{{{database}}}","table":"t"},
         "schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}{{{columns}}}]}}
        """;

    static string Id(JsonElement made) => made.GetProperty("id").GetString()!;

    [GeneratedRegex(@"^\| `([a-z_]+)` \| (counter|gauge|histogram) \|([^|]*)\|", RegexOptions.Multiline)]
    private static partial Regex SeriesRow();

    [GeneratedRegex(@"\bsluice_[a-z_]+\b")]
    private static partial Regex NamedSeries();
}
