using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Load;

/// <summary>Builds the errors of records that were accepted and then not loaded.</summary>
static class LateErrors
{
    static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A record that the store refused, with its values as its columns hold them.</summary>
    public static LateError Refused(FrameBatch batch, in BatchedFrame frame, int row, string reason, long nowMicroseconds) =>
        Of(batch, frame, row, LateErrorCode.StoreRefused, reason, nowMicroseconds);

    /// <summary>A record whose operation has a condition that does not hold.</summary>
    public static LateError Unmet(FrameBatch batch, in BatchedFrame frame, int row, LateErrorCode code, long nowMicroseconds) => Of(
        batch, frame, row, code,
        code == LateErrorCode.KeyExists ? "the operation is insert, and the table has a row with this _id" : "the operation is patch, and the table has no row with this _id",
        nowMicroseconds);

    static LateError Of(FrameBatch batch, in BatchedFrame frame, int row, LateErrorCode code, string reason, long nowMicroseconds)
    {
        var index = frame.RecordIndexOf(row);
        return new LateError(
            frame.Header.SinkId, LogPosition.OfRecord(frame.Header.Position.Sequence, index - frame.Header.FirstRecordIndex), frame.RequestId, index,
            CellText.OfKey(batch.Rows.Key, row), code, reason, RenderRow(batch, row), nowMicroseconds);
    }

    /// <summary>A request that was discarded because a record lacked a field.</summary>
    /// <param name="header">Of its last part.</param>
    public static LateError Discarded(in FrameHeader header, long nowMicroseconds) => new(
        header.SinkId, LogPosition.OfRecord(header.Position.Sequence, 0), header.RequestId, -1, "", LateErrorCode.BatchDiscarded,
        string.Create(CultureInfo.InvariantCulture, $"the whole request of {header.RequestRecordCount} records was discarded: a record lacks a mapped field, and the sink does not allow missing fields"),
        null, nowMicroseconds);

    static string RenderRow(FrameBatch batch, int row)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Readable))
        {
            json.WriteStartObject();
            json.WritePropertyName(TableSchema.KeyColumnName);
            if (batch.Rows.Key.Kind == PhysicalKind.Text) json.WriteStringValue(batch.Rows.Key.Text(row));
            else json.WriteNumberValue(batch.Rows.Key.Int64s[row]);
            foreach (var column in batch.Rows.Columns)
            {
                if (column.States[row] == CellState.Absent || batch.Schema.FindColumn(column.ColumnId) is not { } definition) continue;
                json.WritePropertyName(definition.Name);
                CellText.Write(json, column, definition.Type, row);
            }
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.ToArray());
    }
}
