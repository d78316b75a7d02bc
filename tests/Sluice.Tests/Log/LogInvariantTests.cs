using Sluice.Log;

namespace Sluice.Tests.Log;

/// <summary>What a log promises, each fact in memory and on the real file system.</summary>
public sealed class LogInvariantTests
{
    public static TheoryData<FileSystem> Systems => [FileSystem.Memory, FileSystem.Disk];

    [Theory, MemberData(nameof(Systems))]
    public async Task Append_returns_only_after_the_sync(FileSystem system)
    {
        using var log = TestLog.Create(system);
        await log.AppendAsync(1);
        using var disk = new HeldDisk(log.Files);
        var append = log.AppendAsync(2);
        await disk.Reached;
        Assert.False(append.IsCompleted);
        Assert.Equal(1UL, log.Log.DurablePosition.Sequence);
        Assert.Single(log.Durable);
        Assert.Single(log.Read());
        disk.Release();
        Assert.Equal(2UL, (await append).Sequence);
        Assert.Equal(await append, log.Log.DurablePosition);
        Assert.Equal([1L, 2L], log.Durable.Select(frame => frame.Number));
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Order_of_acknowledgement_is_order_of_position(FileSystem system)
    {
        using var log = TestLog.Create(system, new LogOptions { SegmentBytes = 4_096 });
        var writers = Enumerable.Range(0, 8).Select(writer => Task.Run(async () =>
        {
            var last = 0UL;
            for (var i = 0; i < 50; i++)
            {
                var position = await log.AppendAsync((writer * 1_000) + i);
                Assert.True(position.Sequence > last, "answered before it was sent, and yet later in the log");
                Assert.True(log.Log.DurablePosition.Sequence >= position.Sequence);
                last = position.Sequence;
            }
        }));
        await Task.WhenAll(writers);
        Assert.Equal(Enumerable.Range(1, 400).Select(n => (ulong)n), log.Durable.Select(frame => frame.Sequence));
        for (var writer = 0; writer < 8; writer++)
            Assert.Equal(Enumerable.Range(writer * 1_000, 50).Select(n => (long)n), log.Durable.Select(frame => frame.Number).Where(n => n / 1_000 == writer));
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Appends_that_do_not_wait_get_positions_in_the_order_of_the_calls(FileSystem system)
    {
        using var log = TestLog.Create(system);
        var appends = Enumerable.Range(1, 500).Select(n => log.AppendAsync(n)).ToList();
        Assert.Equal(Enumerable.Range(1, 500).Select(n => (ulong)n), (await Task.WhenAll(appends)).Select(position => position.Sequence));
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Reopening_reads_the_same_frames(FileSystem system)
    {
        using var log = TestLog.Create(system, new LogOptions { SegmentBytes = 3_000 });
        for (var n = 1; n <= 50; n++) await log.AppendAsync(n, 8 + (n * 7 % 200));
        var before = log.Read();
        var position = log.Log.DurablePosition;
        log.Reopen();
        Assert.Equal(position, log.Log.DurablePosition);
        Assert.Equal(before, log.Read(), SameFrames);
        Assert.Equal(before, log.Durable, SameFrames);
        Assert.All(before, frame => Assert.True(frame.IsIntact));
        Assert.Equal(51UL, (await log.AppendAsync(51)).Sequence);
        Assert.Equal(0, log.Log.DroppedBytes);
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Reading_begins_after_any_sequence(FileSystem system)
    {
        using var log = TestLog.Create(system, new LogOptions { SegmentBytes = 1_000 });
        await log.AppendAllAsync(1, 30);
        for (var after = 0; after <= 30; after++)
            Assert.Equal(Enumerable.Range(after + 1, 30 - after).Select(n => (long)n), log.Read((ulong)after).Select(frame => frame.Number));
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Segments_roll_and_chain(FileSystem system)
    {
        using var log = TestLog.Create(system, new LogOptions { SegmentBytes = 500 });
        await log.AppendAllAsync(1, 20);
        Assert.InRange(log.Segments.Count, 5, 20);
        var previous = 0UL;
        foreach (var path in log.Segments)
        {
            using var segment = LogSegment.TryOpen(log.Real, path, writable: false)!;
            Assert.Equal(previous, segment.PreviousSequence);
            Assert.Equal(LogSegment.NameOf(segment.FirstPosition.Sequence), Path.GetFileName(path));
            using var reader = new SegmentReader(segment);
            while (reader.TryReadGroup(segment.File.Length)) previous = reader.Frames[^1].Header.Position.Sequence;
            Assert.Equal(segment.File.Length, reader.NextOffset);
        }
        Assert.Equal(20UL, previous);
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task A_reader_follows_live_appends_over_segments(FileSystem system)
    {
        using var log = TestLog.Create(system, new LogOptions { SegmentBytes = 2_000 });
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        var reading = Task.Run(async () =>
        {
            using var reader = log.Log.OpenReader(0);
            var numbers = new List<ulong>();
            while (numbers.Count < 300)
            {
                await log.Log.WaitForMoreAsync(numbers.LastOrDefault(), patience.Token);
                while (reader.TryPeek(out var frame))
                {
                    numbers.Add(frame.Header.Position.Sequence);
                    reader.Take();
                }
            }
            return numbers;
        });
        await Task.WhenAll(Enumerable.Range(0, 4).Select(writer => log.AppendAllAsync(writer * 100, 75)));
        Assert.Equal(Enumerable.Range(1, 300).Select(n => (ulong)n), await reading);
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task A_peeked_frame_is_the_next_until_it_is_taken(FileSystem system)
    {
        using var log = TestLog.Create(system);
        await log.AppendAllAsync(1, 2);
        using var reader = log.Log.OpenReader(0);
        for (var i = 0; i < 3; i++)
        {
            Assert.True(reader.TryPeek(out var frame));
            Assert.Equal(1UL, frame.Header.Position.Sequence);
        }
        reader.Take();
        Assert.True(reader.TryPeek(out var second));
        Assert.Equal(2UL, second.Header.Position.Sequence);
        reader.Take();
        Assert.False(reader.TryPeek(out _));
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Waiting_for_more_ends_with_an_append_a_failure_or_the_end(FileSystem system)
    {
        var cancellation = TestContext.Current.CancellationToken;
        using var log = TestLog.Create(system);
        var more = log.Log.WaitForMoreAsync(0, cancellation);
        Assert.False(more.IsCompleted);
        await log.AppendAsync(1);
        await more;
        await log.Log.WaitForMoreAsync(0, cancellation);

        more = log.Log.WaitForMoreAsync(1, cancellation);
        Assert.False(more.IsCompleted);
        await log.Log.CloseAsync();
        await more;

        log.Reopen();
        more = log.Log.WaitForMoreAsync(1, cancellation);
        log.Files.FailNthSync(1);
        await Assert.ThrowsAsync<SluiceException>(() => log.AppendAsync(2));
        await more;
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task A_failed_sync_poisons_the_log(FileSystem system)
    {
        using var log = TestLog.Create(system);
        await log.AppendAsync(1);
        log.Files.FailNthSync(1);
        await AssertPoisonedAsync(log);
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task A_failed_write_poisons_the_log(FileSystem system)
    {
        using var log = TestLog.Create(system);
        await log.AppendAsync(1);
        log.Files.FailNthWrite(1);
        await AssertPoisonedAsync(log);
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task A_failed_watermark_poisons_the_log_and_the_frame_is_found_once(FileSystem system)
    {
        using var log = TestLog.Create(system);
        await log.AppendAsync(1);
        log.Files.FailNthWrite(2); // the group, then the watermark
        await AssertPoisonedAsync(log);
        log.Reopen();
        Assert.Equal([1L, 2L], log.Read().Select(frame => frame.Number));
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task A_segment_that_cannot_be_made_poisons_the_log(FileSystem system)
    {
        using var log = TestLog.Create(system, new LogOptions { SegmentBytes = 1 });
        await log.AppendAsync(1);
        log.Files.FailNthSync(1);
        await AssertPoisonedAsync(log);
        log.Reopen();
        Assert.Equal([1L], log.Read().Select(frame => frame.Number));
        await log.AppendAsync(3);
        log.Reopen();
        Assert.Equal([1L, 3L], log.Read().Select(frame => frame.Number));
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task What_waits_when_the_log_fails_was_not_stored(FileSystem system)
    {
        using var log = TestLog.Create(system);
        await log.AppendAsync(1);
        log.Files.FailNthSync(1);
        using var disk = new HeldDisk(log.Files);
        var written = log.AppendAsync(2);
        await disk.Reached;
        var waiting = new[] { log.AppendAsync(3), log.AppendAsync(4) };
        disk.Release();
        Assert.Equal(RefusalOutcome.Unknown, (await Assert.ThrowsAsync<SluiceException>(() => written)).Outcome);
        foreach (var append in waiting)
        {
            var refused = await Assert.ThrowsAsync<SluiceException>(() => append);
            Assert.Equal((ErrorCode.LogFailed, RefusalOutcome.NotStored), (refused.Code, refused.Outcome));
        }
        log.Reopen();
        Assert.All(log.Read(), frame => Assert.InRange(frame.Number, 1, 2));
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Closing_answers_what_is_under_way_and_takes_no_more(FileSystem system)
    {
        using var log = TestLog.Create(system);
        using var disk = new HeldDisk(log.Files);
        var first = log.AppendAsync(1);
        await disk.Reached;
        var second = log.AppendAsync(2);
        var closing = log.Log.CloseAsync();
        Assert.False(closing.IsCompleted);
        var refused = await Assert.ThrowsAsync<SluiceException>(() => log.AppendAsync(3));
        Assert.Equal((ErrorCode.Draining, RefusalOutcome.NotStored), (refused.Code, refused.Outcome));
        disk.Release();
        await closing;
        Assert.True(first.IsCompletedSuccessfully && second.IsCompletedSuccessfully);
        await log.Log.CloseAsync();
        log.Reopen();
        Assert.Equal([1L, 2L], log.Read().Select(frame => frame.Number));
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Waiting_appends_share_one_sync(FileSystem system)
    {
        using var log = TestLog.Create(system);
        await log.AppendAsync(0);
        using var disk = new HeldDisk(log.Files);
        var first = log.AppendAsync(1);
        await disk.Reached;
        var waiting = Enumerable.Range(2, 100).Select(n => log.AppendAsync(n)).ToList();
        var (syncs, writes) = (log.Files.SyncCount, log.Files.WriteCount);
        disk.Release();
        await first;
        await Task.WhenAll(waiting);
        Assert.Equal(2, log.Files.SyncCount - syncs); // of the first, which was held, and one of the hundred
        Assert.Equal(3, log.Files.WriteCount - writes); // the watermark of the first; group and watermark of the hundred
        Assert.Equal(102, log.Read().Count);
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Too_much_waiting_for_the_disk_is_refused_and_passes(FileSystem system)
    {
        using var log = TestLog.Create(system, new LogOptions { MaxWaitingBytes = 1_000 });
        using var disk = new HeldDisk(log.Files);
        var appends = new List<Task<LogPosition>> { log.AppendAsync(0, 100) };
        await disk.Reached;
        for (var n = 1; n < 10; n++) appends.Add(log.AppendAsync(n, 100));
        var refused = appends.Where(append => append.IsFaulted).ToList();
        Assert.InRange(refused.Count, 4, 7);
        foreach (var append in refused)
        {
            var refusal = await Assert.ThrowsAsync<SluiceException>(() => append);
            Assert.Equal((ErrorCode.LogBacklog, RefusalOutcome.NotStored), (refusal.Code, refusal.Outcome));
        }
        disk.Release();
        await Task.WhenAll(appends.Except(refused));
        await log.AppendAsync(10, 900);
        Assert.Equal(11 - refused.Count, log.Read().Count);
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Nothing_waits_when_everything_is_answered(FileSystem system)
    {
        using var log = TestLog.Create(system);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(writer => Task.Run(() => log.AppendAllAsync(writer * 1_000, system == FileSystem.Memory ? 500 : 20))));
        await log.Log.CloseAsync();
        Assert.Equal(0, log.Log.WaitingBytes);
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task A_frame_beyond_the_limit_is_refused(FileSystem system)
    {
        using var log = TestLog.Create(system);
        var frame = new FrameBuffer(16);
        for (var mebibytes = 0; mebibytes <= TableLog.MaxFrameBytes >> 20; mebibytes++) frame.Take(1 << 20);
        Assert.Equal(ErrorCode.RequestTooLarge, (await Assert.ThrowsAsync<SluiceException>(() => log.Log.AppendAsync(frame))).Code);
        Assert.Equal(1UL, (await log.AppendAsync(1)).Sequence);
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Trimming_deletes_whole_old_segments_and_never_the_last(FileSystem system)
    {
        using var log = TestLog.Create(system, new LogOptions { SegmentBytes = 500, RetainedAge = TimeSpan.FromHours(1) });
        const long hour = 3_600_000_000;
        await log.AppendAllAsync(1, 10, receivedAt: 0);
        await log.AppendAllAsync(11, 10, receivedAt: 2 * hour);
        Assert.Empty(log.Log.FindTrimmable(loaded: 0, nowMicroseconds: 10 * hour));
        Assert.Empty(log.Log.FindTrimmable(loaded: 20, nowMicroseconds: hour - 1));
        var byLoad = log.Log.FindTrimmable(loaded: 7, nowMicroseconds: 10 * hour);
        Assert.All(byLoad, segment => Assert.InRange(segment.LastSequence, 1UL, 7UL));
        var byAge = log.Log.FindTrimmable(loaded: 20, nowMicroseconds: 2 * hour);
        Assert.All(byAge, segment => Assert.InRange(segment.LastSequence, 1UL, 10UL));
        Assert.NotEmpty(byAge);
        var all = log.Log.FindTrimmable(loaded: 20, nowMicroseconds: 10 * hour);
        Assert.Equal(log.Segments.Count - 1, all.Count);

        LogTrimming.Run(log.Files, log.Directory, log.Log, all);
        Assert.Single(log.Segments);
        var summary = LogSummary.Read(log.Files, log.Directory);
        Assert.Equal(all[^1].LastSequence, summary.Sequence);
        Assert.Equal(Enumerable.Range((int)summary.Sequence + 1, 20 - (int)summary.Sequence).Select(n => (long)n), log.Read(summary.Sequence).Select(frame => frame.Number));
        Assert.Equal(ErrorCode.Corrupt, Assert.Throws<SluiceException>(() => log.Read(summary.Sequence - 1)).Code);
        log.Reopen(summary.Sequence);
        Assert.Equal(20UL, log.Log.DurablePosition.Sequence);
        Assert.Equal(21UL, (await log.AppendAsync(21)).Sequence);
    }

    [Theory, MemberData(nameof(Systems))]
    public async Task Segments_are_trimmed_by_size_while_the_log_is_too_large(FileSystem system)
    {
        using var log = TestLog.Create(system, new LogOptions { SegmentBytes = 500, RetainedBytes = 2_000 });
        await log.AppendAllAsync(1, 40);
        var total = log.Log.BytesAfter(0);
        var trimmable = log.Log.FindTrimmable(loaded: 40, nowMicroseconds: 0);
        var left = total - trimmable.Sum(segment => segment.DurableBytes);
        Assert.InRange(left, 1_000, 2_000);
        Assert.True(left + trimmable[^1].DurableBytes > 2_000);
    }

    static async Task AssertPoisonedAsync(TestLog log)
    {
        var unknown = await Assert.ThrowsAsync<SluiceException>(() => log.AppendAsync(2));
        Assert.Equal((ErrorCode.LogFailed, RefusalOutcome.Unknown), (unknown.Code, unknown.Outcome));
        Assert.True(log.Log.Failed.IsCompletedSuccessfully);
        for (var n = 3; n < 6; n++)
        {
            var refused = await Assert.ThrowsAsync<SluiceException>(() => log.AppendAsync(n));
            Assert.Equal((ErrorCode.LogFailed, RefusalOutcome.NotStored), (refused.Code, refused.Outcome));
        }
        Assert.Equal(1UL, log.Log.DurablePosition.Sequence);
        Assert.Equal([1L], log.Read().Select(frame => frame.Number));
        Assert.Equal([1L], log.Durable.Select(frame => frame.Number));
    }

    static bool SameFrames(TestLog.Framed a, TestLog.Framed b) => a.Sequence == b.Sequence && a.Payload.AsSpan().SequenceEqual(b.Payload);

    /// <summary>Holds the next sync until it is released.</summary>
    sealed class HeldDisk : IDisposable
    {
        readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
        readonly ManualResetEventSlim _released = new();

        public HeldDisk(FaultyFiles files) => files.BeforeSync = () =>
        {
            _reached.TrySetResult();
            _released.Wait();
        };

        public Task Reached => _reached.Task.WaitAsync(TimeSpan.FromSeconds(10), TimeProvider.System);

        public void Release() => _released.Set();

        public void Dispose() => _released.Set();
    }
}
