using Sluice.Load;
using Sluice.Schema;

namespace Sluice.Log;

/// <summary>What of a table whose database is lost is in its log still.</summary>
/// <param name="TrimmedUpTo">Records up to this sequence are gone; 0: the log is complete, and nothing is lost.</param>
/// <param name="LostRecords">Accepted records that are gone, and those that a repair dropped before.</param>
/// <param name="KeptRecords">Accepted records that the log has.</param>
public sealed record RebuildReport(ulong TrimmedUpTo, long LostRecords, long KeptRecords);

/// <summary>
/// Makes the loader load a table anew from what its log has. What was trimmed is counted as lost from then on: received and accepted stay what they
/// were, and the records count as failed.
/// </summary>
/// <remarks>
/// The log begins another incarnation, so that the lost database, should it be found, never meets the new counts. Everything can be done again after a
/// crash. What one table kept of trimmed requests beside its rows (late errors, quarantine, idempotency keys) is gone with the database.
/// </remarks>
public static class LogRebuild
{
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: the log has to be repaired first.</exception>
    public static RebuildReport Examine(LogFiles files, string directory) => Read(files, directory, 0).Report;

    /// <param name="store">Of a database that lacks the table.</param>
    /// <param name="schema">Of the catalogue: the columns that the table gets; later changes are in the log.</param>
    /// <param name="nowMicroseconds">Microseconds since 1970-01-01 UTC.</param>
    public static async Task<RebuildReport> RunAsync(LogFiles files, string directory, ITableStore store, TableSchema schema, long nowMicroseconds, CancellationToken cancellation)
    {
        var (summary, report) = Read(files, directory, nowMicroseconds);
        if (summary is { IsEmpty: true, Missing: null }) return report; // nothing is lost, and the loader begins at the first frame by itself
        var incarnation = TableLog.BeginIncarnation(files, directory);
        (summary with { LogId = incarnation.LogId }).Write(files, directory);
        if (summary.Sequence == 0) return report; // what is lost is what a repair took out
        await store.ApplySchemaAsync(schema, incarnation with { Sequence = summary.Sequence }, cancellation);
        return report;
    }

    static (LogSummary Summary, RebuildReport Report) Read(LogFiles files, string directory, long now)
    {
        var summary = LogSummary.Read(files, directory);
        var parts = new RequestParts();
        var torn = new HashSet<ulong>();
        var lost = summary.Sinks.ToDictionary(sink => sink.SinkId, sink => sink.Accepted); // of what is not in the log; what a repair has found torn is met there again
        var missing = new List<ulong[]>();
        var (kept, previous) = (0L, summary.Sequence);
        FrameVisitor visit = (in FrameHeader header, ReadOnlySpan<byte> _) =>
        {
            if (header.Position.Sequence <= summary.Sequence) return;
            LogSummary.AddGap(missing, previous, header.Position.Sequence); // of it, the table may have had some; with it they are gone
            previous = header.Position.Sequence;
            var isWhole = parts.IsWhole(header);
            if (header.Kind != FrameKind.Records || !header.IsLastPart) return;
            if (isWhole)
            {
                kept += header.RequestAcceptedCount;
                return;
            }
            torn.Add(header.Position.Sequence);
            lost[header.SinkId] = lost.GetValueOrDefault(header.SinkId) + header.RequestAcceptedCount;
        };
        using (TableLog.Open(files, directory, new LogOptions(), summary.Sequence, visit, summary.Torn, writable: false))
        {
        }
        missing.AddRange((summary.Missing ?? []).Where(range => range[0] > previous)); // the end of the log, which a repair took
        var sinks = summary.Sinks.Select(sink => sink with { Lost = lost[sink.SinkId], LostAt = lost[sink.SinkId] > 0 ? now : 0 })
            .Concat(lost.Where(sink => summary.Sinks.All(known => known.SinkId != sink.Key)).Select(sink => new SummarisedSink(sink.Key, 0, 0, 0, []) { Lost = sink.Value, LostAt = now }));
        return (summary with { Sinks = [.. sinks], Torn = LogSummary.TornOf(torn), Missing = missing.Count > 0 ? missing : null, LostUpTo = summary.Sequence }, new RebuildReport(summary.Sequence, lost.Values.Sum(), kept));
    }
}
