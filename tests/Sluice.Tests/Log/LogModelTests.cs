using Sluice.Log;

namespace Sluice.Tests.Log;

/// <summary>
/// Random actions on a log against a list: what was acknowledged is never lost or changed and keeps its order; what was not appears at most
/// once. Each run is named by its seed; the environment variable SLUICE_TEST_SEED runs one alone.
/// </summary>
public sealed class LogModelTests
{
    const int Runs = 3_000;
    const string SeedVariable = "SLUICE_TEST_SEED";
    static readonly int? OnlySeed = int.TryParse(Environment.GetEnvironmentVariable(SeedVariable), out var seed) ? seed : null;

    [Fact]
    public async Task Acknowledged_frames_are_never_lost_or_changed()
    {
        var first = OnlySeed ?? Random.Shared.Next(int.MaxValue / 2);
        TestContext.Current.SendDiagnosticMessage($"seeds from {first}");
        var actions = new int[Enum.GetValues<Act>().Length];
        for (var seed = first; seed < first + (OnlySeed is null ? Runs : 1); seed++)
        {
            try
            {
                await RunAsync(seed, actions);
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"seed {seed}: {e.Message}", e);
            }
        }
        if (OnlySeed is null) Assert.All(actions, count => Assert.InRange(count, Runs / 10, int.MaxValue)); // none of them has gone to sleep
    }

    enum Act
    {
        Append,
        AppendTogether,
        Reopen,
        Kill,
        PowerCut,
        FailWrite,
        FailSync,
        Trim,
        Read,
    }

    static async Task RunAsync(int seed, int[] counts)
    {
        var random = new Random(seed);
        var options = new LogOptions { SegmentBytes = random.Next(1, 1_500), RetainedBytes = random.Next(0, 2_000), RetainedAge = TimeSpan.FromDays(1) };
        var log = TestLog.Create(FileSystem.Memory, options);
        var model = new Model();
        for (var step = random.Next(3, 25); step > 0; step--)
        {
            var act = (Act)random.Next(counts.Length);
            counts[(int)act]++;
            switch (act)
            {
                case Act.Append:
                    await model.AppendAsync(log, random, 1);
                    break;
                case Act.AppendTogether:
                    await model.AppendAsync(log, random, random.Next(2, 8));
                    break;
                case Act.FailWrite:
                    log.Files.FailNthWrite(random.Next(1, 5));
                    await model.AppendAsync(log, random, random.Next(1, 8));
                    break;
                case Act.FailSync:
                    log.Files.FailNthSync(random.Next(1, 4));
                    await model.AppendAsync(log, random, random.Next(1, 8));
                    break;
                case Act.Reopen:
                    await log.Log.CloseAsync();
                    log = model.Reopen(log, log.Memory.Kill());
                    break;
                case Act.Kill:
                    log = model.Reopen(log, log.Memory.Kill());
                    break;
                case Act.PowerCut:
                    log = model.Reopen(log, log.Memory.PowerCut(random.Next(4) == 0 ? null : random));
                    break;
                case Act.Trim:
                    model.Trim(log, random);
                    break;
                case Act.Read:
                    model.Check(log);
                    break;
            }
        }
        log = model.Reopen(log, log.Memory.PowerCut(random));
        await model.AppendAsync(log, random, 1);
        log = model.Reopen(log, log.Memory.PowerCut());
        log.Dispose();
    }

    sealed class Model
    {
        readonly Dictionary<long, ulong> _acknowledged = []; // number -> sequence
        readonly HashSet<long> _unknown = []; // may be found, once
        readonly HashSet<ulong> _sequences = [];
        readonly List<(ulong Sequence, long Number)> _seen = []; // what was last read back: it stays
        long _next = 1;

        public async Task AppendAsync(TestLog log, Random random, int count)
        {
            var appends = new List<(long Number, Task<LogPosition> Append)>();
            for (var i = 0; i < count; i++)
            {
                var number = _next++;
                appends.Add((number, log.AppendAsync(number, random.Next(8, 200))));
            }
            foreach (var (number, append) in appends)
            {
                try
                {
                    var position = await append;
                    Assert.True(_sequences.Add(position.Sequence), $"sequence {position.Sequence} was given out twice");
                    Assert.True(position.Sequence > (_acknowledged.Count == 0 ? 0 : _acknowledged.Values.Max()));
                    _acknowledged.Add(number, position.Sequence);
                }
                catch (SluiceException e)
                {
                    Assert.Equal(ErrorCode.LogFailed, e.Code);
                    if (e.Outcome == RefusalOutcome.Unknown) _unknown.Add(number);
                }
            }
        }

        public TestLog Reopen(TestLog log, MemoryFiles survivor)
        {
            log.Dispose();
            var reopened = log.On(survivor);
            reopened.Open(LogSummary.Read(survivor, log.Directory).Sequence);
            Check(reopened);
            return reopened;
        }

        public void Trim(TestLog log, Random random)
        {
            var loaded = (ulong)random.NextInt64((long)log.Log.DurablePosition.Sequence + 1);
            var segments = log.Log.FindTrimmable(loaded, 0);
            if (segments.Count == 0) return;
            try
            {
                LogTrimming.Run(log.Files, log.Directory, log.Log, segments);
            }
            catch (IOException)
            {
                // a fault that no append has met; the segments stay
            }
        }

        /// <summary>The frames that can be read are the acknowledged ones behind the summary, in order, and perhaps unknown ones, once each.</summary>
        public void Check(TestLog log)
        {
            var summarised = LogSummary.Read(log.Real, log.Directory).Sequence;
            var frames = log.Read(summarised);
            Assert.All(frames, frame => Assert.True(frame.IsIntact));
            Assert.Equal(frames.Select(frame => frame.Sequence).Distinct().Order(), frames.Select(frame => frame.Sequence));
            Assert.Equal(frames.Count, frames.Select(frame => frame.Number).Distinct().Count());

            var found = frames.ToDictionary(frame => frame.Number, frame => frame.Sequence);
            foreach (var (number, sequence) in _acknowledged)
            {
                if (sequence <= summarised) Assert.DoesNotContain(number, found.Keys);
                else Assert.True(found.TryGetValue(number, out var at) && at == sequence, $"frame {number}, acknowledged as {sequence}, is lost");
            }
            Assert.All(found.Keys, number => Assert.True(_acknowledged.ContainsKey(number) || _unknown.Contains(number), $"frame {number} was refused as not stored"));

            // what was read once may have been loaded: it never goes away, nor does its number come again
            var present = frames.Select(frame => (frame.Sequence, frame.Number)).ToList();
            foreach (var seen in _seen.Where(seen => seen.Sequence > summarised)) Assert.Contains(seen, present);
            _seen.Clear();
            _seen.AddRange(present);
            _sequences.UnionWith(found.Values);
        }
    }
}
