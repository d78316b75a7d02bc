using System.Buffers.Binary;

namespace Sluice.Log;

/// <summary>
/// A small file that says how far the log had been acknowledged. It is overwritten before each answer, in two slots by turns so that
/// a torn write leaves the other; it is not synced (the frames are), so after a power cut it may be behind, never ahead.
/// </summary>
/// <remarks>Layout of a slot, little-endian: magic (8), log id (16), incarnation (4), skipped blocks (4), sequence (8), offset (8), inherited (8), zero (4), CRC32C (4).</remarks>
sealed class Watermark : IDisposable
{
    public const string FileName = "watermark";
    const ulong Magic = 0x4B524D4345434C53;
    const int SlotSize = 64;
    const int SlotDistance = 4_096; // a disk block each

    readonly LogFile _file;
    int _slot;
    bool _isTorn;

    Watermark(LogFile file, LogPosition position, LogLineage lineage)
    {
        _file = file;
        Position = position;
        Lineage = lineage;
    }

    /// <summary>The last position that an answer was given for.</summary>
    public LogPosition Position { get; private set; }

    public LogLineage Lineage { get; }

    /// <summary>Makes the file, whole and durable or not at all.</summary>
    public static void Create(LogFiles files, string directory, LogPosition position, LogLineage lineage = default)
    {
        Span<byte> slots = stackalloc byte[SlotDistance + SlotSize];
        slots.Clear();
        Encode(slots, position, 0, lineage);
        Encode(slots[SlotDistance..], position, 0, lineage);
        files.Replace(Path.Combine(directory, FileName), slots);
    }

    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: missing, or neither slot is intact.</exception>
    public static Watermark Open(LogFiles files, string directory, bool writable = true)
    {
        var path = Path.Combine(directory, FileName);
        if (!files.Exists(path)) throw new SluiceException(ErrorCode.Corrupt, $"{path} is missing: it cannot be known how much of the log was acknowledged");
        var file = files.Open(path, writable);
        (LogPosition Position, LogLineage Lineage)? newest = null;
        var (newestSlot, intact) = (0, 0);
        Span<byte> slot = stackalloc byte[SlotSize];
        for (var i = 0; i < 2; i++)
        {
            slot.Clear();
            file.Read(slot, (long)i * SlotDistance);
            if (!TryRead(slot, out var position, out var lineage)) continue;
            intact++;
            if (position.Sequence < newest?.Position.Sequence) continue;
            (newest, newestSlot) = ((position, lineage), i);
        }
        if (newest is null)
        {
            file.Dispose();
            throw new SluiceException(ErrorCode.Corrupt, $"{path} is damaged: it cannot be known how much of the log was acknowledged");
        }
        return new Watermark(file, newest.Value.Position, newest.Value.Lineage) { _slot = 1 - newestSlot, _isTorn = intact < 2 };
    }

    /// <summary>Makes both slots whole on the disk, if one is not, so that the next torn write finds one there.</summary>
    public void Mend()
    {
        if (!_isTorn) return;
        Write(Position, 0);
        _file.Sync();
        _isTorn = false;
    }

    public void Write(LogPosition position, long offset)
    {
        Span<byte> slot = stackalloc byte[SlotSize];
        Encode(slot, position, offset, Lineage);
        _file.Write(slot, (long)_slot * SlotDistance);
        _slot = 1 - _slot;
        Position = position;
    }

    public void Dispose() => _file.Dispose();

    static void Encode(Span<byte> slot, LogPosition position, long offset, LogLineage lineage)
    {
        slot[..SlotSize].Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(slot, Magic);
        position.LogId.TryWriteBytes(slot[8..]);
        BinaryPrimitives.WriteUInt32LittleEndian(slot[24..], position.Incarnation);
        BinaryPrimitives.WriteUInt32LittleEndian(slot[28..], lineage.SkippedBlocks);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[32..], position.Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(slot[40..], offset);
        BinaryPrimitives.WriteUInt64LittleEndian(slot[48..], lineage.Inherited);
        BinaryPrimitives.WriteUInt32LittleEndian(slot[60..], Crc32C.Of(slot[..60]));
    }

    static bool TryRead(ReadOnlySpan<byte> slot, out LogPosition position, out LogLineage lineage)
    {
        lineage = new LogLineage(BinaryPrimitives.ReadUInt64LittleEndian(slot[48..]), BinaryPrimitives.ReadUInt32LittleEndian(slot[28..]));
        position = new LogPosition(
            new Guid(slot.Slice(8, 16)), BinaryPrimitives.ReadUInt32LittleEndian(slot[24..]), BinaryPrimitives.ReadUInt64LittleEndian(slot[32..]));
        return BinaryPrimitives.ReadUInt64LittleEndian(slot) == Magic && BinaryPrimitives.ReadUInt32LittleEndian(slot[60..]) == Crc32C.Of(slot[..60]);
    }
}
