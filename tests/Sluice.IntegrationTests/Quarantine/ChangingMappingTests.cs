using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Quarantine;

/// <summary>The shape of records and of tables changes while records keep coming.</summary>
public sealed class ChangingMappingTests(IngestServer server) : IClassFixture<IngestServer>
{
    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    /// <summary>
    /// Two mappings that differ in both columns take turns, and a column comes and goes: a record that was decoded with half of each would have two equal numbers.
    /// </summary>
    [Fact]
    public async Task Every_record_is_decoded_with_one_mapping_and_no_request_is_refused_while_it_changes()
    {
        var api = server.Api;
        await api.QueryAsync(server.DatabaseId, "CREATE TABLE changing (_id ID, x INT, y INT)", Cancellation);
        var sink = await api.CreateAsync("v2/sinks", $$"""{"name":"changing","sink_details":{"database_id":"{{server.DatabaseId}}","table":"changing"},"schema":{{Schema("a", "b")}}}""", Cancellation);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var answers = new ConcurrentBag<Answer>();
        var next = 0;
        var senders = Enumerable.Range(0, 3).Select(_ => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                var first = Interlocked.Add(ref next, 20);
                var records = Enumerable.Range(first, 20).Select(i => string.Create(CultureInfo.InvariantCulture, $"{{\"value\":{{\"id\":{i},\"a\":1,\"b\":2,\"z\":{i}}}}}"));
                answers.Add(await api.PostAsync($"v2/sinks/{sink}", $$"""{"records":[{{string.Join(',', records)}}]}""", Cancellation));
            }
        }, Cancellation)).ToList();

        for (var round = 0; round < 8; round++)
        {
            Assert.Equal(HttpStatusCode.OK, (await api.PutAsync($"v2/sinks/{sink}", $$"""{"schema":{{Schema("b", "a")}}}""", Cancellation)).Status);
            await api.CreateAsync($"v2/tables/{server.DatabaseId}/changing/fields/extra", """{"options":{"type":"int"}}""", Cancellation);
            Assert.Equal(HttpStatusCode.OK, (await api.PutAsync($"v2/sinks/{sink}", $$"""{"schema":{{Schema("a", "b", extra: true)}}}""", Cancellation)).Status);
            Assert.Equal(HttpStatusCode.Accepted, (await api.SendAsync(HttpMethod.Delete, $"v2/tables/{server.DatabaseId}/changing/fields/extra", null, Cancellation)).Status);
        }
        await stop.CancelAsync();
        await Task.WhenAll(senders);

        Assert.All(answers, answer => Assert.Equal((HttpStatusCode.OK, 20), (answer.Status, answer.Status == HttpStatusCode.OK ? answer.Json["success_count"]!.GetValue<int>() : 0)));
        var ledger = await api.WaitLoadedAsync(sink, Cancellation);
        Assert.Equal((answers.Count * 20, 0), (ledger["loaded"]!.GetValue<int>(), ledger["failed"]!.GetValue<int>()));
        var rows = await api.QueryAsync(server.DatabaseId, "SELECT count(*), count_if(x = 1 AND y = 2), count_if(x = 2 AND y = 1) FROM changing", Cancellation);
        var (all, straight, crossed) = (rows[0]![0]!.GetValue<int>(), rows[0]![1]!.GetValue<int>(), rows[0]![2]!.GetValue<int>());
        Assert.Equal((answers.Count * 20, all), (all, straight + crossed));
        Assert.True(straight > 0 && crossed > 0, "the mappings did not take turns");

        var mappings = (await api.GetAsync($"v2/sinks/{sink}/mappings", Cancellation)).Json["resources"]!.AsArray();
        var versions = mappings.Select(mapping => mapping!["version"]!.GetValue<int>()).ToList();
        Assert.Equal(Enumerable.Range(1, versions.Count).Reverse(), versions);
        Assert.Equal(ServerProcess.Email, mappings[0]!["created_by"]!.GetValue<string>());
        var oldest = mappings[^1]!["schema"]!;
        var again = await api.PutAsync($"v2/sinks/{sink}", new JsonObject { ["schema"] = oldest.DeepClone() }.ToJsonString(), Cancellation);
        Assert.True(JsonNode.DeepEquals(oldest, again.Json["schema"]));
        Assert.Equal(versions[0] + 1, again.Json["mapping_version"]!.GetValue<int>());
    }

    /// <summary>What waits in the log for a table that is gone holds nothing up: other tables load, and one of the same name too.</summary>
    [Fact]
    public async Task A_table_dropped_with_records_on_their_way_sticks_no_loader()
    {
        var api = server.Api;
        for (var round = 0; round < 3; round++)
        {
            await api.QueryAsync(server.DatabaseId, "CREATE TABLE leaving (_id ID, x INT, y INT)", Cancellation);
            var sink = await api.CreateAsync("v2/sinks", $$"""{"name":"leaving{{round}}","sink_details":{"database_id":"{{server.DatabaseId}}","table":"leaving"},"schema":{{Schema("a", "b")}}}""", Cancellation);
            for (var i = 0; i < 5; i++)
                Assert.Equal(HttpStatusCode.OK, (await api.PostAsync($"v2/sinks/{sink}", """{"records":[{"value":{"id":1,"a":1,"b":"bad"}},{"value":{"id":2,"a":1,"b":2}}]}""", Cancellation)).Status);
            await api.QueryAsync(server.DatabaseId, "DROP TABLE leaving", Cancellation);
        }
        var other = await server.MakeSinkAsync();
        Assert.Equal(HttpStatusCode.OK, (await api.PostAsync($"v2/sinks/{other}?wait=loaded", """{"records":[{"value":{"id":1,"price":1}}]}""", Cancellation)).Status);
    }

    static string Schema(string x, string y, bool extra = false)
    {
        var more = extra ? """,{"name":"extra","path":["z"]}""" : "";
        return $$"""{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"x","path":["{{x}}"]},{"name":"y","path":["{{y}}"]}{{more}}]}""";
    }
}
