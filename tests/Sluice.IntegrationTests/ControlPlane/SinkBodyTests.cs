using System.Text.Json.Nodes;
using System.Text.Json;
using System.Text;
using Sluice.Client;
using Sluice.Schema;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.ControlPlane;

public sealed class SinkBodyTests
{
    const string Database = "5a2d5d3a-8a33-4d0f-9b0c-3a52a2f0a001";

    static readonly TableSchema s_numbers = new TableSchema
    {
        TableId = Guid.NewGuid(),
        Name = "numbers",
        Key = KeyKind.Number,
        Version = 1,
        Columns = [],
        NextColumnId = 1,
    }
    .WithColumn("price", ColumnType.Decimal(2)).WithColumn("at", ColumnType.Timestamp(TimeUnit.Second)).WithColumn("seen", ColumnType.StringSetQ("YMD"));

    static readonly TableSchema s_texts = s_numbers with { Name = "texts", Key = KeyKind.String };

    [Fact]
    public void The_documented_body_is_taken()
    {
        var body = SinkBody.ParseNew(Json(Body("""
            {"id_field":"_id","primary_key_fields":null,"allow_missing_fields":true,"definition":[
              {"name":"_id","path":["id"],"type":"id","config":{"Mutex":true}},
              {"name":"price","path":["item","price"]}]}
            """)));

        var fields = SinkMapping.Resolve(body.Schema!, s_numbers);

        Assert.Equal(("s1", Guid.Parse(Database), "numbers"), (body.Name, body.DatabaseId, body.Table));
        Assert.Equal(["_id /id", "price /item/price"], fields.Select(field => $"{field.Column} {field.Pointer}"));
        Assert.True(body.Schema!.AllowMissingFields);
        Assert.Equal("""{"Mutex":true}""", body.Schema.Definition[0].Config!.Value.GetRawText());
    }

    [Fact]
    public void A_mapping_keeps_its_meaning_through_the_catalogue()
    {
        var schema = Schema("""{"id_field":"_id","allow_missing_fields":false,"definition":[{"name":"_id","path":["a",3,"b"],"type":"id","config":{"Min":0}}]}""");

        var json = JsonSerializer.Serialize(schema, WireJson.Default.SinkSchema);
        var read = JsonSerializer.Deserialize(json, WireJson.Default.SinkSchema)!;

        Assert.Equal(SinkMapping.Resolve(schema, s_numbers), SinkMapping.Resolve(read, s_numbers));
        Assert.Equal(
            """{"type":"json","id_field":"_id","primary_key_fields":null,"allow_missing_fields":false,"definition":[{"name":"_id","path":["a",3,"b"],"type":"id","config":{"Min":0}}]}""",
            JsonNode.Parse(json)!.ToJsonString());
    }

    [Fact]
    public void The_first_version_may_name_the_key_as_it_likes()
    {
        var schema = Schema("""{"id_field":"id","allow_missing_fields":false,"definition":[{"name":"id","path":["x"]}]}""");

        Assert.Equal("_id", Assert.Single(SinkMapping.Resolve(schema, s_numbers)).Column);
        Assert.Equal("_id", schema.IdField);
    }

    [Fact]
    public void Two_entries_may_share_a_path()
    {
        var schema = Schema("""{"id_field":"_id","allow_missing_fields":false,"definition":[{"name":"_id","path":["d"]},{"name":"price","path":["d"]}]}""");

        Assert.Equal(2, SinkMapping.Resolve(schema, s_numbers).Length);
    }

    [Theory]
    [InlineData("""{"Unit":"ms"}""", TimeUnit.Millisecond, null)]
    [InlineData("""{"Granularity":"s"}""", null, null)]
    [InlineData("""{"Unit":"","Epoch":"0001-01-01T00:00:00Z","Layout":""}""", null, null)]
    [InlineData("""{"Epoch":"2020-01-01T00:00:00Z"}""", TimeUnit.Second, "2020-01-01T00:00:00Z")]
    [InlineData("""{"Layout":"2006-01-02T15:04:05Z07:00"}""", null, null)]
    public void The_config_of_a_time_says_what_numbers_mean(string config, TimeUnit? unit, string? epoch)
    {
        var schema = Schema($$"""{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["i"]},{"name":"at","path":["t"],"config":{{config}}}]}""");

        var at = SinkMapping.Resolve(schema, s_numbers)[1];

        Assert.Equal(unit, at.Unit);
        Assert.Equal(epoch, at.Epoch?.ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture));
    }

    [Fact]
    public void A_mapping_follows_its_columns()
    {
        var schema = Schema("""
            {"id_field":"_id","allow_missing_fields":true,"definition":[
              {"name":"_id","path":["i"]},{"name":"price","path":["p"]},{"name":"at","path":["t"]},{"name":"seen","path":["s"]},{"name":"_timeQuantum","path":["q"]}]}
            """);
        var after = s_numbers.WithRenamedColumn("price", "amount").WithoutColumn("at").WithColumn("price", ColumnType.Bool);

        var followed = SinkMapping.Follow(schema, s_numbers, after);

        Assert.Equal(["_id", "amount", "seen", "_timeQuantum"], followed.Definition.Select(field => field.Name));
        Assert.Same(schema, SinkMapping.Follow(schema, s_numbers, s_numbers.WithColumn("more", ColumnType.Bool)));
    }

    [Theory]
    [InlineData("name", null, ErrorCode.MissingParameter, "Parameter 'name' is required.")]
    [InlineData("name", "\"S1\"", ErrorCode.InvalidParameter, "Parameter 'name' must begin with a lower-case letter and hold only lower-case letters, digits, '-' and '_'.")]
    [InlineData("sink_details", null, ErrorCode.MissingParameter, "Parameter 'sink_details' is required.")]
    [InlineData("sink_details", "[]", ErrorCode.InvalidParameter, "Parameter 'sink_details' must be an object, not an array.")]
    [InlineData("sink_details", """{"table":"t"}""", ErrorCode.MissingParameter, "Parameter 'sink_details.database_id' is required.")]
    [InlineData("sink_details", """{"database_id":"x","table":"t"}""", ErrorCode.InvalidParameter, "Parameter 'sink_details.database_id' must be a UUID.")]
    [InlineData("sink_details", """{"database_id":"5a2d5d3a-8a33-4d0f-9b0c-3a52a2f0a001"}""", ErrorCode.MissingParameter, "Parameter 'sink_details.table' is required.")]
    [InlineData("schema", null, ErrorCode.MissingParameter, "Parameter 'schema' is required.")]
    [InlineData("schema.type", "\"csv\"", ErrorCode.InvalidParameter, "Parameter 'schema.type' must be \"json\".")]
    [InlineData("schema.allow_missing_fields", null, ErrorCode.MissingParameter, "Parameter 'schema.allow_missing_fields' is required.")]
    [InlineData("schema.allow_missing_fields", "\"true\"", ErrorCode.InvalidParameter, "Parameter 'schema.allow_missing_fields' must be true or false, not the string \"true\".")]
    [InlineData("schema.id_field", "\"other\"", ErrorCode.InvalidParameter, "Parameter 'schema.definition' must have an entry named \"other\": a record needs its _id.")]
    [InlineData("schema.primary_key_fields", """["_id"]""", ErrorCode.InvalidParameter, "Parameter 'schema.primary_key_fields' cannot be given together with 'id_field': a table's _id is a Number or a String.")]
    [InlineData("schema.definition", null, ErrorCode.MissingParameter, "Parameter 'schema.definition' is required.")]
    [InlineData("schema.definition", "[]", ErrorCode.InvalidParameter, "Parameter 'schema.definition' must have an entry named \"_id\": a record needs its _id.")]
    [InlineData("schema.definition", "[1]", ErrorCode.InvalidParameter, "Parameter 'schema.definition[0]' must be an object, not 1.")]
    [InlineData("schema.definition", """[{"path":["a"]}]""", ErrorCode.MissingParameter, "Parameter 'schema.definition[0].name' is required.")]
    [InlineData("schema.definition", """[{"name":"_id"}]""", ErrorCode.MissingParameter, "Parameter 'schema.definition[0].path' is required.")]
    [InlineData("schema.definition", """[{"name":"_id","path":[]}]""", ErrorCode.InvalidParameter, "Parameter 'schema.definition[0].path' must have 1 to 63 entries.")]
    [InlineData("schema.definition", """[{"name":"_id","path":"a.b"}]""", ErrorCode.InvalidParameter, "Parameter 'schema.definition[0].path' must be an array, not the string \"a.b\".")]
    [InlineData("schema.definition", """[{"name":"_id","path":["a",-1]}]""", ErrorCode.InvalidParameter, "Parameter 'schema.definition[0].path[1]' must be a string (a member) or an integer from 0 (an array element), not -1.")]
    [InlineData("schema.definition", """[{"name":"_id","path":["a",null]}]""", ErrorCode.InvalidParameter, "Parameter 'schema.definition[0].path[1]' must be a string (a member) or an integer from 0 (an array element), not null.")]
    [InlineData("schema.definition", """[{"name":"_id","path":["a"]},{"name":"_id","path":["b"]}]""", ErrorCode.InvalidParameter, "Parameter 'schema.definition[1].name' repeats the name of entry 0.")]
    [InlineData("truncation", "\"drop\"", ErrorCode.InvalidParameter, "Parameter 'truncation' must be \"warn\" or \"error\".")]
    [InlineData("max_records", "0", ErrorCode.InvalidParameter, "Parameter 'max_records' must be an integer from 1 to 10000000, not 0.")]
    [InlineData("max_bytes", "1e3", ErrorCode.InvalidParameter, "Parameter 'max_bytes' must be an integer from 1 to 17179869184, not 1e3.")]
    public void A_wrong_body_is_refused_naming_the_member(string member, string? json, ErrorCode code, string message)
    {
        var body = JsonNode.Parse(Body("""{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}"""))!;
        Replace(body, member, json);

        var refusal = Assert.Throws<SluiceException>(() => SinkBody.ParseNew(Json(body.ToJsonString())));

        Assert.Equal((code, message), (refusal.Code, refusal.Message));
    }

    [Theory]
    [InlineData("""["a",1]""", "Parameter 'schema.primary_key_fields[1]' must be a string, not 1.")]
    [InlineData("""["a","a"]""", "Parameter 'schema.primary_key_fields[1]' repeats a name.")]
    [InlineData("""["a","c"]""", "Parameter 'schema.definition' must have an entry named \"c\": a record needs its _id.")]
    public void The_fields_of_a_joined_key_are_entries_of_the_definition(string fields, string message)
    {
        var refusal = Assert.Throws<SluiceException>(() => Schema($$"""{"primary_key_fields":{{fields}},"allow_missing_fields":true,"definition":[{"name":"a","path":["a"]},{"name":"b","path":["b"]}]}"""));

        Assert.Equal((ErrorCode.InvalidParameter, message), (refusal.Code, refusal.Message));
    }

    [Fact]
    public void The_fields_of_a_joined_key_go_into_their_columns_too_and_follow_them()
    {
        var table = s_texts.WithColumn("a", ColumnType.Int);
        var schema = Schema("""{"primary_key_fields":["b","a"],"allow_missing_fields":true,"definition":[{"name":"a","path":["x"]},{"name":"b","path":["y"]}]}""");

        Assert.Equal(["_id /y", "_id /x", "a /x"], SinkMapping.Resolve(schema, table).Select(field => $"{field.Column} {field.Pointer}"));

        var renamed = SinkMapping.Follow(schema, table, table.WithRenamedColumn("a", "c"));
        Assert.Equal(["b", "c"], renamed.PrimaryKeyFields);
        Assert.Equal(["_id /y", "_id /x", "c /x"], SinkMapping.Resolve(renamed, table.WithRenamedColumn("a", "c")).Select(field => $"{field.Column} {field.Pointer}"));

        var dropped = SinkMapping.Follow(schema, table, table.WithoutColumn("a"));
        Assert.Equal(["_id /y", "_id /x"], SinkMapping.Resolve(dropped, table.WithoutColumn("a")).Select(field => $"{field.Column} {field.Pointer}"));

        var stray = Schema("""{"primary_key_fields":["b","a"],"allow_missing_fields":true,"definition":[{"name":"a","path":["x"]},{"name":"b","path":["y"]},{"name":"_id","path":["z"]}]}""");
        Assert.Equal("Parameter 'schema.definition' may have an entry named \"_id\" only where 'primary_key_fields' names it.", Assert.Throws<SluiceException>(() => SinkMapping.Resolve(stray, table)).Message);
    }

    [Theory]
    [InlineData("""{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["i"]}]}""")]
    [InlineData("""{"allow_missing_fields":true,"definition":[{"name":"_id","path":["i"]}]}""")]
    [InlineData("""{"primary_key_fields":["price","at"],"allow_missing_fields":true,"definition":[{"name":"price","path":["i"]},{"name":"at","path":["i"]}]}""")]
    public void Where_the_server_makes_the_ids_a_mapping_names_none(string json)
    {
        var refusal = Assert.Throws<SluiceException>(() => SinkMapping.Resolve(Schema(json), s_numbers with { IsAutoId = true }));

        Assert.Equal(
            (ErrorCode.InvalidParameter, "Parameter 'schema' may name no _id, neither in 'id_field' nor in 'definition': the server makes the ids of table 'numbers'."),
            (refusal.Code, refusal.Message));
    }

    [Fact]
    public void A_mapping_names_the_key_unless_the_server_makes_it()
    {
        var none = Schema("""{"allow_missing_fields":true,"definition":[{"name":"price","path":["p"]}]}""");

        Assert.Equal("price", Assert.Single(SinkMapping.Resolve(none, s_numbers with { IsAutoId = true })).Column);
        var refusal = Assert.Throws<SluiceException>(() => SinkMapping.Resolve(none, s_numbers));
        Assert.Equal((ErrorCode.MissingParameter, "Parameter 'schema.id_field' or 'schema.primary_key_fields' is required."), (refusal.Code, refusal.Message));
    }

    [Theory]
    [InlineData("""{"name":"nope","path":["n"]}""", ErrorCode.RelatedNotFound, "Table 'numbers' has no column 'nope'.")]
    [InlineData("""{"name":"seen","path":["s"]}""", ErrorCode.InvalidParameter, "Parameter 'schema.definition' must have an entry named \"_timeQuantum\": column 'seen' has a time quantum.")]
    [InlineData("""{"name":"at","path":["t"],"config":{"Layout":"Jan 2"}}""", ErrorCode.InvalidParameter, "Parameter 'schema.definition[1].config.Layout' is not supported: times as text are RFC 3339, as in 2006-01-02T15:04:05Z07:00.")]
    [InlineData("""{"name":"at","path":["t"],"config":{"Unit":"h"}}""", ErrorCode.InvalidParameter, "Parameter 'schema.definition[1].config.Unit' must be one of s, ms, us, ns.")]
    [InlineData("""{"name":"at","path":["t"],"config":{"Epoch":0}}""", ErrorCode.InvalidParameter, "Parameter 'schema.definition[1].config.Epoch' must be a string, not 0.")]
    public void A_mapping_must_fit_the_table(string entry, ErrorCode code, string message)
    {
        var schema = Schema($$"""{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["i"]},{{entry}}]}""");

        var refusal = Assert.Throws<SluiceException>(() => SinkMapping.Resolve(schema, s_numbers));

        Assert.Equal((code, message), (refusal.Code, refusal.Message));
    }

    [Fact]
    public void The_key_member_must_fit_the_kind_of_key()
    {
        var number = Schema("""{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["i"]}]}""");
        var text = Schema("""{"id_field":null,"primary_key_fields":["_id"],"allow_missing_fields":true,"definition":[{"name":"_id","path":["i"]}]}""");

        Assert.Single(SinkMapping.Resolve(number, s_numbers));
        Assert.Single(SinkMapping.Resolve(text, s_texts));
        Assert.Equal(ErrorCode.InvalidParameter, Assert.Throws<SluiceException>(() => SinkMapping.Resolve(number, s_texts)).Code);
        Assert.Equal(ErrorCode.InvalidParameter, Assert.Throws<SluiceException>(() => SinkMapping.Resolve(text, s_numbers)).Code);
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{")]
    [InlineData("""{"name":"a","name":"b"}""")]
    [InlineData("""{"name":"a",}""")]
    public void What_is_no_JSON_object_is_an_invalid_body(string json) =>
        Assert.Equal(ErrorCode.InvalidBody, Assert.Throws<SluiceException>(() => Json(json)).Code);

    static string Body(string schema) =>
        $$"""{"name":"s1","sink_details":{"database_id":"{{Database}}","table":"numbers"},"schema":{{schema}}}""";

    static SinkSchema Schema(string schema) => SinkBody.ParseNew(Json(Body(schema))).Schema!;

    static JsonBody Json(string json) => JsonBody.Parse(Encoding.UTF8.GetBytes(json));

    /// <summary>Sets the member at a dotted path; <c>null</c> removes it.</summary>
    static void Replace(JsonNode body, string path, string? json)
    {
        var names = path.Split('.');
        var parent = names[..^1].Aggregate(body, (node, name) => node[name]!).AsObject();
        parent.Remove(names[^1]);
        if (json is not null)
            parent.Add(names[^1], JsonNode.Parse(json));
    }
}
