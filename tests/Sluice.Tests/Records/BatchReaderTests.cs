using System.Diagnostics;
using System.Text;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Records;

/// <summary>The envelope: what refuses a request, what only its record.</summary>
public sealed class BatchReaderTests
{
    static readonly TableSchema Table = TableOf(KeyKind.Number, ("i", ColumnType.Int));

    [Theory]
    [InlineData("", ErrorCode.InvalidBody)]
    [InlineData("   ", ErrorCode.InvalidBody)]
    [InlineData("x", ErrorCode.InvalidBody)]
    [InlineData("null", ErrorCode.InvalidBody)]
    [InlineData("5", ErrorCode.InvalidBody)]
    [InlineData("[]", ErrorCode.InvalidBody)]
    [InlineData("""{"records":[""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":[{"value":{"_id":1}}]""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":[{"value":{"_id":1}}]} x""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":[]}{"records":[]}""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":[{"value":{"_id":1}},]}""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":[{"value":{"_id":01}}]}""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":[{"value":{"_id":NaN}}]}""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":[]/* no comments */}""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":{}}""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":null}""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":[],"records":[]}""", ErrorCode.InvalidBody)]
    [InlineData("""{"records":[],"\u0072ecords":[]}""", ErrorCode.InvalidBody)]
    [InlineData("{}", ErrorCode.MissingParameter)]
    [InlineData("""{"Records":[]}""", ErrorCode.MissingParameter)]
    [InlineData("""{"\ud800":1}""", ErrorCode.MissingParameter)]
    [InlineData("""{"value":{"_id":1}}""", ErrorCode.MissingParameter)]
    public void A_body_that_is_no_batch_is_refused_as_a_whole(string body, ErrorCode code)
    {
        var refused = Assert.Throws<SluiceException>(() => Decode(SinkOf(Table), Table, Encoding.UTF8.GetBytes(body)));
        Assert.Equal(code, refused.Code);
        Assert.Equal(RefusalOutcome.NotStored, refused.Outcome);
    }

    [Fact]
    public void A_refusal_says_where_the_json_ends_to_be_json()
    {
        var refused = Assert.Throws<SluiceException>(() => Decode(SinkOf(Table), Table, "{\"records\":[\n{\"value\":x}]}"u8));
        Assert.StartsWith("The body is not valid JSON at line 2, byte 10: 'x' is an invalid start of a value.", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("5", FieldErrorCode.NotARecord)]
    [InlineData("null", FieldErrorCode.NotARecord)]
    [InlineData("[{\"value\":{}}]", FieldErrorCode.NotARecord)]
    [InlineData("{}", FieldErrorCode.MissingValue)]
    [InlineData("""{"Value":{"_id":1}}""", FieldErrorCode.MissingValue)]
    [InlineData("""{"_id":1}""", FieldErrorCode.MissingValue)]
    [InlineData("""{"value":5}""", FieldErrorCode.ValueNotAnObject)]
    [InlineData("""{"value":null}""", FieldErrorCode.ValueNotAnObject)]
    [InlineData("""{"value":[{"_id":1}]}""", FieldErrorCode.ValueNotAnObject)]
    [InlineData("""{"value":{"_id":1},"value":{"_id":1}}""", FieldErrorCode.DuplicateField)]
    public void A_wrong_element_fails_alone(string element, FieldErrorCode code)
    {
        var body = "{\"records\":[{\"value\":{\"_id\":1,\"i\":1}}," + element + ",{\"value\":{\"_id\":2,\"i\":2}}]}";
        var rows = Decode(SinkOf(Table), Table, Encoding.UTF8.GetBytes(body));
        Assert.Equal(["1 | 1", "2 | 2"], Rows(rows));
        var rejected = Assert.Single(rows.Rejected);
        Assert.Equal((1, code), (rejected.Index, Assert.Single(rejected.Errors).Code));
    }

    [Theory]
    [InlineData("""{"records":[]}""", 0)]
    [InlineData("""{"records":[],"more":{"records":[1]}}""", 0)]
    [InlineData("""{"before":[1,{"x":[]}],"records":[{"key":1,"value":{"_id":1},"headers":{}}],"after":null}""", 1)]
    [InlineData("""{"\u0072ecords":[{"\u0076alue":{"\u005fid":1}}]}""", 1)]
    [InlineData(" \r\n\t{ \"records\" : [ { \"value\" : { \"_id\" : 1 } } ] } \r\n", 1)]
    public void Other_members_and_escaped_names_and_blanks_are_fine(string body, int records)
    {
        var rows = Decode(SinkOf(Table), Table, Encoding.UTF8.GetBytes(body));
        Assert.Equal((records, records), (rows.RecordCount, rows.AcceptedCount));
    }

    [Fact]
    public void A_value_may_be_64_levels_deep_and_not_65()
    {
        static string Nested(int depth) => $"{{\"_id\":1,\"x\":{string.Concat(Enumerable.Repeat("[", depth - 1))}{string.Concat(Enumerable.Repeat("]", depth - 1))}}}";
        Assert.Equal(1, Decode(SinkOf(Table), Table, Nested(BatchReader.MaxDepth)).AcceptedCount);
        var refused = Assert.Throws<SluiceException>(() => Decode(SinkOf(Table), Table, Nested(BatchReader.MaxDepth + 1)));
        Assert.Equal(ErrorCode.InvalidBody, refused.Code);
    }

    [Fact]
    public void More_records_than_the_sink_takes_refuse_the_request()
    {
        var sink = SinkOf(Table) with { MaxRecordsPerRequest = 3 };
        Assert.Equal(3, Decode(sink, Table, "{}", "{}", "{}").RecordCount);
        var refused = Assert.Throws<SluiceException>(() => Decode(sink, Table, "{}", "{}", "{}", "{}"));
        Assert.Equal(ErrorCode.TooManyRecords, refused.Code);
        Assert.StartsWith("Request exceeded record count limit", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_byte_order_mark_is_passed_over_only_at_the_start()
    {
        ReadOnlyMemory<byte> body = Body("""{"_id":1}""");
        byte[] marked = [0xEF, 0xBB, 0xBF, .. body.Span];
        Assert.True(BatchReader.WithoutByteOrderMark(marked).Span.SequenceEqual(body.Span));
        Assert.True(BatchReader.WithoutByteOrderMark(body).Span.SequenceEqual(body.Span));
        Assert.Throws<SluiceException>(() => Decode(SinkOf(Table), Table, [0xEF, 0xBB, 0xBF, .. marked]));
    }

    [Theory]
    [InlineData("""[{"_id":1,"i":2},{"_id":2}]""", "1 | 2;2 | absent")]
    [InlineData("[]", "")]
    public void Values_alone_are_read_for_sql(string body, string expected)
    {
        var decoder = RecordDecoder.Compile(SinkOf(Table), Table);
        var rows = decoder.Rent();
        BatchReader.Read(Encoding.UTF8.GetBytes(body), BodyFormat.Values, RecordOperation.Upsert, decoder, 10, rows);
        Assert.Equal(expected, string.Join(';', Rows(rows)));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("[")]
    [InlineData("""[{"_id":1}""")]
    [InlineData("""[{"_id":1}] x""")]
    [InlineData("""[{"_id":1}][]""")]
    public void Values_that_are_no_array_are_refused(string body)
    {
        var decoder = RecordDecoder.Compile(SinkOf(Table), Table);
        Assert.Throws<SluiceException>(() => BatchReader.Read(Encoding.UTF8.GetBytes(body), BodyFormat.Values, RecordOperation.Upsert, decoder, 10, decoder.Rent()));
    }

    [Theory]
    [InlineData("5")]
    [InlineData("""{"value":{"_id":"x","i":"y","\ud800":0,"\ud801":0}}""")]
    [InlineData("""{"value":{"_id":1,"i":["\ud800"]},"\ud800":1}""")]
    public void A_hundred_thousand_bad_records_are_read_in_a_blink(string element)
    {
        var body = Encoding.UTF8.GetBytes($"{{\"records\":[{string.Join(',', Enumerable.Repeat(element, 100_000))}]}}");
        var best = TimeSpan.MaxValue;
        for (var round = 0; round < 3; round++) // other tests run beside it
        {
            var started = Stopwatch.GetTimestamp();
            Assert.Equal(100_000, Decode(SinkOf(Table), Table, body).Rejected.Count);
            best = TimeSpan.FromTicks(Math.Min(best.Ticks, Stopwatch.GetElapsedTime(started).Ticks));
        }
        Assert.InRange(best.TotalSeconds, 0, 2);
    }
}
