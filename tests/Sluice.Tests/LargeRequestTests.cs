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

namespace Sluice.Tests;

/// <summary>Bodies that are decoded while they arrive, through the engine as a whole, on a real directory with a table in memory.</summary>
public sealed class LargeRequestTests : IDisposable
{
    static readonly TableSchema Table = SampleTable.TableOf(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String));
    static readonly SinkDefinition SinkDefinition = SampleTable.SinkOf(Table) with { MaxRecordsPerRequest = SinkDefinition.MostRecordsPerRequest, MaxRequestBytes = SinkDefinition.MostRequestBytes };
    static readonly TableDefinition Definition = new(new Guid("33333333-3333-3333-3333-333333333333"), Table);
    static readonly byte[] Line = Encoding.UTF8.GetBytes($"{{\"_id\":7,\"i\":1,\"unknown\":\"{new string('x', 1_000)}\"}}\n");

    readonly string _directory = Directory.CreateTempSubdirectory("sluice-large-").FullName;
    readonly MemoryDatabase _database = new();
    readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));
    readonly BodyBudget _budget = new(64 << 20);

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Memory_does_not_grow_with_the_body()
    {
        const int lines = 300_000;
        await using var engine = await OpenAsync(create: true);
        var log = engine.FindTable(Table.TableId)!.Log;
        var (sent, mostWaiting) = (0L, 0L);
        var outcome = await SendAsync(engine, room =>
        {
            mostWaiting = Math.Max(mostWaiting, log.WaitingBytes);
            return Lines(room, ref sent, lines);
        });

        Assert.InRange(sent, 300_000_000, long.MaxValue);
        Assert.Equal((lines, lines), (outcome.RecordCount, outcome.AcceptedCount));
        Assert.InRange(_budget.HighestUsedBytes, 1, 3 * BodyWindow.DefaultBytes);
        Assert.InRange(mostWaiting, 1, 3 * BodyWindow.DefaultBytes);
        Assert.Equal(0, _budget.UsedBytes);
        await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
        Assert.Equal(new SinkLedger(1, lines, lines, 0, lines, 0, 0), engine.FindSink(SinkDefinition.Id)!.ReadLedger());
        Assert.Equal(["7: 1=1"], _database.Rows());
    }

    /// <summary>The control of the test above: one record as long as the body does take memory.</summary>
    [Fact]
    public async Task One_endless_record_takes_memory_until_that_is_refused()
    {
        await using var engine = await OpenAsync(create: true);
        var refused = await Assert.ThrowsAsync<SluiceException>(() => SendAsync(engine, room =>
        {
            room.Fill((byte)'1');
            return room.Length;
        }));
        Assert.Equal(ErrorCode.MemoryLow, refused.Code);
        Assert.InRange(_budget.HighestUsedBytes, 5 * BodyWindow.DefaultBytes, 64 << 20);
        await AssertNothingStoredAsync(engine);
    }

    [Fact]
    public async Task A_body_that_takes_too_long_is_refused()
    {
        await using var engine = await OpenAsync(create: true);
        var sent = 0L;
        var refused = await Assert.ThrowsAsync<SluiceException>(() => SendAsync(engine, room =>
        {
            _time.Advance(TimeSpan.FromMinutes(20));
            return Lines(room, ref sent, 100_000);
        }));
        Assert.Equal((ErrorCode.RequestTimeout, RefusalOutcome.NotStored), (refused.Code, refused.Outcome));
        await AssertNothingStoredAsync(engine);
    }

    [Fact]
    public async Task A_body_that_trickles_is_refused_in_time_and_not_when_its_window_is_full()
    {
        await using var engine = await OpenAsync(create: true);
        var (sent, drops) = (0L, 0);
        var refused = await Assert.ThrowsAsync<SluiceException>(() => SendAsync(engine, room =>
        {
            if (sent < BodyWindow.DefaultBytes + 1_000) return Lines(room, ref sent, 100_000);
            drops++;
            _time.Advance(TimeSpan.FromMinutes(20));
            return Lines(room[..Math.Min(room.Length, 1_000)], ref sent, 100_000);
        }));
        Assert.Equal((ErrorCode.RequestTimeout, RefusalOutcome.NotStored), (refused.Code, refused.Outcome));
        Assert.InRange(drops, 3, 5);
        await AssertNothingStoredAsync(engine);
    }

    [Fact]
    public async Task A_body_meets_the_backlog_while_it_arrives()
    {
        await using var engine = await OpenAsync(create: true, new LogOptions { MaxBacklogBytes = 1_000 });
        var (sent, others) = (0L, 0);
        using var gate = new ManualResetEventSlim();
        _database.OnCall = gate.Wait;
        var refused = await Assert.ThrowsAsync<SluiceException>(() => SendAsync(engine, async room =>
        {
            if (sent > 10_000_000 && others++ < 3) await SmallAsync(engine, 1); // others fill the backlog meanwhile
            return Lines(room.Span, ref sent, 100_000);
        }));
        Assert.Equal((ErrorCode.LogBacklog, RefusalOutcome.NotStored), (refused.Code, refused.Outcome));
        gate.Set();
        Assert.InRange(sent, BodyWindow.DefaultBytes + 1, 90_000_000); // midway; its own parts count too until the loader has passed them
    }

    [Fact]
    public async Task A_source_that_fails_midway_leaves_nothing()
    {
        await using var engine = await OpenAsync(create: true);
        var sent = 0L;
        await Assert.ThrowsAsync<IOException>(() => SendAsync(engine, room => sent < 20_000_000 ? Lines(room, ref sent, 100_000) : throw new IOException("gone")));
        Assert.True(engine.FindTable(Table.TableId)!.Log.DurablePosition.Sequence > 3, "parts were written");
        await AssertNothingStoredAsync(engine);
        await engine.DisposeAsync();

        await using var again = await OpenAsync();
        Assert.Equal(new SinkLedger(1, 1, 1, 0, 1, 0, 0), again.FindSink(SinkDefinition.Id)!.ReadLedger());
    }

    [Fact]
    public async Task The_log_is_trimmed_around_a_request_under_way_and_keeps_its_parts_as_long_as_they_are_needed()
    {
        var options = new LogOptions { SegmentBytes = 2_000, RetainedBytes = 0 };
        SinkLedger ledger;
        ulong last;
        await using (var engine = await OpenAsync(create: true, options))
        {
            for (var i = 0; i < 40; i++) await SmallAsync(engine, i, wait: true);
            var before = Segments().Length;
            var sent = 0L;
            var others = 40;
            var outcome = await SendAsync(engine, async room =>
            {
                if (sent > 10_000_000)
                {
                    for (var end = others + 5; others < end; others++) await SmallAsync(engine, others, wait: true);
                    Assert.True(Segments().Length > before, "parts of the request are not trimmed");
                }
                return Lines(room.Span, ref sent, 20_000);
            });
            for (var i = 0; i < 20; i++) await SmallAsync(engine, others++, wait: true);
            ledger = engine.FindSink(SinkDefinition.Id)!.ReadLedger();
            Assert.Equal((20_000 + others, 0L), (ledger.Loaded, ledger.Pending));
            Assert.InRange(Segments().Length, 1, 10);
            last = outcome.Sequence;
        }
        await using (var again = await OpenAsync(options: options)) Assert.Equal(ledger, again.FindSink(SinkDefinition.Id)!.ReadLedger());
        Assert.True(_database.Position.Sequence > last);
    }

    [Fact]
    public async Task A_request_whose_first_parts_are_trimmed_is_not_found_in_the_log()
    {
        await using var engine = await OpenAsync(create: true, new LogOptions { SegmentBytes = 3_000 });
        var sent = 0L;
        var outcome = await SendAsync(engine, room => Lines(room, ref sent, (3 * BodyWindow.DefaultBytes / Line.Length) + 10));
        var log = engine.FindTable(Table.TableId)!.Log;
        await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
        Assert.NotNull(LoggedRequest.Find(log, outcome.Sequence)); // the control
        LogTrimming.Run(DiskFiles.Instance, Path.Combine(_directory, "logs", Table.TableId.ToString()), log, log.FindTrimmable(outcome.Sequence, long.MaxValue));
        Assert.True(log.IsTrimmed(2) && !log.IsTrimmed(outcome.Sequence), "its first part alone is trimmed");
        Assert.Null(LoggedRequest.Find(log, outcome.Sequence));
    }

    [Fact]
    public async Task An_older_database_whose_next_request_has_lost_its_first_parts_is_refused()
    {
        var options = new LogOptions { SegmentBytes = 3_000, RetainedAge = TimeSpan.FromSeconds(60) };
        LogPosition needed;
        await using (var engine = await OpenAsync(create: true, options))
        {
            var sent = 0L;
            var outcome = await SendAsync(engine, async room =>
            {
                var count = Lines(room.Span, ref sent, (3 * BodyWindow.DefaultBytes / Line.Length) + 10); // a small last part
                if (count == 0) // the first parts are old now
                    for (var i = 0; i < 30; i++) await SmallAsync(engine, i, wait: true);
                return count;
            });
            await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
            await SmallAsync(engine, 1, wait: true);
            needed = _database.Position with { Sequence = outcome.Sequence - 1 };
        }
        await using (await OpenAsync(options: options))
        {
            // control: the database as it is fits
        }
        _database.Move(needed);
        await using var closed = await OpenAsync(options: options);
        Assert.Contains("parts of a later request are trimmed", Assert.Single(closed.ClosedTables).Reason, StringComparison.Ordinal);
    }

    /// <summary>Nothing of the request, and the next one is the first.</summary>
    async Task AssertNothingStoredAsync(Engine engine)
    {
        Assert.Equal(0, _budget.UsedBytes);
        Assert.Equal(default, engine.FindSink(SinkDefinition.Id)!.ReadLedger());
        await SmallAsync(engine, 1, wait: true);
        Assert.Equal(new SinkLedger(1, 1, 1, 0, 1, 0, 0), engine.FindSink(SinkDefinition.Id)!.ReadLedger());
        Assert.Equal(["1:"], _database.Rows());
    }

    async Task SmallAsync(Engine engine, int id, bool wait = false)
    {
        _time.Advance(TimeSpan.FromSeconds(11)); // trimming looks at the log every ten seconds
        var outcome = await engine.FindSink(SinkDefinition.Id)!.IngestAsync(SampleTable.Body($"{{\"_id\":{id}}}"), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation);
        if (wait) await engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);
    }

    delegate int FillBody(Span<byte> room);

    Task<BatchOutcome> SendAsync(Engine engine, FillBody fill) => SendAsync(engine, room => new ValueTask<int>(fill(room.Span)));

    async Task<BatchOutcome> SendAsync(Engine engine, Func<Memory<byte>, ValueTask<int>> read)
    {
        using var body = new BodyWindow(PooledBody.Rent(BodyWindow.DefaultBytes, _budget), SinkDefinition.MaxRequestBytes, _budget, (room, _) => read(room));
        return await engine.FindSink(SinkDefinition.Id)!.IngestLargeAsync(body, BodyFormat.Lines, RecordOperation.Upsert, "caller", Cancellation);
    }

    /// <summary>The next bytes of a body of so many lines.</summary>
    static int Lines(Span<byte> room, ref long sent, int lines)
    {
        var count = (int)Math.Min(room.Length, ((long)lines * Line.Length) - sent);
        for (var done = 0; done < count;)
        {
            var from = Line.AsSpan((int)((sent + done) % Line.Length));
            from = from[..Math.Min(from.Length, count - done)];
            from.CopyTo(room[done..]);
            done += from.Length;
        }
        sent += count;
        return count;
    }

    async Task<Engine> OpenAsync(bool create = false, LogOptions? options = null)
    {
        var engine = await Engine.OpenAsync(
            new EngineOptions { DataDirectory = _directory, DiskReserveBytes = 0, Log = options ?? new LogOptions() },
            create ? [] : [Definition], create ? [] : [SinkDefinition], (_, _, _) => new ValueTask<ITableStore>(_database.Open()),
            _time, NullLoggerFactory.Instance, new SilentMeters(), Cancellation);
        if (!create) return engine;
        await engine.CreateTableAsync(Definition, Cancellation);
        engine.PutSink(SinkDefinition);
        return engine;
    }

    string[] Segments() => Directory.GetFiles(Path.Combine(_directory, "logs", Table.TableId.ToString()), "segment-*");
}
