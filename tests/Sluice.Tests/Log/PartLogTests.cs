using Sluice.Log;

namespace Sluice.Tests.Log;

/// <summary>Parts of requests in a log: found whole or not at all, whatever happens between them, and kept as long as they are needed.</summary>
public sealed class PartLogTests
{
    [Fact]
    public async Task Parts_carry_where_they_belong()
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await using var upload = new Upload(log);
        await log.AppendAsync(1);
        await upload.AppendAsync(2);
        await upload.AppendAsync(3);
        Assert.Equal(4UL, (await upload.CompleteAsync(4)).Sequence);
        using var reader = log.Log.OpenReader(1);
        var headers = new List<FrameHeader>();
        while (reader.TryPeek(out var frame))
        {
            headers.Add(frame.Header);
            reader.Take();
        }
        Assert.Equal([(2UL, 0UL, 0, 0, false), (3, 2, 1, 1, false), (4, 2, 2, 2, true)], headers.Select(header => (header.Position.Sequence, header.FirstPart, header.FirstRecordIndex, header.AcceptedBefore, header.IsLastPart)));
        Assert.Equal((3, 3), (headers[2].RequestRecordCount, headers[2].RequestAcceptedCount));
    }

    [Fact]
    public async Task A_crash_after_any_group_and_a_torn_next_one_leaves_complete_requests_only()
    {
        var log = TestLog.Create(FileSystem.Memory, new LogOptions { SegmentBytes = 700 });
        var states = new List<(MemoryFiles Files, Dictionary<ulong, List<long>> Requests)>();
        var complete = new Dictionary<ulong, List<long>>();
        await using var a = new Upload(log);
        await using var b = new Upload(log);
        void Snap() => states.Add((log.Memory.Kill(), new(complete)));
        async Task Step(Func<Task> step)
        {
            await step();
            await log.Log.WaitForMoreAsync(log.Log.DurablePosition.Sequence - 1, CancellationToken.None);
            Snap();
        }
        await Step(() => a.AppendAsync(1));
        await Step(() => b.AppendAsync(2));
        await Step(async () => complete.Add((await log.AppendAsync(3)).Sequence, [3]));
        await Step(() => a.AppendAsync(4));
        await Step(async () => complete.Add((await b.CompleteAsync(5)).Sequence, [2, 5]));
        await Step(() => a.AppendAsync(6));
        await Step(async () => complete.Add((await log.AppendAsync(7)).Sequence, [7]));
        await Step(async () => complete.Add((await a.CompleteAsync(8)).Sequence, [1, 4, 6, 8]));

        foreach (var (files, requests) in states)
        {
            foreach (var torn in new[] { 0, 1, GroupHeader.Size, GroupHeader.Size + FrameHeader.Size, 150 })
            {
                using var found = log.On(files.Kill());
                if (torn > 0)
                {
                    var last = found.Segments[^1];
                    found.WriteFile(last, [.. found.ReadFile(last), .. log.ReadFile(log.Segments[0]).Skip(LogSegment.HeaderSize).Take(torn).Select((value, i) => i < GroupHeader.Size ? value : (byte)~value)]);
                }
                found.Open();
                Assert.Equal(requests.OrderBy(request => request.Key).Select(Text), found.ReadRequests().Select(Text));

                // what was not complete stays incomplete, and its sequences come never again
                await using var after = new Upload(found);
                await after.AppendAsync(9);
                var position = await after.CompleteAsync(10);
                Assert.Equal([9L, 10L], found.ReadRequests()[position.Sequence]);
                Assert.Equal(requests.Count + 1, found.ReadRequests().Count);
            }
        }
        log.Dispose();

        static string Text(KeyValuePair<ulong, List<long>> request) => $"{request.Key}: {string.Join(' ', request.Value)}";
    }

    [Fact]
    public async Task Segments_with_parts_of_a_request_under_way_stay()
    {
        using var log = TestLog.Create(FileSystem.Memory, new LogOptions { SegmentBytes = 300, RetainedBytes = 0 });
        await log.AppendAllAsync(1, 4);
        await using var upload = new Upload(log);
        await upload.AppendAsync(6);
        await log.AppendAllAsync(7, 20);
        var durable = log.Log.DurablePosition.Sequence;
        Assert.Equal(4UL, log.Log.FindTrimmable(durable, 0)[^1].LastSequence);
        Assert.Equal(log.Log.BacklogBytes(durable), log.Log.BytesAfter(durable)); // nobody waits for a request that is not complete

        var request = await upload.CompleteAsync(27);
        Assert.Equal(4UL, log.Log.FindTrimmable(durable, 0)[^1].LastSequence);
        Assert.Equal(log.Log.BytesAfter(4), log.Log.BacklogBytes(durable));

        // and over a restart, by the log alone
        log.Reopen();
        Assert.Equal(4UL, log.Log.FindTrimmable(durable, 0)[^1].LastSequence);
        Assert.Equal([6L, 27L], log.ReadRequests(durable)[request.Sequence]);
        Assert.True(log.Log.FindTrimmable(request.Sequence, 0)[^1].LastSequence > 20);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Parts_that_nobody_will_complete_are_trimmed(bool restart)
    {
        using var log = TestLog.Create(FileSystem.Memory, new LogOptions { SegmentBytes = 300, RetainedBytes = 0 });
        await using (var upload = new Upload(log))
        {
            await upload.AppendAsync(1);
            await upload.AppendAsync(2);
            await log.AppendAllAsync(3, 10);
            if (restart) log.Reopen();
        }
        Assert.True(log.Log.FindTrimmable(log.Log.DurablePosition.Sequence, 0)[^1].LastSequence > 5);
    }

    [Fact]
    public async Task A_log_that_fails_midway_says_that_nothing_is_stored()
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await using var upload = new Upload(log);
        await upload.AppendAsync(1);
        await log.AppendAsync(2);
        log.Files.FailNthSync(1);
        await upload.AppendAsync(3);
        var refused = await Assert.ThrowsAsync<SluiceException>(async () =>
        {
            await upload.AppendAsync(4);
            await upload.AppendAsync(5);
            await upload.CompleteAsync(6);
        });
        Assert.Equal((ErrorCode.LogFailed, RefusalOutcome.NotStored), (refused.Code, refused.Outcome));
        using var found = log.On(log.Memory.Kill());
        Assert.Equal([2L], found.Open().ReadRequests().Values.Single());
    }

    [Fact]
    public async Task A_last_part_whose_sync_fails_is_unknown()
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await using var upload = new Upload(log);
        await upload.AppendAsync(1);
        await log.AppendAsync(2);
        log.Files.FailNthSync(1);
        var unknown = await Assert.ThrowsAsync<SluiceException>(() => upload.CompleteAsync(3));
        Assert.Equal((ErrorCode.LogFailed, RefusalOutcome.Unknown), (unknown.Code, unknown.Outcome));
    }

    [Fact]
    public async Task A_complete_request_without_one_of_its_parts_is_damage()
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await log.Log.AppendAsync(TestLog.Frame(1, 16, 0, new RecordsFrame.Part(0, 0, HasMore: true), 0));
        await log.Log.AppendAsync(TestLog.Frame(2, 16, 0, new RecordsFrame.Part(1, 2, HasMore: false), 2));
        Assert.Equal(ErrorCode.Corrupt, Assert.Throws<SluiceException>(() => log.ReadRequests()).Code);
    }

    [Fact]
    public async Task A_request_of_which_a_repair_took_a_part_that_no_store_has_is_lost_whole()
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await using var upload = new Upload(log);
        await log.AppendAsync(1);
        await upload.AppendAsync(2);
        await upload.AppendAsync(3);
        var request = await upload.CompleteAsync(4);
        await log.AppendAsync(5);
        using var left = log.On(log.Memory.Kill());
        using var frame = TestLog.Frame(2, 16, 0);
        var bytes = left.ReadFile(left.Segments[0]);
        bytes[bytes.AsSpan().IndexOf(frame.Span.Slice(FrameHeader.Size, 16))] ^= 1;
        left.WriteFile(left.Segments[0], bytes);

        var plan = LogRepair.Plan(left.Real, left.Directory, null, 1);
        Assert.Equal(3, plan.LostRecords);
        plan.Apply(left.Directory + "-aside");

        var summary = LogSummary.Read(left.Real, left.Directory);
        Assert.Equal([request.Sequence], summary.Torn!);
        left.Open(summary.Sequence, summary.Torn);
        Assert.Equal([1L, 5L], left.ReadRequests(summary.Sequence).Values.SelectMany(numbers => numbers));
    }

    sealed class Upload(TestLog log) : IAsyncDisposable
    {
        readonly PartWriter _parts = new(log.Log);
        int _index;

        public async Task AppendAsync(long number) => _parts.Append(TestLog.Frame(number, 16, 0, await _parts.NextAsync(hasMore: true), _index++), 1);

        public async Task<LogPosition> CompleteAsync(long number) => await _parts.CompleteAsync(TestLog.Frame(number, 16, 0, await _parts.NextAsync(hasMore: false), _index++));

        public ValueTask DisposeAsync() => _parts.DisposeAsync();
    }
}
