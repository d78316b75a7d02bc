using Sluice.Load;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice;

/// <summary>One ingest endpoint.</summary>
public sealed class Sink
{
    /// <summary>The pseudo-sink that SQL writes count under.</summary>
    public static Guid SqlSinkId { get; } = new("00000000-0000-0000-0000-000000000001");

    public SinkDefinition Definition => throw new NotImplementedException();

    /// <summary>Decodes, validates and durably appends the records of one request.</summary>
    /// <param name="caller">Id of the user or key, for the log.</param>
    public ValueTask<BatchOutcome> IngestAsync(ReadOnlyMemory<byte> body, string caller, CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>Refuses what cannot be taken now, before the body is read.</summary>
    /// <exception cref="SluiceException">LogBacklog, DiskLow, LogFailed, Draining.</exception>
    public void ThrowIfNotAdmitting() => throw new NotImplementedException();

    public ValueTask<IReadOnlyList<LateError>> ReadErrorsAsync(int limit, CancellationToken cancellation) => throw new NotImplementedException();

    /// <summary>Minutes with requests, oldest first.</summary>
    public IReadOnlyList<MinutePoint> ReadMinutes() => throw new NotImplementedException();

    public SinkLedger ReadLedger() => throw new NotImplementedException();
}
