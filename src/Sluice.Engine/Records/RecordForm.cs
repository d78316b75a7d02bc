namespace Sluice.Records;

/// <summary>What the text of a record does not say itself: how it stood in its request, and what that request asked for. Without it no text can be decoded again.</summary>
/// <param name="IsBare">The text is the value alone (NDJSON, array), not an element of <c>records</c>.</param>
/// <param name="Operation">What the record does if it names no operation.</param>
public readonly record struct RecordForm(bool IsBare, RecordOperation Operation)
{
    const int BareBit = 1 << 4;
    const int OperationMask = 0xF;

    /// <summary>The form as a byte, in frames and stores; 0 is an element of <c>records</c> that upserts.</summary>
    public byte ToByte() => (byte)((IsBare ? BareBit : 0) | (byte)Operation);

    public static RecordForm FromByte(byte form) => new((form & BareBit) != 0, (RecordOperation)(form & OperationMask));
}
