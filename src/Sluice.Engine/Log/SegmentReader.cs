using System.Buffers;

namespace Sluice.Log;

/// <summary>One frame as it lies in a segment.</summary>
readonly record struct StoredFrame(FrameHeader Header, ReadOnlyMemory<byte> Payload);

/// <summary>Reads the groups of one segment in order, each checked against its checksums. One thread at a time.</summary>
sealed class SegmentReader(LogSegment segment) : IDisposable
{
    /// <summary>A group above this size is damage: requests are far smaller (limits of <see cref="TableLog"/>).</summary>
    public const int MaxGroupBytes = 1 << 30;

    byte[] _buffer = [];
    readonly List<StoredFrame> _frames = [];

    public LogSegment Segment { get; } = segment;

    /// <summary>Where the present group begins.</summary>
    public long Offset { get; private set; }

    /// <summary>Where the next group begins.</summary>
    public long NextOffset { get; private set; } = LogSegment.HeaderSize;

    public GroupHeader Group { get; private set; }

    /// <summary>The frames of the present group; valid until the next read.</summary>
    public IReadOnlyList<StoredFrame> Frames => _frames;

    /// <summary>Reads the next group that ends at or before <paramref name="limit"/>. False: there is no intact one.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: an intact frame of a newer version.</exception>
    public bool TryReadGroup(long limit)
    {
        if (NextOffset + GroupHeader.Size > limit) return false;
        Span<byte> head = stackalloc byte[GroupHeader.Size];
        if (Segment.File.Read(head, NextOffset) < GroupHeader.Size || !GroupHeader.TryRead(head, out var group)) return false;
        if (group.GroupBytes > MaxGroupBytes || NextOffset + group.GroupBytes > limit) return false;
        var frameBytes = group.GroupBytes - GroupHeader.Size;
        Reserve(frameBytes);
        if (Segment.File.Read(_buffer.AsSpan(0, frameBytes), NextOffset + GroupHeader.Size) < frameBytes) return false;
        if (!TryCutFrames(_buffer.AsMemory(0, frameBytes), group.FrameCount)) return false;
        (Group, Offset, NextOffset) = (group, NextOffset, NextOffset + group.GroupBytes);
        return true;
    }

    /// <summary>Goes on reading at an offset, where a group may begin.</summary>
    public void SeekTo(long offset) => NextOffset = offset;

    public void Dispose()
    {
        if (_buffer.Length > 0) ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
    }

    bool TryCutFrames(ReadOnlyMemory<byte> bytes, int count)
    {
        _frames.Clear();
        for (var i = 0; i < count; i++)
        {
            if (!FrameHeader.TryRead(bytes.Span, out var header) || header.FrameBytes > bytes.Length) return false;
            var payload = bytes.Slice(FrameHeader.Size, header.PayloadBytes);
            if (Crc32C.Of(payload.Span) != header.PayloadCrc) return false;
            header.ThrowIfUnsupported(bytes.Span[4]);
            _frames.Add(new StoredFrame(header, payload));
            bytes = bytes[header.FrameBytes..];
        }
        return bytes.IsEmpty;
    }

    void Reserve(int count)
    {
        if (_buffer.Length >= count) return;
        if (_buffer.Length > 0) ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = ArrayPool<byte>.Shared.Rent(count);
    }
}
