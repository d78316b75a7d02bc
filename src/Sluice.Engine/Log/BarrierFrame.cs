using Sluice.Schema;

namespace Sluice.Log;

/// <summary>The payload of a barrier: the schema the table has from here on, as JSON. Version 1 creates the table.</summary>
public static class BarrierFrame
{
    public static FrameBuffer Encode(TableSchema schema, long receivedAtMicroseconds)
    {
        var json = schema.ToJson();
        var frame = new FrameBuffer(FrameHeader.PaddedSize(json.Length));
        frame.Take(FrameHeader.Size);
        frame.Bytes(json);
        return RecordsFrame.Close(frame, new FrameHeader
        {
            Kind = FrameKind.Barrier,
            Flags = FrameFlags.LastPart,
            ReceivedAtMicroseconds = receivedAtMicroseconds,
            SinkId = Guid.Empty,
            MappingVersion = 0,
            SchemaVersion = (uint)schema.Version,
            RecordCount = 0,
            AcceptedCount = 0,
        });
    }

    /// <exception cref="InvalidDataException">The payload is not a schema.</exception>
    public static TableSchema Decode(ReadOnlySpan<byte> payload) => TableSchema.FromJson(payload);
}
