using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sluice.Log;

/// <summary>Rows to delete, resolved where the deletion stands in the log.</summary>
/// <param name="Id">Names the deletion to whoever waits for it.</param>
/// <param name="Predicate">Of SQL, over the columns of the table; <c>null</c>: every row.</param>
public sealed record Deletion(Guid Id, string? Predicate);

/// <summary>The payload of a deletion, as JSON: the predicate and not the rows, so that it means the same whenever the log is loaded.</summary>
public static class DeletionFrame
{
    public static FrameBuffer Encode(Deletion deletion, int schemaVersion, long receivedAtMicroseconds)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(deletion, DeletionJson.Default.Deletion);
        var frame = new FrameBuffer(FrameHeader.PaddedSize(json.Length));
        frame.Take(FrameHeader.Size);
        frame.Bytes(json);
        return RecordsFrame.Close(frame, new FrameHeader
        {
            Kind = FrameKind.Deletion,
            Flags = FrameFlags.LastPart,
            ReceivedAtMicroseconds = receivedAtMicroseconds,
            SinkId = Sink.SqlSinkId,
            MappingVersion = 0,
            SchemaVersion = (uint)schemaVersion,
            RecordCount = 0,
            AcceptedCount = 0,
        });
    }

    /// <exception cref="InvalidDataException">The payload is not a deletion.</exception>
    public static Deletion Decode(ReadOnlySpan<byte> payload)
    {
        try
        {
            return JsonSerializer.Deserialize(payload, DeletionJson.Default.Deletion) ?? throw new InvalidDataException("a deletion is JSON null");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException("a deletion is not readable", e);
        }
    }
}

[JsonSerializable(typeof(Deletion))]
sealed partial class DeletionJson : JsonSerializerContext;
