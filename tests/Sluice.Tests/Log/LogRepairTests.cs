using Sluice.Load;
using Sluice.Log;
using Sluice.Tests.Load;
using Sluice.Tests.Records;

namespace Sluice.Tests.Log;

/// <summary>A repair of a log in which senders sent what looks like log, one that is interrupted anywhere, and one beside a table that is not the log's.</summary>
public sealed class LogRepairTests
{
    const int HeadersBytes = GroupHeader.Size + FrameHeader.Size;

    public enum Forgery
    {
        Group,
        GroupFarAhead,
        GroupOfAnUnknownKind,
        FrameHeader,
    }

    public enum Damage
    {
        Payload,
        FrameHeader,
        GroupHeader,
    }

    public static MatrixTheoryData<Forgery, Damage, bool> Sent_bytes() => new(Enum.GetValues<Forgery>(), Enum.GetValues<Damage>(), [false, true]);

    [Theory]
    [MemberData(nameof(Sent_bytes))]
    public async Task What_a_sender_sent_is_never_taken_for_log(Forgery forgery, Damage damage, bool isLast)
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAllAsync(1, 2);
        var offset = log.ReadFile(log.Segments[0]).Length;
        await log.Log.AppendAsync(Sent([.. new byte[16], .. Forge(log, forgery, 3), .. new byte[24]]));
        if (!isLast) await log.AppendAllAsync(4, 2);
        log.Log.Dispose();
        Flip(log, offset + damage switch { Damage.GroupHeader => 5, Damage.FrameHeader => GroupHeader.Size + 50, _ => HeadersBytes + 8 });

        var plan = LogRepair.Plan(log.Real, log.Directory, null, 1);
        Assert.Equal(damage == Damage.FrameHeader ? 0 : 1, plan.LostRecords);
        Assert.InRange(plan.Next, 4UL, 1_000_000UL);
        plan.Apply(log.Directory + "-aside");
        log.Open();
        Assert.Equal(isLast ? [1, 2] : [1, 2, 4, 5], log.Read().Select(frame => frame.Sequence));
    }

    /// <summary>Neither header says where the sent bytes end, so they are searched: what cannot be there is not taken, and what comes later stays.</summary>
    [Theory]
    [InlineData(Forgery.GroupFarAhead)]
    [InlineData(Forgery.GroupOfAnUnknownKind)]
    [InlineData(Forgery.FrameHeader)]
    public async Task Where_both_headers_are_damaged_nothing_genuine_goes_for_what_was_sent(Forgery forgery)
    {
        using var log = TestLog.Create(FileSystem.Memory, new LogOptions { SegmentBytes = 1_200 });
        await log.AppendAllAsync(1, 2);
        var offset = log.ReadFile(log.Segments[0]).Length;
        await log.Log.AppendAsync(Sent([.. new byte[512], .. Forge(log, forgery, 3)]));
        await log.AppendAllAsync(4, 12);
        log.Log.Dispose();
        Flip(log, offset + 5);
        Flip(log, offset + GroupHeader.Size + 50);

        LogRepair.Plan(log.Real, log.Directory, null, 1).Apply(log.Directory + "-aside");
        log.Open();
        Assert.Equal([1UL, 2, .. Enumerable.Range(4, 12).Select(sequence => (ulong)sequence)], log.Read().Select(frame => frame.Sequence));
    }

    [Fact]
    public async Task Frames_behind_a_damaged_header_of_their_group_are_counted_as_lost()
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAsync(1);
        var offset = log.ReadFile(log.Segments[0]).Length + HeadersBytes + 16; // behind the group that holds them up
        await AppendTogetherAsync(log, TestLog.Frame(2, 16), Sent([.. new byte[16], .. Forge(log, Forgery.FrameHeader, 5)]), TestLog.Frame(4, 16), TestLog.Frame(5, 16));
        log.Log.Dispose();
        Flip(log, offset + GroupHeader.Size + FrameHeader.PaddedSize(16) + 50); // the header of the second
        Assert.Equal(3, LogRepair.Plan(log.Real, log.Directory, null, 1).LostRecords);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_a_sender_sent_does_not_keep_a_log_with_a_torn_tail_from_opening(bool isGroupHeaderTorn)
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAllAsync(1, 3);
        var (mark, offset) = (log.ReadFile(log.WatermarkPath), log.ReadFile(log.Segments[0]).Length);
        var head = new byte[GroupHeader.Size];
        new GroupHeader(1_000, 1, 4).Write(head);
        await log.Log.AppendAsync(Sent([.. new byte[256], .. head, .. new byte[64]]));
        log.Log.Dispose();
        log.WriteFile(log.Segments[0], log.ReadFile(log.Segments[0])[..^8]);
        log.WriteFile(log.WatermarkPath, mark);
        if (isGroupHeaderTorn) Flip(log, offset + 5);

        log.Open();
        Assert.Equal([1UL, 2, 3], log.Read().Select(frame => frame.Sequence));
        Assert.True(log.Log.DroppedBytes > 0);
    }

    [Fact]
    public async Task A_repair_that_is_interrupted_anywhere_has_changed_nothing_or_is_finished()
    {
        var damaged = await DamagedAsync();
        var expected = damaged.Kill();
        LogRepair.Plan(expected, Log, null, 1).Apply("/memory/aside");
        Assert.Equal(1, LogSummary.Read(expected, Log).Sinks.Single().Lost);
        var (unchanged, unfinished, n) = (0, 0, 0);
        for (var isDone = false; !isDone;)
        {
            n++;
            var files = damaged.Kill();
            var left = n;
            try
            {
                LogRepair.Plan(new FaultyFiles(files) { BeforeChange = () => { if (--left == 0) throw new SimulatedCrashException(); } }, Log, null, 1).Apply("/memory/aside");
                isDone = true;
            }
            catch (SimulatedCrashException)
            {
            }
            foreach (var survivor in new[] { files.Kill(), files.PowerCut(), files.PowerCut(new Random(n)) })
            {
                if (UnfinishedRepair.Exists(survivor, Log))
                {
                    unfinished++;
                    Assert.Equal(ErrorCode.Corrupt, Assert.Throws<SluiceException>(() => Open(survivor)).Code);
                    Assert.Equal(ErrorCode.Corrupt, Assert.Throws<SluiceException>(() => LogRepair.Plan(survivor, Log, null, 1)).Code);
                    FinishInterrupted(survivor, n);
                }
                else if (ContentOf(survivor) == ContentOf(damaged))
                {
                    unchanged++;
                    LogRepair.Plan(survivor, Log, null, 1).Apply("/memory/aside2");
                }
                Assert.True(ContentOf(survivor) == ContentOf(expected), $"change {n}: {ContentOf(survivor)}");
                Open(survivor);
            }
        }
        Assert.True(unchanged > 10 && unfinished > 10, $"{n} changes: {unchanged} times nothing was changed, {unfinished} times it was finished");
    }

    [Fact]
    public async Task A_mark_that_does_not_say_what_is_there_changes_nothing()
    {
        foreach (var mark in new[] { "", "watermark\nsummary\nsegment-00000000000000000099.log", "watermark" })
        {
            var files = await DamagedAsync();
            files.Put($"{Log}/repaired/watermark", [1]);
            files.Put($"{Log}/repaired/summary", [1]);
            files.Put($"{Log}/repair.unfinished", System.Text.Encoding.UTF8.GetBytes(mark));
            var before = ContentOf(files);
            Assert.Equal(ErrorCode.Corrupt, Assert.Throws<SluiceException>(() => UnfinishedRepair.Finish(files, Log)).Code);
            Assert.Equal(before, ContentOf(files));
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_store_that_is_not_the_logs_repairs_nothing(bool hasWatermark)
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAllAsync(1, 3);
        var position = log.Log.DurablePosition;
        log.Log.Dispose();
        if (!hasWatermark) log.Real.Delete(log.WatermarkPath);
        foreach (var foreign in new[] { position with { LogId = Guid.NewGuid() }, position with { Incarnation = 0 } })
        {
            var refused = Assert.Throws<SluiceException>(() => LogRepair.Plan(log.Real, log.Directory, Stored(foreign), 1));
            Assert.Equal(ErrorCode.DatabaseDamaged, refused.Code);
        }
        var plan = LogRepair.Plan(log.Real, log.Directory, Stored(position), 1); // the control
        Assert.Empty(plan.Dropped);
        Assert.Equal(position, plan.End);
    }

    [Fact]
    public async Task A_check_finds_requests_that_can_never_be_loaded_and_says_what_waits()
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAllAsync(1, 3);
        var position = log.Log.DurablePosition with { Sequence = 1 };
        Assert.Equal(2, Check(position).WaitingRecords);
        await log.Log.AppendAsync(TestLog.Frame(4, 16, 0, new RecordsFrame.Part(0, 0, HasMore: true), 0));
        await log.Log.AppendAsync(TestLog.Frame(5, 16, 0, new RecordsFrame.Part(4, 2, HasMore: false), 2)); // the part between is missing
        Assert.Equal(ErrorCode.Corrupt, Assert.Throws<SluiceException>(() => Check(position)).Code);
        Assert.Equal(0, Check(position with { Sequence = 5 }).WaitingRecords);

        log.Log.Dispose();
        LogRepair.Plan(log.Real, log.Directory, Stored(position), 1).Apply(log.Directory + "-aside");
        Assert.Equal(2, Check(position).WaitingRecords);

        LogReport Check(LogPosition position) => LogCheck.Run(log.Real, log.Directory, new TableDefinition(Guid.Empty, SampleTable.TableOf(Schema.KeyKind.Number)), Stored(position), isStoreKnown: true);
    }

    [Fact]
    public void A_log_that_is_missing_cannot_be_repaired() =>
        Assert.Contains("is missing", Assert.Throws<SluiceException>(() => LogRepair.Plan(new MemoryFiles(), "/memory/log", null, 1)).Message, StringComparison.Ordinal);

    const string Log = "/memory/log";

    static StoredTable Stored(LogPosition position) => new(position, SampleTable.TableOf(Schema.KeyKind.Number), new Dictionary<Guid, SinkCounts>());

    /// <summary>Three segments: of the first the middle is damaged, so that it becomes two; the second has gone; the third stays as it is but for its header.</summary>
    static async Task<MemoryFiles> DamagedAsync()
    {
        using var log = TestLog.Create(FileSystem.Memory, new LogOptions { SegmentBytes = 800 });
        await log.AppendAllAsync(1, 15);
        log.Log.Dispose();
        Assert.Equal(3, log.Segments.Count);
        var group = HeadersBytes + 16;
        Flip(log, LogSegment.HeaderSize + (2 * group) + HeadersBytes);
        var files = new MemoryFiles();
        foreach (var name in log.Real.List(log.Directory).Where(name => name != Path.GetFileName(log.Segments[1]))) files.Put($"{Log}/{name}", log.ReadFile($"{log.Directory}/{name}"));
        return files;
    }

    static void FinishInterrupted(MemoryFiles files, int n)
    {
        var left = 1 + (n % 5);
        try
        {
            UnfinishedRepair.Finish(new FaultyFiles(files) { BeforeChange = () => { if (--left == 0) throw new SimulatedCrashException(); } }, Log);
        }
        catch (SimulatedCrashException)
        {
            if (UnfinishedRepair.Exists(files, Log)) UnfinishedRepair.Finish(files, Log);
        }
    }

    static void Open(MemoryFiles files) => TableLog.Open(files, Log, new LogOptions(), 0, (in FrameHeader _, ReadOnlySpan<byte> _) => { }, writable: false).Dispose();

    static string ContentOf(MemoryFiles files) => string.Join('\n', files.List(Log).Where(name => !name.EndsWith(".new", StringComparison.Ordinal)).Select(name => $"{name} {Convert.ToHexString(files.Read($"{Log}/{name}"))}"));

    /// <summary>Bytes that look like log, with all that a sender can know.</summary>
    static byte[] Forge(TestLog log, Forgery forgery, ulong sequence)
    {
        using var frame = DeletionFrame.Encode(new Deletion(Guid.NewGuid(), null), 1, 0);
        if (forgery == Forgery.GroupOfAnUnknownKind) frame.Span[5] = 99;
        if (forgery is Forgery.GroupFarAhead or Forgery.FrameHeader) sequence = 100_000_000;
        FrameHeader.Seal(frame.Span[..FrameHeader.Size], log.Log.DurablePosition with { Sequence = sequence });
        if (forgery == Forgery.FrameHeader) return frame.Span.ToArray();
        var head = new byte[GroupHeader.Size];
        new GroupHeader(GroupHeader.Size + frame.Length, 1, sequence - 1).Write(head);
        return [.. head, .. frame.Span];
    }

    /// <summary>A request of one record whose payload holds what its sender sent.</summary>
    static FrameBuffer Sent(byte[] bytes)
    {
        var frame = new FrameBuffer(FrameHeader.PaddedSize(bytes.Length));
        frame.Take(FrameHeader.Size);
        frame.Bytes(bytes);
        return RecordsFrame.Close(frame, new FrameHeader
        {
            Kind = FrameKind.Records,
            Flags = FrameFlags.LastPart,
            ReceivedAtMicroseconds = 0,
            SinkId = Guid.Empty,
            MappingVersion = 1,
            SchemaVersion = 1,
            RecordCount = 1,
            AcceptedCount = 1,
        });
    }

    /// <summary>In one group: they wait while the one before is synced.</summary>
    static async Task AppendTogetherAsync(TestLog log, params FrameBuffer[] frames)
    {
        using var gate = new ManualResetEventSlim();
        log.Files.BeforeSync = gate.Wait;
        var writes = log.Files.WriteCount;
        List<Task> appends = [log.AppendAsync(1_000)];
        while (log.Files.WriteCount == writes) await Task.Yield();
        appends.AddRange(frames.Select(frame => log.Log.AppendAsync(frame)));
        gate.Set();
        await Task.WhenAll(appends);
        log.Files.BeforeSync = null;
    }

    static void Flip(TestLog log, int offset)
    {
        var path = log.Segments[0];
        var bytes = log.ReadFile(path);
        bytes[offset] ^= 1;
        log.WriteFile(path, bytes);
    }
}
