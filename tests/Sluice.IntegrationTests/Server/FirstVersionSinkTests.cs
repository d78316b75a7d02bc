using System.Net;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>Sinks of <c>/v1</c>, whose definitions describe the columns that the table lacks.</summary>
public sealed class FirstVersionSinkTests(IngestServer server) : IClassFixture<IngestServer>
{
    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_definition_makes_the_columns_that_the_table_lacks_and_takes_records()
    {
        await QueryAsync("CREATE TABLE old (_id ID, present STRING)");

        var sink = await server.Api.CreateAsync("v1/sinks", Body("old", """
            [{"name":"id","path":["id"],"type":"id","config":{"Mutex":true}},
             {"name":"present","path":["p"],"type":"int"},
             {"name":"one","path":["one"],"type":"string","config":{"Mutex":true}},
             {"name":"many","path":["many"],"type":"string","config":{"Mutex":false}},
             {"name":"texts","path":["texts"],"type":"strings"},
             {"name":"num","path":["num"],"type":"id","config":{"Mutex":true}},
             {"name":"nums","path":["nums"],"type":"ids"},
             {"name":"seen","path":["seen"],"type":"string","config":{"Mutex":false,"Quantum":"YMD","TTL":"24h"}},
             {"name":"when","path":["t"],"type":"recordTime"},
             {"name":"flag","path":["flag"],"type":"bool"},
             {"name":"count","path":["count"],"type":"int","config":{"Min":0,"Max":100,"ForeignIndex":""}},
             {"name":"price","path":["price"],"type":"decimal","config":{"Scale":3}},
             {"name":"sum","path":["sum"],"type":"decimal"},
             {"name":"at","path":["at"],"type":"timestamp","config":{"Granularity":"ms"}}]
            """), Cancellation);

        Assert.Equal(
            """[["create table old (_id id, at timestamp timeunit 'ms', count int min 0 max 100, flag bool, many stringset, num id, nums idset, one string, present string, price decimal(3), seen stringsetq timequantum 'YMD' ttl '24h', sum decimal(2), texts stringset);"]]""",
            await QueryAsync("SHOW CREATE TABLE old"));
        Assert.Equal(2, (await server.Api.GetAsync($"v2/tables/{server.DatabaseId}/old", Cancellation)).Json["schema_version"]!.GetValue<int>());
        using var response = await server.SendAsync(sink, """{"records":[{"value":{"id":1,"one":"a","seen":["b"],"t":"2026-01-02T03:04:05Z","price":"1.5","at":1767323045123}}]}""", query: "?wait=loaded");
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(
            """[[1,"a",["b"],1.500,"2026-01-02T03:04:05.123Z",true]]""",
            await QueryAsync("SELECT _id, one, seen, price, \"at\", RANGEQ(seen, '2026-01-02', '2026-01-03') AS r FROM old"));
    }

    [Theory]
    [InlineData("v2", """[{"name":"_id","path":["i"]},{"name":"x","path":["x"],"type":"int"}]""", "RelatedResourceNotFound", "Table '{0}' has no column 'x'.")]
    [InlineData("v1", """[{"name":"_id","path":["i"]},{"name":"x","path":["x"]}]""", "RelatedResourceNotFound", "Table '{0}' has no column 'x'.")]
    [InlineData("v1", """[{"name":"_id","path":["i"]},{"name":"x","path":["x"],"type":"dateInt"}]""", "InvalidParameter", "Parameter 'schema.definition[1].type' makes no column: it must be one of string, strings, id, ids, bool, int, decimal, timestamp, recordTime.")]
    [InlineData("v1", """[{"name":"_id","path":["i"]},{"name":"x","path":["x"],"type":"decimal","config":{"Scale":19}}]""", "InvalidParameter", "Parameter 'schema.definition[1].config': scale 19 is not supported: decimals are kept in 18 digits, so that every value of the column fits; use a scale from 0 to 18")]
    [InlineData("v1", """[{"name":"_id","path":["i"]},{"name":"X","path":["x"],"type":"int"}]""", "InvalidParameter", "Parameter 'schema.definition[1].name' must begin with a lower-case letter and hold only lower-case letters, digits, '-' and '_'.")]
    [InlineData("v1", """[{"name":"_id","path":["i"]},{"name":"x","path":["x"],"type":"ids","config":{"Quantum":"YMD"}}]""", "InvalidParameter", "Parameter 'schema.definition' must have an entry named \"_timeQuantum\": column 'x' has a time quantum.")]
    public async Task What_is_refused_leaves_the_table_as_it_was(string version, string definition, string code, string message)
    {
        var table = $"r{Guid.NewGuid():N}";
        await QueryAsync($"CREATE TABLE {table} (_id ID, a INT)");

        var answer = await server.Api.PostAsync($"{version}/sinks", Body(table, definition, "_id"), Cancellation);

        Assert.Equal((HttpStatusCode.BadRequest, code, message.Replace("{0}", table, StringComparison.Ordinal)), (answer.Status, answer.Json["code"]!.GetValue<string>(), answer.Json["message"]!.GetValue<string>()));
        Assert.Equal($"""[["create table {table} (_id id, a int);"]]""", await QueryAsync($"SHOW CREATE TABLE {table}"));
    }

    [Fact]
    public async Task A_name_that_is_taken_adds_no_columns()
    {
        await QueryAsync("CREATE TABLE taken (_id ID, a INT)");
        await server.Api.CreateAsync("v1/sinks", Body("taken", """[{"name":"_id","path":["i"]},{"name":"b","path":["b"],"type":"int"}]""", "_id"), Cancellation);

        var again = await server.Api.PostAsync("v1/sinks", Body("taken", """[{"name":"_id","path":["i"]},{"name":"c","path":["c"],"type":"int"}]""", "_id"), Cancellation);

        Assert.Equal(HttpStatusCode.Conflict, again.Status);
        Assert.Equal("""[["create table taken (_id id, a int, b int);"]]""", await QueryAsync("SHOW CREATE TABLE taken"));
    }

    string Body(string table, string definition, string key = "id") => $$"""
        {"name":"{{table}}","sink_details":{"deployment_id":"{{server.DatabaseId}}","table":"{{table}}"},
         "schema":{"type":"json","id_field":"{{key}}","allow_missing_fields":true,"definition":{{definition}} } }
        """;

    async Task<string> QueryAsync(string sql) => (await server.Api.QueryAsync(server.DatabaseId, sql, Cancellation)).ToJsonString(
        new System.Text.Json.JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
