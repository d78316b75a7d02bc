using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Quarantine;

/// <summary>The quarantine over HTTP, in the real server with its real store.</summary>
public sealed class ReplayTests(IngestServer server) : IClassFixture<IngestServer>
{
    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_record_that_failed_is_listed_tried_corrected_by_a_mapping_and_replayed()
    {
        var sink = await server.MakeSinkAsync();
        await SendAsync(sink, """{"records":[{"value":{"id":1,"price":"x","cost":2.5}},{"value":{"id":2,"price":"y","cost":"z"}},{"value":{"id":3,"price":1}}]}""");
        var group = Assert.Single(await GroupsAsync(sink))!;
        Assert.Equal(("/price expected decimal(2), got string", 2L, 2L), (group["text"]!.GetValue<string>(), Count(group, "count"), Count(group, "waiting")));
        Assert.Equal("2", group["sample"]!["raw"]!.GetValue<string>() is var raw ? JsonNode.Parse(raw)!["value"]!["id"]!.ToString() : "");

        var trial = await PostAsync($"v2/sinks/{sink}/quarantine/replay", $$"""{"all":true,"dry_run":true,"schema":{{Schema("cost")}}}""");
        Assert.Equal((1, 1), (Count(trial, "passed"), Count(trial, "failed")));
        var refused = await server.Api.PostAsync($"v2/sinks/{sink}/quarantine/replay", $$"""{"all":true,"schema":{{Schema("cost")}}}""", Cancellation);
        Assert.Equal(HttpStatusCode.BadRequest, refused.Status);

        await PutAsync(sink, Schema("cost"));
        var outcome = await PostAsync($"v2/sinks/{sink}/quarantine/replay", $$"""{"group":"{{group["id"]}}"}""");
        Assert.Equal((1, 1, 0), (Count(outcome, "passed"), Count(outcome, "failed"), Count(outcome, "not_loaded")));
        Assert.Equal("/cost", outcome["failures"]![0]!["errors"]![0]!["path"]!.GetValue<string>());
        Assert.Equal(0, Count(await PostAsync($"v2/sinks/{sink}/quarantine/replay", """{"all":true}"""), "passed"));

        var table = (await server.Api.GetAsync($"v2/sinks/{sink}", Cancellation)).Json["sink_details"]!["table"]!.GetValue<string>();
        var rows = await server.Api.QueryAsync(server.DatabaseId, $"SELECT _id, price FROM {table} ORDER BY _id", Cancellation);
        Assert.Equal(["1:2.50", "3:1.00"], rows.Select(row => $"{row![0]}:{row[1]}"));
        var ledger = (await server.Api.GetAsync($"v2/sinks/{sink}/ledger", Cancellation)).Json;
        Assert.Equal((3, 1, 2, 1, 0, 1), (Count(ledger, "received"), Count(ledger, "accepted"), Count(ledger, "rejected"), Count(ledger, "loaded"), Count(ledger, "pending"), Count(ledger, "replayed")));
        var states = (await server.Api.GetAsync($"v2/sinks/{sink}/quarantine?group={group["id"]}", Cancellation)).Json["resources"]!.AsArray();
        Assert.Equal(["replayed", "waiting"], states.Select(entry => entry!["state"]!.GetValue<string>()));
    }

    [Fact]
    public async Task Pages_discards_and_bad_parameters()
    {
        var sink = await server.MakeSinkAsync();
        await SendAsync(sink, $$"""{"records":[{{string.Join(',', Enumerable.Range(0, 5).Select(i => $$$"""{"value":{"id":{{{i}}},"price":"x"}}"""))}}]}""");
        var group = Assert.Single(await GroupsAsync(sink))!["id"]!.GetValue<string>();
        var ids = new List<string>();
        for (string? after = null; ;)
        {
            var page = (await server.Api.GetAsync($"v2/sinks/{sink}/quarantine?group={group}&limit=2{(after is null ? "" : "&after=" + after)}", Cancellation)).Json;
            ids.AddRange(page["resources"]!.AsArray().Select(entry => entry!["id"]!.GetValue<string>()));
            if ((after = page["next"]?.GetValue<string>()) is null) break;
        }
        Assert.Equal(5, ids.Distinct().Count());
        Assert.Equal(1, Count(await DeleteAsync($"v2/sinks/{sink}/quarantine?entry={ids[0]}"), "discarded"));
        Assert.Equal(4, Count(await DeleteAsync($"v2/sinks/{sink}/quarantine?group={group}"), "discarded"));
        Assert.Equal((5, 0, 5), Assert.Single(await GroupsAsync(sink)) is { } left ? (Count(left, "count"), Count(left, "waiting"), Count(left, "discarded")) : default);

        foreach (var path in new[] { "quarantine?group=nonsense", $"quarantine?group={group}&limit=0", $"quarantine?group={group}&after=x" })
            Assert.Equal(HttpStatusCode.BadRequest, (await server.Api.GetAsync($"v2/sinks/{sink}/{path}", Cancellation)).Status);
        foreach (var body in new[] { "{}", """{"all":true,"group":"1"}""", """{"entries":["x"]}""", """{"entries":[1]}""", """{"group":"zz"}""" })
            Assert.Equal(HttpStatusCode.BadRequest, (await server.Api.PostAsync($"v2/sinks/{sink}/quarantine/replay", body, Cancellation)).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await server.Api.GetAsync($"v2/sinks/{Guid.NewGuid()}/quarantine", Cancellation)).Status);
    }

    [Fact]
    public async Task A_sink_says_what_it_keeps()
    {
        var sink = await server.MakeSinkAsync();
        await PutAsync(sink, Schema("price"), ""","quarantine":{"keep_raw":false,"max_age":"2d"},"sample":false""");
        var shown = (await server.Api.GetAsync($"v2/sinks/{sink}", Cancellation)).Json;
        Assert.Equal((false, "48h", false), (shown["quarantine"]!["keep_raw"]!.GetValue<bool>(), shown["quarantine"]!["max_age"]!.GetValue<string>(), shown["sample"]!.GetValue<bool>()));
        await SendAsync(sink, """{"records":[{"value":{"id":1,"price":"secret"}}]}""");
        var sample = Assert.Single(await GroupsAsync(sink))!["sample"]!;
        Assert.Equal((null, true), (sample["raw"], sample["raw_omitted"]!.GetValue<bool>()));
        Assert.Empty((await server.Api.GetAsync($"v2/sinks/{sink}/sample", Cancellation)).Json["resources"]!.AsArray());
        Assert.Equal(1, Count(await PostAsync($"v2/sinks/{sink}/quarantine/replay", """{"all":true}"""), "without_raw"));
    }

    /// <summary>kill -9 while a replay runs, wherever it falls: each record is in the table once and counted once.</summary>
    [Fact]
    public async Task A_replay_that_is_killed_and_asked_for_again_loads_each_record_once()
    {
        const int perCycle = 300;
        var directory = Directory.CreateTempSubdirectory("sluice-replay-").FullName;
        var random = new Random();
        try
        {
            var (database, sink) = ("", "");
            const int cycles = 5;
            for (var cycle = 0; cycle < cycles; cycle++)
            {
                await using var process = await ServerProcess.StartAsync(directory, "Sluice.Server", Cancellation);
                using var api = await ApiClient.LoginAsync(process.HttpPort, Cancellation);
                if (cycle == 0) (database, sink) = await MakeAsync(api);
                await api.PutAsync($"v2/sinks/{sink}", $$"""{"schema":{{Numbers("n")}}}""", Cancellation);
                var records = Enumerable.Range(cycle * perCycle, perCycle).Select(i => string.Create(CultureInfo.InvariantCulture, $"{{\"value\":{{\"id\":{i},\"n\":\"x\"}}}}"));
                await api.PostAsync($"v2/sinks/{sink}?wait=loaded&return=summary", $$"""{"records":[{{string.Join(',', records)}}]}""", Cancellation);
                await api.PutAsync($"v2/sinks/{sink}", $$"""{"schema":{{Numbers("id")}}}""", Cancellation);
                var replays = Enumerable.Range(0, 2).Select(_ => IgnoreAsync(api.PostAsync($"v2/sinks/{sink}/quarantine/replay", """{"all":true}""", Cancellation))).ToList();
                await Task.Delay(TimeSpan.FromMilliseconds(random.Next(0, 120)), TimeProvider.System, Cancellation);
                await process.KillAsync();
                await Task.WhenAll(replays);
            }

            await using var last = await ServerProcess.StartAsync(directory, "Sluice.Server", Cancellation);
            using var again = await ApiClient.LoginAsync(last.HttpPort, Cancellation);
            await again.PostAsync($"v2/sinks/{sink}/quarantine/replay", """{"all":true}""", Cancellation);
            var rows = await again.QueryAsync(database, "SELECT count(*), count(DISTINCT _id) FROM events", Cancellation);
            Assert.Equal((cycles * perCycle, cycles * perCycle), (rows[0]![0]!.GetValue<int>(), rows[0]![1]!.GetValue<int>()));
            var ledger = (await again.GetAsync($"v2/sinks/{sink}/ledger", Cancellation)).Json;
            Assert.Equal((cycles * perCycle, cycles * perCycle, 0), (Count(ledger, "rejected"), Count(ledger, "replayed"), Count(ledger, "pending")));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }

        static async Task IgnoreAsync(Task<Answer> answer)
        {
            try
            {
                await answer;
            }
            catch (Exception e) when (e is HttpRequestException or IOException)
            {
                // the server is dead by now
            }
        }

        // the second mapping takes the number from where there is one
        static string Numbers(string path) => $$"""{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"n","path":["{{path}}"]}]}""";

        static async Task<(string, string)> MakeAsync(ApiClient api)
        {
            var database = await api.CreateAsync("v2/databases", """{"name":"replays"}""", Cancellation);
            await api.QueryAsync(database, "CREATE TABLE events (_id ID, n INT)", Cancellation);
            return (database, await api.CreateAsync("v2/sinks", $$"""{"name":"replays","sink_details":{"database_id":"{{database}}","table":"events"},"schema":{{Numbers("n")}}}""", Cancellation));
        }
    }

    static string Schema(string price) => $$"""{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"price","path":["{{price}}"]}]}""";

    Task<Answer> SendAsync(string sink, string body) => server.Api.PostAsync($"v2/sinks/{sink}?wait=loaded", body, Cancellation);

    async Task<JsonArray> GroupsAsync(string sink) => (await server.Api.GetAsync($"v2/sinks/{sink}/quarantine", Cancellation)).Json["resources"]!.AsArray();

    async Task<JsonNode> PostAsync(string path, string body)
    {
        var answer = await server.Api.PostAsync(path, body, Cancellation);
        Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
        return answer.Json;
    }

    async Task PutAsync(string sink, string schema, string more = "")
    {
        var answer = await server.Api.PutAsync($"v2/sinks/{sink}", $$"""{"schema":{{schema}}{{more}}}""", Cancellation);
        Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
    }

    async Task<JsonNode> DeleteAsync(string path)
    {
        using var answer = await server.Http.DeleteAsync(new Uri(path, UriKind.Relative), Cancellation);
        return JsonNode.Parse(await answer.Content.ReadAsStringAsync(Cancellation))!;
    }

    static long Count(JsonNode node, string name) => node[name]!.GetValue<long>();
}
