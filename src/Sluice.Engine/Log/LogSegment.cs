using System.Buffers.Binary;
using System.Globalization;

namespace Sluice.Log;

/// <summary>
/// One file of a log: a header, then groups of frames. The last one grows; the others are complete and only read and deleted.
/// </summary>
/// <remarks>The log's writer owns the growing one; <see cref="DurableBytes"/> and <see cref="LastSequence"/> may be read from any thread.</remarks>
sealed class LogSegment : IDisposable
{
    public const int HeaderSize = 64;
    public const string Prefix = "segment-";
    public const string Suffix = ".log";
    const ulong Magic = 0x474C454349554C53; // "SLUICELG"
    const ushort MinReaderVersion = 1;
    const byte GapFlag = 1;

    readonly LogFile _file;
    long _durableBytes;
    ulong _lastSequence;
    long _lastReceivedAt;

    LogSegment(string path, LogFile file, LogPosition first, ulong previousSequence, ulong? presentBefore)
    {
        (Path, _file, FirstPosition, PreviousSequence, PresentBefore) = (path, file, first, previousSequence, presentBefore ?? previousSequence);
        _durableBytes = HeaderSize;
        _lastSequence = previousSequence;
    }

    public string Path { get; }

    public LogFile File => _file;

    /// <summary>Log, incarnation and the sequence of the first frame.</summary>
    public LogPosition FirstPosition { get; }

    /// <summary>The last sequence of the segment before: the chain in which a missing file shows.</summary>
    public ulong PreviousSequence { get; }

    /// <summary>The last sequence that is there before the segment: <see cref="PreviousSequence"/>, unless a repair has dropped what stood between.</summary>
    public ulong PresentBefore { get; }

    /// <summary>A repair has dropped frames before the segment.</summary>
    public bool FollowsGap => PresentBefore != PreviousSequence;

    /// <summary>The last durable sequence; that of the segment before while there is none.</summary>
    public ulong LastSequence => Volatile.Read(ref _lastSequence);

    public long DurableBytes => Volatile.Read(ref _durableBytes);

    /// <summary>When the newest request in it was received, microseconds since 1970-01-01 UTC.</summary>
    public long LastReceivedAtMicroseconds => Volatile.Read(ref _lastReceivedAt);

    /// <summary>No group has become durable in it.</summary>
    public bool IsEmpty => DurableBytes == HeaderSize;

    /// <summary>The sequence that a frame appended to it must have.</summary>
    public ulong NextSequence => IsEmpty ? FirstPosition.Sequence : LastSequence + 1;

    public static bool IsName(string name) => name.StartsWith(Prefix, StringComparison.Ordinal) && name.EndsWith(Suffix, StringComparison.Ordinal);

    /// <summary>The sequence in a file's name; <c>null</c>: it is no name of ours.</summary>
    public static ulong? FirstSequenceOf(string name) =>
        IsName(name) && ulong.TryParse(name.AsSpan()[Prefix.Length..^Suffix.Length], NumberStyles.None, CultureInfo.InvariantCulture, out var sequence) ? sequence : null;

    public static string NameOf(ulong firstSequence) => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{firstSequence:D20}{Suffix}");

    /// <summary>Makes the file, durable with its header before the first group goes in.</summary>
    public static LogSegment Create(LogFiles files, string directory, LogPosition first, ulong previousSequence)
    {
        var path = System.IO.Path.Combine(directory, NameOf(first.Sequence));
        var file = files.Create(path);
        file.Write(EncodeHeader(first, previousSequence, presentBefore: null), 0);
        file.Sync();
        files.SyncDirectory(directory);
        return new LogSegment(path, file, first, previousSequence, presentBefore: null);
    }

    /// <param name="presentBefore">Of a repaired log: the last sequence that is still there before the segment; <c>null</c>: nothing is missing.</param>
    public static byte[] EncodeHeader(LogPosition first, ulong previousSequence, ulong? presentBefore)
    {
        var bytes = new byte[HeaderSize];
        var header = bytes.AsSpan();
        BinaryPrimitives.WriteUInt64LittleEndian(header, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(header[8..], FrameHeader.FormatVersion);
        BinaryPrimitives.WriteUInt16LittleEndian(header[10..], MinReaderVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], first.Incarnation);
        first.LogId.TryWriteBytes(header[16..]);
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], first.Sequence);
        BinaryPrimitives.WriteUInt64LittleEndian(header[40..], previousSequence);
        if (presentBefore is { } present && present != previousSequence)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(header[48..], present);
            header[56] = GapFlag;
        }
        BinaryPrimitives.WriteUInt32LittleEndian(header[60..], Crc32C.Of(header[..60]));
        return bytes;
    }

    /// <summary>Opens a file; <c>null</c> when it ends before its header does, as a crash during creation leaves it.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: the header is damaged, or of a newer version.</exception>
    public static LogSegment? TryOpen(LogFiles files, string path, bool writable)
    {
        var file = files.Open(path, writable);
        Span<byte> header = stackalloc byte[HeaderSize];
        var read = file.Read(header, 0);
        if (read < HeaderSize || (file.Length == HeaderSize && header.IndexOfAnyExcept((byte)0) < 0))
        {
            file.Dispose();
            return null;
        }
        if (BinaryPrimitives.ReadUInt64LittleEndian(header) != Magic || BinaryPrimitives.ReadUInt32LittleEndian(header[60..]) != Crc32C.Of(header[..60]))
        {
            file.Dispose();
            throw new SluiceException(ErrorCode.Corrupt, $"{path}: the segment header at offset 0 is damaged");
        }
        if (NeedsNewerVersion(header))
        {
            file.Dispose();
            throw new SluiceException(ErrorCode.Corrupt, $"{path}: needs a version of Sluice that reads log format {BinaryPrimitives.ReadUInt16LittleEndian(header[10..])}");
        }
        var first = new LogPosition(
            new Guid(header.Slice(16, 16)), BinaryPrimitives.ReadUInt32LittleEndian(header[12..]), BinaryPrimitives.ReadUInt64LittleEndian(header[32..]));
        return new LogSegment(
            path, file, first, BinaryPrimitives.ReadUInt64LittleEndian(header[40..]), header[56] == GapFlag ? BinaryPrimitives.ReadUInt64LittleEndian(header[48..]) : null);
    }

    /// <summary>Opens a file to look for groups in it, whatever its header says.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: the file is of a newer version.</exception>
    public static LogSegment OpenDamaged(LogFiles files, string path)
    {
        var file = files.Open(path, writable: false);
        Span<byte> header = stackalloc byte[HeaderSize];
        header.Clear();
        file.Read(header, 0);
        if (BinaryPrimitives.ReadUInt32LittleEndian(header[60..]) == Crc32C.Of(header[..60]) && BinaryPrimitives.ReadUInt64LittleEndian(header) == Magic && NeedsNewerVersion(header))
        {
            file.Dispose();
            throw new SluiceException(ErrorCode.Corrupt, $"{path}: is of a newer version of Sluice: nothing is wrong with it that a repair could mend");
        }
        return new LogSegment(path, file, default, previousSequence: 0, presentBefore: null);
    }

    static bool NeedsNewerVersion(ReadOnlySpan<byte> header) => BinaryPrimitives.ReadUInt16LittleEndian(header[10..]) > FrameHeader.FormatVersion;

    /// <summary>Says that the file is known good and durable up to here.</summary>
    public void Advance(long durableBytes, ulong lastSequence, long receivedAtMicroseconds)
    {
        Volatile.Write(ref _lastReceivedAt, receivedAtMicroseconds);
        Volatile.Write(ref _lastSequence, lastSequence);
        Volatile.Write(ref _durableBytes, durableBytes);
    }

    public void Dispose() => _file.Dispose();
}
