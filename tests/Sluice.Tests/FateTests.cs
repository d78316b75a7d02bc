using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Load;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Load;
using Sluice.Tests.Records;

namespace Sluice.Tests;

/// <summary>What a sink says of one request at every time of its life, with the table in memory.</summary>
public sealed class FateTests : IDisposable
{
    static readonly TableSchema Table = SampleTable.TableOf(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String));
    static readonly SinkDefinition Definition = SampleTable.SinkWith(Table, allowMissing: true, ("_id", "/_id"), ("i", "/deep/i"), ("s", "/s"));

    readonly string _directory = Directory.CreateTempSubdirectory("sluice-fate-").FullName;
    readonly ConcurrentDictionary<Guid, MemoryDatabase> _databases = [];
    readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    MemoryDatabase Database => _databases.GetOrAdd(Table.TableId, _ => new MemoryDatabase());

    long Now => _time.GetUtcNow().ToUnixTimeMilliseconds() * 1_000;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_request_is_pending_then_loaded_and_the_same_after_a_restart()
    {
        var receivedAt = Now;
        string id;
        await using (var engine = await OpenAsync(create: true))
        {
            var sink = Put(engine, Definition);
            Database.FailCalls(1, int.MaxValue);
            id = await SendAsync(sink, Element(1), Element(2, "\"x\""), """{"op":"patch","value":{"_id":3,"deep":{"i":7}}}""", """{"op":"insert","value":{"_id":4}}""");
            var pending = await sink.ReadFateAsync(id, -1, 10, Cancellation);
            Assert.Equal((id, false, receivedAt, null), (pending.RequestId, pending.IsLoaded, pending.ReceivedAtMicroseconds, pending.LoadedAtMicroseconds));
            Assert.Equal((4, 3, 1, 0, 0), Counts(pending));
            var rejected = Assert.Single(pending.Records);
            Assert.Equal((1, RecordFateKind.Rejected, FieldErrorCode.NotAnInteger), (rejected.Index, rejected.Kind, Assert.Single(rejected.Errors).Code));
        }
        Database.FailCalls(0, 0);
        _time.Advance(TimeSpan.FromMinutes(3));
        var loadedAt = Now;
        for (var life = 0; life < 2; life++)
        {
            await using var engine = await OpenAsync(create: false);
            var sink = Put(engine, Definition);
            await sink.Table.WaitLoadedAsync(2, Cancellation);
            var fate = await sink.ReadFateAsync(id, -1, 10, Cancellation);
            Assert.Equal(fate.Records[1], (await sink.ReadFateAsync(id.ToUpperInvariant(), -1, 10, Cancellation)).Records[1]);
            Assert.Equal((true, receivedAt, loadedAt, false), (fate.IsLoaded, fate.ReceivedAtMicroseconds, fate.LoadedAtMicroseconds, fate.HasMore));
            Assert.Equal((4, 3, 1, 2, 1), Counts(fate));
            Assert.Equal([(1, RecordFateKind.Rejected), (2, RecordFateKind.Failed)], fate.Records.Select(record => (record.Index, record.Kind)));
            Assert.Equal((LateErrorCode.KeyMissing, "3", """{"_id":3,"deep":{"i":7}}"""), (fate.Records[1].Code, fate.Records[1].Key, fate.Records[1].Value));
            _time.Advance(TimeSpan.FromMinutes(3));
        }
    }

    [Fact]
    public async Task After_trimming_it_is_told_from_what_the_store_keeps()
    {
        await using var engine = await OpenAsync(create: true, trims: true);
        var sink = Put(engine, Definition);
        var loadedAt = Now;
        var mixed = await SendLoadedAsync(sink, Element(1), Element(2, "\"x\""), """{"op":"patch","value":{"_id":3}}""");
        var clean = await SendLoadedAsync(sink, Element(5));
        var keyed = await sink.IngestOnceAsync("key", new BodyWindow(Body(Element(6), Element(7, "true"))), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation);
        await sink.Table.WaitLoadedAsync(keyed.Sequence, Cancellation);
        var strict = Put(engine, Definition with { AllowMissingFields = false, MappingVersion = 2 });
        var discarded = await SendLoadedAsync(strict, """{"value":{"_id":1}}""", Element(2));
        await TrimAsync(sink);

        var fate = await sink.ReadFateAsync(mixed, -1, 10, Cancellation);
        Assert.Equal((true, loadedAt, loadedAt), (fate.IsLoaded, fate.ReceivedAtMicroseconds, fate.LoadedAtMicroseconds));
        Assert.Equal((null, null, null, null, 1), Counts(fate));
        Assert.Equal([(1, RecordFateKind.Rejected, null), (2, RecordFateKind.Failed, LateErrorCode.KeyMissing)], fate.Records.Select(record => (record.Index, record.Kind, record.Code)));
        Assert.Equal(FieldErrorCode.NotAnInteger, Assert.Single(fate.Records[0].Errors).Code);

        fate = await sink.ReadFateAsync(clean, -1, 10, Cancellation);
        Assert.Equal((true, null, loadedAt, 0), (fate.IsLoaded, fate.ReceivedAtMicroseconds, fate.LoadedAtMicroseconds, fate.Records.Count));

        fate = await sink.ReadFateAsync(keyed.RequestId, -1, 10, Cancellation);
        Assert.Equal((2, 1, 1, 1, 0), Counts(fate));
        Assert.Equal((loadedAt, 1), (fate.ReceivedAtMicroseconds, Assert.Single(fate.Records).Index));

        fate = await sink.ReadFateAsync(discarded, -1, 10, Cancellation);
        Assert.Equal([RecordFateKind.Rejected, RecordFateKind.Discarded], fate.Records.Select(record => record.Kind));

        var other = Put(engine, Definition with { Id = Guid.NewGuid() });
        foreach (var id in new[] { mixed, keyed.RequestId }) await AssertRefusedAsync(other, id, ErrorCode.NotFound);
    }

    /// <summary>Errors that made room for newer ones must not be told as records that were loaded.</summary>
    [Fact]
    public async Task Counts_are_not_told_when_errors_may_be_gone()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition);
        var id = await SendLoadedAsync(sink, Element(1), Element(2, "\"x\""));
        Assert.Equal((2, 1, 1, 1, 0), Counts(await sink.ReadFateAsync(id, -1, 10, Cancellation)));
        Database.HasAllErrors = false;
        Assert.Equal((2, 1, 1, null, null), Counts(await sink.ReadFateAsync(id, -1, 10, Cancellation)));
    }

    [Fact]
    public async Task A_record_that_was_replayed_says_so()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition);
        var id = await SendLoadedAsync(sink, """{"op":"patch","value":{"_id":1,"deep":{"i":1}}}""", """{"op":"patch","value":{"_id":2}}""");
        Assert.All((await sink.ReadFateAsync(id, -1, 10, Cancellation)).Records, record => Assert.False(record.IsReplayed));
        await SendLoadedAsync(sink, Element(1));
        var replay = await sink.ReplayAsync(null, null, null, false, "caller", Cancellation);
        Assert.Equal([true, false], (await sink.ReadFateAsync(id, -1, 10, Cancellation)).Records.Select(record => record.IsReplayed));
        Assert.Equal((2, 2, 0, 1, 1), Counts(await sink.ReadFateAsync(replay.RequestIds[0], -1, 10, Cancellation)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_request_in_parts_has_the_indexes_of_the_whole_request(bool areFirstPartsTrimmed)
    {
        var engine = await OpenAsync(create: true, trims: areFirstPartsTrimmed);
        var sink = Put(engine, Definition);
        Database.Refuses = (rows, row) => rows.Key.Int64s[row] is 3 or 13;
        await using var upload = new TestUpload(sink.Table.Log, Definition, Table);
        await upload.AppendAsync("""{"_id":1}""", """{"_id":"a"}""");
        await sink.Table.Log.WaitForMoreAsync(1, Cancellation); // in a segment of its own
        await upload.AppendAsync("""{"_id":3}""", """{"_id":4,"deep":{"i":"b"}}""");
        var last = await upload.CompleteAsync("""{"_id":"c"}""", """{"_id":13}""");
        await sink.Table.WaitLoadedAsync(last.Sequence, Cancellation);
        await engine.DisposeAsync();
        await using var again = await OpenAsync(create: false, trims: areFirstPartsTrimmed);
        sink = Put(again, Definition);
        var id = FrameHeader.FormatRequestId(last);
        Assert.Equal(areFirstPartsTrimmed, sink.Table.Log.FindSegmentAfter(0)!.PreviousSequence >= 2);

        var fate = await sink.ReadFateAsync(id, -1, 2, Cancellation);
        Assert.Equal((6, 3, 3, 1, 2), Counts(fate));
        Assert.Equal([1, 2], fate.Records.Select(record => record.Index));
        Assert.True(fate.HasMore);
        fate = await sink.ReadFateAsync(id, 2, 3, Cancellation);
        Assert.Equal([3, 4, 5], fate.Records.Select(record => record.Index));
        Assert.False(fate.HasMore);
        Assert.Equal([RecordFateKind.Rejected, RecordFateKind.Rejected, RecordFateKind.Failed], fate.Records.Select(record => record.Kind));
        if (!areFirstPartsTrimmed) await AssertRefusedAsync(sink, FrameHeader.FormatRequestId(last with { Sequence = last.Sequence - 1 }), ErrorCode.NotFound); // a part is no request
    }

    [Theory]
    [InlineData("")]
    [InlineData("x")]
    [InlineData("00000000000000000000000000000000-")]
    [InlineData("00000000000000000000000000000000-0x1")]
    [InlineData("00000000000000000000000000000000_1")]
    [InlineData("00000000000000000000000000000000-11111111111111111")]
    public async Task What_is_no_request_id_is_refused(string id)
    {
        await using var engine = await OpenAsync(create: true);
        await AssertRefusedAsync(Put(engine, Definition), id, ErrorCode.InvalidParameter);
    }

    [Fact]
    public async Task A_request_that_the_sink_did_not_take_is_not_found()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition);
        var id = await SendLoadedAsync(sink, Element(1));
        var log = sink.Table.Log.DurablePosition;
        await AssertRefusedAsync(sink, FrameHeader.FormatRequestId(log with { LogId = Guid.NewGuid() }), ErrorCode.NotFound);
        await AssertRefusedAsync(sink, FrameHeader.FormatRequestId(log with { Sequence = log.Sequence + 1 }), ErrorCode.NotFound);
        await AssertRefusedAsync(sink, FrameHeader.FormatRequestId(log with { Sequence = 0 }), ErrorCode.NotFound);
        await AssertRefusedAsync(sink, FrameHeader.FormatRequestId(log with { Sequence = 1 }), ErrorCode.NotFound); // the schema
        await AssertRefusedAsync(Put(engine, Definition with { Id = Guid.NewGuid() }), id, ErrorCode.NotFound);
        Assert.True((await sink.ReadFateAsync(id, -1, 10, Cancellation)).IsLoaded);
    }

    static async Task AssertRefusedAsync(Sink sink, string id, ErrorCode code) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<SluiceException>(() => sink.ReadFateAsync(id, -1, 10, Cancellation).AsTask())).Code);

    static (int? Received, int? Accepted, int? Rejected, int? Loaded, int? Failed) Counts(RequestFate fate) => (fate.Received, fate.Accepted, fate.Rejected, fate.Loaded, fate.Failed);

    static string Element(int key, string value = "1") => $"{{\"value\":{{\"_id\":{key},\"deep\":{{\"i\":{value}}},\"s\":\"\"}}}}";

    static byte[] Body(params string[] elements) => Encoding.UTF8.GetBytes($"{{\"records\":[{string.Join(',', elements)}]}}");

    static async Task<string> SendAsync(Sink sink, params string[] elements) =>
        (await sink.IngestAsync(Body(elements), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation)).RequestId;

    static async Task<string> SendLoadedAsync(Sink sink, params string[] elements)
    {
        var outcome = await sink.IngestAsync(Body(elements), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation);
        await sink.Table.WaitLoadedAsync(outcome.Sequence, Cancellation);
        return outcome.RequestId;
    }

    /// <summary>Sends until all that was sent before is no more in the log.</summary>
    async Task TrimAsync(Sink sink)
    {
        var before = sink.Table.Log.DurablePosition.Sequence;
        for (var key = 100; sink.Table.Log.FindSegmentAfter(before - 1)!.PreviousSequence < before; key++)
        {
            Assert.True(key < 200, "nothing was trimmed");
            _time.Advance(TimeSpan.FromMinutes(1));
            await SendLoadedAsync(sink, Element(key));
        }
    }

    static Sink Put(Engine engine, SinkDefinition definition)
    {
        engine.PutSink(definition);
        return engine.FindSink(definition.Id)!;
    }

    async Task<Engine> OpenAsync(bool create, bool trims = false)
    {
        var table = new TableDefinition(new Guid("33333333-3333-3333-3333-333333333333"), Table);
        var log = new LogOptions { SegmentBytes = 1, RetainedBytes = trims ? 0 : long.MaxValue };
        var engine = await Engine.OpenAsync(
            new EngineOptions { DataDirectory = _directory, DiskReserveBytes = 0, Log = log }, create ? [] : [table], create ? [] : [Definition],
            (_, id, _) => new ValueTask<ITableStore>(_databases.GetOrAdd(id, _ => new MemoryDatabase()).Open()),
            _time, NullLoggerFactory.Instance, new SilentMeters(), Cancellation);
        if (create) await engine.CreateTableAsync(table, Cancellation);
        return engine;
    }
}
