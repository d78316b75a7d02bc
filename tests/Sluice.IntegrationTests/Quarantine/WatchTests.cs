using System.Net;
using System.Text.Json.Nodes;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Quarantine;

/// <summary>Sample, trial and tail of a sink, and a schema proposed from samples.</summary>
public sealed class WatchTests(IngestServer server) : IClassFixture<IngestServer>
{
    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    static string Root
    {
        get
        {
            var directory = AppContext.BaseDirectory;
            while (!File.Exists(Path.Combine(directory, "Sluice.slnx"))) directory = Path.GetDirectoryName(directory)!;
            return directory;
        }
    }

    [Fact]
    public async Task Another_mapping_is_tried_on_the_newest_records()
    {
        var sink = await server.MakeSinkAsync();
        await server.Api.PostAsync($"v2/sinks/{sink}", """{"records":[{"value":{"id":1,"price":1,"cost":"2.005"}},{"value":{"id":2,"price":"x","cost":"y"}}]}""", Cancellation);
        Assert.Equal(2, (await server.Api.GetAsync($"v2/sinks/{sink}/sample", Cancellation)).Json["resources"]!.AsArray().Count);
        var answer = await server.Api.PostAsync($"v2/sinks/{sink}/try", """{"schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"price","path":["cost"]}]}}""", Cancellation);
        Assert.Equal((1, 1), (answer.Json["success_count"]!.GetValue<int>(), answer.Json["error_count"]!.GetValue<int>()));
        var records = answer.Json["records"]!.AsArray();
        Assert.Equal("/cost", records[0]!["errors"]![0]!["path"]!.GetValue<string>());
        Assert.Equal("""{"_id":1,"price":2.00}""", records[1]!["values"]!.ToJsonString());
        Assert.Equal("price", records[1]!["warnings"]![0]!["column"]!.GetValue<string>());
        var unknown = await server.Api.PostAsync($"v2/sinks/{sink}/try", """{"schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"none","path":["cost"]}]}}""", Cancellation);
        Assert.Equal(HttpStatusCode.BadRequest, unknown.Status);
        Assert.Equal(1, (await server.Api.GetAsync($"v2/sinks/{sink}", Cancellation)).Json["mapping_version"]!.GetValue<int>());
    }

    [Fact]
    public async Task A_field_that_nobody_mapped_is_counted_and_becomes_a_column_as_proposed()
    {
        var sink = await server.MakeSinkAsync();
        var table = (await server.Api.GetAsync($"v2/sinks/{sink}", Cancellation)).Json["sink_details"]!["table"]!.GetValue<string>();
        for (var round = 0; round < 2; round++)
            await server.Api.PostAsync($"v2/sinks/{sink}", """{"records":[{"value":{"id":1,"Client":{"SentAt":"2026-01-01T00:00:00.5Z"}}},{"value":{"id":2,"price":1,"n":null}}]}""", Cancellation);

        var drift = (await server.Api.GetAsync($"v2/sinks/{sink}/drift", Cancellation)).Json;
        Assert.Equal([("/Client/SentAt", 2, """{"text":2}"""), ("/n", 2, """{"null":2}""")], drift["resources"]!.AsArray().Select(path => (path!["path"]!.GetValue<string>(), path["count"]!.GetValue<int>(), path["kinds"]!.ToJsonString())));
        var proposal = drift["resources"]![0]!["proposal"]!;
        Assert.Equal(("client_sent_at", "only null came"), (proposal["name"]!.GetValue<string>(), drift["resources"]![1]!["proposal"]!["reason"]!.GetValue<string>()));

        await server.Api.CreateAsync($"v2/tables/{server.DatabaseId}/{table}/fields/{proposal["name"]}", proposal["options"]!.ToJsonString(), Cancellation);
        var mapped = await server.Api.PutAsync($"v2/sinks/{sink}", $$"""
            {"schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"{{proposal["name"]}}","path":{{proposal["path"]!.ToJsonString()}} }]} }
            """, Cancellation);
        Assert.Equal(HttpStatusCode.OK, mapped.Status);
        await server.Api.PostAsync($"v2/sinks/{sink}?wait=loaded", """{"records":[{"value":{"id":1,"Client":{"SentAt":"2026-01-01T00:00:00.5Z"}}}]}""", Cancellation);
        Assert.Equal("2026-01-01T00:00:00.5Z", (await server.Api.QueryAsync(server.DatabaseId, $"SELECT client_sent_at FROM {table} WHERE _id = 1", Cancellation))[0]![0]!.GetValue<string>());
        var left = (await server.Api.GetAsync($"v2/sinks/{sink}/drift", Cancellation)).Json["resources"]!.AsArray();
        Assert.Equal("/n", Assert.Single(left)!["path"]!.GetValue<string>());
    }

    [Theory]
    [InlineData("?errors=true", "2:rejected 4:rejected")]
    [InlineData("?filter=%22id%22:4", "4:rejected")]
    [InlineData("", "1:accepted 2:rejected 3:accepted 4:rejected")]
    public async Task The_tail_shows_what_was_asked_for_as_it_comes(string query, string expected)
    {
        var sink = await server.MakeSinkAsync();
        using var request = new HttpRequestMessage(HttpMethod.Get, $"v2/sinks/{sink}/tail{query}");
        using var answer = await server.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancellation);
        Assert.Equal("application/x-ndjson", answer.Content.Headers.ContentType!.MediaType);
        using var lines = new StreamReader(await answer.Content.ReadAsStreamAsync(Cancellation));
        var sent = await server.Api.PostAsync($"v2/sinks/{sink}", """{"records":[{"value":{"id":1}},{"value":{"id":2,"price":"x"}},{"value":{"id":3}},{"value":{"id":4,"price":"x"}}]}""", Cancellation);

        var seen = new List<string>();
        while (seen.Count < expected.Split(' ').Length)
        {
            if (await lines.ReadLineAsync(Cancellation) is not { Length: > 0 } line) continue;
            var record = JsonNode.Parse(line)!;
            Assert.Equal(sent.Json["request_id"]!.GetValue<string>(), record["request_id"]!.GetValue<string>());
            Assert.Equal(record["status"]!.GetValue<string>() == "rejected" ? 1 : 0, record["errors"]!.AsArray().Count);
            seen.Add($"{JsonNode.Parse(record["raw"]!.GetValue<string>())!["value"]!["id"]}:{record["status"]}");
        }
        Assert.Equal(expected, string.Join(' ', seen));
    }

    [Fact]
    public async Task Server_sent_events_and_a_bound_on_those_who_watch()
    {
        var sink = await server.MakeSinkAsync();
        var watching = new List<HttpResponseMessage>();
        for (var i = 0; i < 17; i++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"v2/sinks/{sink}/tail") { Headers = { { "Accept", "text/event-stream" } } };
            watching.Add(await server.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, Cancellation));
        }
        Assert.Equal([.. Enumerable.Repeat(HttpStatusCode.OK, 16), HttpStatusCode.BadRequest], watching.Select(answer => answer.StatusCode));
        Assert.Equal("text/event-stream", watching[0].Content.Headers.ContentType!.MediaType);
        watching.ForEach(answer => answer.Dispose());
    }

    [Theory]
    [InlineData("iris", """{"records":[{"value":{"id":1,"sepalLength":"5.1","species":"setosa"}},{"value":{"id":2,"sepalLength":"4.25","species":"setosa"}}]}""",
        "_id=id sepal_length=decimal(2) species=string")]
    [InlineData("quakes", """
        {"type":"FeatureCollection","metadata":{"count":2},"features":[
         {"type":"Feature","properties":{"mag":2,"time":1517966773840,"tz":-480,"felt":null,"net":"ci"},"geometry":{"type":"Point","coordinates":[-118.6,34.5,5.4]},"id":"ci37868143"},
         {"type":"Feature","properties":{"mag":1.25,"time":1517966773841,"tz":-480,"felt":null,"net":"ci"},"geometry":{"type":"Point","coordinates":[-118,34,5]},"id":"ci37868144"}]}
        """, "_id=string geometry_coordinates=vector geometry_type=string properties_mag=decimal(2) properties_net=string properties_time=timestamp properties_tz=int type=string")]
    [InlineData("visits", """
        {"uuid":"a","seen":"2026-01-01T10:00:00.5Z","tags":["x"],"ids":[1,2],"ok":true,"mixed":1,"big":123456789012345678901,"Odd Name!":1}
        {"uuid":"b","seen":"2026-01-01T10:00:00Z","tags":["x","y"],"ids":[3],"ok":false,"mixed":"a","big":1,"odd_name_":2}
        """, "_id=string big=string ids=idset mixed=string odd_name=int odd_name_2=int ok=bool seen=timestamp tags=stringset")]
    [InlineData("flights", """[{"date":"2001/01/01 00:47","delay":66,"origin":"DTW"},{"date":"2001/01/01 00:47","delay":66,"origin":"DTW"}]""",
        "_id=id date=string delay=int origin=string")]
    public async Task A_proposed_table_and_sink_can_be_posted_as_they_are_and_take_the_samples(string name, string samples, string columns)
    {
        var answer = await server.Api.PostAsync($"v2/databases/{server.DatabaseId}/infer?name={name}", samples, Cancellation);
        Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
        await server.Api.CreateAsync($"v2/tables/{server.DatabaseId}", answer.Json["table"]!.ToJsonString(), Cancellation);
        var sink = await server.Api.CreateAsync("v2/sinks", answer.Json["sink"]!.ToJsonString(), Cancellation);
        var fields = (await server.Api.GetAsync($"v2/tables/{server.DatabaseId}/{name}", Cancellation)).Json["fields"]!.AsArray();
        Assert.Equal(columns, string.Join(' ', fields.Select(field => $"{field!["name"]}={(field["base_type"]!.GetValue<string>() == "decimal" ? field["type"] : field["base_type"])}")));
        Assert.All(answer.Json["columns"]!.AsArray(), column => Assert.NotEmpty(column!["reason"]!.GetValue<string>()));

        var root = samples.TrimStart().Contains("\n{", StringComparison.Ordinal) ? null : JsonNode.Parse(samples);
        var values = root is null ? samples.Trim().Split('\n').Select(line => line.Trim())
            : (root as JsonArray ?? (root["records"] ?? root["features"])!.AsArray()).Select(record => (record!["value"] ?? record)!.ToJsonString());
        var sent = await server.Api.PostAsync($"v2/sinks/{sink}?format=ndjson&wait=loaded", string.Join('\n', values), Cancellation);
        Assert.Equal((2, 0), (sent.Json["success_count"]!.GetValue<int>(), sent.Json["error_count"]!.GetValue<int>()));
    }

    [Theory]
    [InlineData("iris.json", 150)]
    [InlineData("earthquakes.json", 1_707)]
    public async Task The_demo_files_get_a_table_that_takes_every_record(string file, int records)
    {
        var text = await File.ReadAllTextAsync(Path.Combine(Root, "demo", file), Cancellation);
        var name = "demo-" + Path.GetFileNameWithoutExtension(file);
        var answer = await server.Api.PostAsync($"v2/databases/{server.DatabaseId}/infer?name={name}", text, Cancellation);
        Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
        Assert.Equal(records, answer.Json["samples"]!.GetValue<int>());
        await server.Api.CreateAsync($"v2/tables/{server.DatabaseId}", answer.Json["table"]!.ToJsonString(), Cancellation);
        var sink = await server.Api.CreateAsync("v2/sinks", answer.Json["sink"]!.ToJsonString(), Cancellation);
        var root = JsonNode.Parse(text)!;
        var values = root["records"] is { } list ? list.AsArray().Select(record => record!["value"]!) : root["features"]!.AsArray().Select(feature => feature!);
        var sent = await server.Api.PostAsync($"v2/sinks/{sink}?format=ndjson&wait=loaded&return=errors", string.Join('\n', values.Select(value => value.ToJsonString())), Cancellation);
        Assert.True(sent.Json["error_count"]!.GetValue<int>() == 0, sent.Text);
        Assert.Equal(records, sent.Json["success_count"]!.GetValue<int>());
    }

    [Theory]
    [InlineData("")]
    [InlineData("not json")]
    [InlineData("[1,2]")]
    [InlineData("""{"records":[]}""")]
    public async Task Samples_that_are_none_are_refused(string body) =>
        Assert.Equal(HttpStatusCode.BadRequest, (await server.Api.PostAsync($"v2/databases/{server.DatabaseId}/infer", body, Cancellation)).Status);
}
