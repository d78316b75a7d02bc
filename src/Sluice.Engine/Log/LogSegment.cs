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

    readonly LogFile _file;
    long _durableBytes;
    ulong _lastSequence;
    long _lastReceivedAt;

    LogSegment(string path, LogFile file, LogPosition first, ulong previousSequence)
    {
        (Path, _file, FirstPosition, PreviousSequence) = (path, file, first, previousSequence);
        _durableBytes = HeaderSize;
        _lastSequence = previousSequence;
    }

    public string Path { get; }

    public LogFile File => _file;

    /// <summary>Log, incarnation and the sequence of the first frame.</summary>
    public LogPosition FirstPosition { get; }

    /// <summary>The last sequence of the segment before: the chain in which a missing file shows.</summary>
    public ulong PreviousSequence { get; }

    /// <summary>The last durable sequence; that of the segment before while there is none.</summary>
    public ulong LastSequence => Volatile.Read(ref _lastSequence);

    public long DurableBytes => Volatile.Read(ref _durableBytes);

    /// <summary>When the newest request in it was received, microseconds since 1970-01-01 UTC.</summary>
    public long LastReceivedAtMicroseconds => Volatile.Read(ref _lastReceivedAt);

    /// <summary>No group has become durable in it.</summary>
    public bool IsEmpty => DurableBytes == HeaderSize;

    /// <summary>The sequence that a frame appended to it must have.</summary>
    public ulong NextSequence => IsEmpty ? FirstPosition.Sequence : LastSequence + 1;

    public static string NameOf(ulong firstSequence) => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{firstSequence:D20}{Suffix}");

    /// <summary>Makes the file, durable with its header before the first group goes in.</summary>
    public static LogSegment Create(LogFiles files, string directory, LogPosition first, ulong previousSequence)
    {
        var path = System.IO.Path.Combine(directory, NameOf(first.Sequence));
        var file = files.Create(path);
        Span<byte> header = stackalloc byte[HeaderSize];
        header.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(header, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(header[8..], FrameHeader.FormatVersion);
        BinaryPrimitives.WriteUInt16LittleEndian(header[10..], MinReaderVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], first.Incarnation);
        first.LogId.TryWriteBytes(header[16..]);
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], first.Sequence);
        BinaryPrimitives.WriteUInt64LittleEndian(header[40..], previousSequence);
        BinaryPrimitives.WriteUInt32LittleEndian(header[60..], Crc32C.Of(header[..60]));
        file.Write(header, 0);
        file.Sync();
        files.SyncDirectory(directory);
        return new LogSegment(path, file, first, previousSequence);
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
        var minReader = BinaryPrimitives.ReadUInt16LittleEndian(header[10..]);
        if (minReader > FrameHeader.FormatVersion)
        {
            file.Dispose();
            throw new SluiceException(ErrorCode.Corrupt, $"{path}: needs a version of Sluice that reads log format {minReader}");
        }
        var first = new LogPosition(
            new Guid(header.Slice(16, 16)), BinaryPrimitives.ReadUInt32LittleEndian(header[12..]), BinaryPrimitives.ReadUInt64LittleEndian(header[32..]));
        return new LogSegment(path, file, first, BinaryPrimitives.ReadUInt64LittleEndian(header[40..]));
    }

    /// <summary>Says that the file is known good and durable up to here.</summary>
    public void Advance(long durableBytes, ulong lastSequence, long receivedAtMicroseconds)
    {
        Volatile.Write(ref _lastReceivedAt, receivedAtMicroseconds);
        Volatile.Write(ref _lastSequence, lastSequence);
        Volatile.Write(ref _durableBytes, durableBytes);
    }

    public void Dispose() => _file.Dispose();
}
