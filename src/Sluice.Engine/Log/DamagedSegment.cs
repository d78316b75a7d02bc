using System.Buffers.Binary;

namespace Sluice.Log;

/// <summary>
/// Finds the way through the damaged groups of a segment. What senders sent stands in the payloads, and whoever knows the log's id can send what looks like a group:
/// so lengths are followed as far as headers are intact, and bytes are searched only where neither the group's header nor the next frame's is.
/// </summary>
sealed class DamagedSegment(LogSegment segment, SegmentReader reader, Guid logId)
{
    const int Alignment = 8;

    readonly long _length = segment.File.Length;

    /// <summary>Where the next group may begin.</summary>
    /// <param name="offset">Of a group, intact or not.</param>
    /// <param name="before">The last sequence before it; after the call the last one before the next group, as far as it is known.</param>
    /// <param name="limit">All sequences in the segment are lower.</param>
    public long EndOfGroup(long offset, ref ulong before, ulong limit)
    {
        if (TryReadGroupHeader(offset, out var group))
        {
            before += (ulong)group.FrameCount;
            return Math.Min(offset + group.GroupBytes, _length);
        }
        var at = offset + GroupHeader.Size;
        for (; TryReadFrame(at, _length, out var frame); at += frame.FrameBytes) before = frame.Position.Sequence;
        if (at > offset + GroupHeader.Size && (at == _length || TryReadGroupHeader(at, out _))) return at;
        return FindGroup(at, before, limit);
    }

    /// <summary>The frames of a damaged group whose headers are intact. Behind a damaged header those that follow each other to the group's end, when its own header says how many there are.</summary>
    public IEnumerable<(long Offset, FrameHeader Header)> FramesOf(long from, long to, ulong before)
    {
        var at = from + GroupHeader.Size;
        var count = 0;
        for (; TryReadFrame(at, to, out var frame); at += frame.FrameBytes, count++) yield return (at, frame);
        if (at >= to || !TryReadGroupHeader(from, out var group)) yield break;
        foreach (var offset in FindMagic(FrameHeader.Magic, at + FrameHeader.Size, to))
        {
            if (FramesBetween(offset, to) is not { } rest || count + rest.Count >= group.FrameCount) continue;
            if (rest[0].Header.Position.Sequence != before + (ulong)(group.FrameCount - rest.Count + 1)) continue;
            foreach (var frame in rest) yield return frame;
            yield break;
        }
    }

    /// <summary>An intact group with which what stands behind it agrees; where nothing behind it can be read, the first that may be one.</summary>
    long FindGroup(long from, ulong before, ulong limit)
    {
        var possible = _length;
        foreach (var offset in FindMagic(GroupHeader.Magic, from, _length))
        {
            if (!MayBeGroup(offset, from, before, limit)) continue;
            var isFollowed = TryReadGroupHeader(reader.NextOffset, out var next);
            if (reader.NextOffset == _length || (isFollowed && next.PreviousSequence == reader.Frames[^1].Header.Position.Sequence)) return offset;
            if (!isFollowed) possible = Math.Min(possible, offset);
        }
        return possible;
    }

    /// <summary>Intact, and with the sequences that may stand there: those of a segment have no gaps, and a frame that is gone took its header's size.</summary>
    bool MayBeGroup(long offset, long from, ulong before, ulong limit)
    {
        try
        {
            reader.SeekTo(offset);
            if (!reader.TryReadGroup(_length)) return false;
        }
        catch (SluiceException)
        {
            return false; // of a newer version: no frame of ours
        }
        var (first, last) = (reader.Frames[0].Header.Position, reader.Frames[^1].Header.Position);
        return first.LogId == logId && last.Sequence < limit && reader.Group.PreviousSequence == first.Sequence - 1
            && first.Sequence > before && first.Sequence - before - 1 <= (ulong)((offset - from) / FrameHeader.Size);
    }

    List<(long Offset, FrameHeader Header)>? FramesBetween(long from, long to)
    {
        var frames = new List<(long, FrameHeader)>();
        for (; TryReadFrame(from, to, out var frame); from += frame.FrameBytes) frames.Add((from, frame));
        return from == to ? frames : null;
    }

    bool TryReadGroupHeader(long offset, out GroupHeader group)
    {
        Span<byte> bytes = stackalloc byte[GroupHeader.Size];
        group = default;
        return offset + GroupHeader.Size <= _length && segment.File.Read(bytes, offset) == bytes.Length && GroupHeader.TryRead(bytes, out group);
    }

    bool TryReadFrame(long offset, long to, out FrameHeader frame)
    {
        Span<byte> bytes = stackalloc byte[FrameHeader.Size];
        frame = default;
        return offset + FrameHeader.Size <= to && segment.File.Read(bytes, offset) == bytes.Length && FrameHeader.TryRead(bytes, out frame)
            && frame.Position.LogId == logId && offset + frame.FrameBytes <= to;
    }

    IEnumerable<long> FindMagic(uint magic, long from, long to)
    {
        const int blockBytes = 1 << 20;
        var wanted = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(wanted, magic);
        var block = new byte[blockBytes + wanted.Length - 1];
        for (var offset = from; offset < to; offset += blockBytes)
        {
            var read = segment.File.Read(block.AsSpan(0, (int)Math.Min(block.Length, to - offset)), offset);
            for (var at = 0; block.AsSpan(at, Math.Max(0, read - at)).IndexOf(wanted) is >= 0 and var found; at += found + 1)
                if ((offset + at + found) % Alignment == 0) yield return offset + at + found;
        }
    }
}
