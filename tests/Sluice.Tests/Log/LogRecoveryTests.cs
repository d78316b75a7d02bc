using System.Buffers.Binary;
using Sluice.Log;

namespace Sluice.Tests.Log;

/// <summary>One test a known damage: what was acknowledged is refused, named by file and offset; what was not is cut.</summary>
public sealed class LogRecoveryTests
{
    static readonly int Seed = Random.Shared.Next();

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(31)]
    [InlineData(32)]
    [InlineData(143)]
    [InlineData(144)]
    [InlineData(4_095)]
    [InlineData(4_096)]
    public async Task A_torn_tail_that_was_never_acknowledged_is_cut(int length)
    {
        foreach (var tail in Tails(await GroupOfAsync(size: 8_000), length))
        {
            using var log = TestLog.Create(FileSystem.Memory);
            await log.AppendAllAsync(1, 3);
            var path = log.Segments[0];
            var good = log.ReadFile(path);
            log.WriteFile(path, [.. good, .. tail]);
            log.Reopen();
            Assert.Equal(tail.Length, log.Log.DroppedBytes);
            Assert.Equal([1L, 2L, 3L], log.Read().Select(frame => frame.Number));
            Assert.Equal(good, log.ReadFile(path));

            Assert.InRange((await log.AppendAsync(4)).Sequence, 4UL + LogRecovery.MaxFramesPerGroup, ulong.MaxValue); // no number of the torn group comes again
            log.Reopen();
            Assert.Equal(0, log.Log.DroppedBytes);
            Assert.Equal([1L, 2L, 3L, 4L], log.Read().Select(frame => frame.Number));
        }
    }

    [Fact]
    public async Task A_whole_group_that_was_never_acknowledged_is_kept()
    {
        // killed between write and answer: the sender does not know, the log does
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAsync(1);
        var watermark = log.ReadFile(log.WatermarkPath);
        await log.AppendAsync(2);
        log.WriteFile(log.WatermarkPath, watermark);
        log.Reopen();
        Assert.Equal([1L, 2L], log.Read().Select(frame => frame.Number));
        Assert.Equal(3UL, (await log.AppendAsync(3)).Sequence);
    }

    [Fact]
    public async Task Tails_that_tear_again_and_again_use_no_number_twice()
    {
        using var log = TestLog.Create(FileSystem.Memory);
        var last = (await log.AppendAsync(1)).Sequence;
        for (var round = 0; round < 5; round++)
        {
            // a group was under way in the newest segment, which may hold nothing else
            var path = log.Segments[^1];
            log.WriteFile(path, [.. log.ReadFile(path), 1, 2, 3]);
            log.Reopen();
            log.Files.FailNthSync(round % 2 == 0 ? 2 : 1); // the new segment is made, its first group is not; or neither
            await Assert.ThrowsAsync<SluiceException>(() => log.AppendAsync(90));
            path = log.Segments[^1];
            log.WriteFile(path, log.ReadFile(path)[..Math.Min(LogSegment.HeaderSize + 5, log.ReadFile(path).Length)]);
            log.Reopen();
            var position = await log.AppendAsync(2 + round);
            Assert.InRange(position.Sequence, last + 1, ulong.MaxValue);
            last = position.Sequence;
            log.Reopen();
            Assert.Equal(Enumerable.Range(1, round + 2).Select(n => (long)n), log.Read().Select(frame => frame.Number));
        }
    }

    [Fact]
    public async Task A_cut_through_acknowledged_frames_is_refused()
    {
        using var log = await FilledAsync();
        var random = new Random(Seed);
        for (var round = 0; round < 150; round++)
        {
            var path = log.Segments[random.Next(log.Segments.Count)];
            var bytes = log.ReadFile(path);
            var length = random.Next(bytes.Length);
            log.WriteFile(path, bytes[..length]);
            var refused = AssertRefused(log, $"seed {Seed}, round {round}: {path} cut to {length} of {bytes.Length} bytes");
            Assert.Contains("segment-", refused.Message, StringComparison.Ordinal);
            log.WriteFile(path, bytes);
        }
        log.Reopen();
        Assert.Equal(40, log.Read().Count);
    }

    [Fact]
    public async Task A_flipped_bit_in_acknowledged_frames_is_refused_with_file_and_offset()
    {
        using var log = await FilledAsync();
        var random = new Random(Seed);
        var harmless = 0;
        for (var round = 0; round < 400; round++)
        {
            var path = log.Segments[random.Next(log.Segments.Count)];
            var bytes = log.ReadFile(path);
            var (at, bit) = (random.Next(bytes.Length), random.Next(8));
            var flipped = bytes.ToArray();
            flipped[at] ^= (byte)(1 << bit);
            log.WriteFile(path, flipped);
            var what = $"seed {Seed}, round {round}: {path}, bit {bit} of byte {at}";
            if (IsPadding(bytes, at))
            {
                // padding means nothing: the frames are read as they were
                harmless++;
                log.Reopen();
                Assert.Equal(40, log.Read().Count(frame => frame.IsIntact));
                log.Log.Dispose();
            }
            else
            {
                var refused = AssertRefused(log, what);
                Assert.True(refused.Message.StartsWith(path, StringComparison.Ordinal), $"{what}: {refused.Message}");
                Assert.Contains("offset ", refused.Message, StringComparison.Ordinal);
                Assert.Equal(flipped, log.ReadFile(path)); // a refusal changes nothing
            }
            log.WriteFile(path, bytes);
        }
        Assert.InRange(harmless, 0, 100);
    }

    [Fact]
    public async Task A_damaged_frame_is_named_by_the_offset_of_its_group()
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAllAsync(1, 3);
        var path = log.Segments[0];
        var bytes = log.ReadFile(path);
        var group = GroupHeader.Size + FrameHeader.Size + 16;
        bytes[LogSegment.HeaderSize + group + GroupHeader.Size + FrameHeader.Size] ^= 1; // the payload of the second frame
        log.WriteFile(path, bytes);
        Assert.StartsWith($"{path}: offset {LogSegment.HeaderSize + group}: ", AssertRefused(log, "").Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task After_a_power_cut_a_damaged_frame_is_known_by_the_groups_behind_it()
    {
        // the watermark is not synced: here it has fallen back to the beginning, and only the chain of groups speaks
        using var log = TestLog.Create(FileSystem.Memory);
        var watermark = log.ReadFile(log.WatermarkPath);
        await log.AppendAllAsync(1, 3);
        var path = log.Segments[0];
        var good = log.ReadFile(path);
        var group = GroupHeader.Size + FrameHeader.Size + 16;
        log.WriteFile(log.WatermarkPath, watermark);
        log.WriteFile(path, Flip(good, LogSegment.HeaderSize + GroupHeader.Size + FrameHeader.Size));
        Assert.Contains("says that it was acknowledged", AssertRefused(log, "").Message, StringComparison.Ordinal);

        // negative control: the last group has nothing behind it, so without the watermark its damage is an unacknowledged tail
        log.WriteFile(path, Flip(good, LogSegment.HeaderSize + (2 * group) + GroupHeader.Size + FrameHeader.Size));
        log.Reopen();
        Assert.Equal([1L, 2L], log.Read().Select(frame => frame.Number));
        Assert.Equal(group, log.Log.DroppedBytes);
    }

    [Fact]
    public async Task The_watermark_knows_an_acknowledged_tail_that_looks_torn()
    {
        // the same damage as in the negative control above, with the watermark as it was
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAllAsync(1, 3);
        var path = log.Segments[0];
        log.WriteFile(path, log.ReadFile(path)[..^1]);
        Assert.Contains("sequence 3 was acknowledged", AssertRefused(log, "").Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(-1)]
    public async Task A_missing_segment_is_refused(int which)
    {
        using var log = await FilledAsync();
        var path = which < 0 ? log.Segments[^1] : log.Segments[which];
        log.Real.Delete(path);
        AssertRefused(log, path);
    }

    [Fact]
    public async Task All_segments_missing_is_refused()
    {
        using var log = await FilledAsync();
        foreach (var path in log.Segments) log.Real.Delete(path);
        AssertRefused(log, "no segments");
    }

    [Fact]
    public async Task A_missing_or_damaged_watermark_is_refused()
    {
        using var log = await FilledAsync();
        var good = log.ReadFile(log.WatermarkPath);
        log.Real.Delete(log.WatermarkPath);
        Assert.Contains("watermark is missing", AssertRefused(log, "").Message, StringComparison.Ordinal);
        Assert.True(TableLog.Exists(log.Files, log.Directory)); // so that nobody takes the place for free
        foreach (var bad in new[] { [], new byte[good.Length], good[..40], Flip(Flip(good, 33), 4_096 + 33) })
        {
            log.WriteFile(log.WatermarkPath, bad);
            Assert.Contains("watermark is damaged", AssertRefused(log, "").Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task One_damaged_slot_of_the_watermark_is_fine()
    {
        foreach (var slot in new[] { 0, 4_096 })
        {
            using var log = await FilledAsync();
            log.WriteFile(log.WatermarkPath, Flip(log.ReadFile(log.WatermarkPath), slot + 33));
            log.Reopen();
            Assert.Equal(40, log.Read().Count);

            // it is whole again on the disk, before the other is in danger
            using var cut = log.On(log.Memory.PowerCut());
            cut.WriteFile(cut.WatermarkPath, Flip(cut.ReadFile(cut.WatermarkPath), 4_096 - slot + 33));
            cut.Open();
            Assert.Equal(40, cut.Read().Count);
            await log.AppendAsync(41);
            await log.AppendAsync(42);
            log.Reopen();
            Assert.Equal(42, log.Read().Count);
        }
    }

    [Fact]
    public async Task A_watermark_ahead_of_the_log_is_refused()
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAllAsync(1, 2);
        var segment = log.ReadFile(log.Segments[0]);
        await log.AppendAsync(3);
        log.WriteFile(log.Segments[0], segment);
        AssertRefused(log, "");
    }

    [Fact]
    public async Task A_summary_that_is_older_missing_or_damaged_is_refused_once_segments_are_trimmed()
    {
        using var log = await FilledAsync();
        LogTrimming.Run(log.Files, log.Directory, log.Log, log.Log.FindTrimmable(15, long.MaxValue));
        var path = Path.Combine(log.Directory, LogSummary.FileName);
        var older = log.ReadFile(path);
        var olderSequence = LogSummary.Read(log.Files, log.Directory).Sequence;
        LogTrimming.Run(log.Files, log.Directory, log.Log, log.Log.FindTrimmable(30, long.MaxValue));
        var good = log.ReadFile(path);
        var sequence = LogSummary.Read(log.Files, log.Directory).Sequence;
        Assert.True(sequence > olderSequence);
        log.Reopen(sequence);

        log.WriteFile(path, older);
        AssertRefused(log, "older", LogSummary.Read(log.Files, log.Directory).Sequence);
        log.Real.Delete(path);
        AssertRefused(log, "missing", LogSummary.Read(log.Files, log.Directory).Sequence);
        for (var at = 0; at < good.Length; at += 7)
        {
            log.WriteFile(path, Flip(good, at));
            var refused = Assert.Throws<SluiceException>(() => LogSummary.Read(log.Files, log.Directory));
            Assert.Equal(ErrorCode.Corrupt, refused.Code);
            Assert.StartsWith(path, refused.Message, StringComparison.Ordinal);
        }
        log.WriteFile(path, []);
        Assert.Throws<SluiceException>(() => LogSummary.Read(log.Files, log.Directory));
    }

    [Fact]
    public async Task A_power_cut_may_undo_any_of_several_deletions()
    {
        for (var round = 0; round < 30; round++)
        {
            using var log = await FilledAsync();
            var segments = log.Segments.ToDictionary(path => path, log.ReadFile);
            LogTrimming.Run(log.Files, log.Directory, log.Log, log.Log.FindTrimmable(40, long.MaxValue));
            var random = new Random(Seed + round);
            foreach (var (path, bytes) in segments)
                if (!log.Real.Exists(path) && random.Next(2) == 0) log.WriteFile(path, bytes);
            log.Reopen(LogSummary.Read(log.Files, log.Directory).Sequence);
            Assert.Equal(40UL, log.Log.DurablePosition.Sequence);
            var summarised = LogSummary.Read(log.Files, log.Directory).Sequence;
            Assert.Equal(40, log.Read(summarised)[^1].Number);

            // what came back goes again, and takes the summary nowhere
            if (log.Log.FindTrimmable(40, long.MaxValue) is { Count: > 0 } again) LogTrimming.Run(log.Files, log.Directory, log.Log, again);
            Assert.Equal(summarised, LogSummary.Read(log.Files, log.Directory).Sequence);
            log.Reopen(summarised);
        }
    }

    [Fact]
    public async Task A_segment_of_another_log_is_refused()
    {
        using var log = await FilledAsync();
        using var other = await FilledAsync();
        log.WriteFile(log.Segments[2], other.ReadFile(other.Segments[2]));
        Assert.Contains("belongs to another log", AssertRefused(log, "").Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_watermark_of_another_log_is_refused()
    {
        using var log = await FilledAsync();
        using var other = await FilledAsync();
        log.WriteFile(log.WatermarkPath, other.ReadFile(other.WatermarkPath));
        AssertRefused(log, "");
    }

    [Fact]
    public async Task A_renamed_or_copied_segment_is_refused()
    {
        using var log = await FilledAsync();
        var second = log.ReadFile(log.Segments[1]);
        log.WriteFile(Path.Combine(log.Directory, LogSegment.NameOf(1_000_000)), second);
        AssertRefused(log, "");
    }

    [Fact]
    public async Task A_segment_of_a_newer_format_is_refused()
    {
        using var log = await FilledAsync();
        var path = log.Segments[1];
        var bytes = log.ReadFile(path);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(10), 2);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(60), Crc32C.Of(bytes.AsSpan(0, 60)));
        log.WriteFile(path, bytes);
        Assert.Equal($"{path}: needs a version of Sluice that reads log format 2", AssertRefused(log, "").Message);
    }

    [Theory]
    [InlineData(4, 2)] // format version
    [InlineData(5, 9)] // a kind that does not exist yet
    [InlineData(6, 1 | 2)] // compressed
    [InlineData(6, 1 | 4)] // encrypted
    [InlineData(7, 128)] // a flag that does not exist yet
    [InlineData(88, 1)] // a second part of nothing
    [InlineData(96, 1)] // a part whose first part is itself
    [InlineData(96, 2)] // a part whose first part comes later
    [InlineData(104, 1)] // rows before the first part
    public async Task A_frame_of_a_newer_version_is_refused(int at, byte value)
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAsync(1);
        var path = log.Segments[0];
        var bytes = log.ReadFile(path);
        var header = bytes.AsSpan(LogSegment.HeaderSize + GroupHeader.Size, FrameHeader.Size);
        header[at] = value;
        BinaryPrimitives.WriteUInt32LittleEndian(header[^4..], Crc32C.Of(header[..^4]));
        log.WriteFile(path, bytes);
        Assert.Contains("was written by a newer version", AssertRefused(log, "").Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, false)]
    [InlineData(1, false)]
    [InlineData(63, false)]
    [InlineData(64, true)]
    public async Task A_last_segment_without_a_header_was_never_used(int length, bool isZero)
    {
        using var log = await FilledAsync();
        var path = Path.Combine(log.Directory, LogSegment.NameOf(41));
        log.WriteFile(path, isZero ? new byte[length] : log.ReadFile(log.Segments[0])[..length]);
        log.Reopen();
        Assert.False(log.Real.Exists(path));
        Assert.Equal(41UL, (await log.AppendAsync(41)).Sequence);
        log.Reopen();
        Assert.Equal(41, log.Read().Count);
    }

    [Fact]
    public async Task A_last_segment_with_a_header_and_nothing_else_is_used()
    {
        using var log = TestLog.Create(FileSystem.Memory, new LogOptions { SegmentBytes = 1 });
        await log.AppendAsync(1);
        log.Files.FailNthWrite(2); // header, then the group
        await Assert.ThrowsAsync<SluiceException>(() => log.AppendAsync(2));
        var path = log.Segments[^1];
        log.WriteFile(path, log.ReadFile(path)[..LogSegment.HeaderSize]);
        log.Reopen();
        Assert.Equal(0, log.Log.DroppedBytes);
        Assert.Equal(2UL, (await log.AppendAsync(3)).Sequence);
        log.Reopen();
        Assert.Equal([1L, 3L], log.Read().Select(frame => frame.Number));
    }

    [Fact]
    public async Task A_segment_whose_header_was_zeroed_is_refused_and_left_alone()
    {
        using var log = await FilledAsync();
        var path = log.Segments[^1];
        var bytes = log.ReadFile(path);
        bytes.AsSpan(0, LogSegment.HeaderSize).Clear();
        log.WriteFile(path, bytes);
        AssertRefused(log, path);
        Assert.Equal(bytes, log.ReadFile(path));

        log.WriteFile(path, []);
        AssertRefused(log, path);
        Assert.True(log.Real.Exists(path));
    }

    [Fact]
    public async Task An_interrupted_creation_can_be_finished()
    {
        for (var n = 1; n <= 3; n++)
        {
            var memory = new MemoryFiles();
            var files = new FaultyFiles(memory);
            if (n == 1) files.FailNthWrite(1);
            if (n == 2) files.FailNthSync(1);
            if (n < 3) Assert.Throws<IOException>(() => TableLog.Create(files, "/memory/log"));
            else TableLog.Create(files, "/memory/log");
            foreach (var survivor in new[] { memory.Kill(), memory.PowerCut(), memory.PowerCut(new Random(Seed)) })
            {
                if (!TableLog.Exists(survivor, "/memory/log")) TableLog.Create(survivor, "/memory/log");
                using var log = TableLog.Open(survivor, "/memory/log", new LogOptions(), 0, (in FrameHeader _, ReadOnlySpan<byte> _) => { });
                Assert.Equal(1UL, (await log.AppendAsync(TestLog.Frame(1, 16))).Sequence);
            }
        }
    }

    [Fact]
    public async Task What_recovery_found_survives_the_next_power_cut()
    {
        // killed after write and before sync: the frame is read back, may be loaded, and must not vanish any more
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAsync(1);
        log.Files.FailNthSync(1);
        await Assert.ThrowsAsync<SluiceException>(() => log.AppendAsync(2));
        using var killed = log.On(log.Memory.Kill()).Open();
        Assert.Equal([1L, 2L], killed.Read().Select(frame => frame.Number));
        using var cut = killed.On(killed.Memory.PowerCut()).Open();
        Assert.Equal([1L, 2L], cut.Read().Select(frame => frame.Number));
    }

    [Fact]
    public async Task A_new_segment_survives_a_power_cut_although_the_process_died_before_it_synced_the_directory()
    {
        using var log = TestLog.Create(FileSystem.Memory, new LogOptions { SegmentBytes = 1 });
        await log.AppendAsync(1);
        using (var file = log.Real.Create(log.Segments[0].Replace("0001.log", "0002.log", StringComparison.Ordinal)))
        {
            var header = log.ReadFile(log.Segments[0])[..LogSegment.HeaderSize];
            (header[32], header[40]) = (2, 1); // first sequence, and the last of the segment before
            BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(60), Crc32C.Of(header.AsSpan(0, 60)));
            file.Write(header, 0);
            file.Sync();
        }
        using var killed = log.On(log.Memory.Kill()).Open();
        await killed.AppendAsync(2);
        using var cut = killed.On(killed.Memory.PowerCut()).Open();
        Assert.Equal([1L, 2L], cut.Read().Select(frame => frame.Number));
    }

    static SluiceException AssertRefused(TestLog log, string what, ulong summarised = 0)
    {
        log.Log.Dispose();
        try
        {
            log.Open(summarised);
        }
        catch (SluiceException e)
        {
            Assert.Equal(ErrorCode.Corrupt, e.Code);
            return e;
        }
        throw new Xunit.Sdk.XunitException($"opened, although acknowledged frames are damaged: {what}");
    }

    /// <summary>Forty acknowledged frames of many sizes over several segments.</summary>
    static async Task<TestLog> FilledAsync()
    {
        var log = TestLog.Create(FileSystem.Memory, new LogOptions { SegmentBytes = 1_000, RetainedBytes = 0 });
        for (var n = 1; n <= 40; n++) await log.AppendAsync(n, 8 + (n * 13 % 150));
        Assert.InRange(log.Segments.Count, 6, 20);
        return log;
    }

    /// <summary>The bytes of a group of one frame, as a crash may leave part of it.</summary>
    static async Task<byte[]> GroupOfAsync(int size)
    {
        using var log = TestLog.Create(FileSystem.Memory);
        await log.AppendAsync(1, size);
        return log.ReadFile(log.Segments[0])[LogSegment.HeaderSize..];
    }

    static IEnumerable<byte[]> Tails(byte[] group, int length)
    {
        var garbage = new byte[length];
        new Random(Seed).NextBytes(garbage);
        yield return group[..length];
        yield return new byte[length];
        yield return garbage;
    }

    /// <summary>Whether the byte lies between the end of a payload and the next frame.</summary>
    static bool IsPadding(byte[] segment, int at)
    {
        for (var group = LogSegment.HeaderSize; group < segment.Length;)
        {
            Assert.True(GroupHeader.TryRead(segment.AsSpan(group), out var header));
            for (var frame = group + GroupHeader.Size; frame < group + header.GroupBytes;)
            {
                Assert.True(FrameHeader.TryRead(segment.AsSpan(frame), out var read));
                if (at >= frame + FrameHeader.Size + read.PayloadBytes && at < frame + read.FrameBytes) return true;
                frame += read.FrameBytes;
            }
            group += header.GroupBytes;
        }
        return false;
    }

    static byte[] Flip(byte[] bytes, int at)
    {
        var flipped = bytes.ToArray();
        flipped[at] ^= 1;
        return flipped;
    }
}
