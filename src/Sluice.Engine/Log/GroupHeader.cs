using System.Buffers.Binary;

namespace Sluice.Log;

/// <summary>
/// Stands before the frames that were written and synced together. It repeats how far the log was durable before, so that a later
/// recovery knows that everything up to there had been promised.
/// </summary>
/// <param name="GroupBytes">This header and its frames.</param>
/// <param name="FrameCount">1 and up.</param>
/// <param name="PreviousSequence">Last sequence that was durable before this group; 0 when none was.</param>
public readonly record struct GroupHeader(int GroupBytes, int FrameCount, ulong PreviousSequence)
{
    public const int Size = 32;
    public const uint Magic = 0x31474C53; // "SLG1"

    public void Write(Span<byte> at)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(at, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(at[4..], GroupBytes);
        BinaryPrimitives.WriteInt32LittleEndian(at[8..], FrameCount);
        BinaryPrimitives.WriteUInt32LittleEndian(at[12..], 0);
        BinaryPrimitives.WriteUInt64LittleEndian(at[16..], PreviousSequence);
        BinaryPrimitives.WriteUInt32LittleEndian(at[24..], 0);
        BinaryPrimitives.WriteUInt32LittleEndian(at[28..], Crc32C.Of(at[..28]));
    }

    /// <summary>False: the bytes are not an intact group header. Does not throw for data.</summary>
    public static bool TryRead(ReadOnlySpan<byte> at, out GroupHeader header)
    {
        header = default;
        if (at.Length < Size || BinaryPrimitives.ReadUInt32LittleEndian(at) != Magic) return false;
        if (BinaryPrimitives.ReadUInt32LittleEndian(at[28..]) != Crc32C.Of(at[..28])) return false;
        header = new GroupHeader(
            BinaryPrimitives.ReadInt32LittleEndian(at[4..]),
            BinaryPrimitives.ReadInt32LittleEndian(at[8..]),
            BinaryPrimitives.ReadUInt64LittleEndian(at[16..]));
        return header.GroupBytes >= Size + FrameHeader.Size && header.FrameCount > 0;
    }
}
