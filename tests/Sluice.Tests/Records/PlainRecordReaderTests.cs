using System.Globalization;
using System.Text;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Records;

/// <summary>What is read as plain has the result that it has when it is read token by token; and what senders nearly always send is read as plain.</summary>
public sealed class PlainRecordReaderTests
{
    static readonly TableSchema Table = TableOf(
        KeyKind.Number,
        ("i", Type("int")), ("small", Type("int(0,100)")), ("d", Type("decimal(2)")), ("s", Type("string")), ("b", Type("bool")), ("id", Type("id")), ("t", Type("timestamp(ms)")),
        ("ns", Type("timestamp(ns)")), ("set", Type("stringset")), ("ids", Type("idset")), ("q", Type("idsetq(YMD)")), ("v", Type("vector(2)")), ("deep", Type("int")), ("deeper", Type("string")));

    static readonly TableSchema TextKeys = Table with { Key = KeyKind.String };

    static readonly string[] Values =
    [
        "0", "-0", "7", "-7", "42", "007", "-", "-01", "+1", "1.", ".5", "0.5", "12.50", "12.345", "-1.005", "1e3", "1E-2", "1.5e1", "1e", "100", "101", "123456789012345678",
        "1234567890123456789", "9223372036854775807", "9223372036854775808", "99999999999999999.9", "1700000000", "1700000000123", "1700000000.5", "-62135596800", "12a", "1 2", "0x1",
        "\"abc\"", "\"\"", "\" 5 \"", "\"5\"", "\"5.25\"", "\"2026-01-02\"", "\"2026-01-02T03:04:05Z\"", "\"2026-01-02T03:04:05.123456789Z\"", "\"2026-01-02T03:04:05.1234567891Z\"", "\"2026-01-02T03:04:05+02:00\"",
        "\"2026-13-02\"", "\"0001-01-01\"", "\"a\\u0041\"", "\"\\\\\"", "\"\\n\"", "\"na\u00efve \ud83c\udf3a\"", "\"a\tb\"", "\"a\u007fb\"", "\"a\0b\"", "\"\\u0000\"", "\"\\ud800\"", "\"true\"", "\"t\"", "\"abc", "\"\u00ff", "\"a\u00ffb\"",
        "true", "false", "null", "tru", "nul", "falsey", "True", "[]", "[1,2]", "[1,1]", "[\"a\",\"b\"]", "[\"a\",\"a\"]", "[1,\"x\"]", "[[1]]", "[null]", "[1,", "[1.5,2]", "[1e400,2]", "[ 1 , 2 ]",
        "{\"a\":1}", "{}", "{\"value\":[1],\"timestamp\":\"2026-01-02\"}", $"\"{new string('k', 1_024)}\"", $"\"{new string('k', 1_025)}\"", new string('7', 1_025), "",
    ];

    static SinkDefinition SinkFor(TableSchema table, bool allowMissing) => SinkWith(
        table, allowMissing,
        [("_id", "/_id"), .. table.Columns.Where(column => !column.Name.StartsWith("deep", StringComparison.Ordinal)).Select(column => (column.Name, "/" + column.Name)), ("deep", "/a/b"), ("deeper", "/a/c/d")]);

    [Fact]
    public void Every_value_in_every_column_is_what_its_tokens_say()
    {
        foreach (var table in new[] { Table, TextKeys })
            foreach (var name in Table.Columns.Select(column => column.Name).Append("_id"))
                foreach (var value in Values)
                {
                    var member = name switch { "deep" => $"\"a\":{{\"b\":{value}}}", "deeper" => $"\"a\":{{\"c\":{{\"d\":{value}}}}}", _ => $"\"{name}\":{value}" };
                    var key = name == "_id" ? "\"i\":1" : "\"_id\":1";
                    AssertSame(table, allowMissing: true, BodyFormat.Records, $"{{\"records\":[{{\"value\":{{{key},{member}}}}},{{\"value\":{{{member},{key}}}}}]}}");
                    AssertSame(table, allowMissing: true, BodyFormat.Lines, $"{{{key},{member}}}\n{{{member},{key}}}");
                }
    }

    [Fact]
    public void Random_bodies_are_what_their_tokens_say()
    {
        var first = Random.Shared.Next();
        for (var seed = first; seed < first + 10_000; seed++)
        {
            var random = new Random(seed);
            var format = (BodyFormat)random.Next(3);
            var records = Enumerable.Range(0, random.Next(6)).Select(_ => RandomRecord(random, format)).ToList();
            var text = format switch
            {
                BodyFormat.Records => $"{{{Blank(random)}\"records\":[{Blank(random)}{string.Join(Blank(random) + "," + Blank(random), records)}{Blank(random)}]}}",
                BodyFormat.Values => $"[{string.Join(Blank(random) + "," + Blank(random), records)}{Blank(random)}]",
                _ => string.Join('\n', records.Select(record => record.Replace('\n', ' '))),
            };
            AssertSame(Table, allowMissing: random.Next(4) > 0, format, text, $"seed {seed}");
        }
    }

    [Fact]
    public void Bodies_of_plain_and_other_records_tell_the_place_of_a_fault()
    {
        // 60 plain, 20 that are not, 60 plain on lines of their own, and then no JSON
        var plain = string.Join(",\n", Enumerable.Repeat("""{"value":{"_id":1,"s":"x"}}""", 60));
        var other = string.Join(", ", Enumerable.Repeat("""{"value":{"_id":1,"s":"\n"}}""", 20));
        AssertSame(Table, allowMissing: true, BodyFormat.Records, $"{{\"records\":[{plain},{other},{plain},{{\"value\":{{\"_id\":tru}}}}]}}");
        AssertSame(Table, allowMissing: true, BodyFormat.Records, $$"""{"records":[{{plain}}], "z":[}""");
        Assert.Contains("line 60, byte 36", Decoded(Table, true, BodyFormat.Records, $$"""{"records":[{{plain}}], "z":[}""", mayBePlain: true), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"_id":1,"i":-5,"small":7,"d":12.5,"s":"text","b":true,"id":9,"t":"2026-01-02T03:04:05Z","ns":1700000000,"set":["a","b"],"ids":[1,2],"v":[1.5,2],"a":{"b":3,"c":{"d":"below"}}}""")]
    [InlineData("""{ "s": "naïve", "_id": 1, "b": null, "t": "2026-01-02" }""")]
    [InlineData("""{"a":{},"_id":1}""")]
    [InlineData("{\r\n\t\"_id\" : 1 ,\r\n\t\"d\" : 0.25\r\n}")]
    public void What_senders_write_is_plain(string text)
    {
        var decoder = RecordDecoder.Compile(SinkFor(Table, allowMissing: true), Table);
        Assert.True(PlainRecordReader.TryDecodeLine(Encoding.UTF8.GetBytes(text), decoder, decoder.Rent()));
    }

    [Theory]
    [InlineData("""{"_id":1,"unknown":1}""")]
    [InlineData("""{"_id":1,"s":"\u0041"}""")]
    [InlineData("""{"_id":1,"i":1e3}""")]
    [InlineData("""{"_id":1,"i":1,"i":2}""")]
    [InlineData("""{"_id":1,"d":0.125}""")]
    [InlineData("""{"_id":1}x""")]
    [InlineData("""{"_id":1""")]
    public void The_rest_leaves_no_trace(string text)
    {
        var decoder = RecordDecoder.Compile(SinkFor(Table, allowMissing: true), Table);
        var rows = decoder.Rent();
        Assert.False(PlainRecordReader.TryDecodeLine(Encoding.UTF8.GetBytes(text), decoder, rows));
        Assert.All(rows.Columns, column => Assert.Equal((0, 0, 0), (column.RowCount, column.Bytes.Length, column.Int64s.Length)));
        Assert.Equal((0, 0, false), (rows.Rejected.Count, rows.Warnings.Count, rows.HasFailed));
    }

    static void AssertSame(TableSchema table, bool allowMissing, BodyFormat format, string text, string where = "")
    {
        var (plain, tokens) = (Decoded(table, allowMissing, format, text, mayBePlain: true), Decoded(table, allowMissing, format, text, mayBePlain: false));
        Assert.True(plain == tokens, $"{where} {format} {text}\nplain:\n{plain}\ntokens:\n{tokens}");
    }

    static string Decoded(TableSchema table, bool allowMissing, BodyFormat format, string text, bool mayBePlain)
    {
        // ÿ stands for a byte that is not UTF-8
        var body = Encoding.UTF8.GetBytes(text.Replace("\u00ff", "\u0001ff", StringComparison.Ordinal)).AsSpan();
        for (var at = body.IndexOf("\u0001ff"u8); at >= 0; at = body.IndexOf("\u0001ff"u8)) body[at..(at + 3)].Fill(0xFF);

        var sink = SinkFor(table, allowMissing);
        var decoder = RecordDecoder.Compile(sink, table);
        var rows = decoder.Rent();
        while (!mayBePlain && rows.MayBePlain) rows.NotePlain(false);
        try
        {
            BatchReader.Read(body, format, RecordOperation.Upsert, decoder, sink.MaxRecordsPerRequest, rows);
        }
        catch (SluiceException e)
        {
            return $"{e.Code} {e.Message}";
        }
        var result = new StringBuilder().AppendLine(CultureInfo.InvariantCulture, $"{rows.RecordCount} records, discarded {rows.IsDiscarded}");
        foreach (var row in Rows(rows)) result.AppendLine(row);
        foreach (var record in rows.Rejected) result.AppendLine(CultureInfo.InvariantCulture, $"{record.Index} {record.IsDiscarded} {string.Join(',', record.Errors)}");
        foreach (var warning in rows.Warnings) result.AppendLine(CultureInfo.InvariantCulture, $"warning {warning.RecordIndex} {warning.Column}");
        foreach (var raw in rows.Records) result.AppendLine(CultureInfo.InvariantCulture, $"{raw.Start}+{raw.Length}");
        return result.ToString();
    }

    static string RandomRecord(Random random, BodyFormat format)
    {
        var members = Table.Columns.Select(column => column.Name).Where(name => !name.StartsWith("deep", StringComparison.Ordinal) && random.Next(3) > 0)
            .Select(name => Member(random, name, random.Next(12) == 0 ? Values[random.Next(Values.Length)] : LikelyValue(random, name))).ToList();
        if (random.Next(20) > 0) members.Add(Member(random, "_id", random.Next(1_000).ToString(CultureInfo.InvariantCulture)));
        if (random.Next(3) == 0) members.Add(Member(random, "a", $"{{{Member(random, "b", "5")},{Member(random, "c", $"{{{Member(random, "d", "\"x\"")}}}")}}}"));
        if (random.Next(15) == 0) members.Add(Member(random, "unknown", Values[random.Next(Values.Length)]));
        if (random.Next(15) == 0 && members.Count > 0) members.Add(members[0]);
        var shuffled = members.ToArray();
        if (random.Next(2) == 0) random.Shuffle(shuffled);
        var value = $"{{{string.Join(Blank(random) + ",", shuffled)}{Blank(random)}}}";
        if (format != BodyFormat.Records) return value;
        return random.Next(10) switch
        {
            0 => $"{{\"value\":{value},\"op\":\"delete\"}}",
            1 => $"{{\"version\":3,\"value\":{value}}}",
            2 => $"{{\"value\":{value}{Blank(random)},\"other\":[1]}}",
            _ => $"{{{Blank(random)}\"value\"{Blank(random)}:{Blank(random)}{value}{Blank(random)}}}",
        };
    }

    static string LikelyValue(Random random, string name) => name switch
    {
        "s" => "\"some text\"",
        "b" => random.Next(2) == 0 ? "true" : "null",
        "d" => "12.5",
        "t" => "\"2026-01-02T03:04:05Z\"",
        "set" => "[\"a\",\"b\"]",
        "ids" or "q" => "[1,2]",
        "v" => "[1,2.5]",
        _ => random.Next(100).ToString(CultureInfo.InvariantCulture),
    };

    static string Member(Random random, string name, string value) => $"{Blank(random)}\"{name}\"{Blank(random)}:{Blank(random)}{value}";

    static string Blank(Random random) => random.Next(8) switch { 0 => " ", 1 => "\n  ", 2 => "\t", _ => "" };
}
