using System.Net;
using System.Text.Json.Nodes;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>What a table can promise, made with REST and with SQL and held by sinks and by SQL: keys, required columns, defaults.</summary>
public sealed class TablePropertiesTests(IngestServer server) : IClassFixture<IngestServer>
{
    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_server_makes_ids_for_records_of_a_sink_and_of_sql()
    {
        var table = await PostAsync($"v2/tables/{server.DatabaseId}", """{"name":"events","options":{"keys":false,"auto_id":true},"fields":[{"name":"kind","options":{"type":"string"}}]}""");
        Assert.Equal("""{"keys":false,"trackExistence":true,"auto_id":true}""", table["options"]!.ToJsonString());
        var sink = await CreateSinkAsync("events", """{"allow_missing_fields":true,"definition":[{"name":"kind","path":["kind"]}]}""");

        for (var i = 0; i < 2; i++)
        {
            using var response = await server.SendAsync(sink, """{"records":[{"value":{"kind":"a"}},{"value":{"kind":["b"]}},{"value":{"kind":"a"}}]}""", query: "?wait=loaded");
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        }
        await QueryAsync("INSERT INTO events (kind) VALUES ('c'), ('c')");
        await QueryAsync("INSERT INTO events VALUES ('d')");

        // sequence x 2^17 + index: each row's place in the log
        Assert.Equal(
            """[[0,"a"],[2,"a"],[131072,"a"],[131074,"a"],[262144,"c"],[262145,"c"],[393216,"d"]]""",
            await QueryAsync("SELECT _id - min(_id) OVER () AS n, kind FROM events ORDER BY n"));
        Assert.Equal("[[7]]", await QueryAsync("SELECT count(*) FROM events WHERE _id = _position"));
        Assert.Equal("""[["create table events (_id id auto, kind string);"]]""", await QueryAsync("SHOW CREATE TABLE events"));
        Assert.Equal("[1:21] insert column list must not have '_id': the server makes the ids of this table", await ErrorAsync("INSERT INTO events (_id, kind) VALUES (1, 'x')"));
    }

    [Fact]
    public async Task Ids_that_the_server_makes_are_numbers_and_mapped_by_nobody()
    {
        Assert.Equal(
            "Parameter 'options.auto_id' does not fit 'keys' true: ids that the server makes are Numbers.",
            await RefusalAsync(HttpMethod.Post, $"v2/tables/{server.DatabaseId}", """{"name":"texts","options":{"keys":true,"auto_id":true}}"""));
        Assert.Equal("[1:32] _id column must be specified with no constraints", await ErrorAsync("CREATE TABLE texts (_id STRING AUTO, a INT)"));
        await QueryAsync("CREATE TABLE autos (_id ID AUTO, a INT)");
        Assert.Equal(
            "Parameter 'schema' may name no _id, neither in 'id_field' nor in 'definition': the server makes the ids of table 'autos'.",
            await RefusalAsync(HttpMethod.Post, "v2/sinks", SinkBody("autos", """{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}""")));
    }

    [Fact]
    public async Task A_key_of_several_fields_is_joined_and_names_its_row()
    {
        await QueryAsync("CREATE TABLE visits (_id STRING, site STRING, n INT, seen STRINGSET)");
        var sink = await CreateSinkAsync("visits", """
            {"primary_key_fields":["site","user"],"allow_missing_fields":true,
             "definition":[{"name":"site","path":["site"]},{"name":"user","path":["who","id"]},{"name":"n","path":["n"]},{"name":"seen","path":["seen"]}]}
            """);
        using var response = await server.SendAsync(sink, """
            {"records":[{"value":{"site":"a","who":{"id":7},"n":1,"seen":["x"]}},{"value":{"who":{"id":7},"site":"a","seen":["y"]}},{"value":{"site":"a"}},{"value":{"site":"b","who":{"id":7.50}}}]}
            """, query: "?wait=loaded");

        var records = (await IngestServer.ReadJsonAsync(response)).GetProperty("records");
        Assert.Equal("""[{"column":"_id","path":"/who/id","code":"MissingKey","expected":"string of 1 to 1024 bytes","got":"nothing"}]""", records[2].GetProperty("errors").GetRawText());
        Assert.Equal(
            """[["a|7","a",1,["x","y"]],["b|7.50","b",null,null]]""",
            await QueryAsync("SELECT _id, site, n, list_sort(seen) FROM visits ORDER BY _id"));
        var shown = (await server.Api.GetAsync($"v2/sinks/{sink}", Cancellation)).Json;
        Assert.Equal("""["site","user"]""", shown["schema"]!["primary_key_fields"]!.ToJsonString());
    }

    [Fact]
    public async Task Required_and_default_columns_hold_for_sinks_and_sql()
    {
        await QueryAsync("CREATE TABLE goods (_id ID, name STRING NOT NULL, price DECIMAL(2) DEFAULT 9.5, stock INT NOT NULL DEFAULT 0, tags STRINGSET DEFAULT ['new', 'it''s'])");
        var column = await PostAsync($"v2/tables/{server.DatabaseId}/goods/fields/seen", """{"options":{"type":"timestamp","timeUnit":"ms","default":1767323045123}}""");
        Assert.Equal("""{"type":"timestamp","timeUnit":"ms","default":"2026-01-02T03:04:05.123Z"}""", column["options"]!.ToJsonString());
        var sink = await CreateSinkAsync("goods", """
            {"id_field":"_id","allow_missing_fields":true,
             "definition":[{"name":"_id","path":["id"]},{"name":"name","path":["name"]},{"name":"price","path":["price"]},{"name":"stock","path":["stock"]}]}
            """);
        using var response = await server.SendAsync(sink, """
            {"records":[{"value":{"id":1,"name":"a"}},{"value":{"id":2}},{"value":{"id":3,"name":"c","stock":null}},{"value":{"id":4,"name":"d","price":null,"stock":4}}]}
            """, query: "?wait=loaded");

        var records = (await IngestServer.ReadJsonAsync(response)).GetProperty("records");
        Assert.Equal("""[{"column":"name","path":"/name","code":"MissingRequired","expected":"string","got":"nothing"}]""", records[1].GetProperty("errors").GetRawText());
        Assert.Equal("""[{"column":"stock","path":"/stock","code":"MissingRequired","expected":"int","got":"null"}]""", records[2].GetProperty("errors").GetRawText());
        // an update says nothing of what has a default: it stays as it is
        using var update = await server.SendAsync(sink, """{"records":[{"value":{"id":4,"name":"dd"}}]}""", query: "?wait=loaded");
        Assert.Equal(HttpStatusCode.OK, update.StatusCode);
        await QueryAsync("INSERT INTO goods (_id, name, tags) VALUES (5, 'e', [])");
        Assert.Equal(
            """[[1,"a",9.50,0,["it's","new"],"2026-01-02T03:04:05.123Z"],[4,"dd",null,4,["it's","new"],"2026-01-02T03:04:05.123Z"],[5,"e",9.50,0,[],"2026-01-02T03:04:05.123Z"]]""",
            await QueryAsync("SELECT _id, name, price, stock, list_sort(tags), seen FROM goods ORDER BY _id"));
        Assert.Equal("[1:40] column 'name' is not null and has no value in row 1", await ErrorAsync("INSERT INTO goods (_id, stock) VALUES (6, 1)"));
        Assert.Equal("[1:49] column 'name' is not null and has no value in row 1", await ErrorAsync("INSERT INTO goods (_id, name, stock) VALUES (6, null, 1)"));

        const string Ddl = "create table goods (_id id, name string not null, price decimal(2) default 9.50, seen timestamp timeunit 'ms' default '2026-01-02T03:04:05.123Z', stock int not null default 0, tags stringset default ['new', 'it''s']);";
        Assert.Equal(Ddl, JsonNode.Parse(await QueryAsync("SHOW CREATE TABLE goods"))![0]![0]!.GetValue<string>());
        await QueryAsync(Ddl.Replace("goods", "again", StringComparison.Ordinal));
        Assert.Equal(Ddl, JsonNode.Parse(await QueryAsync("SHOW CREATE TABLE again"))![0]![0]!.GetValue<string>().Replace("again", "goods", StringComparison.Ordinal));
        Assert.Equal(
            """[["_id",false,""],["name",true,""],["price",false,"9.50"],["seen",false,"'2026-01-02T03:04:05.123Z'"],["stock",true,"0"],["tags",false,"['new', 'it''s']"]]""",
            new JsonArray([.. JsonNode.Parse(await QueryAsync("SHOW COLUMNS FROM goods"))!.AsArray().Select(row => new JsonArray(row![0]!.DeepClone(), row[14]!.DeepClone(), row[15]!.DeepClone()))]).ToJsonString(JsonText));
    }

    [Fact]
    public async Task A_replaced_row_has_what_is_given_and_defaults()
    {
        await QueryAsync("CREATE TABLE shelf (_id ID, a INT, b STRING DEFAULT 'none', tags STRINGSET DEFAULT ['new'], q IDSETQ TIMEQUANTUM 'YMD', v VECTOR(2))");
        const string Rows = "SELECT _id, a, b, list_sort(tags), q, v FROM shelf ORDER BY _id";
        await QueryAsync("INSERT INTO shelf (_id, a, b, tags, q, v) VALUES (1, 1, 'x', ['a'], {'2026-01-02', [7]}, [1,2]), (2, 2, 'y', ['a'], null, null), (3, 3, 'z', ['a'], null, null)");

        // an existing and a new row; then existing ones alone
        await QueryAsync("REPLACE INTO shelf (_id, a) VALUES (1, 10), (4, 40)");
        Assert.Equal("""[[1,10,"none",["new"],null,null],[2,2,"y",["a"],null,null],[3,3,"z",["a"],null,null],[4,40,"none",["new"],null,null]]""", await QueryAsync(Rows));
        await QueryAsync("REPLACE INTO shelf (_id, tags, b) VALUES (1, null, null), (2, ['b','c'], 'w'), (2, ['d'], 'v')");
        await QueryAsync("BULK REPLACE INTO shelf (_id, tags) MAP (0 ID, 1 STRINGSET) FROM '3,e' WITH INPUT 'INLINE' FORMAT 'CSV'");
        Assert.Equal("""[[1,null,null,null,null,null],[2,null,"v",["d"],null,null],[3,null,"none",["e"],null,null],[4,40,"none",["new"],null,null]]""", await QueryAsync(Rows));

        await QueryAsync("CREATE TABLE notes (_id ID AUTO, a INT)");
        await QueryAsync("REPLACE INTO notes (a) VALUES (1), (1)");
        Assert.Equal("[[2]]", await QueryAsync("SELECT count(*) FROM notes"));
    }

    [Fact]
    public async Task Rows_that_are_there_when_a_column_comes_have_null_in_it()
    {
        await QueryAsync("CREATE TABLE early (_id ID, a INT)");
        await QueryAsync("INSERT INTO early VALUES (1, 1)");
        await QueryAsync("ALTER TABLE early ADD COLUMN b INT NOT NULL DEFAULT -5");
        await QueryAsync("ALTER TABLE early ADD COLUMN q IDSETQ TIMEQUANTUM 'YMD' DEFAULT {'2026-01-02', [7]}");
        await QueryAsync("INSERT INTO early (_id, a) VALUES (1, 2), (2, 2)");

        Assert.Equal("[[1,2,null,null],[2,2,-5,[7]]]", await QueryAsync("SELECT _id, a, b, q FROM early ORDER BY _id"));
        Assert.Equal("[[2]]", await QueryAsync("SELECT _id FROM early WHERE RANGEQ(q, '2026-01-02', '2026-01-03')"));
    }

    [Theory]
    [InlineData("a INT DEFAULT 'x'", "The default of column 'a' is no value of its type: expected int, got string \"x\" (NotAnInteger).")]
    [InlineData("a INT MIN 5 DEFAULT 4", "The default of column 'a' is no value of its type: expected int from 5 to 9223372036854775807, got number 4 (OutOfRange).")]
    [InlineData("a DECIMAL(1) DEFAULT 0.25", "The default of column 'a' is no value of its type: expected decimal(1), got number 0.25 (Truncated).")]
    [InlineData("a STRING DEFAULT ''", "The default of column 'a' is null, or text that is stored as null.")]
    [InlineData("a INT DEFAULT now", "[1:43] 'now' is not a literal, which a default must be")]
    [InlineData("a INT DEFAULT", "[1:42] expected a literal")]
    [InlineData("a INT NOT", "[1:38] expected NULL")]
    [InlineData("a INT AUTO", "[1:35] 'AUTO' constraint cannot be applied to a column of type 'int'")]
    public async Task A_constraint_that_makes_no_sense_is_refused(string column, string error) =>
        Assert.Equal(error, await ErrorAsync($"CREATE TABLE wrong (_id ID, {column})"));

    [Fact]
    public async Task Rows_that_have_outlived_the_retention_go_and_the_table_says_how_many()
    {
        var table = await PostAsync($"v2/tables/{server.DatabaseId}", """{"name":"recent","options":{"retention":"720h"},"fields":[{"name":"a","options":{"type":"int"}}]}""");
        Assert.Equal(("30d", 0), (table["options"]!["retention"]!.GetValue<string>(), table["expired_rows"]!.GetValue<int>()));
        await QueryAsync("INSERT INTO recent VALUES (1, 1), (2, 2)");
        var path = $"v2/tables/{server.DatabaseId}/recent";

        // the rows are younger than a second at first; each change has the table searched
        JsonNode patched;
        for (var tries = 0; ; tries++)
        {
            var answer = await server.Api.SendAsync(HttpMethod.Patch, path, """{"options":{"retention":"1s"}}"""u8.ToArray(), Cancellation);
            Assert.Equal(HttpStatusCode.OK, answer.Status);
            patched = (await server.Api.GetAsync(path, Cancellation)).Json;
            if (patched["expired_rows"]!.GetValue<int>() == 2) break;
            Assert.True(tries < 100, answer.Text);
            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, Cancellation);
        }
        Assert.Equal("1s", patched["options"]!["retention"]!.GetValue<string>());
        Assert.Equal("[[0]]", await QueryAsync("SELECT count(*) FROM recent"));

        await QueryAsync("ALTER TABLE recent SET RETENTION '0s'");
        Assert.Null((await server.Api.GetAsync(path, Cancellation)).Json["options"]!["retention"]);
        await QueryAsync("ALTER TABLE recent SET RETENTION '36h'");
        Assert.Equal("""[["create table recent (_id id, a int) with retention '36h';"]]""", await QueryAsync("SHOW CREATE TABLE recent"));
        await QueryAsync("CREATE TABLE kept (_id ID, a INT) WITH COMMENT 'for a week' WITH RETENTION '7d'");
        Assert.Equal("""[["create table kept (_id id, a int) comment 'for a week' with retention '7d';"]]""", await QueryAsync("SHOW CREATE TABLE kept"));
        Assert.Equal("[1:32] 'soon' is not a valid retention (a duration in whole seconds such as '12h' or '30d'; '0s' keeps for ever)", await ErrorAsync("ALTER TABLE kept SET RETENTION 'soon'"));
        Assert.Equal("Parameter 'options.retention' must be a duration in whole seconds such as 12h or 30d; 0s keeps for ever.", await RefusalAsync(HttpMethod.Patch, path, """{"options":{"retention":"-1h"}}"""));
        Assert.Equal("Parameter 'options.keys' is not known here.", await RefusalAsync(HttpMethod.Patch, path, """{"options":{"keys":true}}"""));
    }

    [Fact]
    public async Task A_default_of_null_is_none()
    {
        await QueryAsync("CREATE TABLE nulls (_id ID, a INT DEFAULT NULL, b VECTOR(2) DEFAULT {1.5, 2})");
        Assert.Equal("""[["create table nulls (_id id, a int, b vector(2) default [1.5, 2]);"]]""", await QueryAsync("SHOW CREATE TABLE nulls"));
    }

    [Theory]
    [InlineData("..")]
    [InlineData("%2e%2e")]
    [InlineData(".%2E")]
    [InlineData("price/..")]
    [InlineData("%2e")]
    public async Task A_name_that_is_dots_deletes_nothing_else(string name)
    {
        var table = $"dots{Guid.NewGuid():n}";
        await PostAsync($"v2/tables/{server.DatabaseId}", $$$"""{"name":"{{{table}}}","options":{"keys":false}}""");
        var asWritten = new Uri($"{server.Http.BaseAddress}v2/tables/{server.DatabaseId}/{table}/fields/{name}", new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });

        using var answer = await server.Http.DeleteAsync(asWritten, Cancellation);

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Contains("which would stand for another resource", await answer.Content.ReadAsStringAsync(Cancellation), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, (await server.Api.GetAsync($"v2/tables/{server.DatabaseId}/{table}", Cancellation)).Status);
    }

    static System.Text.Json.JsonSerializerOptions JsonText { get; } = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    string SinkBody(string table, string schema) => $$"""{"name":"{{table}}","sink_details":{"database_id":"{{server.DatabaseId}}","table":"{{table}}"},"schema":{{schema}}}""";

    Task<string> CreateSinkAsync(string table, string schema) => server.Api.CreateAsync("v2/sinks", SinkBody(table, schema), Cancellation);

    async Task<JsonNode> PostAsync(string path, string body)
    {
        var answer = await server.Api.PostAsync(path, body, Cancellation);
        Assert.True(answer.Status == HttpStatusCode.Created, answer.Text);
        return answer.Json;
    }

    async Task<string> RefusalAsync(HttpMethod method, string path, string body)
    {
        var answer = await server.Api.SendAsync(method, path, System.Text.Encoding.UTF8.GetBytes(body), Cancellation);
        Assert.Equal((HttpStatusCode.BadRequest, "InvalidParameter"), (answer.Status, answer.Json["code"]!.GetValue<string>()));
        return answer.Json["message"]!.GetValue<string>();
    }

    async Task<string> QueryAsync(string sql) => (await server.Api.QueryAsync(server.DatabaseId, sql, Cancellation)).ToJsonString(JsonText);

    async Task<string> ErrorAsync(string sql)
    {
        var answer = await server.Api.PostAsync($"v2/databases/{server.DatabaseId}/query/sql", sql, Cancellation);
        return answer.Json["error"]?.GetValue<string>() ?? $"no error: {answer.Text}";
    }
}
