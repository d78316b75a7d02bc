using System.Buffers.Binary;
using System.Globalization;

namespace Sluice.Log;

/// <summary>What a frame holds. The numbers are on disk; an unknown one refuses to be read.</summary>
public enum FrameKind : byte
{
    /// <summary>The records of one request, or of a part of it.</summary>
    Records = 1,

    /// <summary>A point in the log at which the table itself changes.</summary>
    Barrier = 2,

    /// <summary>Records that failed before, sent again from the quarantine after a correction.</summary>
    Replay = 3,

    /// <summary>A point in the log at which the rows go that a predicate names.</summary>
    Deletion = 4,
}

[Flags]
public enum FrameFlags : ushort
{
    None = 0,

    /// <summary>The last (or only) part of its request: with it the request is durable, without it none of its parts counts.</summary>
    LastPart = 1,

    /// <summary>The payload is compressed. Reserved.</summary>
    Compressed = 2,

    /// <summary>The payload is encrypted with <see cref="FrameHeader.EncryptionKeyId"/>. Reserved.</summary>
    Encrypted = 4,

    /// <summary>The request was discarded as a whole because a record lacked a field.</summary>
    Discarded = 8,

    /// <summary>Some records have an operation or a version: the payload has columns for them (<see cref="Records.RecordOperation"/>).</summary>
    Operations = 16,

    /// <summary>The texts of the rejected records need their <see cref="Records.RecordForm"/> to be read; without the flag all are elements of <c>records</c> that upsert.</summary>
    Forms = 32,

    /// <summary>Warnings of accepted records stand behind the rejected ones.</summary>
    Warnings = 64,
}

/// <summary>
/// The fixed head of a frame: everything that is known of a request without decoding its rows. docs/log-format.md is its specification:
/// keep both in sync.
/// </summary>
public readonly record struct FrameHeader
{
    /// <summary>Bytes of the encoded header; frames begin at multiples of 8.</summary>
    public const int Size = 112;

    public const uint Magic = 0x31464C53; // "SLF1"
    public const byte FormatVersion = 1;

    public required FrameKind Kind { get; init; }
    public required FrameFlags Flags { get; init; }

    /// <summary>Header, payload and padding, in bytes.</summary>
    public int FrameBytes { get; init; }

    /// <summary>Payload without padding, in bytes.</summary>
    public int PayloadBytes { get; init; }

    public uint PayloadCrc { get; init; }
    public LogPosition Position { get; init; }

    /// <summary>When the request was received, microseconds since 1970-01-01 UTC.</summary>
    public required long ReceivedAtMicroseconds { get; init; }

    public required Guid SinkId { get; init; }
    public required uint MappingVersion { get; init; }
    public required uint SchemaVersion { get; init; }

    /// <summary>Records in this frame: accepted and rejected.</summary>
    public required int RecordCount { get; init; }

    /// <summary>Rows in this frame.</summary>
    public required int AcceptedCount { get; init; }

    /// <summary>Index in its request of the frame's first record: how many the parts before hold.</summary>
    public int FirstRecordIndex { get; init; }

    public uint EncryptionKeyId { get; init; }

    /// <summary>Sequence of the first part of the request, which names it until it is complete; 0 in that part itself and in a request of one frame.</summary>
    public ulong FirstPart { get; init; }

    /// <summary>Rows in the parts before; 0 too when the request was discarded.</summary>
    public int AcceptedBefore { get; init; }

    public int RejectedCount => RecordCount - AcceptedCount;

    public bool IsLastPart => Flags.HasFlag(FrameFlags.LastPart);

    /// <summary>The first of several parts.</summary>
    public bool IsFirstPart => FirstPart == 0 && !IsLastPart;

    /// <summary>Of a last part: the records of the whole request.</summary>
    public int RequestRecordCount => FirstRecordIndex + RecordCount;

    /// <inheritdoc cref="RequestRecordCount"/>
    public int RequestAcceptedCount => AcceptedBefore + AcceptedCount;

    /// <summary>Of a last part, names the request: identity of the log and sequence, so that no index is needed to find it again.</summary>
    public string RequestId => FormatRequestId(Position);

    public static string FormatRequestId(LogPosition position) => $"{position.LogId:N}-{position.Sequence:x}";

    public static bool TryParseRequestId(ReadOnlySpan<char> requestId, out Guid logId, out ulong sequence)
    {
        const int logIdDigits = 32;
        sequence = 0;
        logId = default;
        return requestId.Length > logIdDigits && requestId[logIdDigits] == '-'
            && Guid.TryParseExact(requestId[..logIdDigits], "N", out logId)
            && ulong.TryParse(requestId[(logIdDigits + 1)..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out sequence);
    }

    /// <summary>Writes all fields but position and checksum, which <see cref="Seal"/> adds when the frame's place is known.</summary>
    public void Write(Span<byte> at)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(at, Magic);
        at[4] = FormatVersion;
        at[5] = (byte)Kind;
        BinaryPrimitives.WriteUInt16LittleEndian(at[6..], (ushort)Flags);
        BinaryPrimitives.WriteInt32LittleEndian(at[8..], FrameBytes);
        BinaryPrimitives.WriteInt32LittleEndian(at[12..], PayloadBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(at[16..], PayloadCrc);
        BinaryPrimitives.WriteInt64LittleEndian(at[48..], ReceivedAtMicroseconds);
        SinkId.TryWriteBytes(at[56..]);
        BinaryPrimitives.WriteUInt32LittleEndian(at[72..], MappingVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(at[76..], SchemaVersion);
        BinaryPrimitives.WriteInt32LittleEndian(at[80..], RecordCount);
        BinaryPrimitives.WriteInt32LittleEndian(at[84..], AcceptedCount);
        BinaryPrimitives.WriteInt32LittleEndian(at[88..], FirstRecordIndex);
        BinaryPrimitives.WriteUInt32LittleEndian(at[92..], EncryptionKeyId);
        BinaryPrimitives.WriteUInt64LittleEndian(at[96..], FirstPart);
        BinaryPrimitives.WriteInt32LittleEndian(at[104..], AcceptedBefore);
        at[108..Size].Clear();
    }

    /// <summary>Writes the position into an encoded header and closes it with its checksum.</summary>
    public static void Seal(Span<byte> header, LogPosition position)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(header[20..], position.Incarnation);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], position.Sequence);
        position.LogId.TryWriteBytes(header[32..]);
        BinaryPrimitives.WriteUInt32LittleEndian(header[(Size - 4)..], Crc32C.Of(header[..(Size - 4)]));
    }

    /// <summary>Reads a header. False: the bytes are not an intact header (torn, flipped, or none). Does not throw for data.</summary>
    public static bool TryRead(ReadOnlySpan<byte> at, out FrameHeader header)
    {
        header = default;
        if (at.Length < Size || BinaryPrimitives.ReadUInt32LittleEndian(at) != Magic) return false;
        if (BinaryPrimitives.ReadUInt32LittleEndian(at[(Size - 4)..]) != Crc32C.Of(at[..(Size - 4)])) return false;
        header = new FrameHeader
        {
            Kind = (FrameKind)at[5],
            Flags = (FrameFlags)BinaryPrimitives.ReadUInt16LittleEndian(at[6..]),
            FrameBytes = BinaryPrimitives.ReadInt32LittleEndian(at[8..]),
            PayloadBytes = BinaryPrimitives.ReadInt32LittleEndian(at[12..]),
            PayloadCrc = BinaryPrimitives.ReadUInt32LittleEndian(at[16..]),
            Position = new LogPosition(
                new Guid(at.Slice(32, 16)), BinaryPrimitives.ReadUInt32LittleEndian(at[20..]), BinaryPrimitives.ReadUInt64LittleEndian(at[24..])),
            ReceivedAtMicroseconds = BinaryPrimitives.ReadInt64LittleEndian(at[48..]),
            SinkId = new Guid(at.Slice(56, 16)),
            MappingVersion = BinaryPrimitives.ReadUInt32LittleEndian(at[72..]),
            SchemaVersion = BinaryPrimitives.ReadUInt32LittleEndian(at[76..]),
            RecordCount = BinaryPrimitives.ReadInt32LittleEndian(at[80..]),
            AcceptedCount = BinaryPrimitives.ReadInt32LittleEndian(at[84..]),
            FirstRecordIndex = BinaryPrimitives.ReadInt32LittleEndian(at[88..]),
            EncryptionKeyId = BinaryPrimitives.ReadUInt32LittleEndian(at[92..]),
            FirstPart = BinaryPrimitives.ReadUInt64LittleEndian(at[96..]),
            AcceptedBefore = BinaryPrimitives.ReadInt32LittleEndian(at[104..]),
        };
        return header.PayloadBytes >= 0 && header.FrameBytes == PaddedSize(header.PayloadBytes);
    }

    /// <summary>Refuses an intact frame that this version cannot honour, so that a downgrade never misreads it.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: unknown format version, kind or flag, or a part of nothing.</exception>
    public void ThrowIfUnsupported(byte formatVersion)
    {
        const FrameFlags supported = FrameFlags.LastPart | FrameFlags.Discarded | FrameFlags.Operations | FrameFlags.Forms | FrameFlags.Warnings;
        var isKnown = Kind is FrameKind.Records || (Kind is FrameKind.Barrier or FrameKind.Replay or FrameKind.Deletion && IsLastPart && FirstPart == 0);
        var isPlaced = FirstPart < Position.Sequence && (FirstPart != 0 || (FirstRecordIndex == 0 && AcceptedBefore == 0));
        if (formatVersion == FormatVersion && isKnown && isPlaced && (Flags & ~supported) == 0) return;
        throw new SluiceException(
            ErrorCode.Corrupt,
            $"frame {Position.Sequence} was written by a newer version (format {formatVersion}, kind {(byte)Kind}, flags {(ushort)Flags:x}, first part {FirstPart}, first record {FirstRecordIndex}); this version reads format {FormatVersion}");
    }

    public static int PaddedSize(int payloadBytes) => Size + ((payloadBytes + 7) & ~7);
}
