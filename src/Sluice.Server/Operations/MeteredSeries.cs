using System.Diagnostics.Metrics;
using Prometheus;
using Sluice.Metrics;

namespace Sluice.Server.Operations;

/// <summary>
/// The series of <c>/metrics</c> that only events tell: how long syncs and loads took, what was refused, connections; and those of the process. Counted
/// from the server's start.
/// </summary>
/// <remarks>
/// Listens to the instruments of this server alone. Not with the library's own adapter: that forgets a counter five minutes after its last event.
/// Nothing here runs once a record: syncs and loads are of many. Any thread.
/// </remarks>
sealed class MeteredSeries : IDisposable
{
    const string Kestrel = "Microsoft.AspNetCore.Server.Kestrel";

    readonly MeterListener _listener = new();

    public MeteredSeries(IMeterFactory meters)
    {
        var make = Prometheus.Metrics.WithCustomRegistry(Registry);
        make.ExemplarBehavior = ExemplarBehavior.NoExemplars();
        var refused = make.CreateCounter("sluice_requests_refused_total", "Requests refused with 429 or 503, by cause.", "cause");
        foreach (var cause in Refusals.Causes)
            refused.WithLabels(cause).Inc(0); // what has not happened yet is 0, so that the first time is an increase

        var series = new Dictionary<(string Meter, string Instrument), Collector>
        {
            [(IngestMeters.MeterName, RefusalMeter.Refused)] = refused,
            [(IngestMeters.MeterName, IngestMeters.SyncSeconds)] = Histogram(make, "sluice_log_fsync_seconds", "Time of one fdatasync of a log.", 0.0001, 17),
            [(IngestMeters.MeterName, IngestMeters.GroupFrames)] = Histogram(make, "sluice_log_group_frames", "Frames, one a request, that one fdatasync made durable.", 1, 11),
            [(IngestMeters.MeterName, IngestMeters.LoadSeconds)] = Histogram(make, "sluice_load_seconds", "Time of one load of a table.", 0.001, 16),
            [(IngestMeters.MeterName, IngestMeters.LoadRecords)] = Histogram(make, "sluice_load_records", "Records in one load of a table.", 1, 21),
            [(Kestrel, "kestrel.active_connections")] = make.CreateGauge("sluice_connections", "Open connections."),
            [(Kestrel, "kestrel.rejected_connections")] = make.CreateCounter("sluice_connections_rejected_total", "Connections refused because too many were open."),
        };
        DotNetStats.Register(Registry);

        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Scope == meters && series.TryGetValue((instrument.Meter.Name, instrument.Name), out var wanted))
                listener.EnableMeasurementEvents(instrument, wanted);
        };
        _listener.SetMeasurementEventCallback<double>(static (_, value, tags, series) => Note(series, value, tags));
        _listener.SetMeasurementEventCallback<long>(static (_, value, tags, series) => Note(series, value, tags));
        _listener.Start();
    }

    public CollectorRegistry Registry { get; } = Prometheus.Metrics.NewCustomRegistry();

    public void Dispose() => _listener.Dispose();

    /// <param name="first">The upper bound of the first bucket; each is twice the one before.</param>
    static Histogram Histogram(MetricFactory make, string name, string help, double first, int count) =>
        make.CreateHistogram(name, help, new HistogramConfiguration { Buckets = Prometheus.Histogram.ExponentialBuckets(first, 2, count) });

    static void Note(object? series, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (series is Histogram histogram)
            histogram.Observe(value);
        else if (series is Gauge gauge)
            gauge.Inc(value);
        else if (series is Counter { LabelNames: [] } counter)
            counter.Inc(value);
        else if (series is Counter labelled)
            labelled.WithLabels((string)tags[0].Value!).Inc(value);
    }
}
