namespace Sluice.Log;

/// <summary>Called for each durable frame, in log order; the payload is valid only during the call.</summary>
public delegate void FrameVisitor(in FrameHeader header, ReadOnlySpan<byte> payload);

/// <summary>What <see cref="LogRecovery"/> found.</summary>
/// <param name="Segments">In order, opened, each advanced to its last good group.</param>
/// <param name="NextSequence">Above every sequence that was ever given out.</param>
/// <param name="DroppedBytes">Unacknowledged bytes cut from the tail of the last segment.</param>
sealed record RecoveredLog(List<LogSegment> Segments, ulong NextSequence, long DroppedBytes);

/// <summary>
/// Reads a log from disk and proves that nothing acknowledged is missing: every group intact, sequences and segments without a gap,
/// and the end not below what the watermark or a later group header says was durable. What does not add up is refused, with
/// file and offset; only an unacknowledged tail is cut off.
/// </summary>
/// <remarks>
/// What it keeps is on the disk when it returns, and not in the page cache alone. A process that ended because its fsync failed leaves pages that are read as
/// written and that no later fsync writes (Linux marks them clean), so what the watermark does not vouch for is written once more; and a directory whose
/// entries nobody has synced yet is synced.
/// </remarks>
static class LogRecovery
{
    /// <summary>
    /// A group has at most this many frames. A torn group may have handed out so many sequences, so numbering skips them.
    /// </summary>
    public const int MaxFramesPerGroup = 65_536;

    /// <param name="summarised">Frames up to this sequence may have been trimmed; 0 when nothing was.</param>
    /// <param name="writable">False: only looks; a torn tail is told and left.</param>
    public static RecoveredLog Run(LogFiles files, string directory, Watermark mark, ulong summarised, FrameVisitor visit, bool writable = true)
    {
        UnfinishedRepair.ThrowIfExists(files, directory);
        var watermark = mark.Position;
        var segments = new List<LogSegment>();
        var names = files.List(directory).Where(LogSegment.IsName).ToList();
        var end = default(SegmentEnd);
        string? unborn = null;
        try
        {
            for (var i = 0; i < names.Count; i++)
            {
                var path = Path.Combine(directory, names[i]);
                var isLast = i == names.Count - 1;
                var mayGrow = writable && i >= names.Count - 2; // the last, or the one before it when the last turns out to be unborn
                if (LogSegment.TryOpen(files, path, writable: mayGrow) is not { } segment)
                {
                    if (!isLast) throw Damaged(path, 0, "the segment has no header");
                    unborn = path; // created, and the process died before anything could go in
                    break;
                }
                segments.Add(segment);
                if (segment.FirstPosition.LogId != watermark.LogId) throw Damaged(path, 0, "the segment belongs to another log");
                ThrowIfGap(segment, segments.Count == 1 ? null : end.Sequence, summarised);
                end = ScanSegment(segment, isLast, watermark.Sequence, visit);
                if (segment.FirstPosition.Incarnation != watermark.Incarnation && end.Sequence > mark.Lineage.Inherited)
                    throw Damaged(path, 0, $"the segment was written in incarnation {segment.FirstPosition.Incarnation} of the log, which this log ({watermark.Incarnation}) goes on from at sequence {mark.Lineage.Inherited}");
            }
            var recovered = Conclude(segments, directory, mark, summarised, end, writable);
            if (!writable) return recovered;
            if (unborn is not null) files.Delete(unborn);
            files.SyncDirectory(directory);
            return recovered;
        }
        catch
        {
            segments.ForEach(segment => segment.Dispose());
            throw;
        }
    }

    static RecoveredLog Conclude(
        List<LogSegment> segments, string directory, Watermark mark, ulong summarised, in SegmentEnd end, bool writable)
    {
        var watermark = mark.Position;
        var lastSequence = Math.Max(end.Sequence, segments.Count == 0 ? summarised : 0);
        if (lastSequence < watermark.Sequence)
        {
            var last = segments.LastOrDefault();
            throw Damaged(last?.Path ?? directory, last?.DurableBytes ?? 0,
                $"the log ends at sequence {lastSequence}, but sequence {watermark.Sequence} was acknowledged");
        }
        if (writable && segments.LastOrDefault() is { } tail)
        {
            if (end.DroppedBytes > 0) tail.File.SetLength(tail.DurableBytes);
            WriteAgain(tail.File, end.UnprovenFrom, tail.DurableBytes);
            tail.File.Sync(); // what is read from here on must not vanish in a later power cut
        }
        var nextSequence = segments.LastOrDefault()?.NextSequence ?? lastSequence + 1;
        var skipped = end.DroppedBytes > 0 ? (ulong)MaxFramesPerGroup : 0;
        return new RecoveredLog(segments, Math.Max(nextSequence + skipped, mark.Lineage.Next), end.DroppedBytes);
    }

    static void ThrowIfGap(LogSegment segment, ulong? previousEnd, ulong summarised)
    {
        var before = segment.PresentBefore;
        var isTrimmed = before <= summarised && before >= (previousEnd ?? 0); // a power cut may undo one of several deletions
        if (before == previousEnd || isTrimmed) return;
        throw Damaged(segment.Path, 0, previousEnd is { } sequence
            ? $"the segment follows sequence {before}, but the one before ends at {sequence}"
            : $"the segment follows sequence {before}, but the summary of trimmed frames ends at {summarised}");
    }

    static void WriteAgain(LogFile file, long from, long to)
    {
        const int blockBytes = 1 << 20;
        var block = new byte[Math.Min(blockBytes, to - from)];
        for (var offset = from; offset < to; offset += block.Length)
        {
            var bytes = block.AsSpan(0, (int)Math.Min(block.Length, to - offset));
            file.Read(bytes, offset);
            file.Write(bytes, offset);
        }
    }

    /// <summary>Visits the good groups of a segment and advances it to their end.</summary>
    static SegmentEnd ScanSegment(LogSegment segment, bool isLast, ulong acknowledged, FrameVisitor visit)
    {
        using var reader = new SegmentReader(segment);
        var nextSequence = segment.FirstPosition.Sequence;
        var lastReceivedAt = 0L;
        var sequence = segment.PreviousSequence;
        var unprovenFrom = acknowledged < nextSequence ? 0L : LogSegment.HeaderSize;
        while (reader.TryReadGroup(segment.File.Length))
        {
            if (reader.Group.PreviousSequence != sequence)
                throw Damaged(segment.Path, reader.Offset, $"a group follows sequence {reader.Group.PreviousSequence}, but the one before ends at {sequence}");
            foreach (var frame in reader.Frames)
            {
                if (frame.Header.Position != segment.FirstPosition with { Sequence = nextSequence })
                    throw Damaged(segment.Path, reader.Offset, $"expected sequence {nextSequence} of this log, found {frame.Header.Position}");
                visit(frame.Header, frame.Payload.Span);
                sequence = nextSequence++;
                lastReceivedAt = frame.Header.ReceivedAtMicroseconds;
            }
            segment.Advance(reader.NextOffset, sequence, lastReceivedAt);
            if (sequence <= acknowledged) unprovenFrom = reader.NextOffset;
        }
        var tailBytes = segment.File.Length - segment.DurableBytes;
        if (tailBytes == 0) return new SegmentEnd(sequence, 0, unprovenFrom);
        if (!isLast) throw Damaged(segment.Path, segment.DurableBytes, "a group that was acknowledged is damaged");
        ThrowIfPromisedLater(segment, sequence);
        return new SegmentEnd(sequence, tailBytes, unprovenFrom);
    }

    /// <summary>A later intact group header that repeats a higher durable sequence proves that the bad bytes were acknowledged.</summary>
    /// <remarks>
    /// One group is written at a time, so behind the end of a torn one nothing stands. Within it stands what a sender sent, which may look like a header: where its own
    /// header is intact, and as far as those of its frames are, nothing is looked for. Otherwise only what could follow so many bytes is believed.
    /// </remarks>
    static void ThrowIfPromisedLater(LogSegment segment, ulong lastGood)
    {
        const int blockBytes = 1 << 20;
        var block = new byte[blockBytes + GroupHeader.Size];
        for (var offset = EndOfSentBytes(segment); offset < segment.File.Length; offset += blockBytes)
        {
            var read = segment.File.Read(block, offset);
            for (var at = 0; at + GroupHeader.Size <= read; at += 8)
            {
                if (GroupHeader.TryRead(block.AsSpan(at), out var group) && group.PreviousSequence > lastGood && group.PreviousSequence - lastGood <= (ulong)(offset + at - segment.DurableBytes) / FrameHeader.Size)
                    throw Damaged(segment.Path, segment.DurableBytes, $"sequence {lastGood + 1} is damaged, and the group at offset {offset + at} says that it was acknowledged");
            }
        }
    }

    /// <summary>Where the damaged group ends, or its first frame whose header is damaged begins.</summary>
    static long EndOfSentBytes(LogSegment segment)
    {
        Span<byte> bytes = stackalloc byte[FrameHeader.Size];
        if (segment.File.Read(bytes[..GroupHeader.Size], segment.DurableBytes) == GroupHeader.Size && GroupHeader.TryRead(bytes, out var group)) return segment.DurableBytes + group.GroupBytes;
        var offset = segment.DurableBytes + GroupHeader.Size;
        while (segment.File.Read(bytes, offset) == bytes.Length && FrameHeader.TryRead(bytes, out var frame) && frame.Position.LogId == segment.FirstPosition.LogId) offset += frame.FrameBytes;
        return offset;
    }

    /// <param name="UnprovenFrom">The watermark vouches for what stands before this offset, and for nothing behind it.</param>
    readonly record struct SegmentEnd(ulong Sequence, long DroppedBytes, long UnprovenFrom);

    static SluiceException Damaged(string path, long offset, string what) =>
        new(ErrorCode.Corrupt, $"{path}: offset {offset}: {what}");
}
