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
        AppendPart,
        Complete,
        GiveUp,
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
                case Act.AppendPart:
                    await model.AppendPartAsync(log, random);
                    break;
                case Act.Complete:
                    await model.CompleteAsync(random);
                    break;
                case Act.GiveUp:
                    await model.GiveUpAsync();
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
        readonly List<(PartWriter Parts, List<long> Numbers)> _open = [];
        readonly Dictionary<ulong, List<long>> _requests = []; // complete requests in parts, by their position
        readonly List<List<long>> _unknownRequests = []; // may be found, as a whole
        ulong _loaded; // what a store would say
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

        public async Task AppendPartAsync(TestLog log, Random random)
        {
            if (_open.Count == 0 || random.Next(3) == 0) _open.Add((new PartWriter(log.Log), []));
            var (parts, numbers) = _open[random.Next(_open.Count)];
            try
            {
                var part = await parts.NextAsync(hasMore: true);
                parts.Append(TestLog.Frame(_next, random.Next(8, 200), 0, part, numbers.Count), 1);
                numbers.Add(_next);
                _unknown.Add(_next++);
            }
            catch (SluiceException e)
            {
                Assert.Equal((ErrorCode.LogFailed, RefusalOutcome.NotStored), (e.Code, e.Outcome));
            }
        }

        public async Task CompleteAsync(Random random)
        {
            if (_open.Count == 0) return;
            var (parts, numbers) = _open[random.Next(_open.Count)];
            _open.Remove((parts, numbers));
            await using var _ = parts;
            numbers.Add(_next);
            _unknown.Add(_next);
            try
            {
                var part = await parts.NextAsync(hasMore: false);
                var position = await parts.CompleteAsync(TestLog.Frame(_next, random.Next(8, 200), 0, part, numbers.Count - 1));
                _requests.Add(position.Sequence, numbers);
            }
            catch (SluiceException e)
            {
                Assert.Equal(ErrorCode.LogFailed, e.Code);
                if (e.Outcome == RefusalOutcome.Unknown) _unknownRequests.Add(numbers);
            }
            finally
            {
                _next++;
            }
        }

        public async Task GiveUpAsync()
        {
            if (_open.Count == 0) return;
            await _open[0].Parts.DisposeAsync();
            _open.RemoveAt(0);
        }

        public TestLog Reopen(TestLog log, MemoryFiles survivor)
        {
            _open.Clear();
            log.Dispose();
            var reopened = log.On(survivor);
            reopened.Open(LogSummary.Read(survivor, log.Directory).Sequence);
            Check(reopened);
            return reopened;
        }

        public void Trim(TestLog log, Random random)
        {
            _loaded = Math.Max(_loaded, (ulong)random.NextInt64((long)log.Log.DurablePosition.Sequence + 1));
            var segments = log.Log.FindTrimmable(_loaded, 0);
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

            CheckRequests(log);

            // what was read once may have been loaded: it never goes away, nor does its number come again
            var present = frames.Select(frame => (frame.Sequence, frame.Number)).ToList();
            foreach (var seen in _seen.Where(seen => seen.Sequence > summarised)) Assert.Contains(seen, present);
            _seen.Clear();
            _seen.AddRange(present);
            _sequences.UnionWith(found.Values);
        }

        /// <summary>Behind what is loaded, requests in parts take effect as wholes: the complete ones, and perhaps unknown ones.</summary>
        void CheckRequests(TestLog log)
        {
            var found = log.ReadRequests(_loaded);
            foreach (var (sequence, numbers) in _requests.Where(request => request.Key > _loaded))
                Assert.True(found.TryGetValue(sequence, out var read) && read.SequenceEqual(numbers), $"request {sequence} is not whole");
            foreach (var (sequence, numbers) in found.Where(request => !_requests.ContainsKey(request.Key)))
            {
                var isWhole = numbers.Count == 1 && (_acknowledged.ContainsKey(numbers[0]) || _unknown.Contains(numbers[0]));
                Assert.True(isWhole || _unknownRequests.Exists(unknown => unknown.SequenceEqual(numbers)), $"request {sequence} was never complete");
            }
        }
    }
}
