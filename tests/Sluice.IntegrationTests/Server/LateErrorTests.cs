using System.Text.Json.Nodes;
using DuckDB.NET.Data;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>Records that pass validation and that the store then refuses, in the real server with its real store.</summary>
public sealed class LateErrorTests : IDisposable
{
    readonly string _directory = Directory.CreateTempSubdirectory("sluice-late-").FullName;

    [Fact]
    public async Task A_record_the_store_refuses_stands_alone_under_errors_and_all_others_are_loaded()
    {
        var cancellation = TestContext.Current.CancellationToken;
        var (databaseId, sinkId) = await CreateAsync(cancellation);
        AddCheck(databaseId, "CHECK (val < 100)");

        string errors, fate, bad;
        await using (var server = await ServerProcess.StartAsync(_directory, "Sluice.Server", cancellation))
        {
            using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
            // three requests that are likely loaded together; the middle one has two records that the store will refuse
            var late = await api.PostAsync($"v2/sinks/{sinkId}?wait=loaded&return=errors", """{"records":[{"value":{"id":9,"val":9}},{"value":{"id":-1}},{"value":{"id":10,"val":1000}}]}""", cancellation);
            Assert.Equal((1, 2), (late.Json["success_count"]!.GetValue<int>(), late.Json["error_count"]!.GetValue<int>()));
            Assert.Equal(["InvalidBody", "LoadFailed"], late.Json["records"]!.AsArray().Select(record => record!["error_code"]!.GetValue<string>()));

            bad = await SendAsync(api, sinkId, [(1, 1), (2, 2)], [(3, 3), (4, 400), (5, 5), (6, 600), (7, 7)], [(8, 8)], cancellation);

            var ledger = await api.WaitLoadedAsync(sinkId, cancellation);
            Assert.Equal((10, 7, 3, 0), (Count(ledger, "accepted"), Count(ledger, "loaded"), Count(ledger, "failed"), Count(ledger, "pending")));
            var rows = await api.QueryAsync(databaseId, "SELECT _id FROM events ORDER BY _id", cancellation);
            Assert.Equal([1L, 2, 3, 5, 7, 8, 9], rows.Select(row => row![0]!.GetValue<long>()));

            errors = (await api.GetAsync($"v2/sinks/{sinkId}/errors", cancellation)).Text;
            var listed = JsonNode.Parse(errors)!["resources"]!.AsArray().Where(error => error!["request_id"]!.GetValue<string>() == bad).ToList();
            Assert.Equal([("4", 1), ("6", 3)], listed.Select(error => (error!["key"]!.GetValue<string>(), error["record_index"]!.GetValue<int>())).Order());
            Assert.All(listed, error =>
            {
                Assert.Contains("CHECK constraint", error!["error_msg"]!.GetValue<string>(), StringComparison.Ordinal);
                Assert.Equal(error["key"]!.GetValue<string>() + "00", error["value"]!["val"]!.ToString());
            });

            var request = await api.GetAsync($"v2/sinks/{sinkId}/requests/{bad}", cancellation);
            Assert.Equal(("loaded", 5, 5, 0, 3, 2), (request.Json["state"]!.GetValue<string>(), Count(request.Json, "received"), Count(request.Json, "accepted"), Count(request.Json, "rejected"), Count(request.Json, "loaded"), Count(request.Json, "failed")));
            Assert.Equal(
                ["""{"id":4,"val":400}""", """{"id":6,"val":600}"""],
                request.Json["records"]!.AsArray().Select(record => record!["value"]!.ToJsonString()));
            Assert.All(request.Json["records"]!.AsArray(), record => Assert.Equal(("failed", "StoreRefused"), (record!["status"]!.GetValue<string>(), record["error_code"]!.GetValue<string>())));
            fate = request.Text;
            Assert.Equal(0, await server.StopAsync(cancellation));
        }

        await using var restarted = await ServerProcess.StartAsync(_directory, "Sluice.Server", cancellation);
        using var again = await ApiClient.LoginAsync(restarted.HttpPort, cancellation);
        Assert.Equal(errors, (await again.GetAsync($"v2/sinks/{sinkId}/errors", cancellation)).Text);
        Assert.Equal(fate, (await again.GetAsync($"v2/sinks/{sinkId}/requests/{bad}", cancellation)).Text);
        var page = (await again.GetAsync($"v2/sinks/{sinkId}/requests/{bad}?limit=1", cancellation)).Json;
        Assert.Equal((1, 1), (page["records"]!.AsArray().Count, page["next"]!.GetValue<int>()));
        page = (await again.GetAsync($"v2/sinks/{sinkId}/requests/{bad}?limit=1&after={page["next"]}", cancellation)).Json;
        Assert.Equal((3, null), (page["records"]![0]!["index"]!.GetValue<int>(), page["next"]));
        foreach (var wrong in new[] { "limit=0", "limit=1001", "after=-1" })
            Assert.Contains("InvalidParameter", (await again.GetAsync($"v2/sinks/{sinkId}/requests/{bad}?{wrong}", cancellation)).Text, StringComparison.Ordinal);
        var minutes = (await again.GetAsync($"v2/sinks/{sinkId}/metrics", cancellation)).Json["resources"]!.AsArray();
        Assert.Equal((10, 4, 1), (Sum(minutes, "ingest_rate"), Sum(minutes, "request_rate"), Sum(minutes, "error_rate")));
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    async Task<(string DatabaseId, string SinkId)> CreateAsync(CancellationToken cancellation)
    {
        await using var server = await ServerProcess.StartAsync(_directory, "Sluice.Server", cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        var databaseId = await api.CreateAsync("v2/databases", """{"name":"late"}""", cancellation);
        await api.QueryAsync(databaseId, "CREATE TABLE events (_id ID, val INT)", cancellation);
        var sinkId = await api.CreateAsync("v2/sinks", $$"""
            {"name":"late","sink_details":{"database_id":"{{databaseId}}","table":"events"},
             "schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"val","path":["val"]}] } }
            """, cancellation);
        Assert.Equal(0, await server.StopAsync(cancellation));
        return (databaseId, sinkId);
    }

    /// <summary>Gives the table a constraint that the decoder knows nothing of.</summary>
    void AddCheck(string databaseId, string check)
    {
        using var connection = new DuckDBConnection($"Data Source={Path.Combine(_directory, "databases", databaseId + ".duckdb")}");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT sql FROM duckdb_tables() WHERE schema_name = 'main' AND table_name = 'events'";
        var definition = (string)command.ExecuteScalar()!;
        command.CommandText = "DROP TABLE main.events; " + definition.Insert(definition.LastIndexOf(')'), ", " + check);
        command.ExecuteNonQuery();
    }

    /// <summary>Sends three requests; returns the id of the second.</summary>
    static async Task<string> SendAsync(ApiClient api, string sinkId, (int, int)[] first, (int, int)[] second, (int, int)[] third, CancellationToken cancellation)
    {
        var ids = new List<string>();
        foreach (var records in new[] { first, second, third })
        {
            var body = $$"""{"records":[{{string.Join(',', records.Select(record => $$"""{"value":{"id":{{record.Item1}},"val":{{record.Item2}} } }"""))}}]}""";
            var answer = await api.PostAsync($"v2/sinks/{sinkId}", body, cancellation);
            Assert.Equal(records.Length, answer.Json["success_count"]!.GetValue<int>());
            ids.Add(answer.Json["request_id"]!.GetValue<string>());
        }
        return ids[1];
    }

    static long Count(JsonNode ledger, string name) => ledger[name]!.GetValue<long>();

    static long Sum(JsonArray minutes, string name) => minutes.Sum(minute => minute![name]!.GetValue<long>());
}
