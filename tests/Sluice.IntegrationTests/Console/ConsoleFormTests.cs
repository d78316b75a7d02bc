using System.Text;
using System.Text.Json;
using Sluice.Client;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Server.Components;
using Sluice.Server.Components.Pages;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>What the console's forms make of what is typed.</summary>
public sealed class ConsoleFormTests
{
    [Theory]
    [InlineData("a", "a")]
    [InlineData(" order.items.0.price ", "order.items.0.price")]
    [InlineData("a.\"b.c\".\"0\"", "a.\"b.c\".\"0\"")]
    [InlineData("\"say \"\"hi\"\"\"", "say \"hi\"")]
    public void A_path_survives_being_read_and_written(string text, string written)
    {
        Assert.True(DotPath.TryParse(text, out var path));
        Assert.Equal(written, DotPath.Write(path));
        Assert.True(DotPath.TryParse(DotPath.Write(path), out var again));
        Assert.Equal(path, again);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a..b")]
    [InlineData("a.")]
    [InlineData("\"open")]
    [InlineData("\"a\"b")]
    public void A_path_that_cannot_be_read_is_refused(string text) => Assert.False(DotPath.TryParse(text, out _));

    [Fact]
    public void A_path_finds_members_and_elements()
    {
        var value = JsonElement.Parse("""{"a":[{"b.c":7}]}""");
        Assert.True(DotPath.TryParse("a.0.\"b.c\"", out var path));
        Assert.Equal(7, DotPath.Find(value, path)!.Value.GetInt32());
        Assert.True(DotPath.TryParse("a.1", out var missing));
        Assert.Null(DotPath.Find(value, missing));
    }

    [Fact]
    public void A_sample_proposes_columns_types_and_a_key()
    {
        var shape = SampleShape.Of("""
            {"order":{"id":1,"price":12.50},"placed":"2026-01-01T09:30:00Z","tags":["new"],"ids":[1,2],"paid":true,"count":3,"note":null}
            {"order":{"id":2,"price":7.125},"placed":"2026-01-02T09:30:00Z","tags":[],"ids":[3],"paid":false,"count":4,"note":"n"}
            """);
        Assert.Equal("order.id", shape.KeyPath);
        Assert.True(shape.IsNumberKey);
        Assert.Equal(
            ["order_price decimal", "placed timestamp", "tags stringset", "ids idset", "paid bool", "count int", "note string"],
            shape.Columns.Where(column => column.IsTaken).Select(column => $"{column.Form.Name} {column.Form.Type}"));
        Assert.Equal("3", shape.Columns[0].Form.Scale);
        Assert.All(shape.Columns, column => Assert.NotNull(column.Form.ToColumn()));
    }

    [Theory]
    [InlineData("""{"records":[{"value":{"id":1}},{"value":{"id":2}}]}""")]
    [InlineData("""[{"id":1},{"id":2}]""")]
    [InlineData("{\"id\":1}\n{\"id\":2}")]
    public void A_sample_may_come_in_every_form_that_can_be_sent(string text) => Assert.Equal(2, SampleShape.Of(text).Records.Count);

    [Theory]
    [InlineData("")]
    [InlineData("no json")]
    [InlineData("[]")]
    [InlineData("[1]")]
    public void A_sample_without_a_record_is_refused_with_a_sentence(string text) =>
        Assert.NotEmpty(FaultText.Of(Assert.Throws<SluiceException>(() => SampleShape.Of(text))));

    [Fact]
    public void Names_of_proposed_columns_differ_and_obey_the_rules()
    {
        var shape = SampleShape.Of("""{"id":1,"a b":1,"a-b":2,"A_B":3,"ü":4,"9":5,"x\"<script>":6}""");
        var names = shape.Columns.Where(column => column.IsTaken).Select(column => column.Form.Name).ToList();
        Assert.Equal(names.Count, names.Distinct().Count());
        Assert.All(names, name => ResourceNamesCheck(name));

        static void ResourceNamesCheck(string name) => Sluice.Server.ResourceNames.CheckColumn(name, "column");
    }

    [Fact]
    public void A_mapping_is_tried_with_the_decoder_of_records()
    {
        var form = MappingForm.Of(Orders(), schema: null);
        form.Rows.Single(row => row.Column == "_id").Path = "order.id";
        form.Rows.Single(row => row.Column == "price").Path = "order.price";
        form.Rows.Single(row => row.Column == "tags").Path = "";
        var tried = form.Try(JsonElement.Parse("""{"order":{"id":1,"price":"abc"}}"""));
        Assert.Equal("\"abc\"", tried["price"].Found);
        Assert.Equal("expected decimal(2), got string \"abc\"", tried["price"].Fault);
        Assert.Null(tried["_id"].Fault);
        Assert.Null(tried["tags"].Found);
    }

    [Fact]
    public void A_mapping_without_a_path_for_the_key_is_refused()
    {
        var form = MappingForm.Of(Orders(), schema: null);
        form.Rows[0].Path = " ";
        Assert.Contains("_id", Assert.Throws<SluiceException>(form.ToSchema).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_mapping_that_is_opened_and_saved_stays_as_it_was()
    {
        var config = JsonElement.Parse("""{"Unit":"ms"}""");
        var schema = new SinkSchema("json", "_id", null, false, [new("_id", ["a", "b.c", 0]), new("price", ["p"], Config: config)]);
        var saved = MappingForm.Of(Orders(), schema).ToSchema();
        Assert.False(saved.AllowMissingFields);
        Assert.Equal(schema.Definition.Select(field => (field.Name, string.Join('|', field.Path))), saved.Definition.Select(field => (field.Name, string.Join('|', field.Path))));
        Assert.Equal(config.GetRawText(), saved.Definition[1].Config!.Value.GetRawText());
    }

    [Fact]
    public void A_record_made_up_for_a_mapping_is_one_that_the_sink_accepts()
    {
        var table = Orders();
        var form = MappingForm.Of(table, schema: null);
        form.Rows.Single(row => row.Column == "_id").Path = "order.id";
        form.Rows.Single(row => row.Column == "price").Path = "items.1.price";
        var definition = new SinkDefinition
        {
            Id = Guid.Empty,
            Name = "",
            TableId = table.TableId,
            MappingVersion = 1,
            AllowMissingFields = false,
            Fields = Sluice.Server.SinkMapping.Resolve(form.ToSchema(), table),
        };
        var outcome = DryRun.Of(definition, table, Encoding.UTF8.GetBytes(SampleRecord.BodyOf(form.ToSchema(), table)), BodyFormat.Records, RecordOperation.Upsert).Outcome;
        Assert.Equal((1, 1), (outcome.RecordCount, outcome.AcceptedCount));
    }

    [Fact]
    public void An_exported_table_holds_every_text_and_starts_no_formula()
    {
        var answer = new QueryAnswer(
            [new("_id", "id"), new("a,b", "string"), new("tags", "stringset")],
            [JsonElement.Parse("""[1,"=1+1",["x","y"]]"""), JsonElement.Parse("""[-2,"say \"hi\"\nthere",null]""")],
            null, [], null, TimeSpan.Zero);
        using var csv = new MemoryStream();
        ResultExport.WriteCsv(answer, csv);
        Assert.Equal("_id,\"a,b\",tags\r\n1,'=1+1,\"[\"\"x\"\",\"\"y\"\"]\"\r\n-2,\"say \"\"hi\"\"\nthere\",\r\n", Encoding.UTF8.GetString(csv.ToArray()));
        using var json = new MemoryStream();
        ResultExport.WriteJson(answer, json);
        Assert.Equal("=1+1", JsonElement.Parse(json.ToArray())[0].GetProperty("a,b").GetString());
    }

    [Theory]
    [InlineData("/", true)]
    [InlineData("/sinks/1?tab=send", true)]
    [InlineData("//evil.example", false)]
    [InlineData("/\\evil.example", false)]
    [InlineData("https://evil.example", false)]
    [InlineData("/\tx", false)]
    [InlineData("", false)]
    [InlineData(null, false)]
    public void After_the_sign_in_one_stays_on_this_server(string? path, bool isLocal) => Assert.Equal(isLocal, SignInPage.IsLocal(path));

    [Fact]
    public void Rates_and_lag_follow_from_looks_at_the_ledger()
    {
        var trace = new SinkTrace();
        var start = DateTimeOffset.UnixEpoch.AddMinutes(1_000);
        for (var look = 0; look <= 16; look++)
        {
            // 100 a second are accepted from the first second on, nothing is loaded before the third
            var accepted = Math.Max(0, look - 4) * 25L;
            var loaded = look < 12 ? 0 : accepted;
            trace.Add(start.AddSeconds(look * 0.25), new SinkLedger(look, accepted, accepted, 0, loaded, 0, accepted - loaded));
            if (look == 11)
                Assert.Equal(TimeSpan.FromSeconds(1.5), trace.Pulse(start.AddSeconds(look * 0.25)).Lag);
        }
        var pulse = trace.Pulse(start.AddSeconds(4));
        Assert.Equal(100, pulse.AcceptedPerSecond, 1.0);
        Assert.Equal(TimeSpan.Zero, pulse.Lag);
        Assert.Equal(0, pulse.Remainder);
        trace.Add(start.AddMinutes(1), new SinkLedger(17, 300, 300, 0, 300, 0, 0));
        var minute = Assert.Single(trace.ReadMinutes());
        Assert.Equal((1_000, 300), (minute.Minute, minute.Loaded));
        Assert.Equal(TimeSpan.FromSeconds(1.5), minute.LagHigh);
    }

    [Fact]
    public void A_ledger_that_does_not_add_up_has_a_remainder() =>
        Assert.Equal(3, new SinkPulse(new SinkLedger(1, 10, 5, 2, 5, 0, 0), 0, 0, 0, 0, default, []).Remainder);

    static TableSchema Orders() => new()
    {
        TableId = Guid.NewGuid(),
        Name = "orders",
        Key = KeyKind.Number,
        Version = 1,
        Columns = [new Column(1, "price", ColumnType.Decimal(2)), new Column(2, "tags", ColumnType.StringSet)],
        NextColumnId = 3,
    };
}
