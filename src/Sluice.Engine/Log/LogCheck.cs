using Sluice.Load;
using Sluice.Metrics;

namespace Sluice.Log;

/// <summary>What a sound log holds.</summary>
/// <param name="End">Its last position.</param>
/// <param name="TrimmedUpTo">Frames up to this sequence are summarised and gone; 0: none.</param>
/// <param name="UnacknowledgedBytes">A torn tail, which the next start cuts off.</param>
/// <param name="Ledger">What was received and lost, of all sinks.</param>
/// <param name="WaitingRecords">Accepted records of the requests that end behind the store's position: the first of them may be loaded in part.</param>
public sealed record LogReport(LogPosition End, ulong TrimmedUpTo, long UnacknowledgedBytes, SinkLedger Ledger, long WaitingRecords);

/// <summary>Reads a log as the start of a server does, and changes nothing.</summary>
public static class LogCheck
{
    /// <param name="stored">What the table's store says; <c>null</c>: it has no such table.</param>
    /// <param name="isStoreKnown">False: the store could not be read, so the log is looked at alone.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.Corrupt"/>: the server would refuse to start. <see cref="ErrorCode.DatabaseDamaged"/>: it would start with the table closed.
    /// </exception>
    public static LogReport Run(LogFiles files, string directory, TableDefinition table, StoredTable? stored, bool isStoreKnown)
    {
        if (!TableLog.Exists(files, directory)) throw new SluiceException(ErrorCode.Corrupt, $"{directory}: the log of table {table.Schema.Name} is missing");
        var summary = LogSummary.Read(files, directory);
        var ledger = new TableLedger();
        ledger.AddSummary(summary.Sinks);
        var parts = new RequestParts();
        var (loaded, waiting, incomplete) = (stored?.Position.Sequence ?? 0, 0L, "");
        FrameVisitor count = (in FrameHeader header, ReadOnlySpan<byte> payload) =>
        {
            if (header.Position.Sequence > summary.Sequence) ledger.CountFrame(header, payload);
            var isWhole = parts.IsWhole(header);
            if (header.Kind != FrameKind.Records || !header.IsLastPart || header.Position.Sequence <= loaded || summary.Torn?.Contains(header.Position.Sequence) == true) return;
            waiting += header.RequestAcceptedCount;
            if (!isWhole && header.FirstPart > summary.Sequence) incomplete = header.RequestId;
        };
        using var log = TableLog.Open(files, directory, new LogOptions(), summary.Sequence, count, summary.Torn, writable: false);
        if (summary.Sequence > 0 && summary.LogId != log.Id)
            throw new SluiceException(ErrorCode.Corrupt, $"{directory}: the summary of trimmed frames is of log {summary.LogId}, but the log found is {log.Id}");
        if (isStoreKnown) Table.ThrowIfUnpaired(stored, log, summary, table);
        if (isStoreKnown && incomplete.Length > 0) throw new SluiceException(ErrorCode.Corrupt, $"{directory}: request {incomplete} is complete and not loaded, but parts of it are not in the log");
        if (stored is not null) ledger.CountLoaded(stored.Counts);
        return new LogReport(log.DurablePosition, summary.Sequence, log.DroppedBytes, ledger.ReadAll(), waiting);
    }
}
