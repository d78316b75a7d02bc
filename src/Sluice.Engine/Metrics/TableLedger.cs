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

    public void CountFrame(in FrameHeader header)
    {
        if (header.Kind != FrameKind.Records || !header.IsLastPart) return; // a request counts when it is complete
        lock (_lock)
        {
            var totals = TotalsOf(header.SinkId);
            totals.Requests++;
            totals.Received += header.RequestRecordCount;
            totals.Accepted += header.RequestAcceptedCount;
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

    public SinkLedger Read(Guid sinkId)
    {
        lock (_lock)
        {
            if (!_sinks.TryGetValue(sinkId, out var totals)) return default;
            return new SinkLedger(
                totals.Requests, totals.Received, totals.Accepted, totals.Received - totals.Accepted, totals.Loaded, totals.Failed,
                totals.Accepted - totals.Loaded - totals.Failed)
            {
                Replayed = totals.Replayed,
                Superseded = totals.Superseded,
            };
        }
    }

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
                [.. sink.Value.Minutes.ToArray().Select(point => new[] { point.Minute, point.Requests, point.Accepted, point.Rejected })])).ToList();
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
        public MinuteSeries Minutes { get; } = new();
    }
}
