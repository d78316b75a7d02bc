using Sluice.Records;
using Sluice.Schema;
using Sluice.Watch;

namespace Sluice;

/// <summary>What passes through a sink, for those who look: the newest records, and the live ones.</summary>
public sealed partial class Sink
{
    readonly RecordSample _sample;
    readonly LiveTail _tail = new();
    readonly DriftTotals _drift = new();

    /// <summary>The newest records, right or wrong, newest first: at most 100 and 1 MiB, in memory. Empty where the sink keeps none.</summary>
    public IReadOnlyList<SampledRecord> ReadSample() => Definition.KeepsSample ? _sample.Read() : [];

    /// <summary>Says what another mapping would make of the newest records. Changes nothing.</summary>
    public IReadOnlyList<TrialRecord> Try(SinkDefinition trial) => Trial.Run(ReadSample(), RecordDecoder.Compile(trial, _table.Schema));

    /// <summary>What comes and is not mapped, by path, since the process began. Exact within its bounds: 1,000 paths, 128 names an object.</summary>
    public Drift ReadDrift() => _drift.Read(Definition);

    /// <summary>Watches the sink: each record with its fate, once its request is durable.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.LimitExceeded"/>: too many watch already.</exception>
    public TailSubscription Tail(TailFilter filter) => _tail.Subscribe(filter);

    /// <summary>Shows the rows of a request to those who look, while its body is at hand.</summary>
    /// <returns>To be published when the request is durable; <c>null</c>: nobody watches.</returns>
    TailBatch? Show(SinkDefinition definition, RecordRows rows, ReadOnlySpan<byte> body, long receivedAtMicroseconds)
    {
        if (definition.KeepsSample) _sample.Take(rows, body, receivedAtMicroseconds);
        return _tail.Look(rows, body, receivedAtMicroseconds);
    }

    /// <summary>Counts what a durable request had beside the mapping. Paths that are new are known to the decoder from here on.</summary>
    void NoteDrift(RecordRows rows, long receivedAtMicroseconds)
    {
        if (rows.Drift is null || !_drift.Add(rows.Drift, receivedAtMicroseconds)) return;
        lock (_change) Volatile.Write(ref _mapping, _mapping with { Decoder = Compile(_mapping.Definition, _mapping.Decoder.Schema) });
    }

    /// <summary>SQL names columns that exist, so it has no drift.</summary>
    RecordDecoder Compile(SinkDefinition definition, TableSchema schema) =>
        RecordDecoder.Compile(definition, schema, definition.Id == SqlSinkId ? null : _drift.ReadPaths());
}
