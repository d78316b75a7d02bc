using System.Text;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Records;

/// <summary>The members <c>op</c> and <c>version</c> of a record, wherever they stand in it.</summary>
public sealed class RecordOperationTests
{
    static readonly TableSchema Table = TableOf(
        KeyKind.Number, ("i", ColumnType.Int), ("d", ColumnType.Decimal(1)), ("ss", ColumnType.StringSet), ("is", ColumnType.IdSet), ("q", ColumnType.StringSetQ("YMD")));

    [Theory]
    [InlineData("""{"value":{"_id":1}}""", "Upsert")]
    [InlineData("""{"value":{"_id":1},"op":"upsert"}""", "Upsert")]
    [InlineData("""{"value":{"_id":1},"op":"insert"}""", "Insert")]
    [InlineData("""{"op":"patch","value":{"_id":1}}""", "Patch")]
    [InlineData("""{"value":{"_id":1},"op":"delete","version":7}""", "Delete 7")]
    [InlineData("""{"op":"replace","value":{"_id":1}}""", "Replace")]
    [InlineData("""{"version":0,"op":"remove","value":{"_id":1}}""", "Remove 0")]
    [InlineData("""{"version":9223372036854775807,"value":{"_id":1}}""", "Upsert 9223372036854775807")]
    [InlineData("""{"version":"12","value":{"_id":1}}""", "Upsert 12")]
    [InlineData("""{"\u006fp":"\u0064elete","value":{"_id":1},"v\u0065rsion":1}""", "Delete 1")]
    [InlineData("""{"Op":"delete","VERSION":-1,"value":{"_id":1}}""", "Upsert")]
    public void An_element_says_what_it_does(string element, string expected) => Assert.Equal([expected], Operations(Read(RecordOperation.Upsert, element)));

    [Theory]
    [InlineData("\"op\":\"merge\"", FieldErrorCode.UnknownOperation)]
    [InlineData("\"op\":\"DELETE\"", FieldErrorCode.UnknownOperation)]
    [InlineData("\"op\":\"\"", FieldErrorCode.UnknownOperation)]
    [InlineData("\"op\":null", FieldErrorCode.UnknownOperation)]
    [InlineData("\"op\":3", FieldErrorCode.UnknownOperation)]
    [InlineData("\"op\":{\"op\":\"delete\"}", FieldErrorCode.UnknownOperation)]
    [InlineData("\"op\":\"\\ud800\"", FieldErrorCode.UnknownOperation)]
    [InlineData("\"version\":-1", FieldErrorCode.NotAVersion)]
    [InlineData("\"version\":1.5", FieldErrorCode.NotAVersion)]
    [InlineData("\"version\":9223372036854775808", FieldErrorCode.NotAVersion)]
    [InlineData("\"version\":\"new\"", FieldErrorCode.NotAVersion)]
    [InlineData("\"version\":\"\"", FieldErrorCode.NotAVersion)]
    [InlineData("\"version\":null", FieldErrorCode.NotAVersion)]
    [InlineData("\"version\":true", FieldErrorCode.NotAVersion)]
    [InlineData("\"version\":[1]", FieldErrorCode.NotAVersion)]
    [InlineData("\"op\":\"upsert\",\"op\":\"delete\"", FieldErrorCode.DuplicateField)]
    [InlineData("\"version\":1,\"version\":1", FieldErrorCode.DuplicateField)]
    public void A_wrong_op_or_version_fails_its_record_alone(string members, FieldErrorCode code)
    {
        foreach (var bad in new[] { $"{{{members},\"value\":{{\"_id\":2}}}}", $"{{\"value\":{{\"_id\":2}},{members}}}" })
        {
            var rows = Read(RecordOperation.Upsert, """{"op":"delete","value":{"_id":1}}""", bad, """{"version":4,"value":{"_id":3}}""");
            Assert.Equal(["1 Delete", "3 Upsert 4"], KeysAndOperations(rows));
            Assert.Equal((1, code), (Assert.Single(rows.Rejected).Index, Assert.Single(rows.Rejected[0].Errors).Code));
        }
    }

    [Fact]
    public void Records_that_name_no_operation_have_that_of_the_request()
    {
        Assert.Equal(["1 Delete", "2 Upsert", "3 Delete 8"], KeysAndOperations(Read(
            RecordOperation.Delete, """{"value":{"_id":1}}""", """{"value":{"_id":2},"op":"upsert"}""", """{"value":{"_id":3},"version":8}""")));
        foreach (var (format, body) in new[] { (BodyFormat.Lines, "{\"_id\":1}\n{\"_id\":\n{\"_id\":2,\"i\":\"x\"}"), (BodyFormat.Values, """[{"_id":1},{"i":1},{"_id":2,"i":"x"}]""") })
            Assert.Equal(["1 Delete", "2 Delete"], KeysAndOperations(Read(format, RecordOperation.Delete, SinkOf(Table), body)));
    }

    [Fact]
    public void Rows_without_operation_among_others_are_upserts_without_version()
    {
        var rows = Read(
            RecordOperation.Upsert, """{"value":{"_id":1}}""", """{"value":{}}""", """{"value":{"_id":2},"op":"patch"}""", """{"value":{"_id":3}}""", """{"value":{"_id":4},"version":5}""",
            """{"value":{"_id":5}}""");
        Assert.Equal(["1 Upsert", "2 Patch", "3 Upsert", "4 Upsert 5", "5 Upsert"], KeysAndOperations(rows));
    }

    [Theory]
    [InlineData("""{"_id":1,"i":"wrong","d":1.25,"ss":5,"is":["x"],"q":{"time":"never","members":["a"]}}""")]
    [InlineData("""{"_id":1,"i":1,"d":1.5,"ss":["a"],"is":[1],"q":["a"],"i":2}""")]
    [InlineData("""{"_id":1}""")]
    public void A_delete_looks_at_its_key_only(string value)
    {
        foreach (var element in new[] { $"{{\"op\":\"delete\",\"value\":{value}}}", $"{{\"value\":{value},\"op\":\"delete\"}}" })
        {
            var rows = Read(SinkOf(Table, allowMissing: false), element, """{"value":{"_id":2,"i":2,"d":2,"ss":["b"],"is":[2],"q":["b"]}}""");
            Assert.Equal(["1 | absent | absent | absent | absent | absent", "2 | 2 | 20 | ['b'] | [2] | ['b']"], Rows(rows));
            Assert.Empty(rows.Warnings);
        }
    }

    [Theory]
    [InlineData("""{"i":1}""", "_id:MissingKey")]
    [InlineData("""{"_id":"x","i":"x"}""", "_id:NotAnId")]
    [InlineData("""{"_id":1,"_id":2}""", "_id:DuplicateField")]
    [InlineData("5", ":ValueNotAnObject")]
    public void A_delete_needs_a_key(string value, string errors) =>
        Assert.Equal(errors, Errors(Assert.Single(Read(SinkOf(Table), $"{{\"value\":{value},\"op\":\"delete\"}}").Rejected)));

    [Fact]
    public void A_remove_takes_members_of_sets_without_their_times()
    {
        var sink = SinkWith(Table, allowMissing: false, [("_id", "/_id"), .. Table.Columns.Select(column => (column.Name, "/" + column.Name)), (SinkDefinition.TimeQuantumName, "/time")]);
        var rows = Read(
            sink, """{"op":"remove","value":{"_id":1,"ss":["a","b"],"is":7,"q":{"time":"2026-01-02T00:00:00Z","members":["x"]}}}""",
            """{"value":{"_id":2,"q":["y"],"time":"2026-01-02T00:00:00Z","i":""},"op":"remove"}""");
        Assert.Empty(rows.Rejected);
        Assert.Equal(["1 | absent | absent | ['a','b'] | [7] | ['x']", "2 | absent | absent | absent | absent | ['y']"], Rows(rows));
    }

    [Theory]
    [InlineData("""{"_id":1,"i":1,"ss":["a"]}""", "i:NotASet")]
    [InlineData("""{"_id":1,"i":null}""", "i:NotASet")]
    [InlineData("""{"_id":1,"i":"x","d":2}""", "i:NotASet d:NotASet")]
    [InlineData("""{"_id":1,"is":["x"],"d":"y"}""", "is:NotAnId d:NotASet")]
    [InlineData("""{"ss":["a"]}""", "_id:MissingKey")]
    public void A_remove_takes_nothing_else(string value, string errors)
    {
        foreach (var element in new[] { $"{{\"op\":\"remove\",\"value\":{value}}}", $"{{\"value\":{value},\"op\":\"remove\"}}" })
            Assert.Equal(errors, Errors(Assert.Single(Read(SinkOf(Table), element).Rejected)));
    }

    [Theory]
    [InlineData("patch", true)]
    [InlineData("delete", true)]
    [InlineData("remove", true)]
    [InlineData("insert", false)]
    [InlineData("upsert", false)]
    [InlineData("replace", false)]
    public void Fields_may_be_missing_where_the_operation_does_not_make_the_row(string operation, bool mayMiss)
    {
        var sink = SinkOf(Table, allowMissing: false);
        foreach (var element in new[] { $"{{\"op\":\"{operation}\",\"value\":{{\"_id\":1}}}}", $"{{\"value\":{{\"_id\":1}},\"op\":\"{operation}\"}}" })
            Assert.Equal(mayMiss, !Read(sink, element).IsDiscarded);
    }

    [Fact]
    public void A_discarded_request_keeps_no_operations()
    {
        var rows = Read(SinkOf(Table, allowMissing: false), """{"op":"delete","version":3,"value":{"_id":1}}""", """{"value":{"_id":2}}""");
        Assert.Equal((2, 0, 0, 0), (rows.Rejected.Count, rows.AcceptedCount, rows.Operations.RowCount, rows.Versions.RowCount));
    }

    [Fact]
    public void Buffers_that_are_used_again_forget_operations()
    {
        var decoder = RecordDecoder.Compile(SinkOf(Table), Table);
        var rows = decoder.Rent();
        BatchReader.Read("""{"records":[{"op":"delete","version":3,"value":{"_id":1}}]}"""u8, BodyFormat.Records, RecordOperation.Upsert, decoder, 10, rows);
        decoder.Return(rows);
        var again = decoder.Rent();
        Assert.Same(rows, again);
        BatchReader.Read(Body("""{"_id":1}"""), BodyFormat.Records, RecordOperation.Upsert, decoder, 10, again);
        Assert.Equal(["1 Upsert"], KeysAndOperations(again));
    }

    static RecordRows Read(RecordOperation operation, params string[] elements) => Read(BodyFormat.Records, operation, SinkOf(Table), $"{{\"records\":[{string.Join(',', elements)}]}}");

    static RecordRows Read(SinkDefinition sink, params string[] elements) => Read(BodyFormat.Records, RecordOperation.Upsert, sink, $"{{\"records\":[{string.Join(',', elements)}]}}");

    static RecordRows Read(BodyFormat format, RecordOperation operation, SinkDefinition sink, string body)
    {
        var decoder = RecordDecoder.Compile(sink, Table);
        var rows = decoder.Rent();
        BatchReader.Read(Encoding.UTF8.GetBytes(body), format, operation, decoder, 10, rows);
        return rows;
    }

    static string[] Operations(RecordRows rows) => [.. Enumerable.Range(0, rows.AcceptedCount).Select(row => OperationOf(rows, row))];

    static string[] KeysAndOperations(RecordRows rows) => [.. Enumerable.Range(0, rows.AcceptedCount).Select(row => $"{rows.Columns[0].Int64s[row]} {OperationOf(rows, row)}")];

    static string OperationOf(RecordRows rows, int row)
    {
        Assert.True(rows.Operations.RowCount == 0 || rows.Operations.RowCount == rows.AcceptedCount);
        Assert.True(rows.Versions.RowCount == 0 || rows.Versions.RowCount == rows.AcceptedCount);
        var operation = rows.Operations.RowCount > 0 && rows.Operations.States[row] == CellState.Value ? (RecordOperation)rows.Operations.Bytes[row] : RecordOperation.Upsert;
        return rows.Versions.RowCount > 0 && rows.Versions.States[row] == CellState.Value ? $"{operation} {rows.Versions.Int64s[row]}" : $"{operation}";
    }
}
