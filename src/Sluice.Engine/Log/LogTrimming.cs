using Sluice.Metrics;

namespace Sluice.Log;

/// <summary>Deletes loaded segments behind a summary: what they counted is durable elsewhere before the first of them goes.</summary>
static class LogTrimming
{
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: a segment cannot be read back; nothing was deleted.</exception>
    public static void Run(LogFiles files, string directory, TableLog log, IReadOnlyList<LogSegment> segments)
    {
        var summary = LogSummary.Read(files, directory);
        var ledger = new TableLedger();
        ledger.AddSummary(summary.Sinks);
        foreach (var segment in segments)
        {
            using var reader = new SegmentReader(segment);
            while (reader.TryReadGroup(segment.DurableBytes))
            {
                foreach (var frame in reader.Frames)
                    if (frame.Header.Position.Sequence > summary.Sequence) ledger.CountFrame(frame.Header, frame.Payload.Span);
            }
            if (reader.NextOffset != segment.DurableBytes)
                throw new SluiceException(ErrorCode.Corrupt, $"{segment.Path}: offset {reader.NextOffset}: a durable group cannot be read back");
        }
        // a segment whose deletion failed, or was undone by a power cut, comes again: the summary never goes back to it
        var last = Math.Max(summary.Sequence, segments[^1].LastSequence);
        summary.With(log.Id, last, ledger).Write(files, directory);
        log.TrimTo(last);
    }
}
