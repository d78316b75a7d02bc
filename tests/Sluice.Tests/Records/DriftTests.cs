using System.Globalization;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Watch;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Records;

/// <summary>Members that no path names: counted exactly, within bounds, and without allocation once they are known.</summary>
public sealed class DriftTests
{
    static readonly TableSchema Table = TableOf(KeyKind.Number, ("i", ColumnType.Int), ("deep", ColumnType.String));
    static readonly SinkDefinition Definition = SinkWith(Table, true, ("_id", "/_id"), ("i", "/i"), ("deep", "/o/p/deep"));

    readonly DriftTotals _totals = new();
    RecordDecoder _decoder;

    public DriftTests() => _decoder = RecordDecoder.Compile(Definition, Table, []);

    [Fact]
    public void Each_unknown_path_is_counted_by_kind_in_the_first_request_and_in_later_ones()
    {
        string[] request =
        [
            """{"_id":1,"x":1,"o":{"p":{"deep":"d","more":[1,2]},"q":{"r":{"s":true}}}}""",
            """{"_id":2,"x":"a","i":3,"empty":{},"o":{"q":{"r":null}}}""",
            """{"_id":"wrong","x":1.5}""",
        ];
        for (var round = 1; round <= 3; round++)
        {
            Ingest(request);
            Assert.Equal(
                [$"/empty Object={round}", $"/o/p/more Array={round}", $"/o/q/r Null={round}", $"/o/q/r/s Bool={round}", $"/x Fraction={round} Integer={round} Text={round}"],
                Read());
        }
        var x = _totals.Read(Definition).Paths[0];
        Assert.Equal(("/x", 9, "1", 1, 3), (x.Pointer, x.Count, x.Example, x.FirstMicroseconds, x.LastMicroseconds));
        Assert.Equal("[1,2]", _totals.Read(Definition).Paths.Single(path => path.Pointer == "/o/p/more").Example);
    }

    [Fact]
    public void Names_with_escapes_and_slashes_are_what_they_say()
    {
        for (var round = 0; round < 2; round++) Ingest("""{"_id":1,"\u0061/b":1,"~":2,"a/b":3}""");
        Assert.Equal(["/a~1b Integer=4", "/~0 Integer=2"], Read());
    }

    [Fact]
    public void A_path_that_is_mapped_later_is_drift_no_more()
    {
        Ingest("""{"_id":1,"x":1,"y":{"z":1}}""");
        var mapped = SinkWith(Table, true, ("_id", "/_id"), ("i", "/x"), ("deep", "/y/z/w"));
        Assert.Empty(_totals.Read(mapped).Paths);
        _decoder = RecordDecoder.Compile(mapped, Table, _totals.ReadPaths());
        Ingest("""{"_id":1,"x":1,"new":1}""");
        Assert.Equal("/new", Assert.Single(_totals.Read(mapped).Paths).Pointer);
    }

    [Fact]
    public void An_object_whose_names_are_data_overflows_and_stays_bounded()
    {
        for (var round = 0; round < 3; round++)
            Ingest([.. Enumerable.Range(0, 500).Select(i => $$$"""{"_id":{{{i}}},"map":{"key{{{round}}}-{{{i}}}":1},"x":1}""")]);
        var drift = _totals.Read(Definition);
        Assert.Equal(DriftCounts.MaxNames + 1, drift.Paths.Count);
        Assert.Equal(1_500, drift.Paths.Single(path => path.Pointer == "/x").Count);
        Assert.Equal(1_500, drift.Overflow + drift.Paths.Where(path => path.Pointer != "/x").Sum(path => path.Count)); // nothing uncounted
        Ingest([.. Enumerable.Range(0, 100).Select(i => string.Create(CultureInfo.InvariantCulture, $"{{\"_id\":1,{string.Join(',', Enumerable.Range(0, 100).Select(n => $"\"o{i}\":{{\"n{n}\":1}}"))}}}"))]);
        Assert.True(_totals.Read(Definition).Paths.Count <= DriftCounts.MaxPaths);
    }

    [Fact]
    public void A_record_that_is_begun_again_is_counted_once()
    {
        var rows = _decoder.Rent();
        BatchReader.ReadAlone("""{"_id":1,"x":1}"""u8, new RecordForm(true, RecordOperation.Upsert), _decoder, rows);
        rows.Begin();
        var reader = new System.Text.Json.Utf8JsonReader("""{"x":1,"y":2}"""u8);
        reader.Read();
        _decoder.DecodeValue(ref reader, rows);
        rows.Cancel();
        rows.Complete();
        _totals.Add(rows.Drift!, 1);
        Assert.Equal(["/x Integer=1"], Read());
    }

    [Fact]
    public void A_decoder_that_is_not_asked_to_counts_nothing()
    {
        var rows = RecordDecoder.Compile(Definition, Table).Rent();
        Assert.Null(rows.Drift);
    }

    [Fact]
    public void Known_paths_allocate_nothing()
    {
        var body = Body([.. Enumerable.Range(0, 1_000).Select(i => $$$"""{"_id":{{{i}}},"a":1,"b":{"c":"text","d":[1,2]},"i":1,"e":null}""")]);
        for (var warmUp = 0; warmUp < 10; warmUp++) Run();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var round = 0; round < 10; round++) Run();
        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / 10_000.0, 0, 16);

        void Run()
        {
            var rows = _decoder.Rent();
            BatchReader.Read(body, BodyFormat.Records, RecordOperation.Upsert, _decoder, 1_000, rows);
            if (_totals.Add(rows.Drift!, 1)) _decoder = RecordDecoder.Compile(Definition, Table, _totals.ReadPaths());
            else _decoder.Return(rows);
        }
    }

    void Ingest(params string[] values)
    {
        _time++;
        var rows = _decoder.Rent();
        BatchReader.Read(Body(values), BodyFormat.Records, RecordOperation.Upsert, _decoder, 100_000, rows);
        var isNew = _totals.Add(rows.Drift!, _time);
        _decoder.Return(rows);
        if (isNew) _decoder = RecordDecoder.Compile(Definition, Table, _totals.ReadPaths());
    }

    long _time;

    IEnumerable<string> Read() => _totals.Read(Definition).Paths
        .Select(path => $"{path.Pointer} {string.Join(' ', path.Kinds.OrderBy(kind => kind.Key.ToString(), StringComparer.Ordinal).Select(kind => $"{kind.Key}={kind.Value}"))}").Order(StringComparer.Ordinal);
}
