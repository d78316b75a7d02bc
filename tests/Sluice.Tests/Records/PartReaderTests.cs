using System.Globalization;
using System.Text;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Records;

/// <summary>A body in any pieces gives what the whole body gives: the same rows, errors, texts and refusals.</summary>
public sealed class PartReaderTests
{
    static readonly TableSchema Table = TableOf(KeyKind.Number, ("i", ColumnType.Int), ("d", ColumnType.Decimal(1)), ("s", ColumnType.String), ("ss", ColumnType.StringSet));

    public static TheoryData<BodyFormat, string> Bodies()
    {
        var bodies = new TheoryData<BodyFormat, string>();
        foreach (var body in new[]
        {
            """{"records":[]}""",
            """ { "records" : [ ] } """,
            """{"records":[{"value":{"_id":1,"i":12,"s":"é\u00e9\n€😀","ss":["a","b"]}},{"value":{"_id":2}}]}""",
            """{"a":{"records":[1,{"x":"]}"}]},"b":[[],{}],"records":[{"value":{"_id":1}},{"op":"delete","value":{"_id":2},"version":7}],"c":null,"d":1.5e3,"e":"text"}""",
            """{"records":[1,"two",null,true,[3,[4]],{"value":5},{},{"value":{"_id":1}},{"value":{"_id":1},"value":{"_id":1}},{"value":{"i":1}}]}""",
            """{"records":[{"value":{"_id":1,"d":1.25}},{"value":{"_id":2,"i":"x","d":1.25}},{"value":{"_id":3,"d":0.05,"i":1}},{"op":"none","value":{"_id":4}},{"op":"patch","value":{"_id":5}}]}""",
            """{"r\u0065cords":[{"v\u0061lue":{"\u005fid":1,"s":"\ud83d\ude00"}}],"x":1}""",
            "\uFEFF{\"records\":[\r\n{\"value\":{\"_id\":1}}\r\n,\t{\"value\":{\"_id\":2}}]}\r\n",
            """{"rows":[]}""", """{}""", """[]""", """{"records":{}}""", """{"records":[],"records":[]}""", """{"records":[],"records":1}""", """{"records":1}""",
            """{"records":[{"value":{"_id":1}},]}""", """{"records":[{"value":{"_id":1}} {"value":{"_id":2}}]}""", """{"records":[{"value":{"_id":1}}]}x""", """{"records":[{"value":{"_id":1}}]""",
            """{"records":[{"value":{"_id":1}}}""", """{"records":[{"value":{"_id":1,"i":tru}}]}""", """{"records":[{"value":{"_id":1,"i":01}}]}""", """{"records":[{"value":{"_id":1,"s":"\x"}}]}""",
            """{"records":[{"value":{"_id":1}},{"value":{"_id":2},{"value":{"_id":3}}]}""", """{"records":[12,34]""", """{"a":[1,{"b":2]},"records":[]}""", """{"records":[{"value":{"_id":1,"s":"x""",
            $$$"""{"records":[{"value":{"_id":1,"x":{{{new string('[', 62)}}}{{{new string(']', 62)}}}}}]}""",
            $$$"""{"records":[{"value":{"_id":1,"x":{{{new string('[', 70)}}}{{{new string(']', 70)}}}}}]}""",
            $$"""{"deep":{{new string('[', 80)}}{{new string(']', 80)}},"records":[]}""",
        })
        {
            bodies.Add(BodyFormat.Records, body);
        }
        foreach (var body in new[]
        {
            "[]", " [ ] ", """[{"_id":1,"i":12},{"_id":2,"s":"x,]}"},{"_id":3,"ss":[]}]""", """[1,-2.5e3,"x",null,false,[1],{"i":1},{"_id":7}]""", """{"_id":1}""", "[{\"_id\":1},]", """[{"_id":1}]]""",
            """[{"_id":1}""", "[1", "[tru", """[{"_id":1},{"_id":nul}]""", "12", """["unfinished""",
        })
        {
            bodies.Add(BodyFormat.Values, body);
        }
        foreach (var body in new[]
        {
            "{}", "{\"_id\":1}\n", "{\"_id\":1,\"i\":3}\n{\"_id\":2,\"d\":0.25}\r\n\n  \n{\"_id\":3}", "{\"_id\":1}\n{\"_id\":\n5\n{\"_id\":2} x\nnull\n[1]\n{\"_id\":3,\"s\":\"é\"}\n", "\n\n", "\uFEFF{\"_id\":1}\n{\"_id\":2}",
            $"{{\"_id\":1,\"x\":{new string('[', 70)}{new string(']', 70)}}}\n{{\"_id\":2}}",
        })
        {
            bodies.Add(BodyFormat.Lines, body);
        }
        return bodies;
    }

    [Theory, MemberData(nameof(Bodies))]
    public void A_body_in_two_pieces_gives_what_the_whole_gives(BodyFormat format, string text)
    {
        foreach (var sink in new[] { SinkOf(Table), SinkOf(Table, allowMissing: false), SinkOf(Table) with { MaxRecordsPerRequest = 2 } })
        {
            var body = Encoding.UTF8.GetBytes(text);
            var whole = Whole(sink, format, body);
            for (var at = Math.Min(3, body.Length); at <= body.Length; at++) Assert.Equal(whole, InPieces(sink, format, body, [at]));
            Assert.Equal(whole, InPieces(sink, format, body, [3, .. Enumerable.Repeat(1, body.Length)]));
        }
    }

    [Fact]
    public void A_wrong_literal_is_told_without_what_follows_it()
    {
        var text = Whole(SinkOf(Table), BodyFormat.Values, Encoding.UTF8.GetBytes($"[{{\"_id\":trve,\"s\":\"{new string('x', 1_000)}\"}}]"));
        Assert.Equal("InvalidBody The body is not valid JSON at line 1, byte 11: 'trv' is an invalid JSON literal. Expected the literal 'true'.", text);
    }

    [Fact]
    public void Random_bodies_in_random_pieces_give_what_the_whole_gives()
    {
        var first = Random.Shared.Next();
        for (var seed = first; seed < first + 3_000; seed++)
        {
            var random = new Random(seed);
            var format = (BodyFormat)random.Next(3);
            var sink = SinkOf(Table, allowMissing: random.Next(4) > 0);
            var body = RandomBody(random, format);
            if (random.Next(3) == 0) body[random.Next(body.Length)] = (byte)random.Next(32, 127); // most such bodies are no JSON any more
            var pieces = Enumerable.Range(0, body.Length).Select(i => random.Next(i == 0 ? 3 : 1, 40)).ToArray();
            var (whole, inPieces) = (Whole(sink, format, body), InPieces(sink, format, body, pieces));
            Assert.True(whole == inPieces, $"seed {seed}: {Encoding.UTF8.GetString(body)}\n{whole}\n{inPieces}");
        }
    }

    [Theory]
    [InlineData(BodyFormat.Records)]
    [InlineData(BodyFormat.Values)]
    [InlineData(BodyFormat.Lines)]
    public void A_part_ends_when_it_has_as_many_records_as_have_positions(BodyFormat format)
    {
        const int count = (2 * PartReader.MaxRecords) + 5;
        var element = format == BodyFormat.Records ? """{"value":{"_id":1}}""" : """{"_id":1}""";
        var text = string.Join(format == BodyFormat.Lines ? '\n' : ',', Enumerable.Repeat(element, count));
        var body = Encoding.UTF8.GetBytes(format switch { BodyFormat.Records => $"{{\"records\":[{text}]}}", BodyFormat.Values => $"[{text}]", _ => text });
        var sink = SinkOf(Table) with { MaxRecordsPerRequest = count };
        var decoder = RecordDecoder.Compile(sink, Table);
        var reader = new PartReader(format, RecordOperation.Upsert, decoder, count);
        var rows = decoder.Rent();
        var parts = new List<(int, int)>();
        for (var taken = 0; !reader.IsDone; rows.BeginPart())
        {
            taken += reader.Read(body.AsSpan(taken), isLast: true, rows);
            parts.Add((rows.FirstRecordIndex, rows.RecordCount));
        }
        Assert.Equal([(0, PartReader.MaxRecords), (PartReader.MaxRecords, PartReader.MaxRecords), (2 * PartReader.MaxRecords, 5)], parts);
    }

    [Theory]
    [InlineData(BodyFormat.Records)]
    [InlineData(BodyFormat.Values)]
    [InlineData(BodyFormat.Lines)]
    public async Task A_record_larger_than_the_window_is_read_in_time_that_grows_with_it(BodyFormat format)
    {
        var record = $"{{\"_id\":1,\"s\":\"{new string('x', 1_000_000)}\"}}";
        var body = Encoding.UTF8.GetBytes(format switch { BodyFormat.Records => $"{{\"records\":[{{\"value\":{record}}}]}}", BodyFormat.Values => $"[{record}]", _ => record });
        var budget = new BodyBudget(long.MaxValue);
        using var window = new BodyWindow(PooledBody.Rent(1, budget), long.MaxValue, budget, Reads(body));
        var decoder = RecordDecoder.Compile(SinkOf(Table), Table);
        var reader = new PartReader(format, RecordOperation.Upsert, decoder, 10);
        var rows = decoder.Rent();
        var (rounds, bytes) = (0, 0L);
        while (!reader.IsDone)
        {
            await window.FillAsync(TestContext.Current.CancellationToken);
            bytes += window.Bytes.Length;
            rounds++;
            window.Take(reader.Read(window.Bytes.Span, window.IsComplete, rows));
        }
        Assert.Equal(1, rows.AcceptedCount);
        Assert.InRange(rounds, 10, 25);
        Assert.InRange(bytes, body.Length, 5L * body.Length);
    }

    static ReadBody Reads(byte[] body)
    {
        var at = 0;
        return (room, _) =>
        {
            var count = Math.Min(room.Length, body.Length - at);
            body.AsSpan(at, count).CopyTo(room.Span);
            at += count;
            return new ValueTask<int>(count);
        };
    }

    static string Whole(SinkDefinition sink, BodyFormat format, byte[] body)
    {
        var decoder = RecordDecoder.Compile(sink, Table);
        var rows = decoder.Rent();
        var text = BatchReader.WithoutByteOrderMark(body);
        try
        {
            BatchReader.Read(text.Span, format, RecordOperation.Upsert, decoder, sink.MaxRecordsPerRequest, rows);
        }
        catch (SluiceException e)
        {
            return $"{e.Code} {e.Message}";
        }
        var result = new StringBuilder();
        Add(result, rows);
        return Text(result, rows.RecordCount, rows.Rejected, Raws(rows, text.Span));
    }

    static string InPieces(SinkDefinition sink, BodyFormat format, byte[] body, int[] pieces)
    {
        var decoder = RecordDecoder.Compile(sink, Table);
        var reader = new PartReader(format, RecordOperation.Upsert, decoder, sink.MaxRecordsPerRequest);
        var rows = decoder.Rent();
        var rejected = new RejectedList();
        var raws = new Dictionary<int, string>();
        var result = new StringBuilder();
        var (start, end, piece) = (0, 0, 0);
        try
        {
            while (!reader.IsDone)
            {
                end = piece < pieces.Length ? Math.Min(body.Length, end + pieces[piece++]) : body.Length;
                var bytes = body.AsSpan(start, end - start);
                start += reader.Read(bytes, isLast: end == body.Length, rows);
                rejected.Add(rows.Rejected);
                Add(result, rows);
                foreach (var (index, raw) in Raws(rows, bytes)) raws.Add(index, raw);
                if (!reader.IsDone) rows.BeginPart();
            }
        }
        catch (SluiceException e)
        {
            return $"{e.Code} {e.Message}";
        }
        var count = rows.FirstRecordIndex + rows.RecordCount;
        if (rows.IsDiscarded)
        {
            rejected.DiscardAll(count);
            result.Clear();
        }
        return Text(result, count, rejected, raws);
    }

    static void Add(StringBuilder text, RecordRows rows)
    {
        foreach (var row in Rows(rows)) text.AppendLine(row);
        for (var row = 0; row < rows.Operations.RowCount; row++) if (rows.Operations.States[row] == CellState.Value) text.AppendLine(CultureInfo.InvariantCulture, $"{(RecordOperation)rows.Operations.Bytes[row]} of {Row(rows, row)}");
        foreach (var warning in rows.Warnings) text.AppendLine(CultureInfo.InvariantCulture, $"warning {warning.RecordIndex} {warning.Column}");
    }

    /// <summary>The texts of the records that are wrong themselves; of a discarded request the log has more, as many as it can.</summary>
    static Dictionary<int, string> Raws(RecordRows rows, ReadOnlySpan<byte> bytes)
    {
        var raws = new Dictionary<int, string>();
        foreach (var record in rows.Rejected.Where(record => !record.IsDiscarded))
        {
            var raw = rows.Records[record.Index - rows.FirstRecordIndex];
            raws.Add(record.Index, Encoding.UTF8.GetString(bytes.Slice(raw.Start, raw.Length)));
        }
        return raws;
    }

    static string Text(StringBuilder result, int count, IReadOnlyList<RejectedRecord> rejected, Dictionary<int, string> raws)
    {
        var lines = result.ToString().Split('\n').Order(StringComparer.Ordinal);
        var wrong = rejected.Select(record => $"{record.Index} {record.IsDiscarded} {string.Join(',', record.Errors)} {raws.GetValueOrDefault(record.Index)}");
        return $"{count} records\n{string.Join('\n', lines)}\n{string.Join('\n', wrong)}";
    }

    static byte[] RandomBody(Random random, BodyFormat format)
    {
        var records = Enumerable.Range(0, random.Next(8)).Select(_ => RandomRecord(random, format)).ToList();
        return Encoding.UTF8.GetBytes(format switch
        {
            BodyFormat.Records => $"{{{Member(random, "a")}\"records\":[{string.Join(',', records)}]{(random.Next(2) == 0 ? ",\"z\":[{}]" : "")}}}",
            BodyFormat.Values => $"[{string.Join(" , ", records)}]",
            _ => string.Join(random.Next(2) == 0 ? "\n" : "\r\n", records) + (random.Next(2) == 0 ? "\n" : " "),
        });
    }

    static string RandomRecord(Random random, BodyFormat format)
    {
        var value = random.Next(8) switch
        {
            0 => "17",
            1 => """{"_id":"no","i":"x"}""",
            2 => """{"_id":1,"_id":2}""",
            3 => $"{{{Member(random, "unknown")}\"_id\":{random.Next(100)}}}",
            4 => $"{{\"_id\":{random.Next(100)},\"i\":{random.Next(1_000)},\"d\":{random.Next(9)}.75,\"s\":\"\\u00e9 €\\\\ \\\"\",\"ss\":[\"a\",\"a\",\"b\"]}}",
            _ => $"{{\"_id\":{random.Next(100)},\"i\":null,\"d\":1,\"s\":\"{new string('s', random.Next(60))}\",\"ss\":\"x\"}}",
        };
        if (format != BodyFormat.Records) return value;
        return random.Next(6) switch
        {
            0 => value,
            1 => $"{{\"op\":\"delete\",\"value\":{value}}}",
            2 => $"{{\"value\":{value},\"version\":{random.Next(5)},\"other\":[1,{{\"x\":2}}]}}",
            _ => $"{{\"value\":{value}}}",
        };
    }

    static string Member(Random random, string name) => random.Next(3) switch
    {
        0 => "",
        1 => $"\"{name}\":{{\"b\":[1,\"]\",{{\"records\":[]}}]}},",
        _ => $"\"{name}\":\"{new string('m', random.Next(80))}\",",
    };
}
