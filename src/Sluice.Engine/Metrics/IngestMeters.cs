using System.Diagnostics.Metrics;

namespace Sluice.Metrics;

/// <summary>All instruments of the engine (meter <c>Sluice</c>). Methods are named after events. Any thread.</summary>
public sealed class IngestMeters
{
    public const string MeterName = "Sluice";

    public const string SyncSeconds = "sluice.log.sync.duration";
    public const string GroupFrames = "sluice.log.group.frames";
    public const string LoadSeconds = "sluice.load.duration";
    public const string LoadRecords = "sluice.load.records";

    readonly Counter<long> _requests;
    readonly Counter<long> _accepted;
    readonly Counter<long> _rejected;
    readonly Counter<long> _receivedBytes;
    readonly Counter<long> _loaded;
    readonly Counter<long> _failed;
    readonly Counter<long> _superseded;
    readonly Histogram<double> _syncSeconds;
    readonly Histogram<long> _groupFrames;
    readonly Histogram<double> _loadSeconds;
    readonly Histogram<long> _loadRecords;

    public IngestMeters(IMeterFactory factory)
    {
        var meter = factory.Create(MeterName);
        _requests = meter.CreateCounter<long>("sluice.requests", "{request}", "POST requests answered with per-record results");
        _accepted = meter.CreateCounter<long>("sluice.records.accepted", "{record}", "Records validated and durable in the log");
        _rejected = meter.CreateCounter<long>("sluice.records.rejected", "{record}", "Records that failed validation");
        _receivedBytes = meter.CreateCounter<long>("sluice.requests.received", "By", "Bytes of decompressed request bodies");
        _loaded = meter.CreateCounter<long>("sluice.records.loaded", "{record}", "Accepted records applied to their table, or superseded");
        _failed = meter.CreateCounter<long>("sluice.records.failed", "{record}", "Accepted records that could not be loaded");
        _superseded = meter.CreateCounter<long>("sluice.records.superseded", "{record}", "Loaded records that changed nothing, because their version is below that of their key");
        _syncSeconds = meter.CreateHistogram<double>(SyncSeconds, "s", "Time of one fdatasync of a log");
        _groupFrames = meter.CreateHistogram<long>(GroupFrames, "{frame}", "Frames that one fdatasync made durable");
        _loadSeconds = meter.CreateHistogram<double>(LoadSeconds, "s", "Time of one load transaction");
        _loadRecords = meter.CreateHistogram<long>(LoadRecords, "{record}", "Records in one load transaction");
    }

    public void BatchIngested(Guid sinkId, int acceptedCount, int rejectedCount, long bodyBytes)
    {
        var sink = new KeyValuePair<string, object?>("sink", sinkId);
        _requests.Add(1, sink);
        _receivedBytes.Add(bodyBytes, sink);
        if (acceptedCount > 0) _accepted.Add(acceptedCount, sink);
        if (rejectedCount > 0) _rejected.Add(rejectedCount, sink);
    }

    public void GroupSynced(int frameCount, TimeSpan elapsed)
    {
        _syncSeconds.Record(elapsed.TotalSeconds);
        _groupFrames.Record(frameCount);
    }

    public void BatchLoaded(long loadedCount, long failedCount, long supersededCount, TimeSpan elapsed)
    {
        _loaded.Add(loadedCount);
        if (failedCount > 0) _failed.Add(failedCount);
        if (supersededCount > 0) _superseded.Add(supersededCount);
        _loadSeconds.Record(elapsed.TotalSeconds);
        _loadRecords.Record(loadedCount + failedCount);
    }
}
