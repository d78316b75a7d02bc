using System.Text;
using CsCheck;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Records;

/// <summary>Arbitrary JSON into every type of column: nothing is thrown, and the same value has the same outcome whatever stands around it.</summary>
public sealed class AnyValueTests
{
    public static TheoryData<string, string> Types => new()
    {
        { "id", "NotAnId OutOfRange" },
        { "int", "NotAnInteger OutOfRange" },
        { "int(0,100)", "NotAnInteger OutOfRange" },
        { "decimal(0)", "NotADecimal OutOfRange" },
        { "decimal(2)", "NotADecimal OutOfRange" },
        { "decimal(18)", "NotADecimal OutOfRange" },
        { "bool", "NotABool" },
        { "string", "WrongType" },
        { "idset", "NotAnId WrongType" },
        { "stringset", "WrongType" },
        { "idsetq(YMDH)", "NotAnId WrongType NotATimestamp OutOfRange DuplicateField" },
        { "stringsetq(YMD)", "WrongType NotATimestamp OutOfRange DuplicateField" },
        { "timestamp(s)", "NotATimestamp OutOfRange" },
        { "timestamp(ms)", "NotATimestamp OutOfRange" },
        { "timestamp(us)", "NotATimestamp OutOfRange" },
        { "timestamp(ns)", "NotATimestamp OutOfRange" },
        { "vector(3)", "WrongType WrongLength OutOfRange" },
    };

    /// <param name="codes">What docs/types.md lets go wrong with the type, beside text that is none.</param>
    [Theory]
    [MemberData(nameof(Types))]
    public void A_value_has_one_outcome_that_the_type_allows(string type, string codes)
    {
        var schema = TableOf(KeyKind.Number, ("c", Type(type)));
        var sink = SinkOf(schema);
        var decoder = RecordDecoder.Compile(sink, schema);
        var allowed = $"{codes} InvalidUnicode NulCharacter".Split(' ');
        AnyJson.Sample(
            json =>
            {
                var alone = Decode(decoder, $"{{\"_id\":1,\"c\":{json}}}");
                var among = Decode(decoder, """{"_id":7}""", $"{{\"c\":{json},\"_id\":1}}", """{"_id":8}""");
                var outcome = Outcome(alone, 0);
                Assert.Equal(outcome, Outcome(among, 1));
                Assert.Equal(["7 | absent", "8 | absent"], Rows(among).Where((_, row) => among.AcceptedCount == 2 || row != 1));
                foreach (var rejected in alone.Rejected)
                    Assert.All(rejected.Errors, error => Assert.Contains(error.Code.ToString(), allowed));
                if (alone.AcceptedCount == 1) AssertKeptAsShown(decoder, alone, schema.Columns[0], json);
                decoder.Return(alone);
                decoder.Return(among);
            },
            iter: 2_000);
    }

    /// <summary>What was stored, written as JSON and sent again, is the same and loses nothing more. The times of members are not written.</summary>
    static void AssertKeptAsShown(RecordDecoder decoder, RecordRows rows, Column column, string json)
    {
        var cells = rows.Columns[1];
        if (cells.States[0] != CellState.Value || column.Type.IsQuantum) return;
        using var text = new MemoryStream();
        using (var writer = new System.Text.Json.Utf8JsonWriter(text)) CellText.Write(writer, cells, column.Type, 0);
        var again = Decode(decoder, $"{{\"_id\":1,\"c\":{Encoding.UTF8.GetString(text.ToArray())}}}");
        Assert.Empty(again.Warnings);
        Assert.True(Cell(cells, 0) == Cell(again.Columns[1], 0), $"{json} is stored as {Cell(cells, 0)}, and that as {Cell(again.Columns[1], 0)}");
        decoder.Return(again);
    }

    static string Outcome(RecordRows rows, int index)
    {
        var rejected = rows.Rejected.FirstOrDefault(record => record.Index == index);
        if (rejected is not null) return string.Join(' ', rejected.Errors.Select(error => $"{error.Column}{error.Path}:{error.Code}:{error.Got}"));
        return Cell(rows.Columns[1], index) + (rows.Warnings.Count > 0 ? " truncated" : "");
    }

    static RecordRows Decode(RecordDecoder decoder, params string[] values)
    {
        var rows = decoder.Rent();
        BatchReader.Read(Body(values), BodyFormat.Records, RecordOperation.Upsert, decoder, values.Length, rows);
        return rows;
    }

    static Gen<string> AnyOf(params string[] texts) => Gen.Int[0, texts.Length - 1].Select(i => texts[i]);

    static Gen<string> AnyJson
    {
        get
        {
            var digits = Gen.Char["0123456789"].Array[1, 25].Select(chars => new string(chars));
            var number = Gen.Select(AnyOf("", "-"), digits, AnyOf("", "."), digits, AnyOf("", "", "", "e1", "E-3", "e400", "e-400"))
                .Select((sign, whole, point, fraction, exponent) => sign + (whole.TrimStart('0') is { Length: > 0 } trimmed ? trimmed : "0") + (point.Length > 0 ? "." + fraction : "") + exponent);
            var words = AnyOf(
                "", " ", "t", "FALSE", "1,2", "[1,2]", "[", "[]", "[[1]]", "[\\\"a\\\",\\\"b\\\"]", "2026-01-02", "2026-01-02T03:04:05.678Z", "9999-12-31T23:59:59-01:00", "\\u0000", "\\ud800", "\\ud83d\\ude00", "\\u0661");
            var text = Gen.OneOf(words, number, Gen.String[Gen.Char[' ', '\u024f'], 0, 12].Select(raw => System.Text.Json.JsonEncodedText.Encode(raw).ToString())).Select(raw => $"\"{raw}\"");
            var scalar = Gen.OneOf(number, text, AnyOf("null", "true", "false"));
            return Gen.Recursive<string>((depth, self) => depth >= 3
                ? scalar
                : Gen.Frequency(
                    (5, scalar),
                    (2, self.Array[0, 4].Select(items => $"[{string.Join(',', items)}]")),
                    (1, number.Array[3].Select(items => $"[{string.Join(',', items)}]")),
                    (1, Gen.Select(AnyOf("time", "members", "a"), self).Array[0, 3].Select(members => $"{{{string.Join(',', members.Select(member => $"\"{member.Item1}\":{member.Item2}"))}}}"))));
        }
    }
}
