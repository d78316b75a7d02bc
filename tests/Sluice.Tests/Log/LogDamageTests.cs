using Sluice.Log;

namespace Sluice.Tests.Log;

/// <summary>Damage at random, many times: what was acknowledged is never missing without a word, and a repair keeps all that is intact.</summary>
public sealed class LogDamageTests(ITestOutputHelper output)
{
    const int Frames = 60;

    static readonly int Seed = Random.Shared.Next();

    static bool IsLong => Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1";

    [Fact]
    public async Task A_log_cut_anywhere_loses_nothing_that_was_acknowledged_without_a_word()
    {
        var (refused, dropped) = await CutAsync(IsLong ? 1_000 : 200, withWatermark: true);
        output.WriteLine($"seed {Seed}: {refused} refused, {dropped} dropped what was never acknowledged, 0 silent");
        Assert.True(refused > 0 && dropped > 0, $"the cuts prove nothing: {refused} refused, {dropped} dropped");
    }

    /// <summary>The control: the same cuts with a watermark that knows nothing are not all seen.</summary>
    [Fact]
    public async Task Without_the_watermark_the_same_cuts_lose_acknowledged_frames() =>
        await Assert.ThrowsAsync<SilentLossException>(() => CutAsync(200, withWatermark: false));

    /// <summary>Cuts the last segment at random places, some of them behind what was acknowledged, with a tail of several kinds.</summary>
    static async Task<(int Refused, int Dropped)> CutAsync(int cuts, bool withWatermark)
    {
        using var log = await FilledAsync();
        var (refused, dropped) = (0, 0);
        var random = new Random(Seed);
        var path = log.Segments[^1];
        var acknowledged = log.ReadFile(path).Length;
        if (!withWatermark) Watermark.Create(log.Real, log.Directory, log.Log.DurablePosition with { Sequence = 0 });
        log.Log.Dispose();
        var mark = log.ReadFile(log.WatermarkPath);
        var whole = await WithTornGroupAsync(log, path);
        for (var cut = 0; cut < cuts; cut++)
        {
            var length = random.Next(LogSegment.HeaderSize, whole.Length);
            var tail = random.Next(3) switch { 0 => [], 1 => new byte[random.Next(1, 4_097)], _ => Garbage(random, random.Next(1, 4_097)) };
            byte[] bytes = [.. whole.AsSpan(0, length), .. tail];
            log.WriteFile(path, bytes);
            log.WriteFile(log.WatermarkPath, mark);
            try
            {
                log.Open();
                var kept = log.Read();
                log.Log.Dispose();
                if (kept.Count < Frames || !kept.All(frame => frame.IsIntact)) throw new SilentLossException($"seed {Seed}, cut {cut} at {length} of {acknowledged}: {kept.Count} frames of {Frames}");
                dropped++;
            }
            catch (SluiceException e)
            {
                Assert.Equal(ErrorCode.Corrupt, e.Code);
                Assert.Matches("segment-[0-9]{20}.log: offset [0-9]+: ", e.Message);
                Assert.True(length < acknowledged, $"seed {Seed}, cut {cut} at {length}: only what was never acknowledged is gone, and it is refused: {e.Message}");
                Assert.Equal(bytes, log.ReadFile(path));
                refused++;
            }
        }
        return (refused, dropped);
    }

    [Fact]
    public async Task A_flipped_bit_in_any_file_of_a_log_is_refused_or_changes_nothing()
    {
        using var log = await FilledAsync();
        LogTrimming.Run(log.Files, log.Directory, log.Log, log.Log.FindTrimmable(20, long.MaxValue));
        var summary = LogSummary.Read(log.Files, log.Directory);
        var expected = log.Read(summary.Sequence);
        var position = log.Log.DurablePosition;
        log.Log.Dispose();
        var random = new Random(Seed);
        foreach (var path in log.Real.List(log.Directory).Select(name => Path.Combine(log.Directory, name)))
        {
            var (detected, harmless, good) = (0, 0, log.ReadFile(path));
            for (var flip = 0; flip < (IsLong ? 500 : 60); flip++)
            {
                var flipped = good.ToArray();
                var (at, bit) = (random.Next(good.Length), random.Next(8));
                flipped[at] ^= (byte)(1 << bit);
                log.WriteFile(path, flipped);
                try
                {
                    var found = LogSummary.Read(log.Files, log.Directory);
                    log.Open(found.Sequence);
                    var what = $"seed {Seed}: {path}, bit {bit} of byte {at} is not noticed";
                    Assert.True(log.Log.DurablePosition == position && found.Sequence == summary.Sequence, what);
                    Assert.True(log.Read(found.Sequence).SequenceEqual(expected, SameFrames), what);
                    log.Log.Dispose();
                    harmless++;
                }
                catch (SluiceException e)
                {
                    Assert.Equal(ErrorCode.Corrupt, e.Code);
                    detected++;
                }
                log.WriteFile(path, good);
            }
            output.WriteLine($"{Path.GetFileName(path)}: {detected} detected, {harmless} harmless, 0 silent");
            Assert.True(detected > 0 || Path.GetFileName(path) == Watermark.FileName, $"{path}: no flip was detected");
        }
    }

    [Fact]
    public async Task A_repair_keeps_every_intact_group_and_no_number_comes_again()
    {
        var random = new Random(Seed);
        for (var round = 0; round < (IsLong ? 1_000 : 120); round++)
        {
            using var log = await FilledAsync();
            var all = log.Read();
            log.Log.Dispose();
            var damage = Damage(log, random);
            var what = $"seed {Seed}, round {round}: {damage}";
            if (IsSound(log)) continue;

            var before = log.Real.List(log.Directory).ToDictionary(name => name, name => log.ReadFile(Path.Combine(log.Directory, name)));
            var plan = LogRepair.Plan(log.Real, log.Directory, null, 1);
            Assert.True(before.All(file => log.ReadFile(Path.Combine(log.Directory, file.Key)).SequenceEqual(file.Value)), what); // a plan changes nothing
            var aside = Path.Combine(log.Directory + "-aside", "x");
            plan.Apply(aside);
            Assert.True(before.All(file => log.ReadFile(Path.Combine(aside, file.Key)).SequenceEqual(file.Value)), what);

            var summary = LogSummary.Read(log.Real, log.Directory);
            log.Open(summary.Sequence);
            var kept = log.Read(summary.Sequence);
            Assert.True(kept.All(frame => frame.IsIntact) && kept.Select(frame => frame.Sequence).SequenceEqual(kept.Select(frame => frame.Sequence).Order()), what);
            Assert.True(kept.All(frame => all.Any(original => original.Sequence == frame.Sequence && original.Payload.SequenceEqual(frame.Payload))), what);
            Assert.True(kept.Count >= all.Count - damage.MostLost, $"{what}: {kept.Count} of {all.Count} are kept");
            Assert.Equal(plan.End.Sequence, Math.Max(kept.Count == 0 ? 0 : kept[^1].Sequence, summary.Sequence));
            var next = (await log.AppendAsync(999)).Sequence;
            Assert.True(next > (ulong)all.Count && next >= plan.Next, $"{what}: {next} was given out before");
            log.Reopen(summary.Sequence);
            Assert.Equal(kept.Count + 1, log.Read(summary.Sequence).Count);
            Assert.Equal(kept.Count + 1, log.Read(kept.Count == 0 ? summary.Sequence : kept[0].Sequence - 1).Count);
        }
    }

    [Fact]
    public async Task A_segment_of_the_original_does_not_fit_a_log_that_goes_on_from_its_copy()
    {
        using var log = await FilledAsync();
        var copy = log.Directory + "-copy";
        log.Log.CopyTo(copy);
        var end = TableLog.BeginIncarnation(log.Files, copy);
        await log.AppendAsync(1_000, size: 2_000); // the original goes on, in the last segment and in a new one
        await log.AppendAsync(1_001);
        using (var going = TableLog.Open(log.Files, copy, log.Options, 0, (in FrameHeader _, ReadOnlySpan<byte> _) => { }))
        {
            Assert.Equal(end, going.DurablePosition);
            Assert.True((await going.AppendAsync(TestLog.Frame(1, 16))).Sequence > log.Log.DurablePosition.Sequence + uint.MaxValue - 10);
        }
        TableLog.BeginIncarnation(log.Files, copy); // again, and still sound
        foreach (var foreign in log.Segments.Where(path => Path.GetFileName(path) is var name && !log.Real.List(copy).Contains(name)).Take(1))
        {
            using (var to = log.Real.Create(Path.Combine(copy, Path.GetFileName(foreign)))) to.Write(log.ReadFile(foreign), 0);
            Assert.Equal(ErrorCode.Corrupt, Assert.Throws<SluiceException>(() => TableLog.Open(log.Files, copy, log.Options, 0, (in FrameHeader _, ReadOnlySpan<byte> _) => { })).Code);
            return;
        }
        Assert.Fail("the original has made no new segment");
    }

    [Fact]
    public async Task A_copy_has_everything_acknowledged_before_it_while_appends_go_on()
    {
        using var log = TestLog.Create(FileSystem.Disk, new LogOptions { SegmentBytes = 4_000 });
        await log.AppendAllAsync(1, 50);
        using var stop = new CancellationTokenSource();
        var appending = Task.Run(async () =>
        {
            for (var n = 51; !stop.IsCancellationRequested; n++) await log.AppendAsync(n);
        }, TestContext.Current.CancellationToken);
        for (var round = 0; round < 20; round++)
        {
            var acknowledged = log.Log.DurablePosition;
            var copy = $"{log.Directory}-{round}";
            var position = log.Log.CopyTo(copy);
            Assert.True(position.Sequence >= acknowledged.Sequence);
            TableLog.BeginIncarnation(log.Files, copy);
            using var opened = TableLog.Open(log.Files, copy, log.Options, 0, (in FrameHeader _, ReadOnlySpan<byte> _) => { });
            Assert.True(opened.DurablePosition.Sequence >= position.Sequence);
        }
        await stop.CancelAsync();
        await appending;
    }

    /// <summary>What was done to a log.</summary>
    /// <param name="MostLost">Frames that it can have cost.</param>
    sealed record Damaged(string What, int MostLost);

    static Damaged Damage(TestLog log, Random random)
    {
        var path = log.Segments[random.Next(log.Segments.Count)];
        var bytes = log.ReadFile(path);
        switch (random.Next(6))
        {
            case 0:
                bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
                log.WriteFile(path, bytes);
                return new Damaged($"a bit of {path}", 1);
            case 1:
                var at = random.Next(bytes.Length);
                bytes.AsSpan(at, Math.Min(random.Next(1, 200), bytes.Length - at)).Clear();
                log.WriteFile(path, bytes);
                return new Damaged($"zeros in {path} at {at}", 4);
            case 2:
                log.Real.Delete(path);
                return new Damaged($"{path} is missing", 12);
            case 3:
                var length = random.Next(bytes.Length);
                log.WriteFile(path, bytes[..length]);
                return new Damaged($"{path} is cut to {length}", 12);
            case 4:
                log.Real.Delete(log.WatermarkPath);
                return new Damaged("no watermark", 0);
            default:
                log.WriteFile(path, [.. bytes, .. bytes.AsSpan(LogSegment.HeaderSize)]);
                return new Damaged($"{path} comes twice", 0);
        }
    }

    static bool IsSound(TestLog log)
    {
        try
        {
            TableLog.Open(log.Real, log.Directory, log.Options, 0, (in FrameHeader _, ReadOnlySpan<byte> _) => { }, writable: false).Dispose();
            return true;
        }
        catch (SluiceException)
        {
            return false;
        }
    }

    /// <summary>The segment with a group behind it that was being written.</summary>
    static async Task<byte[]> WithTornGroupAsync(TestLog log, string path)
    {
        using var other = TestLog.Create(FileSystem.Memory);
        await other.AppendAsync(1, size: 900);
        return [.. log.ReadFile(path), .. other.ReadFile(other.Segments[0]).AsSpan(LogSegment.HeaderSize)[..^200]]; // no tail completes it
    }

    static byte[] Garbage(Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }

    static async Task<TestLog> FilledAsync()
    {
        var log = TestLog.Create(FileSystem.Memory, new LogOptions { SegmentBytes = 1_500, RetainedBytes = 0 });
        for (var n = 1; n <= Frames; n++) await log.AppendAsync(n, 8 + (n * 13 % 150));
        return log;
    }

    static IEqualityComparer<TestLog.Framed> SameFrames { get; } =
        EqualityComparer<TestLog.Framed>.Create((a, b) => a.Sequence == b.Sequence && a.Payload.AsSpan().SequenceEqual(b.Payload), frame => frame.Sequence.GetHashCode());

    sealed class SilentLossException(string what) : Exception(what);
}
