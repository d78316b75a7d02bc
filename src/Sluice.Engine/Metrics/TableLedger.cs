using Sluice.Load;
using Sluice.Log;

namespace Sluice.Metrics;

/// <summary>
/// The counters and the minutes of every sink of one table. What was received is counted from frames, when they become durable and
/// again when the log is recovered; what was loaded comes from the store's own transaction: both survive any crash. Any thread.
/// </summary>
sealed class TableLedger
{
    readonly Lock _lock = new();
    readonly Dictionary<Guid, SinkTotals> _sinks = []; // under _lock

    /// <summary>Counts a frame that is durable. A request counts when it is complete.</summary>
    public void CountFrame(in FrameHeader header, ReadOnlySpan<byte> payload)
    {
        if (header.Kind != FrameKind.Records || !header.IsLastPart) return;
        var bytes = RecordsFrame.ReadBodyBytes(payload);
        lock (_lock)
        {
            var totals = TotalsOf(header.SinkId);
            totals.Requests++;
            totals.Received += header.RequestRecordCount;
            totals.Accepted += header.RequestAcceptedCount;
            totals.Bytes += bytes;
            if (header.RequestAcceptedCount > 0) totals.AddPending(header.Position.Sequence, header.ReceivedAtMicroseconds / 1_000_000, bytes);
            totals.Minutes.Add(header.ReceivedAtMicroseconds / 60_000_000, header.RequestAcceptedCount, header.RequestRecordCount - header.RequestAcceptedCount);
        }
    }

    /// <summary>Takes the store's totals, which are right whatever was counted here.</summary>
    public void SetLoaded(IReadOnlyDictionary<Guid, SinkCounts> counts)
    {
        lock (_lock)
        {
            foreach (var totals in _sinks.Values) totals.Loaded = totals.Failed = totals.Superseded = totals.Replayed = 0;
            CountLoaded(counts);
        }
    }

    /// <summary>Adds what one load settled, or the store's totals at the start.</summary>
    public void CountLoaded(IReadOnlyDictionary<Guid, SinkCounts> counts)
    {
        lock (_lock)
        {
            foreach (var (sinkId, count) in counts)
            {
                var totals = TotalsOf(sinkId);
                totals.Loaded += count.Loaded;
                totals.Failed += count.Failed;
                totals.Replayed += count.Replayed;
                totals.Superseded += count.Superseded;
            }
        }
    }

    /// <summary>Everything up to the sequence is in the store.</summary>
    public void MoveTo(ulong sequence)
    {
        lock (_lock)
        {
            foreach (var totals in _sinks.Values) totals.SettleUpTo(sequence);
        }
    }

    public SinkLedger Read(Guid sinkId)
    {
        lock (_lock) return _sinks.TryGetValue(sinkId, out var totals) ? LedgerOf(totals) : default;
    }

    /// <summary>When records of the sink were last found to be lost, microseconds since 1970-01-01 UTC; 0: never.</summary>
    public long ReadLostAt(Guid sinkId)
    {
        lock (_lock) return _sinks.TryGetValue(sinkId, out var totals) ? totals.LostAt : 0;
    }

    /// <summary>The sums over all sinks, at one moment.</summary>
    public SinkLedger ReadAll()
    {
        lock (_lock)
        {
            var sum = default(SinkLedger);
            foreach (var ledger in _sinks.Values.Select(LedgerOf))
            {
                sum = new SinkLedger(
                    sum.Requests + ledger.Requests, sum.Received + ledger.Received, sum.Accepted + ledger.Accepted, sum.Rejected + ledger.Rejected,
                    sum.Loaded + ledger.Loaded, sum.Failed + ledger.Failed, sum.Pending + ledger.Pending)
                {
                    Replayed = sum.Replayed + ledger.Replayed,
                    Superseded = sum.Superseded + ledger.Superseded,
                    Lost = sum.Lost + ledger.Lost,
                };
            }
            return sum;
        }
    }

    public SinkVolume ReadVolume(Guid sinkId)
    {
        lock (_lock) return _sinks.TryGetValue(sinkId, out var totals) ? VolumeOf(totals) : default;
    }

    /// <summary>Of all sinks together.</summary>
    public SinkVolume ReadVolume()
    {
        lock (_lock)
        {
            var volumes = _sinks.Values.Select(VolumeOf).ToList();
            var oldest = volumes.Select(volume => volume.OldestPendingMicroseconds).Where(time => time != 0);
            return new SinkVolume(volumes.Sum(volume => volume.ReceivedBytes), volumes.Sum(volume => volume.PendingBytes), oldest.DefaultIfEmpty().Min());
        }
    }

    static SinkLedger LedgerOf(SinkTotals totals) => new(
        totals.Requests, totals.Received, totals.Accepted, totals.Received - totals.Accepted, totals.Loaded, totals.Failed + totals.Lost, totals.Accepted - totals.Loaded - totals.Failed - totals.Lost)
    {
        Replayed = totals.Replayed,
        Superseded = totals.Superseded,
        Lost = totals.Lost,
    };

    static SinkVolume VolumeOf(SinkTotals totals) =>
        new(totals.Bytes, totals.Pending.Sum(second => second.Bytes), totals.Pending.Count == 0 ? 0 : totals.Pending[0].Second * 1_000_000);

    public IReadOnlyList<MinutePoint> ReadMinutes(Guid sinkId)
    {
        lock (_lock) return _sinks.TryGetValue(sinkId, out var totals) ? totals.Minutes.ToArray() : [];
    }

    public List<SummarisedSink> ReadSummary()
    {
        lock (_lock)
        {
            return _sinks.Select(sink => new SummarisedSink(
                sink.Key, sink.Value.Requests, sink.Value.Received, sink.Value.Accepted,
                [.. sink.Value.Minutes.ToArray().Select(point => new[] { point.Minute, point.Requests, point.Accepted, point.Rejected })], sink.Value.Bytes)
            {
                Lost = sink.Value.Lost,
                LostAt = sink.Value.LostAt,
            }).ToList();
        }
    }

    public void AddSummary(IEnumerable<SummarisedSink> sinks)
    {
        lock (_lock)
        {
            foreach (var sink in sinks)
            {
                var totals = TotalsOf(sink.SinkId);
                totals.Requests += sink.Requests;
                totals.Received += sink.Received;
                totals.Accepted += sink.Accepted;
                totals.Bytes += sink.Bytes;
                totals.Lost += sink.Lost;
                totals.LostAt = Math.Max(totals.LostAt, sink.LostAt);
                foreach (var minute in sink.Minutes) totals.Minutes.Add(new MinutePoint(minute[0], minute[1], minute[2], minute[3]));
            }
        }
    }

    SinkTotals TotalsOf(Guid sinkId)
    {
        if (!_sinks.TryGetValue(sinkId, out var totals)) _sinks.Add(sinkId, totals = new SinkTotals());
        return totals;
    }

    sealed class SinkTotals
    {
        public long Requests;
        public long Received;
        public long Accepted;
        public long Loaded;
        public long Failed;
        public long Replayed;
        public long Superseded;
        public long Bytes;
        public long Lost;
        public long LostAt;

        /// <summary>Per second, in log order: requests that are not settled, the last of them, and the bytes of their bodies.</summary>
        public List<(long Second, ulong Last, long Bytes)> Pending { get; } = [];

        public MinuteSeries Minutes { get; } = new();

        public void AddPending(ulong sequence, long second, long bytes)
        {
            if (Pending.Count > 0 && Pending[^1].Second == second) Pending[^1] = (second, sequence, Pending[^1].Bytes + bytes);
            else Pending.Add((second, sequence, bytes));
        }

        public void SettleUpTo(ulong sequence)
        {
            var settled = 0;
            while (settled < Pending.Count && Pending[settled].Last <= sequence) settled++;
            Pending.RemoveRange(0, settled);
        }
    }
}
