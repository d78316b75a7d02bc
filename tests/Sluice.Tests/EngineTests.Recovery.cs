using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Load;
using Sluice.Tests.Records;

namespace Sluice.Tests;

/// <summary>A log and a store that do not belong together any more, are damaged or gone: refused, repaired, rebuilt.</summary>
public sealed partial class EngineTests
{
    [Fact]
    public async Task A_store_of_another_incarnation_is_refused()
    {
        await using (var engine = await CreateAsync())
        {
            var outcome = await IngestAsync(engine, """{"_id":1}""");
            await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
        }
        var end = TableLog.BeginIncarnation(DiskFiles.Instance, LogDirectory);
        await AssertCorruptAsync("incarnation");

        // with its store told, the log goes on far behind what the original may have given out, and the loader keeps to the new incarnation
        Database.Move(Database.Position with { Incarnation = end.Incarnation });
        ulong sequence;
        await using (var engine = await OpenAsync())
        {
            var outcome = await IngestAsync(engine, """{"_id":2}""");
            Assert.True(outcome.Sequence > uint.MaxValue);
            sequence = outcome.Sequence;
            await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
            Assert.Equal(new SinkLedger(2, 2, 2, 0, 2, 0, 0), engine.FindSink(SinkDefinition.Id)!.ReadLedger());
        }
        Assert.Equal(end with { Sequence = sequence }, Database.Position);
        await using var again = await OpenAsync();
        Assert.Equal(sequence + 1, (await IngestAsync(again, """{"_id":3}""")).Sequence);
    }

    /// <summary>Loading begins with the first table, long before the last one is open.</summary>
    [Fact]
    public async Task What_is_loaded_while_other_tables_open_is_quarantined_as_its_sink_says()
    {
        var patient = SinkDefinition with { Quarantine = new QuarantinePolicy { MaxAge = TimeSpan.FromDays(90) } };
        var other = new TableDefinition(Definition.DatabaseId, Table with { TableId = Guid.NewGuid(), Name = "other" });
        await using (var engine = await CreateAsync())
        {
            await engine.CreateTableAsync(other, Cancellation);
            Database.FailCalls(1, int.MaxValue); // nothing is loaded
            await IngestAsync(engine, """{"_id":"not a number"}""");
            using var patience = new CancellationTokenSource();
            await patience.CancelAsync();
            await engine.DrainAsync(patience.Token);
        }
        Database.FailCalls(1, 0);
        await using var again = await Engine.OpenAsync(
            new EngineOptions { DataDirectory = _directory, Log = _logOptions }, [Definition, other], [patient],
            async (_, table, cancellation) =>
            {
                while (table == other.Schema.TableId && Database.Quarantine.ReadOverview(patient.Id, 0).Groups.Count == 0) await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System, cancellation);
                return _databases.GetOrAdd(table, _ => new MemoryDatabase()).Open();
            },
            _time, NullLoggerFactory.Instance, new SilentMeters(), Cancellation);
        Assert.Equal(patient.Quarantine, Database.Quarantine.Policies[patient.Id]);
    }

    [Fact]
    public async Task A_table_rebuilt_from_a_trimmed_log_says_what_is_lost()
    {
        _logOptions = new LogOptions { SegmentBytes = 600, RetainedBytes = 1_000 };
        var requests = new List<string>();
        await using (var engine = await CreateAsync())
        {
            for (var i = 0; i < 30; i++)
            {
                _time.Advance(TimeSpan.FromSeconds(13));
                var outcome = await IngestAsync(engine, $"{{\"_id\":{i}}}", "{}");
                requests.Add(outcome.RequestId);
                await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
            }
        }
        var lostDatabase = Database;
        _databases.Clear();
        await AssertClosedAsync("its log is trimmed");

        var expected = LogRebuild.Examine(DiskFiles.Instance, LogDirectory);
        var store = Database.Open();
        Assert.Equal(expected, await LogRebuild.RunAsync(DiskFiles.Instance, LogDirectory, store, Table, 1, Cancellation));
        Assert.InRange(expected.LostRecords, 10, 29);
        Assert.Equal(30, expected.LostRecords + expected.KeptRecords);
        await using (var engine = await OpenAsync())
        {
            var sink = engine.FindSink(SinkDefinition.Id)!;
            await engine.FindTable(Table.TableId)!.WaitLoadedAsync(31, Cancellation);
            Assert.Equal(
                new SinkLedger(30, 60, 30, 30, expected.KeptRecords, expected.LostRecords, 0) { Lost = expected.LostRecords }, sink.ReadLedger());
            Assert.Equal((int)expected.KeptRecords, Database.Rows().Length);
            var error = Assert.Single(await sink.ReadErrorsAsync(10, Cancellation));
            Assert.Equal((LateErrorCode.RecordsLost, -1), (error.Code, error.RecordIndex));
            var fates = new List<RequestFate>();
            foreach (var request in requests) fates.Add(await sink.ReadFateAsync(request, -1, 10, Cancellation));
            Assert.Equal(expected.LostRecords, fates.Count(fate => fate is { IsLost: true, IsLoaded: false, LoadedAtMicroseconds: null, Loaded: 0 }));
            Assert.Equal(expected.KeptRecords, fates.Count(fate => fate is { IsLost: false, IsLoaded: true }));
            Assert.True(fates[0].IsLost && fates[^1].IsLoaded);
            Assert.StartsWith($"{expected.LostRecords} accepted records are lost", error.Message, StringComparison.Ordinal);
            for (var i = 100; i < 130; i++) // trimming goes on with what is lost
            {
                _time.Advance(TimeSpan.FromSeconds(13));
                var outcome = await IngestAsync(engine, $"{{\"_id\":{i}}}", "{}");
                await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
            }
        }
        await using (var again = await OpenAsync())
        {
            var sink = again.FindSink(SinkDefinition.Id)!;
            Assert.Equal(new SinkLedger(60, 120, 60, 60, expected.KeptRecords + 30, expected.LostRecords, 0) { Lost = expected.LostRecords }, sink.ReadLedger());
            Assert.True((await sink.ReadFateAsync(requests[0], -1, 10, Cancellation)).IsLost, "trimming has forgotten what was lost");
            Assert.False((await sink.ReadFateAsync(requests[^1], -1, 10, Cancellation)).IsLost);
        }

        // the old database, found again, does not meet the new counts
        _databases[Table.TableId] = lostDatabase;
        await AssertCorruptAsync("incarnation");
    }

    [Theory]
    [InlineData(2, false)] // in the middle: its header says what it was
    [InlineData(2, true)] // its header is damaged too
    [InlineData(4, false)]
    [InlineData(4, true)] // at the end of the log
    public async Task A_request_that_a_repair_took_out_whole_is_lost_and_stays_so(int damaged, bool isHeaderDamaged)
    {
        _logOptions = new LogOptions { SegmentBytes = 600, RetainedBytes = 1_000 };
        var requests = new List<string>();
        await using (var engine = await CreateAsync())
        {
            for (var i = 0; i < 5; i++) requests.Add((await IngestAsync(engine, $"{{\"_id\":{i}}}")).RequestId);
        }
        var sequence = (ulong)damaged + 2; // the first frame is the schema's
        FlipInFrame(sequence, isHeaderDamaged);
        _databases.Clear(); // no table has any of it
        await AssertCorruptAsync("");
        var plan = LogRepair.Plan(DiskFiles.Instance, LogDirectory, null, 1);
        plan.Apply(Path.Combine(_directory, "aside"));
        Assert.Equal(isHeaderDamaged ? 0 : 1, plan.LostRecords);

        for (var round = 0; round < 2; round++)
        {
            await using var engine = await OpenAsync();
            var sink = engine.FindSink(SinkDefinition.Id)!;
            for (var i = 0; i < 30; i++)
            {
                _time.Advance(TimeSpan.FromSeconds(13));
                await engine.FindTable(Table.TableId)!.WaitLoadedAsync((await IngestAsync(engine, $"{{\"_id\":{i}}}")).Sequence, Cancellation);
                for (var request = 0; request < requests.Count; request++)
                    Assert.Equal(request == damaged, (await sink.ReadFateAsync(requests[request], -1, 10, Cancellation)) is { IsLost: true, IsLoaded: false });
                foreach (var request in requests.Where((_, request) => request != damaged)) await AfterAsync(engine, request);
                Assert.Contains("lost", (await RefusedAsync(() => AfterAsync(engine, requests[damaged]))).Message, StringComparison.Ordinal); // it will never be visible
            }
            Assert.True(engine.FindTable(Table.TableId)!.Log.FindSegmentAfter(0)!.PreviousSequence >= sequence, "it is not trimmed");
        }
        Assert.Equal(ErrorCode.NotFound, (await Assert.ThrowsAsync<SluiceException>(async () =>
        {
            await using var engine = await OpenAsync();
            await engine.FindSink(SinkDefinition.Id)!.ReadFateAsync(FrameHeader.FormatRequestId(engine.FindTable(Table.TableId)!.Log.DurablePosition with { Sequence = 9_999_999 }), -1, 10, Cancellation);
        })).Code);
    }

    /// <summary>What the original took after the backup: the restored log leaves the numbers out, and goes on far behind them.</summary>
    [Fact]
    public async Task A_request_that_a_restore_does_not_have_is_unknown_also_when_the_log_is_trimmed_behind_it()
    {
        _logOptions = new LogOptions { SegmentBytes = 600, RetainedBytes = 1_000 };
        await using (var engine = await CreateAsync()) await engine.FindTable(Table.TableId)!.WaitLoadedAsync((await IngestAsync(engine, "{\"_id\":0}")).Sequence, Cancellation);
        var end = TableLog.BeginIncarnation(DiskFiles.Instance, LogDirectory);
        Database.Move(Database.Position with { Incarnation = end.Incarnation });
        var (known, unknown) = (FrameHeader.FormatRequestId(end), FrameHeader.FormatRequestId(end with { Sequence = end.Sequence + 3 }));
        await using var restored = await OpenAsync();
        var sink = restored.FindSink(SinkDefinition.Id)!;
        for (var i = 0; i < 30; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(13));
            await restored.FindTable(Table.TableId)!.WaitLoadedAsync((await IngestAsync(restored, $"{{\"_id\":{i}}}")).Sequence, Cancellation);
            Assert.Equal(ErrorCode.InvalidParameter, (await RefusedAsync(() => AfterAsync(restored, unknown))).Code);
            Assert.Equal(ErrorCode.NotFound, (await RefusedAsync(() => sink.ReadFateAsync(unknown, -1, 10, Cancellation).AsTask())).Code);
            await AfterAsync(restored, known);
            Assert.True((await sink.ReadFateAsync(known, -1, 10, Cancellation)).IsLoaded);
        }
        Assert.True(restored.FindTable(Table.TableId)!.Log.FindSegmentAfter(0)!.PreviousSequence > end.Sequence + 3, "it is not trimmed");
    }

    /// <summary>What the table had of it went with the table.</summary>
    [Fact]
    public async Task A_request_that_a_repair_took_out_and_the_table_had_is_lost_with_the_table()
    {
        var requests = new List<string>();
        await using (var engine = await CreateAsync())
        {
            for (var i = 0; i < 5; i++)
            {
                var outcome = await IngestAsync(engine, $"{{\"_id\":{i}}}");
                requests.Add(outcome.RequestId);
                await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
            }
        }
        FlipInFrame(4, alsoInHeader: true);
        var plan = LogRepair.Plan(DiskFiles.Instance, LogDirectory, Database.Read(), 1);
        plan.Apply(Path.Combine(_directory, "aside"));
        Assert.DoesNotContain(true, await AreLostAsync());

        _databases.Clear();
        await LogRebuild.RunAsync(DiskFiles.Instance, LogDirectory, Database.Open(), Table, 1, Cancellation);
        Assert.Equal("FFTFF", string.Concat((await AreLostAsync()).Select(isLost => isLost ? 'T' : 'F')));
        Assert.Equal(["0:", "1:", "3:", "4:"], Database.Rows());

        async Task<bool[]> AreLostAsync()
        {
            await using var engine = await OpenAsync();
            await engine.FindTable(Table.TableId)!.WaitLoadedAsync(6, Cancellation);
            var sink = engine.FindSink(SinkDefinition.Id)!;
            return await Task.WhenAll(requests.Select(async request => (await sink.ReadFateAsync(request, -1, 10, Cancellation)).IsLost));
        }
    }

    [Fact]
    public async Task A_damaged_store_closes_its_table_and_no_other()
    {
        var other = Table with { TableId = Guid.NewGuid(), Name = "other" };
        var otherSink = SinkDefinition with { Id = Guid.NewGuid(), TableId = other.TableId };
        OpenTableStore open = (_, table, _) => table == Table.TableId
            ? throw new StoreException(isTransient: true, "the file is torn")
            : new ValueTask<ITableStore>(_databases.GetOrAdd(table, _ => new MemoryDatabase()).Open());
        await using (var engine = await CreateAsync())
        {
            await engine.CreateTableAsync(Definition with { Schema = other }, Cancellation);
            await IngestAsync(engine, """{"_id":1}""");
        }
        await using var damaged = await Engine.OpenAsync(
            new EngineOptions { DataDirectory = _directory, DiskReserveBytes = 0 }, [Definition, Definition with { Schema = other }], [SinkDefinition, otherSink],
            open, _time, NullLoggerFactory.Instance, new SilentMeters(), Cancellation);
        Assert.Contains("the file is torn", Assert.Single(damaged.ClosedTables).Reason, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.DatabaseDamaged, Assert.Throws<SluiceException>(() => damaged.FindSink(SinkDefinition.Id)).Code);
        Assert.True(damaged.Health.IsReady);
        Assert.Equal(1, (await damaged.FindSink(otherSink.Id)!.IngestAsync(SampleTable.Body("""{"_id":1}"""), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation)).AcceptedCount);
    }

    [Fact]
    public async Task A_store_that_is_ahead_of_its_log_is_refused()
    {
        await using (var engine = await CreateAsync()) await IngestAsync(engine, """{"_id":1}""");
        Database.Move(Database.Position with { Sequence = 3 });
        await AssertCorruptAsync("loaded up to sequence 3, but its log ends at 2");
    }

    [Fact]
    public async Task A_store_that_was_loaded_from_another_log_is_refused()
    {
        await using (var engine = await CreateAsync()) await IngestAsync(engine, """{"_id":1}""");
        Database.Move(Database.Position with { LogId = Guid.NewGuid() });
        await AssertCorruptAsync("do not belong together");
    }

    [Fact]
    public async Task A_summary_of_another_log_is_refused()
    {
        await using (var engine = await CreateAsync()) await IngestAsync(engine, """{"_id":1}""");
        LogSummary.Empty.With(Guid.NewGuid(), 1, new TableLedger()).Write(DiskFiles.Instance, LogDirectory);
        await AssertCorruptAsync("summary");
    }

    [Fact]
    public async Task A_log_that_is_gone_is_refused()
    {
        await using (var engine = await CreateAsync()) await IngestAsync(engine, """{"_id":1}""");
        Directory.Delete(LogDirectory, recursive: true);
        await AssertCorruptAsync("is missing");
    }

    [Fact]
    public async Task A_lost_store_is_rebuilt_from_a_complete_log()
    {
        await using (var engine = await CreateAsync())
        {
            await IngestAsync(engine, """{"_id":1,"i":1}""");
            await engine.ChangeTableAsync(Table.WithColumn("n", ColumnType.Int), Cancellation);
            var last = await IngestAsync(engine, """{"_id":2,"i":2}""");
            await engine.FindTable(Table.TableId)!.WaitLoadedAsync(last.Sequence, Cancellation);
        }
        _databases.Clear();
        await using var again = await OpenAsync();
        await again.FindTable(Table.TableId)!.WaitLoadedAsync(4, Cancellation);
        Assert.Equal(["1: 1=1", "2: 1=2"], Database.Rows());
        Assert.Equal(new SinkLedger(2, 2, 2, 0, 2, 0, 0), again.FindSink(SinkDefinition.Id)!.ReadLedger());
        Assert.Equal(2, Database.Read()!.Schema.Version);
    }

    static Task AfterAsync(Engine engine, string request) => engine.WaitLoadedAsync(Definition.DatabaseId, [request], TimeSpan.FromSeconds(20), Cancellation);

    static Task<SluiceException> RefusedAsync(Func<Task> call) => Assert.ThrowsAsync<SluiceException>(call);

    /// <summary>Damages the payload of one frame, and its header as well.</summary>
    void FlipInFrame(ulong sequence, bool alsoInHeader)
    {
        foreach (var path in Directory.GetFiles(LogDirectory, LogSegment.Prefix + "*"))
        {
            var bytes = File.ReadAllBytes(path);
            for (var offset = 0; offset + FrameHeader.Size < bytes.Length; offset++)
            {
                if (!FrameHeader.TryRead(bytes.AsSpan(offset, FrameHeader.Size), out var header) || header.Position.Sequence != sequence) continue;
                bytes[offset + FrameHeader.Size] ^= 1;
                if (alsoInHeader) bytes[offset + 8] ^= 1;
                File.WriteAllBytes(path, bytes);
                return;
            }
        }
        Assert.Fail($"there is no frame {sequence}");
    }
}
