using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Records;

/// <summary>Tables of JSON -> stored cell or error code, a column kind each (docs/errors.md).</summary>
public sealed class CellDecoderTests
{
    [Theory]
    [InlineData("0", "0")]
    [InlineData("-0", "0")]
    [InlineData("12", "12")]
    [InlineData("12.0", "12")]
    [InlineData("1e3", "1000")]
    [InlineData("\"12\"", "12")]
    [InlineData("\" 12 \"", "12")]
    [InlineData("9223372036854775807", "9223372036854775807")]
    [InlineData("\"\"", "absent")]
    [InlineData("\"  \"", "absent")]
    [InlineData("null", "null")]
    [InlineData("-1", "NotAnId")]
    [InlineData("1.5", "NotAnId")]
    [InlineData("-0.5", "NotAnId")]
    [InlineData("\"1e3\"", "NotAnId")]
    [InlineData("\"abc\"", "NotAnId")]
    [InlineData("true", "NotAnId")]
    [InlineData("[]", "NotAnId")]
    [InlineData("{}", "NotAnId")]
    [InlineData("9223372036854775808", "OutOfRange")]
    [InlineData("1e400", "OutOfRange")]
    public void Id_takes_whole_numbers_from_0_to_2_pow_63_minus_1(string json, string expected) => Assert.Equal(expected, DecodeOne("id", json));

    [Theory]
    [InlineData("5", "5")]
    [InlineData("-5", "-5")]
    [InlineData("5.0", "5")]
    [InlineData("\"5\"", "5")]
    [InlineData("\" -5 \"", "-5")]
    [InlineData("\"+5\"", "5")]
    [InlineData("\"5.\"", "5")]
    [InlineData("5.9", "5 truncated")]
    [InlineData("-5.9", "-5 truncated")]
    [InlineData("\".5\"", "0 truncated")]
    [InlineData("123e-2", "1 truncated")]
    [InlineData("1e18", "1000000000000000000")]
    [InlineData("0e999999999", "0")]
    [InlineData("0e99999999999999999999", "0")]
    [InlineData("1e-999999999", "0 truncated")]
    [InlineData("9223372036854775807", "9223372036854775807")]
    [InlineData("-9223372036854775808", "-9223372036854775808")]
    [InlineData("\"\"", "absent")]
    [InlineData("null", "null")]
    [InlineData("9223372036854775808", "OutOfRange")]
    [InlineData("-9223372036854775809", "OutOfRange")]
    [InlineData("18446744073709551616", "OutOfRange")]
    [InlineData("1e19", "OutOfRange")]
    [InlineData("1e400", "OutOfRange")]
    [InlineData("1e99999999999999999999", "OutOfRange")]
    [InlineData("\"1e3\"", "NotAnInteger")]
    [InlineData("\"abc\"", "NotAnInteger")]
    [InlineData("\"0x10\"", "NotAnInteger")]
    [InlineData("\"1_000\"", "NotAnInteger")]
    [InlineData("\"--5\"", "NotAnInteger")]
    [InlineData("\"5 5\"", "NotAnInteger")]
    [InlineData("\".\"", "NotAnInteger")]
    [InlineData("\"-\"", "NotAnInteger")]
    [InlineData("\"\u0661\"", "NotAnInteger")]
    [InlineData("true", "NotAnInteger")]
    [InlineData("[]", "NotAnInteger")]
    [InlineData("{\"a\":1}", "NotAnInteger")]
    public void Int_takes_64_bits_and_cuts_the_fraction(string json, string expected) => Assert.Equal(expected, DecodeOne("int", json));

    [Theory]
    [InlineData("0", "0")]
    [InlineData("100", "100")]
    [InlineData("100.9", "100 truncated")]
    [InlineData("-1", "OutOfRange")]
    [InlineData("101", "OutOfRange")]
    [InlineData("\"101\"", "OutOfRange")]
    public void Int_outside_min_and_max_is_an_error_not_clamped(string json, string expected) => Assert.Equal(expected, DecodeOne("int(0,100)", json));

    [Theory]
    [InlineData("5.1", "510")]
    [InlineData("0.29", "29")]
    [InlineData("19.99", "1999")]
    [InlineData("5.100", "510")]
    [InlineData("641", "64100")]
    [InlineData("\"5.1\"", "510")]
    [InlineData("\" 5.1 \"", "510")]
    [InlineData("\"-0.25\"", "-25")]
    [InlineData("\"+3\"", "300")]
    [InlineData("\".5\"", "50")]
    [InlineData("1e2", "10000")]
    [InlineData("1E+2", "10000")]
    [InlineData("1.5e-1", "15")]
    [InlineData("-0", "0")]
    [InlineData("-0.0", "0")]
    [InlineData("5.129", "512 truncated")]
    [InlineData("-5.129", "-512 truncated")]
    [InlineData("-0.001", "0 truncated")]
    [InlineData("1e-400", "0 truncated")]
    [InlineData("0.123456789012345678901234567890", "12 truncated")]
    [InlineData("9999999999999999.99", "999999999999999999")]
    [InlineData("-9999999999999999.99", "-999999999999999999")]
    [InlineData("\"\"", "absent")]
    [InlineData("null", "null")]
    [InlineData("10000000000000000", "OutOfRange")]
    [InlineData("-10000000000000000", "OutOfRange")]
    [InlineData("9223372036854775808", "OutOfRange")]
    [InlineData("123456789012345678901234567890", "OutOfRange")]
    [InlineData("1e400", "OutOfRange")]
    [InlineData("-1e400", "OutOfRange")]
    [InlineData("\"1e3\"", "NotADecimal")]
    [InlineData("\"1,5\"", "NotADecimal")]
    [InlineData("\"abc\"", "NotADecimal")]
    [InlineData("\"NaN\"", "NotADecimal")]
    [InlineData("false", "NotADecimal")]
    [InlineData("[5.1]", "NotADecimal")]
    public void Decimal_keeps_the_digits_as_sent_and_cuts_the_rest(string json, string expected) => Assert.Equal(expected, DecodeOne("decimal(2)", json));

    [Theory]
    [InlineData("decimal(0)", "999999999999999999", "999999999999999999")]
    [InlineData("decimal(0)", "1000000000000000000", "OutOfRange")]
    [InlineData("decimal(18)", "0.123456789012345678", "123456789012345678")]
    [InlineData("decimal(18)", "-0.999999999999999999", "-999999999999999999")]
    [InlineData("decimal(18)", "0.9999999999999999999", "999999999999999999 truncated")]
    [InlineData("decimal(18)", "1", "OutOfRange")]
    public void Decimal_has_18_digits_at_every_scale(string type, string json, string expected) => Assert.Equal(expected, DecodeOne(type, json));

    [Fact]
    public void Numbers_of_a_hundred_thousand_digits_are_exact()
    {
        var zeros = new string('0', 150_000);
        Assert.Equal("100", DecodeOne("decimal(2)", $"1{zeros}e-150000"));
        Assert.Equal("100", DecodeOne("decimal(2)", $"0.{zeros}1e150001"));
        Assert.Equal("0 truncated", DecodeOne("decimal(2)", $"0.{zeros}1"));
        Assert.Equal("OutOfRange", DecodeOne("decimal(2)", $"1{zeros}"));
    }

    [Theory]
    [InlineData("true", "true")]
    [InlineData("false", "false")]
    [InlineData("1", "true")]
    [InlineData("0", "false")]
    [InlineData("-0.0", "false")]
    [InlineData("0e5", "false")]
    [InlineData("0.001", "true")]
    [InlineData("-3", "true")]
    [InlineData("1e-400", "true")]
    [InlineData("\"TRUE\"", "true")]
    [InlineData("\" t \"", "true")]
    [InlineData("\"1\"", "true")]
    [InlineData("\"False\"", "false")]
    [InlineData("\"f\"", "false")]
    [InlineData("\"0\"", "false")]
    [InlineData("\"\"", "null")]
    [InlineData("null", "null")]
    [InlineData("\"yes\"", "NotABool")]
    [InlineData("\"2\"", "NotABool")]
    [InlineData("[]", "NotABool")]
    [InlineData("{}", "NotABool")]
    public void Bool_takes_words_and_numbers(string json, string expected) => Assert.Equal(expected, DecodeOne("bool", json));

    [Theory]
    [InlineData("\"abc\"", "'abc'")]
    [InlineData("\" a \"", "' a '")]
    [InlineData("\"\u00e9\"", "'\u00e9'")]
    [InlineData("\"\\u00e9\\ud83d\\ude00\"", "'\u00e9\U0001F600'")]
    [InlineData("\"\\n\\t\\r\\b\\f\\\"\\\\\\/\"", "'\n\t\r\b\f\"\\/'")]
    [InlineData("1000000", "'1000000'")]
    [InlineData("1e6", "'1e6'")]
    [InlineData("1.50", "'1.50'")]
    [InlineData("true", "'true'")]
    [InlineData("\"null\"", "'null'")]
    [InlineData("\"\"", "absent")]
    [InlineData("null", "null")]
    [InlineData("[]", "WrongType")]
    [InlineData("{}", "WrongType")]
    [InlineData("\"a\\u0000b\"", "NulCharacter")]
    [InlineData("\"\\ud800\"", "InvalidUnicode")]
    [InlineData("\"\\ud800x\"", "InvalidUnicode")]
    [InlineData("\"\\ud800\\n1234\"", "InvalidUnicode")]
    [InlineData("\"\\udc00\\ud800\"", "InvalidUnicode")]
    [InlineData("\"\\ud800\\ud800\"", "InvalidUnicode")]
    public void String_takes_any_scalar_as_it_is_written(string json, string expected) => Assert.Equal(expected, DecodeOne("string", json));

    [Theory]
    [InlineData(new byte[] { 0xFF })]
    [InlineData(new byte[] { 0xC0, 0x80 })]
    [InlineData(new byte[] { 0xED, 0xA0, 0x80 })]
    [InlineData(new byte[] { 0xE2, 0x82 })]
    [InlineData(new byte[] { 0xF4, 0x90, 0x80, 0x80 })]
    public void Invalid_utf8_is_an_error_of_its_record_only(byte[] text)
    {
        var schema = TableOf(KeyKind.Number, ("c", ColumnType.String));
        byte[] body = [.. "{\"records\":[{\"value\":{\"_id\":1,\"c\":\""u8, .. text, .. "\"}},{\"value\":{\"_id\":2,\"c\":\"b\"}}]}"u8];
        var rows = Decode(SinkOf(schema), schema, body);
        Assert.Equal("c:InvalidUnicode", Errors(Assert.Single(rows.Rejected)));
        Assert.Equal(["2 | 'b'"], Rows(rows));
    }

    [Theory]
    [InlineData("[\"a\",\"b\"]", "['a','b']")]
    [InlineData("[\"b\",\"a\",\"b\",\"a\"]", "['b','a']")]
    [InlineData("[\"a\",\"\"]", "['a']")]
    [InlineData("[\" a \"]", "[' a ']")]
    [InlineData("[]", "[]")]
    [InlineData("[\"\"]", "[]")]
    [InlineData("\"a\"", "['a']")]
    [InlineData("\"a,b\"", "['a,b']")]
    [InlineData("\"[\\\"a\\\",\\\"b,c\\\"]\"", "['a','b,c']")]
    [InlineData("\"[a,b]\"", "['a','b']")]
    [InlineData("\"[]\"", "[]")]
    [InlineData("\"[a\"", "['[a']")]
    [InlineData("\"[[]]\"", "['[]']")]
    [InlineData("5", "['5']")]
    [InlineData("\"\"", "absent")]
    [InlineData("null", "null")]
    [InlineData("[\"a\",1]", "WrongType")]
    [InlineData("[\"a\",null]", "WrongType")]
    [InlineData("[[\"a\"]]", "WrongType")]
    [InlineData("true", "WrongType")]
    [InlineData("{}", "WrongType")]
    [InlineData("[\"\\ud800\"]", "InvalidUnicode")]
    [InlineData("[\"\\u0000\"]", "NulCharacter")]
    [InlineData("\"[\\\"\\\\ud800\\\"]\"", "InvalidUnicode")]
    public void Stringset_takes_arrays_and_the_text_of_arrays(string json, string expected) => Assert.Equal(expected, DecodeOne("stringset", json));

    [Theory]
    [InlineData("[1,2]", "[1,2]")]
    [InlineData("[2,1,2]", "[2,1]")]
    [InlineData("[\"1\",\" 2 \"]", "[1,2]")]
    [InlineData("[0,9223372036854775807]", "[0,9223372036854775807]")]
    [InlineData("[]", "null")]
    [InlineData("\"[]\"", "null")]
    [InlineData("\"1,2\"", "[1,2]")]
    [InlineData("\"1, 2\"", "[1,2]")]
    [InlineData("\"[1,2]\"", "[1,2]")]
    [InlineData("\"[\\\"1\\\",\\\"2\\\"]\"", "[1,2]")]
    [InlineData("5", "[5]")]
    [InlineData("\"5\"", "[5]")]
    [InlineData("\"\"", "absent")]
    [InlineData("null", "null")]
    [InlineData("[1.5]", "NotAnId")]
    [InlineData("[-1]", "NotAnId")]
    [InlineData("[true]", "NotAnId")]
    [InlineData("[null]", "NotAnId")]
    [InlineData("[9223372036854775808]", "NotAnId")]
    [InlineData("\"1,x\"", "NotAnId")]
    [InlineData("\"1,\"", "NotAnId")]
    [InlineData("\"[1,]\"", "NotAnId")]
    [InlineData("true", "NotAnId")]
    [InlineData("{}", "NotAnId")]
    public void Idset_takes_arrays_of_ids_and_their_text(string json, string expected) => Assert.Equal(expected, DecodeOne("idset", json));

    [Theory]
    [InlineData(33)]
    [InlineData(1_000)]
    public void Large_sets_drop_repeated_members_too(int members)
    {
        var numbers = Enumerable.Range(0, members).Concat(Enumerable.Range(0, members)).ToList();
        var distinct = string.Join(',', Enumerable.Range(0, members));
        Assert.Equal($"[{distinct}]", DecodeOne("idset", $"[{string.Join(',', numbers)}]"));
        Assert.Equal(
            $"[{string.Join(',', Enumerable.Range(0, members).Select(n => $"'m{n}'"))}]",
            DecodeOne("stringset", $"[{string.Join(',', numbers.Select(n => $"\"m{n}\""))}]"));
    }

    [Theory]
    [InlineData("\"2022-08-08T17:57:48Z\"", "1659981468")]
    [InlineData("\"2022-08-08t17:57:48z\"", "1659981468")]
    [InlineData("\"2022-08-08T19:57:48+02:00\"", "1659981468")]
    [InlineData("\"2022-08-08T13:27:48-04:30\"", "1659981468")]
    [InlineData("\"2022-08-08T17:57:48.000Z\"", "1659981468")]
    [InlineData("\"2022-08-08T17:57:48.26Z\"", "1659981468 truncated")]
    [InlineData("\"2022-08-08\"", "1659916800")]
    [InlineData("\"2024-02-29\"", "1709164800")]
    [InlineData("\"1969-12-31T23:59:59.5Z\"", "-1 truncated")]
    [InlineData("\"0001-01-01T00:00:01Z\"", "-62135596799")]
    [InlineData("\"9999-12-31T23:59:59Z\"", "253402300799")]
    [InlineData("1659981468", "1659981468")]
    [InlineData("\"1659981468\"", "1659981468")]
    [InlineData("1659981468.5", "1659981468 truncated")]
    [InlineData("0", "0")]
    [InlineData("-1", "-1")]
    [InlineData("99999999999", "99999999999")]
    [InlineData("100000000000", "100000000")]
    [InlineData("1659981468260", "1659981468 truncated")]
    [InlineData("1659981468000000", "1659981468")]
    [InlineData("1659981468000000000", "1659981468")]
    [InlineData("\"\"", "NotATimestamp")]
    [InlineData("null", "null")]
    [InlineData("\"0001-01-01T00:00:00Z\"", "OutOfRange")]
    [InlineData("\"9999-12-31T23:59:59-01:00\"", "OutOfRange")]
    [InlineData("1e400", "OutOfRange")]
    [InlineData("9223372036854775808", "OutOfRange")]
    [InlineData("\"2022-02-29\"", "NotATimestamp")]
    [InlineData("\"2022-13-01\"", "NotATimestamp")]
    [InlineData("\"2022-00-01\"", "NotATimestamp")]
    [InlineData("\"0000-01-01\"", "NotATimestamp")]
    [InlineData("\"2022-8-8\"", "NotATimestamp")]
    [InlineData("\"2022-08-08 17:57:48Z\"", "NotATimestamp")]
    [InlineData("\"2022-08-08T17:57:48\"", "NotATimestamp")]
    [InlineData("\"2022-08-08T17:57:48.5\"", "NotATimestamp")]
    [InlineData("\"2022-08-08T17:57:48.Z\"", "NotATimestamp")]
    [InlineData("\"2022-08-08T24:00:00Z\"", "NotATimestamp")]
    [InlineData("\"2022-08-08T17:60:00Z\"", "NotATimestamp")]
    [InlineData("\"2022-08-08T17:57:60Z\"", "NotATimestamp")]
    [InlineData("\"2022-08-08T17:57:48+24:00\"", "NotATimestamp")]
    [InlineData("\"2022-08-08T17:57:48+0200\"", "NotATimestamp")]
    [InlineData("\"2006-01-02T15:04:05Z07:00\"", "NotATimestamp")]
    [InlineData("\"now\"", "NotATimestamp")]
    [InlineData("true", "NotATimestamp")]
    [InlineData("[]", "NotATimestamp")]
    public void Timestamp_takes_rfc_3339_dates_and_numbers_by_their_size(string json, string expected) => Assert.Equal(expected, DecodeOne("timestamp(s)", json));

    [Theory]
    [InlineData("timestamp(ms)", "1659981468260", "1659981468260")]
    [InlineData("timestamp(ms)", "\"2022-08-08T17:57:48.2609Z\"", "1659981468260 truncated")]
    [InlineData("timestamp(us)", "1659981468260123", "1659981468260123")]
    [InlineData("timestamp(us)", "\"2022-08-08T17:57:48.260123Z\"", "1659981468260123")]
    [InlineData("timestamp(ns)", "1659981468260123456", "1659981468260123456")]
    [InlineData("timestamp(ns)", "\"2022-08-08T17:57:48.260123456Z\"", "1659981468260123456")]
    [InlineData("timestamp(ns)", "\"2022-08-08T17:57:48.2601234560Z\"", "1659981468260123456")]
    [InlineData("timestamp(ns)", "\"2022-08-08T17:57:48.2601234567Z\"", "1659981468260123456 truncated")]
    [InlineData("timestamp(ns)", "\"1833-11-24T17:31:44Z\"", "-4294967296000000000")]
    [InlineData("timestamp(ns)", "\"1833-11-24T17:31:43Z\"", "OutOfRange")]
    [InlineData("timestamp(ns)", "\"2106-02-07T06:28:16Z\"", "4294967296000000000")]
    [InlineData("timestamp(ns)", "\"2106-02-07T06:28:17Z\"", "OutOfRange")]
    [InlineData("timestamp(ms)", "\"9999-12-31T23:59:59.999Z\"", "253402300799999")]
    [InlineData("timestamp(ms)", "1659981468.2609", "1659981468260 truncated")]
    [InlineData("timestamp(us)", "1659981468.260123", "1659981468260123")]
    [InlineData("timestamp(us)", "\"1659981468260.123\"", "1659981468260123")]
    [InlineData("timestamp(ns)", "-0.25", "-250000000")]
    [InlineData("timestamp(ns)", "1659981468260123.4567", "1659981468260123456 truncated")]
    public void Timestamp_is_kept_in_the_unit_of_its_column(string type, string json, string expected) => Assert.Equal(expected, DecodeOne(type, json));

    [Theory]
    [InlineData(TimeUnit.Second, null, "5", "5000")]
    [InlineData(TimeUnit.Millisecond, null, "5", "5")]
    [InlineData(TimeUnit.Microsecond, null, "5000", "5")]
    [InlineData(TimeUnit.Nanosecond, null, "5000000", "5")]
    [InlineData(TimeUnit.Nanosecond, null, "-1", "-1 truncated")]
    [InlineData(TimeUnit.Second, "2000-01-01T00:00:00Z", "1", "946684801000")]
    [InlineData(null, "2000-01-01T00:00:00Z", "1", "946684801000")]
    [InlineData(TimeUnit.Second, null, "9223372036854775807", "OutOfRange")]
    [InlineData(TimeUnit.Second, "2000-01-01T00:00:00Z", "9223372036854775807", "OutOfRange")]
    [InlineData(TimeUnit.Second, "1900-01-01T00:00:00Z", "-9223372036854775808", "OutOfRange")]
    [InlineData(TimeUnit.Second, "2000-01-01T00:00:00Z", "\"2022-08-08\"", "1659916800000")]
    public void Timestamp_numbers_count_in_the_units_and_from_the_epoch_of_the_mapping(TimeUnit? unit, string? epoch, string json, string expected)
    {
        var schema = TableOf(KeyKind.Number, ("c", ColumnType.Timestamp(TimeUnit.Millisecond)));
        var sink = SinkOf(schema);
        var mapped = sink.Fields[1] with { Unit = unit, Epoch = epoch is null ? null : DateTimeOffset.Parse(epoch, null) };
        Assert.Equal(expected, Describe(Decode(sink with { Fields = [sink.Fields[0], mapped] }, schema, $"{{\"_id\":1,\"c\":{json}}}")));
    }

    [Fact]
    public void Timestamp_numbers_count_from_the_columns_epoch_when_the_mapping_has_none()
    {
        var schema = TableOf(KeyKind.Number, ("c", ColumnType.Timestamp(TimeUnit.Second) with { Epoch = new DateTimeOffset(2000, 1, 1, 0, 0, 0, TimeSpan.Zero) }));
        Assert.Equal("946684801", Describe(Decode(SinkOf(schema), schema, """{"_id":1,"c":1}""")));
    }

    [Theory]
    [InlineData("[1,2.5,-3e1]", "<1,2.5,-30>")]
    [InlineData("[0,-0.0,1e-400]", "<0,-0,0>")]
    [InlineData("null", "null")]
    [InlineData("[]", "WrongLength")]
    [InlineData("[1,2]", "WrongLength")]
    [InlineData("[1,2,3,4]", "WrongLength")]
    [InlineData("[\"1\",2,3]", "WrongType")]
    [InlineData("[1,null,3]", "WrongType")]
    [InlineData("[1,[2],3]", "WrongType")]
    [InlineData("[1e999,2,3]", "OutOfRange")]
    [InlineData("1", "WrongType")]
    [InlineData("\"\"", "WrongType")]
    [InlineData("{}", "WrongType")]
    public void Vector_takes_exactly_its_number_of_finite_numbers(string json, string expected) => Assert.Equal(expected, DecodeOne("vector(3)", json));

    [Theory]
    [InlineData("decimal(2)", "5.129")]
    [InlineData("int", "5.5")]
    [InlineData("timestamp(s)", "\"2022-08-08T17:57:48.26Z\"")]
    public void A_sink_can_make_truncation_an_error(string type, string json)
    {
        var schema = TableOf(KeyKind.Number, ("c", Type(type)));
        var rows = Decode(SinkOf(schema) with { RejectTruncation = true }, schema, $"{{\"_id\":1,\"c\":{json}}}", """{"_id":2,"c":5}""");
        Assert.Equal("c:Truncated", Errors(Assert.Single(rows.Rejected)));
        Assert.Empty(rows.Warnings);
        Assert.Equal(1, rows.AcceptedCount);
    }

    [Theory]
    [InlineData("YMDH", "2022-08-08T17")]
    [InlineData("YMD", "2022-08-08T00")]
    [InlineData("YM", "2022-08-01T00")]
    [InlineData("Y", "2022-01-01T00")]
    [InlineData("H", "2022-08-08T17")]
    public void Quantum_sets_get_the_records_time_cut_to_their_finest_unit(string quantum, string time)
    {
        foreach (var value in new[] { """{"_id":1,"t":"2022-08-08T17:57:48Z","c":["a","b"]}""", """{"_id":1,"c":["a","b"],"t":1659981468260}""" })
            Assert.Equal($"['a'@{time},'b'@{time}]", DecodeQuantum($"stringsetq({quantum})", value));
        Assert.Equal($"[7@{time}]", DecodeQuantum($"idsetq({quantum})", """{"_id":1,"c":[7,7],"t":"2022-08-08T17:57:48Z"}"""));
    }

    [Theory]
    [InlineData("""{"_id":1,"c":["a"]}""", "['a']")]
    [InlineData("""{"_id":1,"c":["a"],"t":null}""", "['a']")]
    [InlineData("""{"_id":1,"c":["a"],"t":""}""", "['a']")]
    [InlineData("""{"_id":1,"t":"2022-08-08"}""", "absent")]
    [InlineData("""{"_id":1,"c":null,"t":"2022-08-08"}""", "null")]
    [InlineData("""{"_id":1,"c":["a"],"t":"soon"}""", "NotATimestamp")]
    [InlineData("""{"_id":1,"c":["a"],"t":"0001-01-01T00:00:00Z"}""", "OutOfRange")]
    public void Quantum_sets_without_a_record_time_are_in_no_view(string value, string expected) => Assert.Equal(expected, DecodeQuantum("stringsetq(YMD)", value));

    [Theory]
    [InlineData("""{"_id":1,"c":{"time":"2022-08-08T17:00:00Z","members":["a","b","a"]}}""", "['a'@2022-08-08T00,'b'@2022-08-08T00]")]
    [InlineData("""{"_id":1,"c":{"members":["a"],"time":1659981468}}""", "['a'@2022-08-08T00]")]
    [InlineData("""{"_id":1,"c":{"time":null,"members":["a"]}}""", "['a']")]
    [InlineData("""{"_id":1,"c":{"members":["a"]}}""", "['a']")]
    [InlineData("""{"_id":1,"c":{"time":"2022-08-08","members":[]}}""", "[]")]
    [InlineData("""{"_id":1,"t":"2030-01-01","c":{"time":"2022-08-08","members":["a"]}}""", "['a'@2022-08-08T00]")]
    [InlineData("""{"_id":1,"c":{"time":"2022-08-08","members":["a"]},"t":"2030-01-01"}""", "['a'@2022-08-08T00]")]
    [InlineData("""{"_id":1,"t":"2030-01-01","c":{"members":["a"]}}""", "['a'@2030-01-01T00]")]
    [InlineData("""{"_id":1,"c":{"time":"soon","members":["a"]}}""", "NotATimestamp")]
    [InlineData("""{"_id":1,"c":{"time":"0001-01-01T00:00:00Z","members":["a"]}}""", "OutOfRange")]
    [InlineData("""{"_id":1,"c":{"time":"2022-08-08","members":"a"}}""", "WrongType")]
    [InlineData("""{"_id":1,"c":{"time":"2022-08-08","members":[{}],"x":1}}""", "WrongType WrongType")]
    [InlineData("""{"_id":1,"c":{"time":"2022-08-08"}}""", "WrongType")]
    [InlineData("""{"_id":1,"c":{}}""", "WrongType")]
    [InlineData("""{"_id":1,"c":{"time":"2022-08-08","time":"2030-01-01","members":["a"]}}""", "DuplicateField")]
    [InlineData("""{"_id":1,"c":{"members":["a"],"members":["b"]}}""", "DuplicateField")]
    public void Members_of_quantum_sets_may_come_with_a_time_of_their_own(string value, string expected) =>
        Assert.Equal(expected, DecodeQuantum("stringsetq(YMD)", value));

    [Fact]
    public void A_rejected_record_leaves_the_times_of_the_one_before_alone()
    {
        var schema = TableOf(KeyKind.Number, ("c", ColumnType.StringSetQ("YMD")));
        var sink = SinkWith(schema, true, ("_id", "/_id"), ("c", "/c"), (SinkDefinition.TimeQuantumName, "/t"));
        var rows = Decode(sink, schema, """{"_id":1,"c":["a"],"t":"2022-08-08"}""", """{"_id":2,"c":true,"t":"2030-01-01"}""", """{"_id":3,"c":["b"]}""");
        Assert.Equal(["1 | ['a'@2022-08-08T00]", "3 | ['b']"], Rows(rows));
    }

    static string DecodeQuantum(string type, string value)
    {
        var schema = TableOf(KeyKind.Number, ("c", Type(type)));
        return Describe(Decode(SinkWith(schema, true, ("_id", "/_id"), ("c", "/c"), (SinkDefinition.TimeQuantumName, "/t")), schema, value));
    }

    static string DecodeOne(string type, string json)
    {
        var schema = TableOf(KeyKind.Number, ("c", Type(type)));
        return Describe(Decode(SinkOf(schema), schema, $"{{\"_id\":1,\"c\":{json}}}"));
    }

    /// <summary>The cell of the only record's column and its warning, or the codes of its errors.</summary>
    static string Describe(RecordRows rows)
    {
        Assert.Equal(1, rows.RecordCount);
        if (rows.Rejected.Count > 0)
        {
            Assert.All(rows.Columns, column => Assert.Equal(0, column.RowCount));
            return string.Join(' ', rows.Rejected[0].Errors.Select(error => error.Code));
        }
        Assert.All(rows.Warnings, warning => Assert.Equal(new TruncationWarning(0, "c"), warning));
        return Cell(rows.Columns[1], 0) + (rows.Warnings.Count == 0 ? "" : " truncated");
    }
}
