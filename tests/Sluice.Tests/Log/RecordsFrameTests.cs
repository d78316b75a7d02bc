using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Log;

/// <summary>What is written to the log is read back as it was, and its bytes are those of docs/log-format.md.</summary>
public sealed class RecordsFrameTests
{
    static readonly Guid SinkId = new("00112233-4455-6677-8899-aabbccddeeff");

    [Fact]
    public void Every_kind_and_state_is_read_back()
    {
        var schema = TableOf(
            KeyKind.String, ("id", ColumnType.Id), ("i", ColumnType.Int), ("d", ColumnType.Decimal(2)), ("b", ColumnType.Bool), ("s", ColumnType.String), ("ss", ColumnType.StringSet),
            ("is", ColumnType.IdSet), ("v", ColumnType.Vector(2)), ("t", ColumnType.Timestamp(TimeUnit.Nanosecond)), ("sq", ColumnType.StringSetQ("YMD")), ("iq", ColumnType.IdSetQ("YMDH")));
        var sink = SinkWith(schema, true, [("_id", "/_id"), .. schema.Columns.Select(column => (column.Name, "/" + column.Name)), (SinkDefinition.TimeQuantumName, "/time")]);
        var rows = Decode(
            sink, schema,
            """{"_id":"a","id":1,"i":-2,"d":3.45,"b":true,"s":"é","ss":["x","yy"],"is":[5,6],"v":[1.5,-2],"t":"2022-08-08T00:00:00.123456789Z","sq":["q"],"iq":[7,8],"time":"2022-08-08T01:02:03Z"}""",
            """{"_id":"bb"}""",
            """{"_id":"c","id":null,"i":null,"d":null,"b":null,"s":null,"ss":null,"is":null,"v":null,"t":null,"sq":null,"iq":null}""",
            """{"_id":"d","id":9,"i":9,"d":9,"b":false,"s":"z","ss":[],"is":[],"v":[0,0],"t":9,"sq":["r","s"],"iq":[1]}""");
        var expected = Rows(rows);
        var (header, payload) = Encode(schema, sink, rows, default, "caller");

        var columns = schema.Columns.Select(ColumnBuffer.For).Prepend(ColumnBuffer.ForKey(schema.Key)).ToDictionary(column => column.ColumnId);
        for (var repeat = 1; repeat <= 3; repeat++)
        {
            RecordsFrame.ReadColumns(payload, header.AcceptedCount, columns.GetValueOrDefault);
            var read = Enumerable.Range(0, 4 * repeat).Select(row => string.Join(" | ", rows.Columns.Select(column => Cell(columns[column.ColumnId], row))));
            Assert.Equal(Enumerable.Repeat(expected, repeat).SelectMany(row => row), read);
        }
        Assert.Equal("'a' | 1 | -2 | 345 | true | 'é' | ['x','yy'] | [5,6] | <1.5,-2> | 1659916800123456789 | ['q'@2022-08-08T00] | [7@2022-08-08T01,8@2022-08-08T01]", expected[0]);
    }

    [Fact]
    public void Any_rows_are_read_back_between_others()
    {
        var schema = TableOf(KeyKind.Number, ("s", ColumnType.String), ("ss", ColumnType.StringSet), ("is", ColumnType.IdSet), ("v", ColumnType.Vector(1)), ("b", ColumnType.Bool));
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        var columns = schema.Columns.Select(ColumnBuffer.For).Prepend(ColumnBuffer.ForKey(schema.Key)).ToDictionary(column => column.ColumnId);
        var expected = new List<string>();
        var sink = SinkOf(schema);
        for (var frame = 0; frame < 200; frame++)
        {
            var model = new Load.ModelTable();
            var rows = Decode(sink, schema, [.. Enumerable.Range(0, random.Next(6)).Select(_ => model.Next(random, schema))]);
            expected.AddRange(Rows(rows));
            var (header, payload) = Encode(schema, sink, rows, default, "");
            RecordsFrame.ReadColumns(payload, header.AcceptedCount, columns.GetValueOrDefault);
        }
        var read = Enumerable.Range(0, expected.Count).Select(row => string.Join(" | ", Enumerable.Range(0, 6).Select(id => Cell(columns[id], row))));
        Assert.True(expected.SequenceEqual(read), $"seed {seed}");
    }

    [Fact]
    public void Rejected_records_keep_their_errors_and_their_text()
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int));
        var sink = SinkOf(schema);
        var longest = new string('x', RecordsFrame.MaxRawBytes - """{"value":{"_id":5,"i":""}}""".Length);
        var body = Body("""{"_id":1,"i":"é"}""", """{"_id":2}""", "5", $"{{\"_id\":5,\"i\":\"{longest}\"}}", $"{{\"_id\":5,\"i\":\"{longest}y\"}}");
        var rows = Decode(sink, schema, body);
        var (header, payload) = Encode(schema, sink, rows, body, "");
        Assert.Equal((5, 1, 4), (header.RecordCount, header.AcceptedCount, header.RejectedCount));
        var rejected = RecordsFrame.ReadRejected(payload, 1, 4);
        Assert.Equal([0, 2, 3, 4], rejected.Select(record => record.Index));
        Assert.Equal("""{"value":{"_id":1,"i":"é"}}""", Encoding.UTF8.GetString(rejected[0].Raw));
        Assert.Equal("""{"value":5}""", Encoding.UTF8.GetString(rejected[1].Raw));
        Assert.Equal(RecordsFrame.MaxRawBytes, rejected[2].Raw.Length);
        Assert.Empty(rejected[3].Raw);
        using var errors = JsonDocument.Parse(rejected[0].ErrorsJson);
        var error = Assert.Single(errors.RootElement.EnumerateArray());
        Assert.Equal(
            ["i", "/i", "NotAnInteger", "int", "string \"é\""],
            new[] { "column", "path", "code", "expected", "got" }.Select(name => error.GetProperty(name).GetString()));
    }

    [Fact]
    public void A_discarded_request_says_so()
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int));
        var sink = SinkOf(schema, allowMissing: false);
        var body = Body("""{"_id":1,"i":1}""", """{"_id":2}""");
        var (header, payload) = Encode(schema, sink, Decode(sink, schema, body), body, "");
        Assert.Equal(FrameFlags.LastPart | FrameFlags.Discarded, header.Flags);
        Assert.Equal((2, 0), (header.RecordCount, header.AcceptedCount));
        var rejected = RecordsFrame.ReadRejected(payload, 0, 2);
        Assert.Equal((0, "[]"), (rejected[0].Index, rejected[0].ErrorsJson));
        Assert.Equal(1, rejected[1].Index);
        Assert.Contains("MissingField", rejected[1].ErrorsJson, StringComparison.Ordinal);
    }

    [Fact]
    public void Who_sent_the_request_is_kept()
    {
        var schema = TableOf(KeyKind.Number);
        using var frame = RecordsFrame.Encode(
            RecordDecoder.Compile(SinkOf(schema), schema), SinkId, 5, new RecordsFrame.Meta("ünï", "key", new byte[] { 1, 2, 3 }, 1L << 40), Decode(SinkOf(schema), schema, "{}"), Body("{}"));
        var meta = RecordsFrame.ReadMeta(frame.Span[FrameHeader.Size..]);
        Assert.Equal(("ünï", "key"), (meta.Caller, meta.IdempotencyKey));
        Assert.Equal([1, 2, 3], meta.BodyHash.ToArray());
        Assert.Equal(1L << 40, meta.BodyBytes);
        Assert.Equal("key"u8, RecordsFrame.ReadKey(frame.Span[FrameHeader.Size..]));
        Assert.Equal(1L << 40, RecordsFrame.ReadBodyBytes(frame.Span[FrameHeader.Size..]));
    }

    [Fact]
    public void The_bytes_of_warnings_are_those_of_the_specification()
    {
        var schema = TableOf(KeyKind.Number, ("é", ColumnType.Decimal(1)), ("b", ColumnType.Int));
        var sink = SinkOf(schema);
        var body = Body("""{"_id":1,"é":0.11,"b":1.5}""", "5", """{"_id":2}""", """{"_id":3,"b":2.5}""");
        var rows = Decode(sink, schema, body);
        var (header, payload) = Encode(schema, sink, rows, body, "");
        Assert.Equal(FrameFlags.LastPart | FrameFlags.Warnings, header.Flags);
        var expected = Bytes("0200", "02000000 C3A9", "01000000 62", "03000000", "00000000 0000", "00000000 0100", "03000000 0100");
        Assert.Equal(Convert.ToHexString(expected), Convert.ToHexString(payload.AsSpan()[^expected.Length..]));
        var reader = new RejectedReader(payload, header.AcceptedCount);
        reader.Read();
        var read = new List<TruncationWarning>();
        reader.ReadWarnings(read);
        Assert.Equal(rows.Warnings, read);
    }

    [Fact]
    public void A_column_of_another_kind_than_the_tables_is_refused()
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int));
        var (header, payload) = Encode(schema, SinkOf(schema), Decode(SinkOf(schema), schema, """{"_id":1,"i":1}"""), default, "");
        var text = new ColumnBuffer(1, PhysicalKind.Text, hasTimes: false, vectorLength: 0);
        var bytes = payload;
        Assert.Equal(ErrorCode.Corrupt, Assert.Throws<SluiceException>(() => RecordsFrame.ReadColumns(bytes, header.AcceptedCount, id => id == 1 ? text : null)).Code);
    }

    [Fact]
    public void A_column_of_the_records_that_is_not_known_is_refused()
    {
        var schema = TableOf(KeyKind.Number);
        var sink = SinkOf(schema);
        var (header, payload) = Encode(schema, sink, Decode(sink, schema, """{"records":[{"op":"delete","value":{"_id":1}}]}"""u8), default, "");
        var key = ColumnBuffer.ForKey(KeyKind.Number);
        Assert.Equal(ErrorCode.Corrupt, Assert.Throws<SluiceException>(() => RecordsFrame.ReadColumns(payload, header.AcceptedCount, id => id == 0 ? key : null)).Code);
    }

    [Fact]
    public void A_barrier_is_read_back()
    {
        var schema = TableOf(
            KeyKind.String, ("i", ColumnType.IntBetween(-5, 5)), ("d", ColumnType.Decimal(18)), ("q", ColumnType.IdSetQ("YMDH") with { TimeToLive = TimeSpan.FromDays(30) }),
            ("t", ColumnType.Timestamp(TimeUnit.Nanosecond) with { Epoch = DateTimeOffset.UnixEpoch.AddYears(30) }), ("v", ColumnType.Vector(3))).WithoutColumn("d").WithColumn("d", ColumnType.Bool)
            .WithColumn(new Column(0, "r", ColumnType.Int) { IsRequired = true, Default = "5" }).WithRetention(TimeSpan.FromDays(30));
        schema = schema with { IsAutoId = true };
        using var frame = BarrierFrame.Encode(schema, 7);
        FrameHeader.Seal(frame.Span[..FrameHeader.Size], new LogPosition(SinkId, 1, 2));
        Assert.True(FrameHeader.TryRead(frame.Span, out var header));
        Assert.Equal((FrameKind.Barrier, (uint)schema.Version, 0, 7L), (header.Kind, header.SchemaVersion, header.RecordCount, header.ReceivedAtMicroseconds));
        var read = BarrierFrame.Decode(frame.Span.Slice(FrameHeader.Size, header.PayloadBytes));
        Assert.Equal(schema, read);
        Assert.Equal(schema.Columns.Select(column => column.Type), read.Columns.Select(column => column.Type));
        Assert.Equal((true, TimeSpan.FromDays(30), "5"), (read.IsAutoId, read.Retention, read.Columns[^1].Default));
        Assert.Throws<InvalidDataException>(() => BarrierFrame.Decode("{}"u8));
        Assert.Throws<InvalidDataException>(() => BarrierFrame.Decode("null"u8));
    }

    [Fact]
    public void The_bytes_of_a_frame_are_those_of_the_specification()
    {
        var schema = TableOf(KeyKind.Number, ("s", ColumnType.String), ("is", ColumnType.IdSet));
        var sink = SinkOf(schema) with { MappingVersion = 3 };
        var body = Body("""{"_id":1,"s":"ab","is":[7,8]}""", "5", """{"_id":2,"s":null}""");
        var rows = Decode(sink, schema, body);
        using var frame = RecordsFrame.Encode(RecordDecoder.Compile(sink, schema), SinkId, 0x0102030405060708, new RecordsFrame.Meta("me", "", default, 0x99), rows, body);
        FrameHeader.Seal(frame.Span[..FrameHeader.Size], new LogPosition(SinkId, 9, 0x1122));
        var error = """[{"column":"","path":"","code":"ValueNotAnObject","expected":"an object","got":"number 5"}]""";
        var payload = string.Join(' ',
            "02000000 6D65", "00000000", "00000000", "9900000000000000", // caller, idempotency key, body hash, bytes of the body
            "0300", // columns
            "00000000 01 00 0000", "10000000 0100000000000000 0200000000000000", // _id
            "01000000 03 01 0000", "0201", "02000000 02000000", "02000000 6162", // s: value, null
            "02000000 04 01 0000", "0200", "10000000 0700000000000000 0800000000000000", "02000000 02000000", // is: value, absent
            "01000000", Hex(error.Length), Convert.ToHexString(Encoding.UTF8.GetBytes(error)), Hex(11), Convert.ToHexString("""{"value":5}"""u8));
        var payloadBytes = Convert.FromHexString(payload.Replace(" ", "", StringComparison.Ordinal));
        var header = string.Join(' ',
            "534C4631", "01", "01", "0100", Hex(frame.Length), Hex(payloadBytes.Length), Hex((int)Crc32C.Of(payloadBytes)), "09000000", "2211000000000000", "33221100554477668899AABBCCDDEEFF",
            "0807060504030201", "33221100554477668899AABBCCDDEEFF", "03000000", "01000000", "03000000", "02000000", "00000000", "00000000", "000000000000000000000000");
        var headerBytes = Convert.FromHexString(header.Replace(" ", "", StringComparison.Ordinal));
        Assert.Equal(FrameHeader.Size - 4, headerBytes.Length);
        Assert.Equal(Convert.ToHexString([.. headerBytes, .. Crc(headerBytes), .. payloadBytes]), Convert.ToHexString(frame.Span[..(FrameHeader.Size + payloadBytes.Length)]));
        Assert.True(frame.Span[(FrameHeader.Size + payloadBytes.Length)..].IndexOfAnyExcept((byte)0) < 0);
        Assert.Equal(0, frame.Length % 8);
    }

    [Fact]
    public void The_bytes_of_operations_and_versions_are_those_of_the_specification()
    {
        var schema = TableOf(KeyKind.Number);
        var sink = SinkOf(schema);
        var key = "00000000 01 00 0000 20000000 0100000000000000 0200000000000000 0300000000000000 0400000000000000";
        Assert.Equal(
            Payload("0300", key, "FFFFFFFF 02 01 0000 00020202 04000000 00030401", "FEFFFFFF 01 01 0000 00000200 20000000 0000000000000000 0000000000000000 0900000000000000 0000000000000000"),
            Read("""{"value":{"_id":1}}""", """{"value":{"_id":2},"op":"delete"}""", """{"value":{"_id":3},"op":"remove","version":9}""", """{"value":{"_id":4},"op":"insert"}"""));
        Assert.Equal(
            Payload("0200", key, "FFFFFFFF 02 00 0000 04000000 02020202"),
            Read("""{"value":{"_id":1},"op":"patch"}""", """{"value":{"_id":2},"op":"patch"}""", """{"value":{"_id":3},"op":"patch"}""", """{"value":{"_id":4},"op":"patch"}"""));
        foreach (var operation in Enum.GetValues<RecordOperation>()) Assert.Contains($"{(byte)operation} {operation.ToString().ToLowerInvariant()}", Document(), StringComparison.Ordinal);

        string Read(params string[] elements)
        {
            var body = $$"""{"records":[{{string.Join(',', elements)}}]}""";
            var (header, payload) = Encode(schema, sink, Decode(sink, schema, Encoding.UTF8.GetBytes(body)), default, "");
            Assert.Equal(FrameFlags.LastPart | FrameFlags.Operations, header.Flags);
            return Convert.ToHexString(payload);
        }

        static string Payload(params string[] columns) => Convert.ToHexString(Bytes(["00000000 00000000 00000000 0000000000000000", .. columns]));
    }

    [Fact]
    public void The_bytes_of_the_files_are_those_of_the_specification()
    {
        var files = new MemoryFiles();
        files.CreateDirectory("/log");
        var first = new LogPosition(SinkId, 2, 0x1122);
        using (LogSegment.Create(files, "/log", first, 0x1100))
        {
        }
        var segment = Bytes("534C554943454C47", "0100", "0100", "02000000", "33221100554477668899AABBCCDDEEFF", "2211000000000000", "0011000000000000", "000000000000000000000000");
        Assert.Equal(Convert.ToHexString([.. segment, .. Crc(segment)]), Convert.ToHexString(files.Read("/log/segment-00000000000000004386.log")));

        var group = new byte[GroupHeader.Size];
        new GroupHeader(0x200, 3, 0x1122).Write(group);
        var expected = Bytes("534C4731", "00020000", "03000000", "00000000", "2211000000000000", "00000000");
        Assert.Equal(Convert.ToHexString([.. expected, .. Crc(expected)]), Convert.ToHexString(group));

        Watermark.Create(files, "/log", first);
        var slot = Bytes("534C4345434D524B", "33221100554477668899AABBCCDDEEFF", "02000000", "00000000", "2211000000000000", "0000000000000000", "000000000000000000000000");
        var watermark = files.Read("/log/watermark");
        Assert.Equal(Convert.ToHexString([.. slot, .. Crc(slot)]), Convert.ToHexString(watermark.AsSpan(0, 64)));
        Assert.Equal(Convert.ToHexString([.. slot, .. Crc(slot)]), Convert.ToHexString(watermark.AsSpan(4_096)));

        var ledger = new TableLedger();
        ledger.AddSummary([new SummarisedSink(SinkId, 1, 3, 2, [[5, 1, 2, 1]], 99)]);
        LogSummary.Empty.With(SinkId, 7, ledger).Write(files, "/log");
        var json = """{"format":1,"log_id":"00112233-4455-6677-8899-aabbccddeeff","sequence":7,"sinks":[{"sink_id":"00112233-4455-6677-8899-aabbccddeeff","requests":1,"received":3,"accepted":2,"minutes":[[5,1,2,1]],"bytes":99}]}""";
        Assert.Equal($"{Crc32C.Of(Encoding.UTF8.GetBytes(json)):x8}\n{json}", Encoding.UTF8.GetString(files.Read("/log/summary")));
    }

    [Theory]
    [InlineData("", 0x00000000u)]
    [InlineData("123456789", 0xE3069283u)]
    [InlineData("The quick brown fox jumps over the lazy dog", 0x22620404u)]
    public void The_checksum_is_crc_32c(string text, uint expected) => Assert.Equal(expected, Crc32C.Of(Encoding.ASCII.GetBytes(text)));

    [Fact]
    public void The_numbers_of_the_specification_are_those_of_the_code()
    {
        var document = Document();
        foreach (var (name, value) in new (string, long)[]
        {
            ("Segment header", LogSegment.HeaderSize), ("Group header", GroupHeader.Size), ("Frame header", FrameHeader.Size), ("Format version", FrameHeader.FormatVersion),
            ("Frames in a group, at most", LogRecovery.MaxFramesPerGroup), ("Longest frame", TableLog.MaxFrameBytes), ("Longest group that is read", SegmentReader.MaxGroupBytes),
            ("Longest raw text of a rejected record", RecordsFrame.MaxRawBytes), ("Bits of a record's index", LogPosition.RecordIndexBits),
            ("Segment size by default", new LogOptions().SegmentBytes),
        })
        {
            Assert.Contains($"| {name} | {value.ToString("N0", CultureInfo.InvariantCulture)} |", document, StringComparison.Ordinal);
        }
        foreach (var kind in Enum.GetValues<FrameKind>()) Assert.Contains($"| {(byte)kind} | {kind} |", document, StringComparison.Ordinal);
        foreach (var flag in Enum.GetValues<FrameFlags>().Where(flag => flag != FrameFlags.None)) Assert.Contains($"| {(ushort)flag} | {flag} |", document, StringComparison.Ordinal);
        foreach (var kind in Enum.GetValues<PhysicalKind>()) Assert.Contains($"| {(byte)kind} | {kind} |", document, StringComparison.Ordinal);
        foreach (var state in Enum.GetValues<CellState>()) Assert.Contains($"{(byte)state} {state.ToString().ToLowerInvariant()}", document, StringComparison.Ordinal);
    }

    static (FrameHeader Header, byte[] Payload) Encode(TableSchema schema, SinkDefinition sink, RecordRows rows, byte[]? body, string caller)
    {
        using var frame = RecordsFrame.Encode(RecordDecoder.Compile(sink, schema), sink.Id, 0, new RecordsFrame.Meta(caller, "", default, 0), rows, body);
        FrameHeader.Seal(frame.Span[..FrameHeader.Size], new LogPosition(Guid.Empty, 1, 1));
        Assert.True(FrameHeader.TryRead(frame.Span, out var header));
        return (header, frame.Span.Slice(FrameHeader.Size, header.PayloadBytes).ToArray());
    }

    static string Document()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Sluice.slnx"))) directory = directory.Parent!;
        return File.ReadAllText(Path.Combine(directory.FullName, "docs", "log-format.md"));
    }

    static byte[] Bytes(params string[] hex) => Convert.FromHexString(string.Concat(hex).Replace(" ", "", StringComparison.Ordinal));

    static byte[] Crc(byte[] bytes)
    {
        var crc = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(crc, Crc32C.Of(bytes));
        return crc;
    }

    static string Hex(int value) => Convert.ToHexString(BitConverter.GetBytes(value));
}
