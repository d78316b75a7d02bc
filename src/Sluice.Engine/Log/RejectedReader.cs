using Sluice.Records;

namespace Sluice.Log;

/// <summary>Reads the rejected records of a frame, one after the other; the caller knows how many there are.</summary>
ref struct RejectedReader
{
    /// <summary>Where the form stands above the index.</summary>
    internal const int FormShift = 24;

    RecordsFrame.PayloadReader _payload;

    public RejectedReader(ReadOnlySpan<byte> payload, int rowCount)
    {
        _payload = new RecordsFrame.PayloadReader(payload);
        _payload.SkipMeta();
        _payload.SkipColumns(rowCount);
    }

    /// <summary>Its place in its request.</summary>
    public int Index { get; private set; }

    /// <summary>How to read <see cref="Raw"/>.</summary>
    public RecordForm Form { get; private set; }

    /// <summary>JSON: an array of field errors, empty for a record that was discarded with its request. No bytes: the request had too many.</summary>
    public ReadOnlySpan<byte> Errors { get; private set; }

    /// <summary>The record as it was sent; no bytes: not kept.</summary>
    public ReadOnlySpan<byte> Raw { get; private set; }

    public void Read()
    {
        var head = _payload.Int32();
        Index = head & ((1 << FormShift) - 1);
        Form = RecordForm.FromByte((byte)(head >> FormShift));
        Errors = _payload.Section();
        Raw = _payload.Section();
    }

    /// <summary>Reads the warnings of a frame that has some. Only behind the last rejected record.</summary>
    public void ReadWarnings(List<TruncationWarning> warnings)
    {
        var columns = new string[_payload.UInt16()];
        for (var i = 0; i < columns.Length; i++) columns[i] = _payload.Text();
        for (var left = _payload.Int32(); left > 0; left--) warnings.Add(new TruncationWarning(_payload.Int32(), columns[_payload.UInt16()]));
    }
}
