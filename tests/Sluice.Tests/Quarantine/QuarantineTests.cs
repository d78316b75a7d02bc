using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Load;
using Sluice.Tests.Records;

namespace Sluice.Tests.Quarantine;

/// <summary>Records that failed, from the door over the loader to the store and back, with the table in memory.</summary>
public sealed class QuarantineTests : IDisposable
{
    static readonly TableSchema Table = SampleTable.TableOf(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String));
    static readonly SinkDefinition Definition = SampleTable.SinkOf(Table);
    static readonly TableDefinition TableDefinition = new(new Guid("33333333-3333-3333-3333-333333333333"), Table);

    readonly string _directory = Directory.CreateTempSubdirectory("sluice-quarantine-").FullName;
    readonly ConcurrentDictionary<Guid, MemoryDatabase> _databases = [];
    readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    MemoryDatabase Database => _databases.GetOrAdd(Table.TableId, _ => new MemoryDatabase());

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Every_rejected_record_is_in_one_group_and_kept_as_it_was_sent()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition);
        await SendAsync(sink, """{"_id":1,"i":"x"}""", """{"_id":2,"i":3}""", """{"_id":3,"i":"yy"}""", """{"_id":4,"i":true}""", "5");

        var overview = await sink.ReadQuarantineAsync(Cancellation);
        Assert.Equal(
            [("/i expected int, got string", 2L, 2L), ("/i expected int, got bool", 1, 1), ("record expected an object, got number", 1, 1)],
            overview.Groups.OrderByDescending(group => group.Count).ThenBy(group => group.Signature.Text).Select(group => (group.Signature.Text, group.Count, group.Waiting)));
        var entries = await sink.ReadQuarantinedAsync(overview.Groups.Single(group => group.Count == 2).Signature.Id, 0, 10, Cancellation);
        Assert.Equal([(0, """{"value":{"_id":1,"i":"x"}}"""), (2, """{"value":{"_id":3,"i":"yy"}}""")], entries.Select(entry => (entry.RecordIndex, Encoding.UTF8.GetString(entry.Raw!))));
        Assert.Equal(3, Assert.Single(await sink.ReadQuarantinedAsync(null, entries[1].Position, 1, Cancellation)).RecordIndex);
        Assert.Equal((5, 1, 4, 0), Counts(sink));
    }

    [Fact]
    public async Task What_passes_with_the_present_mapping_is_replayed_once_and_the_rest_stays()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition);
        await SendAsync(sink, """{"_id":1,"i":"x","s":"7"}""", """{"_id":2,"i":"y"}""", """{"_id":"bad","i":1}""");
        var changed = Definition with
        {
            MappingVersion = 2,
            Fields = [new("_id", [PathStep.Member("_id")]), new("i", [PathStep.Member("s")])],
        };
        var trial = await sink.ReplayAsync(null, null, changed, isDryRun: true, "caller", Cancellation);
        Assert.Equal((2, 1, 0), (trial.Passed, trial.Failed, trial.RequestIds.Count));
        Assert.Equal(0, (await sink.ReplayAsync(null, null, null, isDryRun: true, "caller", Cancellation)).Passed);
        Assert.Empty(Database.Rows());

        engine.PutSink(changed);
        var outcome = await sink.ReplayAsync(null, null, null, isDryRun: false, "caller", Cancellation);
        Assert.Equal((2, 1, 0, 0), (outcome.Passed, outcome.Failed, outcome.NotLoaded, outcome.Overwrites));
        Assert.Equal("/_id", Assert.Single(Assert.Single(outcome.Failures).Errors).Path);
        Assert.Equal(["1: 1=7", "2:"], Database.Rows());

        var again = await sink.ReplayAsync(null, null, null, isDryRun: false, "caller", Cancellation);
        Assert.Equal((0, 1), (again.Passed, again.Failed));
        Assert.Equal((3, 0, 3, 2), Counts(sink)); // those replayed stay rejected: the sums of what was received hold
        var states = (await sink.ReadQuarantinedAsync(null, 0, 10, Cancellation)).Select(entry => (entry.IsReplayed, entry.Raw is null));
        Assert.Equal([(true, true), (true, true), (false, false)], states);
        Assert.Equal([(2L, 0L, 2L), (1, 1, 0)], (await sink.ReadQuarantineAsync(Cancellation)).Groups.Select(group => (group.Count, group.Waiting, group.Replayed)).OrderByDescending(group => group.Item1));
    }

    [Fact]
    public async Task Bare_values_keep_the_form_and_the_operation_they_came_with()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition);
        await SendAsync(sink, """{"_id":1}""");
        var body = """
            {"_id":1,"value":{"i":5}}
            {"_id":2,"i":"x"}
            not json
            """u8.ToArray();
        var outcome = await sink.IngestAsync(body, BodyFormat.Lines, RecordOperation.Patch, "caller", Cancellation);
        await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
        var entries = await sink.ReadQuarantinedAsync(null, 0, 10, Cancellation);
        Assert.Equal(["""{"_id":2,"i":"x"}""", "not json"], entries.Select(entry => Encoding.UTF8.GetString(entry.Raw!).TrimEnd()));
        Assert.All(entries, entry => Assert.Equal(new RecordForm(IsBare: true, RecordOperation.Patch), entry.Form));
        var errors = (await sink.ReplayAsync(null, null, null, isDryRun: true, "caller", Cancellation)).Failures.Select(failure => failure.Errors[0].Code);
        Assert.Equal([FieldErrorCode.NotAnInteger, FieldErrorCode.NotJson], errors);
    }

    /// <summary>A replay must not do more than the record asked for: an insert stays an insert, and keeps its version.</summary>
    [Fact]
    public async Task Records_whose_condition_did_not_hold_keep_operation_and_version()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition);
        await SendElementsAsync(sink, """{"value":{"_id":1,"i":1}}""", """{"op":"insert","value":{"_id":1,"i":2},"version":5}""", """{"op":"patch","value":{"_id":2,"i":3}}""");
        var entries = await sink.ReadQuarantinedAsync(null, 0, 10, Cancellation);
        Assert.Equal(
            [("""{"value":{"_id":1,"i":2},"version":5}""", new RecordForm(IsBare: false, RecordOperation.Insert)), ("""{"_id":2,"i":3}""", new RecordForm(IsBare: true, RecordOperation.Patch))],
            entries.Select(entry => (Encoding.UTF8.GetString(entry.Raw!), entry.Form)));
        Assert.Equal(
            ["not loaded: KeyExists", "not loaded: KeyMissing"],
            (await sink.ReadQuarantineAsync(Cancellation)).Groups.Select(group => group.Signature.Text).Order());

        var refused = await sink.ReplayAsync(null, null, null, false, "caller", Cancellation);
        Assert.Equal((2L, 2L), (refused.Passed, refused.NotLoaded));
        Assert.Equal(["1: 1=1"], Database.Rows());

        await SendElementsAsync(sink, """{"op":"delete","value":{"_id":1}}""", """{"value":{"_id":2}}""");
        var loaded = await sink.ReplayAsync(null, null, null, false, "caller", Cancellation);
        Assert.Equal((2L, 0L), (loaded.Passed, loaded.NotLoaded));
        Assert.Equal(["1: 1=2", "2: 1=3"], Database.Rows());
        Assert.Equal(2, sink.ReadLedger().Replayed);
        await SendElementsAsync(sink, """{"value":{"_id":1,"i":9},"version":4}""");
        Assert.Equal(1, sink.ReadLedger().Superseded);
    }

    [Fact]
    public async Task Records_that_the_store_refused_are_kept_as_they_are_rendered_and_can_be_replayed()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition);
        Database.Refuses = (rows, row) => rows.FindColumn(1)!.Int64s[row] == 13;
        await SendAsync(sink, """{"_id":1,"i":13}""", """{"_id":2,"i":1}""");
        var group = Assert.Single((await sink.ReadQuarantineAsync(Cancellation)).Groups);
        Assert.Equal(("not loaded: StoreRefused", 1, """{"_id":1,"i":13}"""), (group.Signature.Text, group.Count, Encoding.UTF8.GetString(group.Sample!.Raw!)));

        Assert.Equal((1, 1), (await sink.ReplayAsync(null, null, null, false, "caller", Cancellation)) is var refused ? (refused.Passed, refused.NotLoaded) : default);
        Assert.Equal(1, Assert.Single((await sink.ReadQuarantineAsync(Cancellation)).Groups).Waiting);
        Database.Refuses = (_, _) => false;
        Assert.Equal((1, 0), (await sink.ReplayAsync(null, null, null, false, "caller", Cancellation)) is var loaded ? (loaded.Passed, loaded.NotLoaded) : default);
        Assert.Equal(["1: 1=13", "2: 1=1"], Database.Rows());
        Assert.Equal(new SinkLedger(1, 2, 2, 0, 1, 1, 0) { Replayed = 1 }, sink.ReadLedger());
    }

    [Fact]
    public async Task A_discarded_request_keeps_each_record_and_each_is_replayed_alone()
    {
        await using var engine = await OpenAsync(create: true);
        var strict = Put(engine, Definition with { AllowMissingFields = false });
        await SendAsync(strict, """{"_id":1,"i":1,"s":"a"}""", """{"_id":2,"i":2}""");
        Assert.Equal(["/s expected string, got nothing", "discarded with its request: another record lacks a mapped field"], (await strict.ReadQuarantineAsync(Cancellation)).Groups.Select(group => group.Signature.Text).Order());
        var outcome = await strict.ReplayAsync(null, null, null, false, "caller", Cancellation);
        Assert.Equal((1, 1), (outcome.Passed, outcome.Failed));
        Assert.Equal(["1: 1=1 2='a'"], Database.Rows());
    }

    [Fact]
    public async Task A_key_that_was_written_since_is_named_and_the_replay_is_the_newer_write()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition with { Fields = [new("_id", [PathStep.Member("_id")]), new("i", [PathStep.Member("s")])] });
        await SendAsync(sink, """{"_id":1,"i":1,"s":"x"}""", """{"_id":2,"i":2,"s":"x"}""");
        await SendAsync(sink, """{"_id":1,"s":5}""");
        engine.PutSink(Definition with { MappingVersion = 2 });
        var outcome = await sink.ReplayAsync(null, null, null, false, "caller", Cancellation);
        Assert.Equal(("1", 0), (Assert.Single(outcome.Overwritten).Key, outcome.Overwritten[0].RecordIndex));
        Assert.Equal(["1: 1=1 2='x'", "2: 1=2 2='x'"], Database.Rows());
    }

    [Fact]
    public async Task A_sink_that_keeps_no_raw_keeps_the_errors_and_writes_no_text_to_the_log()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition with { Quarantine = new QuarantinePolicy { KeepRaw = false } });
        await SendAsync(sink, """{"_id":1,"i":"very secret"}""", """{"_id":2,"i":"q"}""");
        var group = Assert.Single((await sink.ReadQuarantineAsync(Cancellation)).Groups);
        Assert.Equal((2, 2, true), (group.Count, group.RawOmitted, group.Sample!.Raw is null));
        Assert.Equal(2, (await sink.ReplayAsync(null, null, null, false, "caller", Cancellation)).WithoutRaw);
        var log = Directory.GetFiles(_directory, "segment-*", SearchOption.AllDirectories).Select(File.ReadAllBytes).Single();
        Assert.True(log.AsSpan().IndexOf("\"value\""u8) < 0);
    }

    [Fact]
    public async Task A_flood_is_counted_exactly_and_kept_in_part()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition);
        var values = Enumerable.Range(0, 50_000).Select(i => i == 49_999 ? """{"_id":1,"i":true}""" : $"{{\"_id\":{i},\"i\":\"x{i}\"}}").ToArray();
        await SendAsync(sink, values);
        var groups = (await sink.ReadQuarantineAsync(Cancellation)).Groups;
        Assert.Equal([49_999L, 1], groups.Select(group => group.Count));
        Assert.InRange(groups[0].Waiting, 5_000, 20_000);
        Assert.Equal(groups[0].Count, groups[0].Waiting + groups[0].RawOmitted);
        Assert.Equal(1, groups[1].Waiting); // whatever the flood
    }

    [Fact]
    public async Task Discarded_records_wait_no_more_and_stay_counted()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition);
        await SendAsync(sink, """{"_id":1,"i":"a"}""", """{"_id":2,"i":"b"}""", """{"_id":3,"i":true}""");
        var groups = (await sink.ReadQuarantineAsync(Cancellation)).Groups;
        Assert.Equal(1, await sink.DiscardAsync(null, [groups[0].Sample!.Position], Cancellation));
        Assert.Equal(1, await sink.DiscardAsync(groups[1].Signature.Id, null, Cancellation));
        Assert.Equal([(2L, 1L, 1L), (1, 0, 1)], (await sink.ReadQuarantineAsync(Cancellation)).Groups.Select(group => (group.Count, group.Waiting, group.Discarded)));
    }

    /// <summary>The heart of it: a replay frame may stand in the log several times, and a crash may fall anywhere.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_record_is_replayed_once_over_a_crash_in_the_load_and_from_several_frames(bool afterCommit)
    {
        var schema = Table;
        using var first = await LoadFixture.CreateAsync(schema);
        await first.SendAsync(schema, """{"_id":1,"i":"x"}""", """{"_id":2,"i":"x"}""", """{"_id":9,"i":9}""");
        var origins = new[] { LogPosition.OfRecord(2, 0), LogPosition.OfRecord(2, 1) };
        await first.Log.AppendAsync(Replay(schema, (origins[0], """{"_id":1,"i":10}"""), (origins[0], """{"_id":1,"i":99}""")));
        await first.Log.AppendAsync(Replay(schema, (origins[0], """{"_id":1,"i":11}"""), (origins[1], """{"_id":2,"i":20}""")));
        first.Database.CrashInCall(3, afterCommit); // schema, records, and in the first replay
        await Assert.ThrowsAsync<SimulatedCrashException>(first.LoadAllAsync);

        using var second = first.Restart();
        await second.LoadAllAsync();
        Assert.Equal(["1: 1=10", "2: 1=20", "9: 1=9"], second.Database.Rows());
        Assert.Equal(new SinkLedger(1, 3, 1, 2, 1, 0, 0) { Replayed = 2 }, second.AssertBalanced(Definition.Id));
        Assert.Equal(2, Assert.Single(second.Database.Quarantine.ReadOverview(Definition.Id, 0).Groups).Replayed);
    }

    [Fact]
    public async Task Two_replays_at_once_apply_each_record_once()
    {
        await using var engine = await OpenAsync(create: true);
        var sink = Put(engine, Definition with { Fields = [new("_id", [PathStep.Member("_id")]), new("i", [PathStep.Member("s")])] });
        await SendAsync(sink, [.. Enumerable.Range(0, 3_000).Select(i => $"{{\"_id\":{i},\"i\":{i},\"s\":\"x\"}}")]);
        engine.PutSink(Definition with { MappingVersion = 2 });
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => sink.ReplayAsync(null, null, null, false, "caller", Cancellation).AsTask()));
        Assert.Equal(3_000, outcomes.Sum(outcome => outcome.Passed));
        Assert.Equal((3_000, 0, 3_000, 3_000), Counts(sink));
        Assert.Equal(3_000, Database.Rows().Length);
    }

    [Fact]
    public async Task A_replay_that_is_refused_after_its_first_frame_says_unknown_and_goes_on_when_it_is_asked_for_again()
    {
        var mapping = Definition with { MappingVersion = 2 };
        await using (var engine = await OpenAsync(create: true))
        {
            var sink = Put(engine, Definition with { Fields = [new("_id", [PathStep.Member("_id")]), new("i", [PathStep.Member("s")])] });
            await SendAsync(sink, [.. Enumerable.Range(0, 1_500).Select(i => $"{{\"_id\":{i},\"i\":{i},\"s\":\"x\"}}")]);
            engine.PutSink(mapping);
            Database.Refuses = (_, _) =>
            {
                _ = sink.Table.Log.CloseAsync(); // while the first frame is loaded: it takes no second
                return false;
            };
            var refused = await Assert.ThrowsAsync<SluiceException>(() => sink.ReplayAsync(null, null, null, false, "caller", Cancellation).AsTask());
            Assert.Equal((ErrorCode.Draining, RefusalOutcome.Unknown), (refused.Code, refused.Outcome));
            Assert.Equal(1_000, Database.Rows().Length);
            var nothing = await Assert.ThrowsAsync<SluiceException>(() => sink.ReplayAsync(null, null, null, false, "caller", Cancellation).AsTask());
            Assert.Equal((ErrorCode.Draining, RefusalOutcome.NotStored), (nothing.Code, nothing.Outcome));
        }

        Database.Refuses = (_, _) => false;
        await using var next = await OpenAsync(create: false);
        var again = Put(next, mapping);
        var rest = await again.ReplayAsync(null, null, null, false, "caller", Cancellation);
        Assert.Equal((500, 0, 0), (rest.Passed, rest.Failed, rest.NotLoaded));
        Assert.Equal(0, (await again.ReplayAsync(null, null, null, false, "caller", Cancellation)).Passed);
        Assert.Equal((1_500, 0, 1_500, 1_500), Counts(again));
        Assert.Equal(1_500, Database.Rows().Length);
    }

    static FrameBuffer Replay(TableSchema schema, params (ulong Origin, string Value)[] records)
    {
        var decoder = RecordDecoder.Compile(Definition, schema);
        var rows = decoder.Rent();
        foreach (var (origin, value) in records)
        {
            BatchReader.ReadAlone(Encoding.UTF8.GetBytes(value), new RecordForm(IsBare: true, RecordOperation.Upsert), decoder, rows);
            rows.Origins.AddInt64((long)origin);
        }
        rows.CompleteEachAlone();
        return RecordsFrame.EncodeReplay(decoder, Definition.Id, 60_000_000, new RecordsFrame.Meta("caller", "", default, 0), rows);
    }

    static (long Received, long Accepted, long Rejected, long Replayed) Counts(Sink sink) =>
        sink.ReadLedger() is var ledger ? (ledger.Received, ledger.Accepted, ledger.Rejected, ledger.Replayed) : default;

    static Sink Put(Engine engine, SinkDefinition definition)
    {
        engine.PutSink(definition);
        return engine.FindSink(definition.Id)!;
    }

    static Task SendAsync(Sink sink, params string[] values) => SendAsync(sink, SampleTable.Body(values));

    static Task SendElementsAsync(Sink sink, params string[] elements) => SendAsync(sink, Encoding.UTF8.GetBytes($"{{\"records\":[{string.Join(',', elements)}]}}"));

    static async Task SendAsync(Sink sink, byte[] body)
    {
        var outcome = await sink.IngestAsync(body, BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation);
        await sink.Table.WaitLoadedAsync(outcome.Sequence, Cancellation);
    }

    async Task<Engine> OpenAsync(bool create)
    {
        var engine = await Engine.OpenAsync(
            new EngineOptions { DataDirectory = _directory, DiskReserveBytes = 0 }, create ? [] : [TableDefinition], [],
            (_, table, _) => new ValueTask<ITableStore>(_databases.GetOrAdd(table, _ => new MemoryDatabase()).Open()),
            _time, NullLoggerFactory.Instance, new SilentMeters(), Cancellation);
        if (create) await engine.CreateTableAsync(TableDefinition, Cancellation);
        return engine;
    }
}
