using System.Text;
using CsCheck;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Records;

/// <summary>Whole records: paths, keys, missing fields, and what a bad record does to its neighbours.</summary>
public sealed class RecordDecoderTests
{
    static readonly TableSchema Wide = TableOf(
        KeyKind.Number, ("i", ColumnType.Int), ("d", ColumnType.Decimal(2)), ("b", ColumnType.Bool), ("s", ColumnType.String),
        ("ss", ColumnType.StringSet), ("is", ColumnType.IdSet), ("v", ColumnType.Vector(2)), ("t", ColumnType.Timestamp(TimeUnit.Second)));

    [Theory]
    [InlineData("""{"_id":7}""", "7")]
    [InlineData("""{"_id":0}""", "0")]
    [InlineData("""{"_id":"12"}""", "12")]
    [InlineData("""{"_id":" 12 "}""", "12")]
    [InlineData("""{"_id":1e3}""", "1000")]
    [InlineData("""{"_id":9223372036854775807}""", "9223372036854775807")]
    [InlineData("""{}""", "MissingKey")]
    [InlineData("""{"_id":null}""", "MissingKey")]
    [InlineData("""{"_id":""}""", "MissingKey")]
    [InlineData("""{"_id":-1}""", "NotAnId")]
    [InlineData("""{"_id":1.5}""", "NotAnId")]
    [InlineData("""{"_id":9223372036854775808}""", "NotAnId")]
    [InlineData("""{"_id":"x"}""", "NotAnId")]
    [InlineData("""{"_id":true}""", "NotAnId")]
    [InlineData("""{"_id":[1]}""", "WrongType")]
    [InlineData("""{"_id":{}}""", "WrongType")]
    [InlineData("""{"_id":1,"_id":2}""", "DuplicateField")]
    public void A_number_key_is_a_whole_number_and_always_there(string value, string expected) => Assert.Equal(expected, DecodeKey(KeyKind.Number, value));

    [Theory]
    [InlineData("""{"_id":"a"}""", "'a'")]
    [InlineData("""{"_id":" a "}""", "' a '")]
    [InlineData("""{"_id":"\u00e9"}""", "'\u00e9'")]
    [InlineData("""{"_id":1000000}""", "'1000000'")]
    [InlineData("""{"_id":1.50}""", "'1.50'")]
    [InlineData("""{"_id":true}""", "'true'")]
    [InlineData("""{}""", "MissingKey")]
    [InlineData("""{"_id":null}""", "MissingKey")]
    [InlineData("""{"_id":""}""", "MissingKey")]
    [InlineData("""{"_id":["a"]}""", "WrongType")]
    [InlineData("""{"_id":"\ud800"}""", "InvalidUnicode")]
    [InlineData("""{"_id":"\u0000"}""", "NulCharacter")]
    public void A_string_key_is_any_scalar_and_always_there(string value, string expected) => Assert.Equal(expected, DecodeKey(KeyKind.String, value));

    [Fact]
    public void A_string_key_has_at_most_1024_bytes()
    {
        var longest = new string('\u00e9', TableSchema.MaxKeyBytes / 2);
        Assert.Equal($"'{longest}'", DecodeKey(KeyKind.String, $"{{\"_id\":\"{longest}\"}}"));
        Assert.Equal("KeyTooLong", DecodeKey(KeyKind.String, $"{{\"_id\":\"{longest}x\"}}"));
    }

    [Theory]
    [InlineData("""{"a":"x","b":{"c":7}}""", "'x|7' | absent | 7")]
    [InlineData("""{"b":{"c":1.50},"a":true}""", "'true|1.50' | absent | 1")]
    [InlineData("""{"a":"x|y","b":{"c":"7"},"s":"t"}""", "'x|y|7' | 't' | 7")]
    [InlineData("""{"a":"x"}""", "_id:MissingKey")]
    [InlineData("""{"b":{}}""", "_id:MissingKey _id:MissingKey")]
    [InlineData("""{"a":null,"b":{"c":7}}""", "_id:MissingKey")]
    [InlineData("""{"a":"","b":{"c":7}}""", "_id:MissingKey")]
    [InlineData("""{"a":"x","b":{"c":[7]}}""", "_id:WrongType i:NotAnInteger")]
    [InlineData("""{"a":"x","b":7}""", "_id:PathNotAnObject i:PathNotAnObject _id:MissingKey")]
    [InlineData("""{"a":"\ud800","b":{"c":7}}""", "_id:InvalidUnicode")]
    public void A_key_may_be_joined_from_several_fields_that_are_columns_too(string value, string expected)
    {
        var rows = DecodeJoined("""{"a":"k","b":{"c":1}}""", value, """{"a":"k","b":{"c":3}}""");

        var isRow = rows.Rejected.Count == 0;
        Assert.Equal(isRow ? ["'k|1' | absent | 1", expected, "'k|3' | absent | 3"] : ["'k|1' | absent | 1", "'k|3' | absent | 3"], Rows(rows));
        if (!isRow) Assert.Equal(expected, Errors(Assert.Single(rows.Rejected)));
    }

    [Fact]
    public void A_joined_key_has_at_most_1024_bytes_with_its_bars()
    {
        var longest = new string('k', TableSchema.MaxKeyBytes - 2);
        Assert.Equal(1, DecodeJoined($$$"""{"a":"{{{longest}}}","b":{"c":7}}""").AcceptedCount);
        Assert.Equal("_id:KeyTooLong", Errors(DecodeJoined($$$"""{"a":"{{{longest}}}","b":{"c":77}}""").Rejected[0]));
    }

    static RecordRows DecodeJoined(params string[] values)
    {
        var schema = TableOf(KeyKind.String, ("s", ColumnType.String), ("i", ColumnType.Int));
        return Decode(SinkWith(schema, true, ("s", "/s"), ("i", "/b/c"), ("_id", "/a"), ("_id", "/b/c")), schema, values);
    }

    [Fact]
    public void Where_the_server_makes_the_ids_a_record_names_none()
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int)) with { IsAutoId = true };
        var sink = SinkWith(schema, true, ("i", "/i"));

        var rows = DecodeBody(sink, schema, """{"records":[{"value":{"i":1}},{"value":{"_id":7},"op":"insert"},{"value":{"i":2},"op":"replace"},{"value":{},"op":"patch"},{"value":{},"op":"delete"},{"value":{"i":"x"}}]}""");

        Assert.Equal(["absent | 1", "absent | absent", "absent | 2"], Rows(rows));
        Assert.Equal(["_id:MissingKey", "_id:MissingKey", "i:NotAnInteger"], rows.Rejected.Select(Errors));
        Assert.Throws<SluiceException>(() => RecordDecoder.Compile(SinkOf(schema), schema));
    }

    [Theory]
    [InlineData("upsert", """{"_id":1,"a":1,"b":2,"ss":["x"]}""", "")]
    [InlineData("upsert", """{"_id":1,"a":1,"ss":["x"]}""", "")]
    [InlineData("upsert", """{"_id":1}""", "a:MissingRequired ss:MissingRequired")]
    [InlineData("insert", """{"_id":1,"a":null,"b":null,"ss":[]}""", "a:MissingRequired b:MissingRequired")]
    [InlineData("upsert", """{"_id":1,"a":"","ss":null}""", "a:MissingRequired ss:MissingRequired")]
    [InlineData("upsert", """{"_id":1,"a":"x","ss":""}""", "a:NotAnInteger ss:MissingRequired")]
    [InlineData("replace", """{"_id":1}""", "a:MissingRequired ss:MissingRequired")]
    [InlineData("patch", """{"_id":1}""", "")]
    [InlineData("patch", """{"_id":1,"a":null}""", "a:MissingRequired")]
    [InlineData("delete", """{"_id":1}""", "")]
    [InlineData("remove", """{"_id":1,"ss":["x"]}""", "")]
    public void A_required_column_needs_a_value_unless_it_has_a_default(string op, string value, string errors)
    {
        var schema = Required;
        var rows = DecodeBody(SinkOf(schema), schema, $$$"""{"records":[{"op":"{{{op}}}","value":{{{value}}} },{"value":{"_id":2,"a":1,"ss":["x"]}}]}""");

        Assert.Equal(errors, string.Join(' ', rows.Rejected.Select(Errors)));
        Assert.Equal(errors.Length == 0 ? 2 : 1, rows.AcceptedCount);
    }

    [Fact]
    public void A_required_column_that_no_path_is_mapped_to_fails_what_makes_rows()
    {
        var sink = SinkWith(Required, true, ("_id", "/_id"), ("b", "/b"));
        var rows = DecodeBody(sink, Required, """{"records":[{"value":{"_id":1}},{"op":"patch","value":{"_id":1,"b":2}}]}""");

        Assert.Equal("a:MissingRequired ss:MissingRequired", Errors(Assert.Single(rows.Rejected)));
        Assert.Equal(1, rows.AcceptedCount);
    }

    static TableSchema Required => TableOf(KeyKind.Number) with
    {
        Columns = [new(1, "a", ColumnType.Int) { IsRequired = true }, new(2, "b", ColumnType.Int) { IsRequired = true, Default = "5" }, new(3, "ss", ColumnType.StringSet) { IsRequired = true }],
    };

    static RecordRows DecodeBody(SinkDefinition sink, TableSchema schema, string body) => Decode(sink, schema, (ReadOnlySpan<byte>)Encoding.UTF8.GetBytes(body));

    [Theory]
    [InlineData("int(0,100)", "101", "OutOfRange")]
    [InlineData("int", "\"x\"", "NotAnInteger")]
    [InlineData("decimal(2)", "1.239", "Truncated")]
    [InlineData("string", "\"\"", "stored as null")]
    [InlineData("string", "null", "null")]
    [InlineData("stringset", "[1]", "WrongType")]
    [InlineData("idset", "[]", "null")]
    [InlineData("vector(2)", "[1]", "WrongLength")]
    public void A_default_that_is_no_value_of_its_column_is_refused(string type, string json, string why)
    {
        var refusal = Assert.Throws<SluiceException>(() => ColumnDefault.Read(new Column(1, "c", Type(type)) { Default = json }));
        Assert.Equal(ErrorCode.InvalidParameter, refusal.Code);
        Assert.Contains(why, refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("decimal(2)", "\"5.1\"", "5.10")]
    [InlineData("id", "\" 7 \"", "7")]
    [InlineData("string", "1e3", "\"1e3\"")]
    [InlineData("timestamp(ms)", "1767323045123", "\"2026-01-02T03:04:05.123Z\"")]
    [InlineData("idset", "\"1,2\"", "[1,2]")]
    [InlineData("bool", "\"T\"", "true")]
    public void A_default_is_kept_in_the_form_of_its_value(string type, string json, string kept) =>
        Assert.Equal(kept, ColumnDefault.Normalize(new Column(1, "c", Type(type)) { Default = json }));

    [Fact]
    public void A_mapping_without_a_key_is_refused()
    {
        var refused = Assert.Throws<SluiceException>(() => RecordDecoder.Compile(SinkWith(Wide, true, ("i", "/i")), Wide));
        Assert.Equal(ErrorCode.InvalidParameter, refused.Code);
    }

    [Theory]
    [InlineData("""{"_id":1,"a":{"b":{"c":5}}}""", "5")]
    [InlineData("""{"_id":1,"a":{"x":9,"b":{"y":[{}],"c":5,"z":{}}},"b":{"c":6}}""", "5")]
    [InlineData("""{"_id":1,"a":{"b":{"c":null}}}""", "null")]
    [InlineData("""{"_id":1,"a":{"b":null}}""", "null")]
    [InlineData("""{"_id":1,"a":null}""", "null")]
    [InlineData("""{"_id":1,"a":{"b":{}}}""", "absent")]
    [InlineData("""{"_id":1,"a":{}}""", "absent")]
    [InlineData("""{"_id":1}""", "absent")]
    [InlineData("""{"_id":1,"A":{"b":{"c":5}}}""", "absent")]
    [InlineData("""{"_id":1,"a":5}""", "PathNotAnObject")]
    [InlineData("""{"_id":1,"a":"x"}""", "PathNotAnObject")]
    [InlineData("""{"_id":1,"a":[{"b":{"c":5}}]}""", "PathNotAnObject")]
    [InlineData("""{"_id":1,"a":{"b":true}}""", "PathNotAnObject")]
    [InlineData("""{"_id":1,"a":{"b":{"c":{}}}}""", "NotAnInteger")]
    [InlineData("""{"_id":1,"a":{"b":{"c":1,"c":2}}}""", "DuplicateField")]
    [InlineData("""{"_id":1,"a":{"b":{"c":1}},"a":{}}""", "DuplicateField")]
    [InlineData("""{"_id":1,"a":null,"a":{"b":{"c":1}}}""", "DuplicateField")]
    [InlineData("""{"_id":1,"x":1,"x":2,"a":{"x":1,"x":2}}""", "absent")]
    [InlineData("""{"_id":1,"\u0061":{"\u0062":{"c":5}}}""", "5")]
    [InlineData("""{"_id":1,"\ud800":1,"a":{"\ud800":2,"b":{"c":5}}}""", "5")]
    public void A_path_is_walked_member_by_member(string value, string expected)
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int));
        Assert.Equal(expected, CellOrErrors(Decode(SinkWith(schema, true, ("_id", "/_id"), ("i", "/a/b/c")), schema, value)));
    }

    [Theory]
    [InlineData("""{"_id":1,"a":[4,5,6]}""", "5 | 6")]
    [InlineData("""{"_id":1,"a":[[9],5]}""", "5 | absent")]
    [InlineData("""{"_id":1,"a":[]}""", "absent | absent")]
    [InlineData("""{"_id":1,"a":[4,null,6,{}]}""", "null | 6")]
    [InlineData("""{"_id":1,"a":null}""", "null | null")]
    [InlineData("""{"_id":1,"a":{"1":5}}""", "i:PathNotAnObject j:PathNotAnObject")]
    [InlineData("""{"_id":1,"a":5}""", "i:PathNotAnObject j:PathNotAnObject")]
    public void A_step_can_be_an_index_of_an_array(string value, string expected)
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int), ("j", ColumnType.Int));
        var rows = Decode(SinkWith(schema, true, ("_id", "/_id"), ("j", "/a/2"), ("i", "/a/1")), schema, value);
        Assert.Equal(expected, rows.Rejected.Count > 0
            ? string.Join(' ', rows.Rejected[0].Errors.Select(error => $"{error.Column}:{error.Code}").Order())
            : $"{Cell(rows.Columns[2], 0)} | {Cell(rows.Columns[1], 0)}");
    }

    [Theory]
    [InlineData("""{"_id":1,"a":5}""", "1 | 5 | '5' | absent", "n")]
    [InlineData("""{"_id":1,"a":null}""", "1 | null | null | null", "n")]
    [InlineData("""{"_id":1,"a":{"b":true}}""", "i:NotAnInteger s:WrongType", "")]
    [InlineData("""{"_id":1,"a":"x"}""", "i:NotAnInteger n:PathNotAnObject", "")]
    public void Columns_may_share_a_path_and_stand_above_one_another(string value, string expected, string pathNotAnObject)
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String), ("n", ColumnType.Bool));
        var rows = Decode(SinkWith(schema, true, ("_id", "/_id"), ("i", "/a"), ("s", "/a"), ("n", "/a/b")), schema, value);
        if (pathNotAnObject.Length > 0 && rows.Rejected.Count > 0) Assert.Equal("n:PathNotAnObject", Errors(rows.Rejected[0]));
        else Assert.Equal(expected, rows.Rejected.Count > 0 ? Errors(rows.Rejected[0]) : Row(rows, 0));
    }

    [Fact]
    public void The_key_may_share_its_path_with_a_column()
    {
        var schema = TableOf(KeyKind.Number, ("s", ColumnType.String));
        Assert.Equal(["12 | '12'"], Rows(Decode(SinkWith(schema, true, ("_id", "/k"), ("s", "/k")), schema, """{"k":"12"}""")));
    }

    [Fact]
    public void Mapped_columns_that_the_table_no_longer_has_are_passed_over()
    {
        var sink = SinkOf(Wide);
        var rows = Decode(sink, Wide.WithoutColumn("d"), """{"_id":1,"i":2,"d":"not looked at"}""");
        Assert.Equal([0, 1, 3, 4, 5, 6, 7, 8], rows.Columns.Select(column => column.ColumnId));
        Assert.Equal(1, rows.AcceptedCount);
    }

    [Fact]
    public void All_wrong_fields_of_a_record_are_listed_with_path_expectation_and_finding()
    {
        var rows = Decode(SinkOf(Wide), Wide, """{"_id":-1,"i":"x","d":true,"b":"maybe","s":[1],"ss":{"a":1},"is":[1,"y",2.5],"v":[1],"t":"soon"}""");
        var errors = Assert.Single(rows.Rejected).Errors;
        Assert.Equal(
            "_id:NotAnId i:NotAnInteger d:NotADecimal b:NotABool s:WrongType ss:WrongType is:NotAnId is:NotAnId v:WrongLength t:NotATimestamp",
            Errors(rows.Rejected[0]));
        Assert.Equal(new FieldError("_id", "/_id", FieldErrorCode.NotAnId, "id", "number -1"), errors[0]);
        Assert.Equal(new FieldError("i", "/i", FieldErrorCode.NotAnInteger, "int", "string \"x\""), errors[1]);
        Assert.Equal(new FieldError("d", "/d", FieldErrorCode.NotADecimal, "decimal(2)", "bool true"), errors[2]);
        Assert.Equal(new FieldError("v", "/v", FieldErrorCode.WrongLength, "vector(2)", "array of 1"), errors[8]);
    }

    [Fact]
    public void An_error_shows_at_most_64_characters_of_the_value()
    {
        var rows = Decode(SinkOf(Wide), Wide, $"{{\"_id\":1,\"i\":\"{new string('x', 63)}\U0001F600{new string('y', 5_000)}\"}}");
        var got = rows.Rejected[0].Errors[0].Got;
        Assert.Equal($"string \"{new string('x', 63)}\u2026\"", got);
    }

    [Fact]
    public void Paths_in_errors_are_json_pointers()
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int));
        var sink = SinkOf(schema) with
        {
            Fields = [new FieldMapping("_id", [PathStep.Member("_id")]), new FieldMapping("i", [PathStep.Member("a/b~c"), PathStep.Element(1)])],
        };
        var rows = Decode(sink, schema, """{"_id":1,"a/b~c":[0,"x"]}""");
        Assert.Equal("/a~1b~0c/1", rows.Rejected[0].Errors[0].Path);
    }

    [Fact]
    public void A_bad_record_leaves_no_cell_behind()
    {
        const string good = """{"_id":ID,"i":1,"d":2.5,"b":true,"s":"text","ss":["a","b"],"is":[1,2],"v":[1,2],"t":3}""";
        string[] bad =
        [
            """{"i":1,"d":2.555,"b":true,"s":"lost","ss":["lost"],"is":[9],"v":[9,9],"t":9}""",
            """{"_id":1,"i":1,"d":2.5,"b":true,"s":"lost","ss":["lost",1],"is":[9],"v":[9,9],"t":9}""",
            """{"_id":1,"is":[7,8,"x"],"ss":["lost"]}""",
            """{"_id":1,"is":"7,8,x","ss":"[lost]"}""",
            """{"_id":1,"v":[1,2,3],"s":"lost"}""",
            """{"_id":1,"s":"\ud800","ss":["lost","\u0000"]}""",
            """{"_id":1,"ss":["lost"],"ss":["lost"]}""",
            """{"_id":1,"ss":["lost"],"i":1e99}""",
        ];
        var values = new List<string> { good.Replace("ID", "0", StringComparison.Ordinal) };
        foreach (var value in bad)
        {
            values.Add(value);
            values.Add(good.Replace("ID", values.Count.ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal));
        }
        var rows = Decode(SinkOf(Wide), Wide, [.. values]);
        Assert.Equal(Enumerable.Range(0, bad.Length).Select(i => (i * 2) + 1), rows.Rejected.Select(record => record.Index));
        Assert.Equal(Enumerable.Range(0, bad.Length + 1).Select(i => $"{i * 2} | 1 | 250 | true | 'text' | ['a','b'] | [1,2] | <1,2> | 3"), Rows(rows));
        Assert.Empty(rows.Warnings);
        Assert.All(rows.Columns, column => Assert.Equal(bad.Length + 1, column.ValueCount));
    }

    [Fact]
    public void Every_records_place_in_the_body_is_known()
    {
        var body = """ { "records" : [ { "value" : {"_id":1} } , 5,{"value":{"_id":"x"}} ] } """;
        var rows = Decode(SinkOf(Wide), Wide, Encoding.UTF8.GetBytes(body));
        Assert.Equal(["""{ "value" : {"_id":1} }""", "5", """{"value":{"_id":"x"}}"""], rows.Records.Select(raw => body.Substring(raw.Start, raw.Length)));
    }

    [Fact]
    public void Warnings_name_the_record_and_the_column_of_accepted_records_only()
    {
        var rows = Decode(SinkOf(Wide), Wide, """{"_id":1,"d":1.005}""", """{"_id":2,"d":1.005,"i":"x"}""", """{"_id":3,"d":1.005,"i":2.5}""");
        Assert.Equal([new TruncationWarning(0, "d"), new TruncationWarning(2, "d"), new TruncationWarning(2, "i")], rows.Warnings);
    }

    [Fact]
    public void A_missing_field_discards_the_request_when_the_sink_says_so()
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String));
        var rows = Decode(SinkOf(schema, allowMissing: false), schema, """{"_id":1,"i":1,"s":"a"}""", """{"_id":2,"i":1}""", """{"_id":3,"i":"x","s":"a"}""", """{"_id":4,"i":null,"s":""}""");
        Assert.True(rows.IsDiscarded);
        Assert.Equal(0, rows.AcceptedCount);
        Assert.Equal(4, rows.RecordCount);
        Assert.All(rows.Columns, column => Assert.Equal(0, column.RowCount));
        Assert.Equal([(0, true, ""), (1, false, "s:MissingField"), (2, false, "i:NotAnInteger"), (3, true, "")], rows.Rejected.Select(record => (record.Index, record.IsDiscarded, Errors(record))));
    }

    [Fact]
    public void Nulls_and_wrong_values_discard_nothing()
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int));
        var rows = Decode(SinkOf(schema, allowMissing: false), schema, """{"_id":1,"i":null}""", """{"_id":2,"i":"x"}""", """{"i":1}""");
        Assert.False(rows.IsDiscarded);
        Assert.Equal(["1 | null"], Rows(rows));
        Assert.Equal(["i:NotAnInteger", "_id:MissingKey"], rows.Rejected.Select(Errors));
    }

    [Fact]
    public void Buffers_come_back_clean()
    {
        var decoder = RecordDecoder.Compile(SinkOf(Wide, allowMissing: false), Wide);
        var rows = decoder.Rent();
        BatchReader.Read(Body("""{"_id":1,"ss":["left"],"s":"left"}"""), BodyFormat.Records, RecordOperation.Upsert, decoder, 10, rows);
        Assert.True(rows.IsDiscarded);
        decoder.Return(rows);
        rows = decoder.Rent();
        Assert.Throws<SluiceException>(() => BatchReader.Read("""{"records":[{"value":{"_id":1,"ss":["left","""u8, BodyFormat.Records, RecordOperation.Upsert, decoder, 10, rows));
        decoder.Return(rows);

        var again = decoder.Rent();
        Assert.Same(rows, again);
        BatchReader.Read(Body("""{"_id":1,"i":1,"d":2.5,"b":true,"s":"text","ss":["a"],"is":[1],"v":[1,2],"t":3}"""), BodyFormat.Records, RecordOperation.Upsert, decoder, 10, again);
        Assert.Equal(["1 | 1 | 250 | true | 'text' | ['a'] | [1] | <1,2> | 3"], Rows(again));
        Assert.Empty(again.Rejected);
        Assert.False(again.IsDiscarded);
    }

    [Fact]
    public void Any_json_gives_one_outcome_a_record_and_throws_nothing_but_refusals()
    {
        // an escape, an exponent, a bracketed text: the corners of every kind, in any nesting
        var scalar = OneOf(
            "null", "true", "false", "0", "-0", "1", "-1", "1.005", "1e400", "-1e-400", "9223372036854775807", "9223372036854775808", "\"\"", "\"a\"", "\"1\"", "\"[1,2]\"",
            "\"[\\\"a\\\"]\"", "\"[\"", "\"\\ud800\"", "\"\\u0000\"", "\"\\ud83d\\ude00\"", "\"2022-08-08\"", "\"2022-08-08T00:00:00.5+01:00\"", "\"t\"", "\" 5 \"", "1e5");
        var value = Gen.Recursive<string>((depth, self) => depth >= 3
            ? scalar
            : Gen.Frequency(
                (4, scalar),
                (1, self.Array[0, 4].Select(items => $"[{string.Join(',', items)}]")),
                (1, MembersOf(self))));
        var record = Gen.Frequency(
            (8, MembersOf(value).Select(text => $"{{\"value\":{text}}}")),
            (1, value.Select(text => $"{{\"value\":{text}}}")),
            (1, value),
            (1, MembersOf(value)));
        foreach (var allowMissing in new[] { true, false })
        {
            var sink = SinkWith(
                Wide, allowMissing, ("_id", "/_id"), ("i", "/i"), ("d", "/d"), ("b", "/i"), ("s", "/s/a"), ("ss", "/ss"), ("is", "/ss"), ("v", "/v/0"), ("t", "/t"), (SinkDefinition.TimeQuantumName, "/t"));
            record.Array[0, 12].Sample(
                records =>
                {
                    var rows = Decode(sink, Wide, Encoding.UTF8.GetBytes($"{{\"records\":[{string.Join(',', records)}]}}"));
                    Assert.Equal(records.Length, rows.RecordCount);
                    Assert.Equal(records.Length, rows.AcceptedCount + rows.Rejected.Count);
                    Assert.All(rows.Columns, column => Assert.Equal(rows.AcceptedCount, column.RowCount));
                    Assert.Equal(rows.Rejected.Select(rejected => rejected.Index).Distinct().Order(), rows.Rejected.Select(rejected => rejected.Index));
                    Assert.All(rows.Rejected, rejected => Assert.Equal(rejected.IsDiscarded, rejected.Errors.Count == 0));
                    foreach (var row in Rows(rows)) Assert.NotEmpty(row);
                },
                iter: 3_000);
        }
    }

    [Fact]
    public void Any_bytes_throw_nothing_but_refusals()
    {
        var sink = SinkOf(Wide);
        var decoder = RecordDecoder.Compile(sink, Wide);
        var body = Encoding.UTF8.GetBytes(
            """{"records":[{"value":{"_id":1,"i":1,"d":"2.5","b":true,"s":"t\u00e9xt","ss":["a","b"],"is":"[1,2]","v":[1,2],"t":"2022-08-08T00:00:00Z"}},{"value":{"_id":2,"s":"é"}}]}""");
        Gen.Select(Gen.Int[0, body.Length - 1], Gen.Byte, Gen.Int[0, body.Length - 1], Gen.Byte).Sample(
            (at, value, secondAt, secondValue) =>
            {
                var damaged = body.ToArray();
                (damaged[at], damaged[secondAt]) = (value, secondValue);
                var rows = decoder.Rent();
                try
                {
                    BatchReader.Read(damaged, BodyFormat.Records, RecordOperation.Upsert, decoder, 10, rows);
                    Assert.Equal(rows.RecordCount, rows.AcceptedCount + rows.Rejected.Count);
                }
                catch (SluiceException e)
                {
                    Assert.Contains(e.Code, new[] { ErrorCode.InvalidBody, ErrorCode.MissingParameter });
                }
                decoder.Return(rows);
            },
            iter: 20_000);
    }

    static Gen<string> OneOf(params string[] texts) => Gen.Int[0, texts.Length - 1].Select(i => texts[i]);

    static Gen<string> MembersOf(Gen<string> value) =>
        Gen.Select(OneOf("_id", "i", "d", "s", "a", "ss", "v", "t", "value", "\\u0069", "\\ud800", "other"), value)
            .Array[0, 6].Select(members => $"{{{string.Join(',', members.Select(member => $"\"{member.Item1}\":{member.Item2}"))}}}");

    static string DecodeKey(KeyKind kind, string value)
    {
        var schema = TableOf(kind);
        var rows = Decode(SinkOf(schema), schema, value);
        return rows.Rejected.Count > 0 ? string.Join(' ', rows.Rejected[0].Errors.Select(error => error.Code)) : Cell(rows.Columns[0], 0);
    }

    static string CellOrErrors(RecordRows rows) =>
        rows.Rejected.Count > 0 ? string.Join(' ', rows.Rejected[0].Errors.Select(error => error.Code)) : Cell(rows.Columns[1], 0);
}
