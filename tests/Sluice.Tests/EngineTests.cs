using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Load;
using Sluice.Tests.Log;
using Sluice.Tests.Records;

namespace Sluice.Tests;

/// <summary>The engine as a whole on a real directory, with tables in memory.</summary>
public sealed partial class EngineTests : IDisposable
{
    static readonly TableSchema Table = SampleTable.TableOf(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String));
    static readonly SinkDefinition SinkDefinition = SampleTable.SinkOf(Table);
    static readonly TableDefinition Definition = new(new Guid("33333333-3333-3333-3333-333333333333"), Table);

    readonly string _directory = Directory.CreateTempSubdirectory("sluice-engine-").FullName;
    readonly ConcurrentDictionary<Guid, MemoryDatabase> _databases = [];
    readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));

    LogOptions _logOptions = new();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    MemoryDatabase Database => _databases.GetOrAdd(Table.TableId, _ => new MemoryDatabase());

    string LogDirectory => Path.Combine(_directory, "logs", Table.TableId.ToString());

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_request_is_answered_loaded_and_counted()
    {
        await using var engine = await CreateAsync();
        var outcome = await IngestAsync(engine, """{"_id":1,"i":5}""", """{"_id":"x"}""", """{"_id":2,"i":1.5}""");
        Assert.Equal((3, 2, 1, 2UL), (outcome.RecordCount, outcome.AcceptedCount, outcome.RejectedCount, outcome.Sequence));
        Assert.Equal(new TruncationWarning(2, "i"), Assert.Single(outcome.Warnings));
        Assert.Equal(1, Assert.Single(outcome.Rejected).Index);
        Assert.EndsWith("-2", outcome.RequestId, StringComparison.Ordinal);
        await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
        Assert.Equal(["1: 1=5", "2: 1=1"], Database.Rows());
        Assert.Equal(new SinkLedger(1, 3, 2, 1, 2, 0, 0), engine.FindSink(SinkDefinition.Id)!.ReadLedger());
        Assert.Equal([new MinutePoint(_time.GetUtcNow().ToUnixTimeSeconds() / 60, 1, 2, 1)], engine.FindSink(SinkDefinition.Id)!.ReadMinutes());
    }

    [Fact]
    public async Task A_byte_order_mark_does_not_shift_the_text_of_rejected_records()
    {
        await using var engine = await CreateAsync();
        byte[] body = [0xEF, 0xBB, 0xBF, .. SampleTable.Body("""{"_id":"x"}""")];
        var outcome = await engine.FindSink(SinkDefinition.Id)!.IngestAsync(body, BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation);
        Assert.Equal(1, outcome.RejectedCount);
        using var reader = engine.FindTable(Table.TableId)!.Log.OpenReader(1);
        Assert.True(reader.TryPeek(out var frame));
        var rejected = Assert.Single(RecordsFrame.ReadRejected(frame.Payload.Span, 0, 1));
        Assert.Equal("""{"value":{"_id":"x"}}""", Encoding.UTF8.GetString(rejected.Raw));
    }

    [Fact]
    public async Task A_refused_body_leaves_nothing_behind()
    {
        await using var engine = await CreateAsync();
        var sink = engine.FindSink(SinkDefinition.Id)!;
        await Assert.ThrowsAsync<SluiceException>(async () => await sink.IngestAsync("""{"records":[{"value":{"_id":1}},"""u8.ToArray(), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation));
        Assert.Equal(default, sink.ReadLedger());
        Assert.Equal(2UL, (await IngestAsync(engine, """{"_id":2}""")).Sequence);
    }

    [Fact]
    public async Task Reopening_finds_tables_ledgers_and_minutes()
    {
        await using (var engine = await CreateAsync())
        {
            await IngestAsync(engine, """{"_id":1,"i":5}""", "{}");
            _time.Advance(TimeSpan.FromMinutes(2));
            var last = await IngestAsync(engine, """{"_id":2}""");
            await engine.FindTable(Table.TableId)!.WaitLoadedAsync(last.Sequence, Cancellation);
        }
        await using var again = await OpenAsync();
        var sink = again.FindSink(SinkDefinition.Id)!;
        Assert.Equal(new SinkLedger(2, 3, 2, 1, 2, 0, 0), sink.ReadLedger());
        Assert.Equal([(1, 1, 1), (1, 1, 0)], sink.ReadMinutes().Select(point => ((int)point.Requests, (int)point.Accepted, (int)point.Rejected)));
        Assert.Equal(4UL, (await IngestAsync(again, """{"_id":3}""")).Sequence);
    }

    [Fact]
    public async Task Trimming_keeps_the_ledger_and_the_minutes()
    {
        _logOptions = new LogOptions { SegmentBytes = 600, RetainedBytes = 1_000 };
        SinkLedger ledger;
        MinutePoint[] minutes;
        await using (var engine = await CreateAsync())
        {
            var sink = engine.FindSink(SinkDefinition.Id)!;
            for (var i = 0; i < 30; i++)
            {
                _time.Advance(TimeSpan.FromSeconds(13));
                var outcome = await IngestAsync(engine, $"{{\"_id\":{i}}}", "{}");
                await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
            }
            ledger = sink.ReadLedger();
            minutes = [.. sink.ReadMinutes()];
        }
        Assert.InRange(Segments().Length, 1, 5);
        Assert.Equal(new SinkLedger(30, 60, 30, 30, 30, 0, 0), ledger);
        Assert.InRange(minutes.Length, 6, 8);
        for (var round = 0; round < 2; round++)
        {
            await using var again = await OpenAsync();
            Assert.Equal(ledger, again.FindSink(SinkDefinition.Id)!.ReadLedger());
            Assert.Equal(minutes, again.FindSink(SinkDefinition.Id)!.ReadMinutes());
        }

        // what is gone from the log is refused, not forgotten
        var database = Database;
        _databases.Clear();
        await AssertClosedAsync("its log is trimmed");
        _databases[Table.TableId] = database;
        var position = database.Position;
        database.Move(position with { Sequence = 2 });
        await AssertClosedAsync("trimmed");
        database.Move(position);
        var summary = Path.Combine(LogDirectory, "summary");
        File.Move(summary, summary + ".aside");
        await AssertCorruptAsync("offset 0");
        File.Move(summary + ".aside", summary);
        await using var fine = await OpenAsync();
    }

    [Fact]
    public async Task Creating_a_table_can_be_repeated_and_finished()
    {
        await using (var engine = await CreateAsync()) await engine.CreateTableAsync(Definition, Cancellation);
        Assert.Equal(["schema 1 @1"], Database.Calls);

        // the process died after the directory was made
        foreach (var path in Directory.GetFiles(LogDirectory)) File.Delete(path);
        File.WriteAllBytes(Path.Combine(LogDirectory, "watermark.new"), [1, 2, 3]);
        _databases.Clear();
        await using var again = await CreateAsync();
        Assert.Equal(2UL, (await IngestAsync(again, """{"_id":1}""")).Sequence);
    }

    [Fact]
    public async Task Changing_a_table_changes_what_its_sinks_decode()
    {
        await using var engine = await CreateAsync();
        engine.PutSink(SinkDefinition with { MappingVersion = 2, Fields = [.. SinkDefinition.Fields, new FieldMapping("n", [PathStep.Member("n")])] });
        await IngestAsync(engine, """{"_id":1,"n":"not looked at"}""");
        var next = Table.WithColumn("n", ColumnType.Int);
        await engine.ChangeTableAsync(next, Cancellation);
        await engine.ChangeTableAsync(next, Cancellation);
        Assert.Equal(next, engine.FindTable(Table.TableId)!.Schema);
        Assert.Equal(1, (await IngestAsync(engine, """{"_id":2,"n":"looked at"}""")).RejectedCount);
        var last = await IngestAsync(engine, """{"_id":2,"n":3}""");
        await engine.FindTable(Table.TableId)!.WaitLoadedAsync(last.Sequence, Cancellation);
        Assert.Equal(["1:", "2: 3=3"], Database.Rows());
    }

    [Fact]
    public async Task Dropping_a_table_removes_log_and_data_and_lets_it_be_made_again()
    {
        await using var engine = await CreateAsync();
        await IngestAsync(engine, """{"_id":1}""");
        await engine.DropTableAsync(Definition.DatabaseId, Table.TableId, Cancellation);
        await engine.DropTableAsync(Definition.DatabaseId, Table.TableId, Cancellation);
        Assert.Null(engine.FindTable(Table.TableId));
        Assert.Null(engine.FindSink(SinkDefinition.Id));
        Assert.False(Directory.Exists(LogDirectory));
        Assert.Null(Database.Read());
        Assert.Equal(ErrorCode.NotFound, Assert.Throws<SluiceException>(() => engine.PutSink(SinkDefinition)).Code);
        await engine.CreateTableAsync(Definition, Cancellation);
        Assert.Empty(Database.Rows());
    }

    [Fact]
    public async Task Whoever_waits_for_a_load_is_told_when_the_table_is_dropped()
    {
        await using var engine = await CreateAsync();
        var waiting = engine.FindTable(Table.TableId)!.WaitLoadedAsync(1_000, Cancellation);

        await engine.DropTableAsync(Definition.DatabaseId, Table.TableId, Cancellation);

        Assert.Equal(ErrorCode.Unavailable, (await Assert.ThrowsAsync<SluiceException>(() => waiting)).Code);
    }

    [Fact]
    public async Task A_reader_waits_for_the_rows_of_a_request_and_no_longer_than_it_wants()
    {
        await using var engine = await CreateAsync();
        Database.FailCalls(1, 1_000_000);
        var (first, second) = (await IngestAsync(engine, """{"_id":1}"""), await IngestAsync(engine, """{"_id":2}"""));

        var impatient = engine.WaitLoadedAsync(Definition.DatabaseId, [first.RequestId, second.RequestId], TimeSpan.FromSeconds(2), Cancellation);
        var patient = engine.WaitLoadedAsync(Definition.DatabaseId, [first.RequestId, second.RequestId], Timeout.InfiniteTimeSpan, Cancellation);
        _time.Advance(TimeSpan.FromSeconds(2));
        var late = await Assert.ThrowsAsync<SluiceException>(() => impatient);
        Assert.Equal(ErrorCode.RequestTimeout, late.Code);
        Assert.Contains($"within 2 s: {first.RequestId}, {second.RequestId}", late.Message, StringComparison.Ordinal);
        Assert.False(patient.IsCompleted);

        Database.FailCalls(0, 0);
        await PastRetriesAsync(patient);
        Assert.Equal(["1", "2"], Database.Rows().Select(row => row[..1]));
        await engine.WaitLoadedAsync(Definition.DatabaseId, [second.RequestId.ToUpperInvariant()], TimeSpan.Zero, Cancellation);
    }

    [Theory]
    [InlineData("")]
    [InlineData("nothing")]
    [InlineData("{0}")]
    [InlineData("{0}-")]
    [InlineData("{0}-0")]
    [InlineData("{0}-3")]
    [InlineData("{0}-+2")]
    [InlineData("{0}-2-2")]
    [InlineData("{0}-10000000000000002")]
    [InlineData("00000000000000000000000000000000-2")]
    public async Task A_reader_that_waits_for_no_request_of_the_database_is_refused(string requestId)
    {
        await using var engine = await CreateAsync();
        var known = (await IngestAsync(engine, """{"_id":1}""")).RequestId;
        var asked = string.Format(CultureInfo.InvariantCulture, requestId, known[..32]);

        await engine.WaitLoadedAsync(Definition.DatabaseId, [known], TimeSpan.FromHours(1), Cancellation);
        foreach (var (database, ids) in new[] { (Definition.DatabaseId, new[] { known, asked }), (Guid.NewGuid(), [known]) })
        {
            var refused = await Assert.ThrowsAsync<SluiceException>(() => engine.WaitLoadedAsync(database, ids, TimeSpan.FromHours(1), Cancellation));
            Assert.Equal(ErrorCode.InvalidParameter, refused.Code);
        }
    }

    [Fact]
    public async Task Sql_rows_are_stored_all_or_none_and_loaded_before_the_answer()
    {
        await using var engine = await CreateAsync();
        var table = engine.FindTable(Table.TableId)!;
        var bad = await table.InsertAsync("""[{"_id":1,"i":1},{"_id":2,"i":"x"}]"""u8.ToArray(), ["_id", "i"], RecordOperation.Upsert, "caller", Cancellation);
        Assert.Equal((2, 1), (bad.RecordCount, bad.RejectedCount));
        Assert.Empty(Database.Rows());
        var good = await table.InsertAsync("""[{"_id":1,"i":1},{"_id":2}]"""u8.ToArray(), ["_id", "i"], RecordOperation.Upsert, "caller", Cancellation);
        Assert.Equal(2, good.AcceptedCount);
        Assert.Equal(["1: 1=1", "2:"], Database.Rows());
        await table.InsertAsync("""[{"_id":1}]"""u8.ToArray(), ["_id"], RecordOperation.Replace, "caller", Cancellation);
        Assert.Equal(["1:", "2:"], Database.Rows());

        Database.Refuses = (_, _) => true;
        var refused = await Assert.ThrowsAsync<SluiceException>(async () => await table.InsertAsync("""[{"_id":3}]"""u8.ToArray(), ["_id"], RecordOperation.Upsert, "caller", Cancellation));
        Assert.Equal(ErrorCode.InvalidParameter, refused.Code);
        Assert.Equal(2, Database.Rows().Length);
    }

    [Fact]
    public async Task Draining_takes_no_more_and_loads_the_rest()
    {
        await using var engine = await CreateAsync();
        for (var i = 0; i < 10; i++) await IngestAsync(engine, $"{{\"_id\":{i}}}");
        Assert.True(engine.Health.IsReady);
        var draining = engine.DrainAsync(Cancellation);
        while (!draining.IsCompleted)
        {
            _time.Advance(TimeSpan.FromMilliseconds(50));
            await Task.Yield();
        }
        await draining;
        Assert.Equal(10, Database.Rows().Length);
        Assert.Equal(["draining"], engine.Health.Reasons);
        Assert.Equal(ErrorCode.Draining, Assert.Throws<SluiceException>(() => engine.FindSink(SinkDefinition.Id)!.ThrowIfNotAdmitting()).Code);
        Assert.Equal(ErrorCode.Draining, (await Assert.ThrowsAsync<SluiceException>(() => IngestAsync(engine, """{"_id":11}"""))).Code);
    }

    [Fact]
    public async Task A_loader_that_ends_makes_the_engine_failed()
    {
        await using var engine = await CreateAsync();
        Database.CrashInCall(1, afterCommit: false);
        await IngestAsync(engine, """{"_id":1}""");
        while (!engine.Failed.IsCompleted)
        {
            _time.Advance(TimeSpan.FromMilliseconds(50));
            await Task.Yield();
        }
        Assert.Contains("the process died", (await engine.Failed).Message, StringComparison.Ordinal);
        Assert.False(engine.Health.IsReady);
    }

    [Fact]
    public async Task Too_little_disk_is_refused_before_the_body_is_read()
    {
        await using var engine = await OpenAsync(diskReserveBytes: long.MaxValue, create: true);
        engine.PutSink(SinkDefinition);
        Assert.Equal(ErrorCode.DiskLow, Assert.Throws<SluiceException>(() => engine.FindSink(SinkDefinition.Id)!.ThrowIfNotAdmitting()).Code);
        Assert.Equal(["disk_low"], engine.Health.Reasons);
    }

    [Theory]
    [InlineData(0.001, 1, 1)]
    [InlineData(2, 10, 30)] // a frame took 2 s, and about six and the segment's own bytes wait
    [InlineData(3_600, 60, 60)]
    public async Task Too_much_that_is_not_loaded_is_refused_before_the_body_is_read(double secondsOfALoad, double minRetrySeconds, double maxRetrySeconds)
    {
        _logOptions = new LogOptions { MaxBacklogBytes = 500 };
        await using var engine = await CreateAsync();
        var sink = engine.FindSink(SinkDefinition.Id)!;
        using var begun = new ManualResetEventSlim();
        using var more = new ManualResetEventSlim();
        Database.OnCall = () =>
        {
            begun.Set();
            more.Wait(); // so that something waits when the load ends: only such loads tell how fast a backlog goes
            _time.Advance(TimeSpan.FromSeconds(secondsOfALoad));
        };
        var loading = engine.FindTable(Table.TableId)!.WaitLoadedAsync((await IngestAsync(engine, """{"_id":100}""")).Sequence, Cancellation);
        begun.Wait(Cancellation);
        var loaded = await IngestAsync(engine, """{"_id":101}""");
        more.Set();
        await loading;
        await engine.FindTable(Table.TableId)!.WaitLoadedAsync(loaded.Sequence, Cancellation);

        using var gate = new ManualResetEventSlim();
        Database.OnCall = gate.Wait;
        try
        {
            for (var i = 0; i < 5; i++) await IngestAsync(engine, $"{{\"_id\":{i}}}");
            var refused = Assert.Throws<SluiceException>(sink.ThrowIfNotAdmitting);
            Assert.Equal(ErrorCode.LogBacklog, refused.Code);
            Assert.InRange(refused.RetryAfter!.Value.TotalSeconds, minRetrySeconds, maxRetrySeconds);
            Assert.Equal(5, sink.ReadLedger().Pending);
        }
        finally
        {
            gate.Set();
        }
    }

    [Fact]
    public async Task Loads_that_took_all_there_was_tell_nothing_of_a_backlog()
    {
        _logOptions = new LogOptions { MaxBacklogBytes = 8_000 };
        await using var engine = await CreateAsync();
        var sink = engine.FindSink(SinkDefinition.Id)!;
        Database.OnCall = () => _time.Advance(TimeSpan.FromSeconds(2));
        for (var i = 0; i < 10; i++) await engine.FindTable(Table.TableId)!.WaitLoadedAsync((await IngestAsync(engine, $"{{\"_id\":{i}}}")).Sequence, Cancellation);

        using var gate = new ManualResetEventSlim();
        Database.OnCall = gate.Wait;
        try
        {
            SluiceException? refused = null;
            for (var i = 0; refused is null; i++)
            {
                await IngestAsync(engine, $"{{\"_id\":{i}}}");
                refused = Record.Exception(sink.ThrowIfNotAdmitting) as SluiceException;
            }
            Assert.Equal((ErrorCode.LogBacklog, null), (refused.Code, refused.RetryAfter));
        }
        finally
        {
            gate.Set();
        }
    }

    [Fact]
    public async Task A_backlog_because_the_store_fails_says_so_until_it_works_again()
    {
        _logOptions = new LogOptions { MaxBacklogBytes = 4_000 };
        await using var engine = await CreateAsync();
        var sink = engine.FindSink(SinkDefinition.Id)!;
        Database.FailCalls(1, 1_000_000);
        await IngestAsync(engine, """{"_id":0}""");
        sink.ThrowIfNotAdmitting(); // a store that fails is no reason while there is room
        var last = default(BatchOutcome)!;
        for (var i = 1; i < 30; i++) last = await IngestAsync(engine, $"{{\"_id\":{i}}}");
        SluiceException refused;
        do
        {
            _time.Advance(TimeSpan.FromMilliseconds(50)); // lets the loader begin
            await Task.Yield();
            refused = Assert.Throws<SluiceException>(sink.ThrowIfNotAdmitting);
        }
        while (refused.Code == ErrorCode.LogBacklog && !Cancellation.IsCancellationRequested);
        Assert.Equal((ErrorCode.LoaderStalled, RefusalOutcome.NotStored), (refused.Code, refused.Outcome));
        Assert.InRange(refused.RetryAfter!.Value.TotalSeconds, 1, 10);

        Database.FailCalls(0, 0);
        await PastRetriesAsync(engine.FindTable(Table.TableId)!.WaitLoadedAsync(last.Sequence, Cancellation));
        sink.ThrowIfNotAdmitting();
    }

    [Theory]
    [InlineData("whole", false)]
    [InlineData("large", false)]
    [InlineData("once", false)]
    [InlineData("whole", true)]
    public async Task Whoever_waits_for_a_request_is_told_of_all_its_failed_records(string door, bool isDoubtful)
    {
        await using var engine = await CreateAsync();
        var sink = engine.FindSink(SinkDefinition.Id)!;
        Database.KeptErrors = 1;
        await sink.IngestAsync(SampleTable.Body("""{"_id":90}"""), BodyFormat.Records, RecordOperation.Patch, "caller", Cancellation); // fails too, and nobody waits for it
        if (isDoubtful) Database.FailAfterEffectInCall(1);

        var body = SampleTable.Body("""{"_id":1}""", """{"_id":"x"}""", """{"_id":2}""", """{"_id":3}""");
        using var watch = sink.WatchLoad();
        var outcome = await SendAsync(watch);
        Assert.Equal(3, outcome.AcceptedCount);
        var wait = sink.WaitLoadedAsync(outcome, watch, Timeout.InfiniteTimeSpan, Cancellation).AsTask();
        await PastRetriesAsync(wait);

        var loaded = (await wait)!;
        Assert.Equal([0, 1, 2, 3], loaded.Rejected.Select(record => record.Index));
        Assert.Equal([LateErrorCode.KeyMissing, null, LateErrorCode.KeyMissing, LateErrorCode.KeyMissing], loaded.Rejected.Select(record => record.LateCode));
        Assert.Equal(new SinkLedger(2, 5, 4, 1, 0, 4, 0), sink.ReadLedger());
        if (door != "once") return;

        // the same key again is not appended: what the store keeps is all there is
        using var again = sink.WatchLoad();
        Assert.True((await SendAsync(again)).IsRepeated);
        Assert.False(again.IsBegun);
        Assert.Equal([1, 3], (await sink.WaitLoadedAsync(outcome, again, Timeout.InfiniteTimeSpan, Cancellation))!.Rejected.Select(record => record.Index));

        ValueTask<BatchOutcome> SendAsync(LoadWatch watch) => door switch
        {
            "large" => sink.IngestLargeAsync(new BodyWindow(body), BodyFormat.Records, RecordOperation.Patch, "caller", Cancellation, watch),
            "once" => sink.IngestOnceAsync("key", new BodyWindow(body), BodyFormat.Records, RecordOperation.Patch, "caller", Cancellation, watch),
            _ => sink.IngestAsync(body, BodyFormat.Records, RecordOperation.Patch, "caller", Cancellation, watch),
        };
    }

    [Fact]
    public async Task Sql_rows_that_the_store_refuses_are_told_however_few_errors_it_keeps()
    {
        await using var engine = await CreateAsync();
        Database.KeptErrors = 0;
        Database.Refuses = (_, _) => true;
        var refused = await Assert.ThrowsAsync<SluiceException>(async () =>
            await engine.FindTable(Table.TableId)!.InsertAsync("""[{"_id":1}]"""u8.ToArray(), ["_id"], RecordOperation.Upsert, "caller", Cancellation));
        Assert.Equal(ErrorCode.InvalidParameter, refused.Code);
    }

    [Fact]
    public async Task The_ledger_adds_up_at_every_moment_and_forgets_nothing_that_was_answered()
    {
        const int senders = 4;
        const int requests = 40;
        await using var engine = await CreateAsync();
        var (sink, table) = (engine.FindSink(SinkDefinition.Id)!, engine.FindTable(Table.TableId)!);
        Database.Refuses = (rows, row) => rows.FindColumn(1)!.Int64s[row] == 13;
        Database.FailAfterEffectInCall(3);
        var answered = 0L;
        var sending = Enumerable.Range(0, senders).Select(sender => Task.Run(async () =>
        {
            for (var request = 0; request < requests; request++)
            {
                var key = ((sender * requests) + request) * 10;
                await IngestAsync(engine, $"{{\"_id\":{key},\"i\":1}}", $"{{\"_id\":{key + 1},\"i\":13}}", """{"_id":"x"}""", $"{{\"_id\":{key + 2},\"i\":2}}");
                Interlocked.Increment(ref answered);
            }
        })).ToList();

        var last = default(SinkLedger);
        var reads = 0;
        do
        {
            var before = Interlocked.Read(ref answered);
            var ledger = reads % 2 == 0 ? sink.ReadLedger() : table.ReadLedger(); // there is no other sink
            Assert.Equal(ledger.Received, ledger.Accepted + ledger.Rejected);
            Assert.Equal(ledger.Accepted, ledger.Loaded + ledger.Failed + ledger.Pending);
            Assert.Equal((ledger.Requests * 4, ledger.Requests), (ledger.Received, ledger.Rejected)); // requests count whole
            Assert.InRange(ledger.Requests, before, senders * requests);
            Assert.InRange(ledger.Pending, 0, ledger.Accepted);
            Assert.True(ledger.Requests >= last.Requests && ledger.Loaded >= last.Loaded && ledger.Failed >= last.Failed, $"{last} went back to {ledger}");
            last = ledger;
            reads++;
            _time.Advance(TimeSpan.FromMilliseconds(50)); // the loader's pauses
            await Task.Yield();
        }
        while (!sending.TrueForAll(sender => sender.IsCompleted) || last.Pending > 0 || last.Requests < senders * requests);

        await Task.WhenAll(sending);
        const int count = senders * requests;
        Assert.Equal(new SinkLedger(count, 4 * count, 3 * count, count, 2 * count, count, 0), sink.ReadLedger());
        Assert.Equal(2 * count, Database.Rows().Length);
        Assert.Equal(count, Database.Errors.Count);
        Assert.InRange(reads, 10, int.MaxValue);
    }

    /// <summary>Moves the clock on until the loader has tried often enough.</summary>
    async Task PastRetriesAsync(Task task)
    {
        while (!task.IsCompleted)
        {
            _time.Advance(TimeSpan.FromMilliseconds(10)); // a busy machine goes round often, and in a day keys are forgotten
            await Task.Yield();
        }
        await task;
    }

    static async Task<BatchOutcome> IngestAsync(Engine engine, params string[] values) =>
        await engine.FindSink(SinkDefinition.Id)!.IngestAsync(SampleTable.Body(values), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation);

    async Task<Engine> CreateAsync()
    {
        var engine = await OpenAsync(create: true);
        engine.PutSink(SinkDefinition);
        return engine;
    }

    /// <summary>With a new table, on other files.</summary>
    async Task<Engine> OpenAsync(LogFiles files)
    {
        var engine = await Engine.OpenAsync(
            files, new EngineOptions { DataDirectory = _directory, Log = _logOptions }, [], [], (_, table, _) => new ValueTask<ITableStore>(_databases.GetOrAdd(table, _ => new MemoryDatabase()).Open()),
            _time, NullLoggerFactory.Instance, new SilentMeters(), Cancellation);
        await engine.CreateTableAsync(Definition, Cancellation);
        engine.PutSink(SinkDefinition);
        return engine;
    }

    async Task<Engine> OpenAsync(long diskReserveBytes = 0, bool create = false)
    {
        var engine = await Engine.OpenAsync(
            new EngineOptions { DataDirectory = _directory, DiskReserveBytes = diskReserveBytes, Log = _logOptions },
            create ? [] : [Definition],
            create ? [] : [SinkDefinition],
            (_, table, _) => new ValueTask<ITableStore>(_databases.GetOrAdd(table, _ => new MemoryDatabase()).Open()),
            _time, NullLoggerFactory.Instance, new SilentMeters(), Cancellation);
        if (create) await engine.CreateTableAsync(Definition, Cancellation);
        return engine;
    }

    [Fact]
    public async Task A_segment_that_may_not_be_deleted_ends_nothing()
    {
        _logOptions = new LogOptions { SegmentBytes = 600, RetainedBytes = 1_000 };
        var files = new FaultyFiles(DiskFiles.Instance) { KeepsFile = path => path.EndsWith(".log", StringComparison.Ordinal) };
        await using var engine = await OpenAsync(files);
        for (var i = 0; i < 30; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(13));
            await engine.FindTable(Table.TableId)!.WaitLoadedAsync((await IngestAsync(engine, $"{{\"_id\":{i}}}")).Sequence, Cancellation);
        }
        Assert.False(engine.Failed.IsCompleted);
        Assert.True(engine.Health.IsReady);
    }

    [Fact]
    public async Task Errors_beyond_ten_thousand_are_counted_and_not_kept_also_when_the_answer_is_asked_for_again()
    {
        await using var engine = await CreateAsync();
        var sink = engine.FindSink(SinkDefinition.Id)!;
        var outcome = await sink.IngestAsync(SampleTable.Body([.. Enumerable.Repeat("{}", 12_000)]), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation);
        Assert.Equal((12_000, 2_000), (outcome.RejectedCount, outcome.UndetailedCount));
        Assert.Equal(10_000, outcome.Rejected.Count(record => record.Errors.Count == 1));
        var logged = LoggedRequest.Find(engine.FindTable(Table.TableId)!.Log, outcome.Sequence)!.Outcome;
        Assert.Equal((12_000, 2_000, 12_000), (logged.RejectedCount, logged.UndetailedCount, logged.RecordCount));
    }

    async Task AssertCorruptAsync(string message)
    {
        var before = Directory.GetFiles(_directory, "*", SearchOption.AllDirectories).ToDictionary(path => path, File.ReadAllBytes);
        var refused = await Assert.ThrowsAsync<SluiceException>(() => OpenAsync());
        Assert.Equal(ErrorCode.Corrupt, refused.Code);
        Assert.Contains(message, refused.Message, StringComparison.Ordinal);
        foreach (var (path, bytes) in before) Assert.Equal(bytes, File.ReadAllBytes(path));
    }

    /// <summary>The engine opens, and the table does not: it says why, refuses everything, and nothing on the disk changes.</summary>
    async Task AssertClosedAsync(string reason)
    {
        var before = Directory.GetFiles(_directory, "*", SearchOption.AllDirectories).ToDictionary(path => path, File.ReadAllBytes);
        await using (var engine = await OpenAsync())
        {
            Assert.Contains(reason, Assert.Single(engine.ClosedTables).Reason, StringComparison.Ordinal);
            Assert.True(engine.Health.IsReady);
            Assert.Equal(ErrorCode.DatabaseDamaged, (await Assert.ThrowsAsync<SluiceException>(() => IngestAsync(engine, """{"_id":1}"""))).Code);
            Assert.Equal(ErrorCode.DatabaseDamaged, Assert.Throws<SluiceException>(() => engine.FindTable(Table.TableId)).Code);
            Assert.Equal(ErrorCode.DatabaseDamaged, (await Assert.ThrowsAsync<SluiceException>(() => engine.ChangeTableAsync(Table, Cancellation))).Code);
        }
        foreach (var (path, bytes) in before) Assert.Equal(bytes, File.ReadAllBytes(path));
    }

    string[] Segments() => Directory.GetFiles(LogDirectory, "segment-*");
}
