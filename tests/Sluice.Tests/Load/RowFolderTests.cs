using Sluice.Load;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Load;

/// <summary>Folding a batch to one row a key, in log order.</summary>
public sealed class RowFolderTests
{
    static readonly TableSchema Table = TableOf(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String), ("ss", ColumnType.StringSet), ("b", ColumnType.Bool), ("v", ColumnType.Vector(1)));

    [Theory]
    [InlineData("""{"_id":1,"i":1}""", """{"_id":1,"i":2}""", "1 | 2 | absent | absent | absent | absent")]
    [InlineData("""{"_id":1,"i":1,"s":"a"}""", """{"_id":1,"s":"b"}""", "1 | 1 | 'b' | absent | absent | absent")]
    [InlineData("""{"_id":1,"i":1,"s":"a"}""", """{"_id":1,"i":null}""", "1 | null | 'a' | absent | absent | absent")]
    [InlineData("""{"_id":1,"i":null}""", """{"_id":1,"i":3,"b":true}""", "1 | 3 | absent | absent | true | absent")]
    [InlineData("""{"_id":1,"v":[1.5]}""", """{"_id":1}""", "1 | absent | absent | absent | absent | <1.5>")]
    [InlineData("""{"_id":1,"ss":["a"]}""", """{"_id":1,"ss":["b","a"]}""", "1 | absent | absent | ['b','a'] | absent | absent")]
    [InlineData("""{"_id":1,"ss":["a"]}""", """{"_id":1,"ss":null}""", "1 | absent | absent | ['a'] | absent | absent")]
    [InlineData("""{"_id":1,"ss":null}""", """{"_id":1,"ss":null}""", "1 | absent | absent | null | absent | absent")]
    [InlineData("""{"_id":1,"ss":[]}""", """{"_id":1}""", "1 | absent | absent | [] | absent | absent")]
    public void Two_records_of_a_key_make_one_row(string first, string second, string expected)
    {
        var batch = Batch(Table, [first, second]);
        var rows = new RowFolder().Fold(batch, 0, 2, new HashSet<int>());
        Assert.Equal([expected], Rows(rows));
        Assert.Equal(LogPosition.OfRecord(1, 1), rows.Positions[0]); // the last record's
    }

    [Fact]
    public void Without_repeated_keys_nothing_is_copied()
    {
        var batch = Batch(Table, ["""{"_id":1,"i":1}""", """{"_id":2,"i":2}"""]);
        Assert.Same(batch.Rows, new RowFolder().Fold(batch, 0, 2, new HashSet<int>()));
    }

    [Fact]
    public void A_part_of_the_batch_is_a_batch_of_its_own()
    {
        var batch = Batch(Table, ["""{"_id":1,"i":1}"""], ["""{"_id":2,"i":2}""", """{"_id":3,"i":3}"""], ["""{"_id":1,"i":4}"""]);
        var folder = new RowFolder();
        Assert.Equal(["2", "3"], Rows(folder.Fold(batch, 1, 3, new HashSet<int>())).Select(row => row.Split(' ')[0]));
        Assert.Equal(["2 | 2", "3 | 3", "1 | 4"], Rows(folder.Fold(batch, 0, 4, new HashSet<int>())).Select(row => string.Join(" | ", row.Split(" | ")[..2])));
        Assert.Equal(["1 | 1", "3 | 3"], Rows(folder.Fold(batch, 0, 4, new HashSet<int> { 1, 3 })).Select(row => string.Join(" | ", row.Split(" | ")[..2])));
        Assert.Empty(Rows(folder.Fold(batch, 1, 2, new HashSet<int> { 1 })));
    }

    [Fact]
    public void Rows_know_their_records_and_requests()
    {
        var batch = Batch(Table, ["""{"_id":1}""", """{"_id":"x"}""", """{"_id":2}"""], ["""{"_id":true}""", """{"_id":1}""", "{}", """{"_id":3}"""]);
        var rows = new RowFolder().Fold(batch, 0, 4, new HashSet<int>());
        Assert.Equal(["2", "1", "3"], Rows(rows).Select(row => row.Split(' ')[0]));
        Assert.Equal([LogPosition.OfRecord(1, 2), LogPosition.OfRecord(2, 1), LogPosition.OfRecord(2, 3)], rows.Positions.ToArray());
        Assert.Equal([0, 1, 1], rows.OriginOfRow.ToArray());
        Assert.Equal(2, rows.Origins.Count);
        Assert.Equal([0, 2], Enumerable.Range(0, 2).Select(batch.Frames[0].RecordIndexOf));
        Assert.Equal([1, 3], Enumerable.Range(2, 2).Select(batch.Frames[1].RecordIndexOf));
    }

    [Fact]
    public void Any_records_fold_to_what_one_after_the_other_makes()
    {
        var seed = Random.Shared.Next();
        for (var round = 0; round < 300; round++)
        {
            var random = new Random(seed + round);
            var schema = round % 2 == 0 ? Table : Table with { Key = KeyKind.String };
            var model = new ModelTable();
            var requests = Enumerable.Range(0, random.Next(1, 6)).Select(_ => Enumerable.Range(0, random.Next(0, 30)).Select(_ => model.Next(random, schema)).ToArray()).ToArray();
            var batch = Batch(schema, requests);
            var rows = new RowFolder().Fold(batch, 0, batch.Rows.RowCount, new HashSet<int>());
            var database = new MemoryDatabase();
            database.ApplySchema(schema, new LogPosition(Guid.Empty, 1, 1));
            database.Load(new LoadBatch(schema, rows, new LogPosition(Guid.Empty, 1, 2), new Dictionary<Guid, SinkCounts>(), []));
            Assert.True(model.Rows().SequenceEqual(database.Rows()), $"seed {seed + round}: expected\n{string.Join('\n', model.Rows())}\nfound\n{string.Join('\n', database.Rows())}");
        }
    }

    [Fact]
    public void Members_of_quantum_sets_keep_each_their_time()
    {
        var schema = TableOf(KeyKind.Number, ("q", ColumnType.StringSetQ("YMD")));
        var sink = SinkWith(schema, true, ("_id", "/_id"), ("q", "/q"), (SinkDefinition.TimeQuantumName, "/t"));
        var batch = new FrameBatch(schema);
        Add(batch, 1, LoadFixture.Encode(sink, schema, """{"_id":1,"q":["a","b"],"t":"2022-08-08"}""", """{"_id":1,"q":["a"],"t":"2022-08-09"}""", """{"_id":1,"q":["c"]}"""));
        var rows = new RowFolder().Fold(batch, 0, 3, new HashSet<int>());
        var members = Cell(rows.Columns[0], 0)[1..^1].Split(',').Order(StringComparer.Ordinal);
        Assert.Equal(["'a'@2022-08-08T00", "'a'@2022-08-09T00", "'b'@2022-08-08T00", "'c'"], members);
    }

    static FrameBatch Batch(TableSchema schema, params string[][] requests)
    {
        var batch = new FrameBatch(schema);
        for (var i = 0; i < requests.Length; i++) Add(batch, (ulong)i + 1, LoadFixture.Encode(SinkOf(schema), schema, requests[i]));
        return batch;
    }

    static void Add(FrameBatch batch, ulong sequence, FrameBuffer frame)
    {
        FrameHeader.Seal(frame.Span[..FrameHeader.Size], new LogPosition(Guid.Empty, 1, sequence));
        Assert.True(FrameHeader.TryRead(frame.Span, out var header));
        batch.Add(new LoadableFrame(header, frame.Memory.Slice(FrameHeader.Size, header.PayloadBytes), header.Position, header.Position, IsDiscarded: false));
        frame.Dispose();
    }

    static string[] Rows(RowBatch batch) =>
        [.. Enumerable.Range(0, batch.RowCount).Select(row => string.Join(" | ", batch.Columns.Prepend(batch.Key).Select(column => Cell(column, row))))];
}
