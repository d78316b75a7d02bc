using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>Bodies that are no text, and numbers that are no numbers: a clear refusal each, never a fault of the server.</summary>
public sealed class HostileBodyTests(IngestServer server) : IClassFixture<IngestServer>
{
    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("v2/databases", """{"name":"\ud800"}""")]
    [InlineData("v2/databases", """{"\udc00":1,"name":"x"}""")]
    [InlineData("v2/sinks", """{"name":"a","sink_details":{"database_id":"\ud800","table":"t"}}""")]
    [InlineData("v2/users/current/keys", """{"description":"\ud800"}""")]
    [InlineData("v2/databases/{db}/query", """{"language":"sql","statement":"\ud800"}""")]
    [InlineData("", """{"USERNAME":"\ud800","PASSWORD":"x"}""")]
    [InlineData("", """{"REFRESH_TOKEN":"\ud800"}""")]
    public async Task Half_a_surrogate_pair_is_refused(string path, string body)
    {
        var answer = await server.Api.PostAsync(path.Replace("{db}", server.DatabaseId, StringComparison.Ordinal), body, Cancellation);

        Assert.True(answer.Status == HttpStatusCode.BadRequest, answer.Text);
    }

    [Fact]
    public async Task Invalid_utf8_is_refused()
    {
        var body = Encoding.ASCII.GetBytes("""{"name":"x?"}""");
        body[^3] = 0xFF;

        var answer = await server.Api.SendAsync(HttpMethod.Post, "v2/databases", body, Cancellation);

        Assert.Equal((HttpStatusCode.BadRequest, "InvalidBody"), (answer.Status, answer.Json["code"]!.GetValue<string>()));
    }

    [Theory]
    [InlineData("SELECT 1e309")]
    [InlineData("SELECT -1e309 AS x")]
    public async Task A_constant_beyond_all_numbers_is_an_error_of_the_statement(string sql)
    {
        var answer = await server.Api.PostAsync($"v2/databases/{server.DatabaseId}/query/sql", sql, Cancellation);

        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.Contains("out of range", answer.Json["error"]!.GetValue<string>(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("-Infinity")]
    [InlineData("NaN")]
    [InlineData("1e300")]
    public async Task A_timeout_that_is_no_time_is_refused(string timeout)
    {
        using var answer = await server.SendAsync(await server.MakeSinkAsync(), IngestServer.Records(1, 1), query: $"?wait=loaded&timeout={timeout}");

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
    }

    [Fact]
    public async Task A_record_that_fails_in_every_column_does_not_blow_up_the_log()
    {
        var columns = Enumerable.Range(0, 30).Select(i => $"c{i}").ToList();
        await server.Api.QueryAsync(server.DatabaseId, $"CREATE TABLE wide (_id ID, {string.Join(", ", columns.Select(column => column + " INT"))})", Cancellation);
        var definition = new JsonArray([.. columns.Prepend("_id").Select(column => new JsonObject { ["name"] = column, ["path"] = new JsonArray(column) })]);
        var sink = await server.Api.CreateAsync("v2/sinks", new JsonObject
        {
            ["name"] = "wide",
            ["sink_details"] = new JsonObject { ["database_id"] = server.DatabaseId, ["table"] = "wide" },
            ["schema"] = new JsonObject { ["id_field"] = "_id", ["allow_missing_fields"] = false, ["definition"] = definition },
        }.ToJsonString(), Cancellation);
        const int records = 10_000;

        using var answer = await server.SendAsync(sink, $$"""{"records":[{{string.Join(',', Enumerable.Repeat("""{"value":{}}""", records))}}]}""", query: "?return=summary");

        Assert.Equal(records, (await IngestServer.ReadJsonAsync(answer)).GetProperty("error_count").GetInt32());
        var logBytes = Directory.GetFiles(Path.Combine(server.DataDirectory, "logs"), "segment-*", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length);
        Assert.True(logBytes < 8 << 20, $"the logs have {logBytes} bytes");
    }
}
