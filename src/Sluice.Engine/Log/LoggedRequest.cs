using System.Text.Json;
using Sluice.Records;

namespace Sluice.Log;

/// <summary>A complete request as its frames hold it.</summary>
/// <param name="Header">Of its last part.</param>
/// <param name="Outcome">What its sender was answered.</param>
sealed record LoggedRequest(FrameHeader Header, RecordsFrame.Meta Meta, BatchOutcome Outcome)
{
    /// <summary>Finds a request in the log.</summary>
    /// <returns><c>null</c>: there is none that ends with this sequence, or it was trimmed.</returns>
    public static LoggedRequest? Find(TableLog log, ulong sequence)
    {
        if (sequence == 0 || log.IsTrimmed(sequence)) return null;
        var first = sequence;
        try
        {
            using var reader = log.OpenReader(sequence - 1);
            if (!reader.TryPeek(out var last) || last.Header.Position.Sequence != sequence || last.Header.Kind != FrameKind.Records || !last.Header.IsLastPart) return null;
            if (last.Header.FirstPart != 0) first = last.Header.FirstPart;
            return Read(log, last.Header, last.Payload.Span);
        }
        catch (Exception e) when (e is ObjectDisposedException || (e is SluiceException { Code: ErrorCode.Corrupt } && log.IsTrimmed(first)))
        {
            return null; // trimmed at this moment
        }
    }

    /// <summary>Reads a request of which the last part is at hand.</summary>
    public static LoggedRequest Read(TableLog log, in FrameHeader last, ReadOnlySpan<byte> payload)
    {
        var isDiscarded = last.Flags.HasFlag(FrameFlags.Discarded);
        var warnings = new List<TruncationWarning>();
        var meta = RecordsFrame.ReadMeta(payload);
        // as much as was answered
        var rejected = new RejectedList();
        if (last.FirstPart != 0) ReadParts(log, last, isDiscarded, rejected, warnings);
        rejected.Add(ReadPart(last, payload, isDiscarded, warnings));
        var mostWarnings = last.FirstPart == 0 ? int.MaxValue : Sink.MaxWarnings;
        if (isDiscarded) rejected.DiscardAll(last.RequestRecordCount);
        var outcome = new BatchOutcome(last.RequestId, last.Position.Sequence, last.RequestRecordCount, rejected, isDiscarded ? [] : [.. warnings.Take(mostWarnings)])
        {
            UndetailedCount = rejected.UndetailedCount,
            OmittedWarningCount = isDiscarded ? 0 : Math.Max(0, warnings.Count - mostWarnings),
        };
        return new LoggedRequest(last, meta, outcome);
    }

    static void ReadParts(TableLog log, in FrameHeader last, bool isDiscarded, RejectedList rejected, List<TruncationWarning> warnings)
    {
        using var reader = log.OpenReader(last.FirstPart - 1);
        for (; reader.TryPeek(out var part) && part.Header.Position.Sequence < last.Position.Sequence; reader.Take())
        {
            if (part.Header.Position.Sequence == last.FirstPart || part.Header.FirstPart == last.FirstPart)
                rejected.Add(ReadPart(part.Header, part.Payload.Span, isDiscarded, warnings));
        }
    }

    static List<RejectedRecord> ReadPart(in FrameHeader header, ReadOnlySpan<byte> payload, bool isDiscarded, List<TruncationWarning> warnings)
    {
        var rejected = new List<RejectedRecord>();
        if (header.RejectedCount == 0 && !header.Flags.HasFlag(FrameFlags.Warnings)) return rejected;
        var reader = new RejectedReader(payload, header.AcceptedCount);
        for (var i = 0; i < header.RejectedCount; i++)
        {
            reader.Read();
            var errors = reader.Errors.IsEmpty ? [] : JsonSerializer.Deserialize(reader.Errors, RecordErrorJson.Default.IReadOnlyListFieldError) ?? [];
            rejected.Add(new RejectedRecord(reader.Index, isDiscarded && errors.Count == 0, errors));
        }
        if (header.Flags.HasFlag(FrameFlags.Warnings)) reader.ReadWarnings(warnings);
        return rejected;
    }
}
