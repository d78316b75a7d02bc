using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Load;

/// <summary>A version of a sink's mapping; <c>null</c>: not known any more. Any thread.</summary>
delegate SinkDefinition? MappingOf(Guid sinkId, int version);

/// <summary>
/// Builds the errors of records that were accepted and then not loaded, each with its value as it was sent; where the mapping is not known any more, by the names
/// of the columns. One thread at a time.
/// </summary>
sealed class LateErrors(MappingOf mappingOf)
{
    static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    (Guid SinkId, uint Version, TableSchema Schema)? _textOf;
    RecordText? _text; // of the frame before

    /// <summary>A record that the store refused.</summary>
    public LateError Refused(FrameBatch batch, in BatchedFrame frame, int row, string reason, long nowMicroseconds) =>
        Of(batch, frame, row, LateErrorCode.StoreRefused, reason, nowMicroseconds);

    /// <summary>A record whose operation has a condition that does not hold.</summary>
    public LateError Unmet(FrameBatch batch, in BatchedFrame frame, int row, LateErrorCode code, long nowMicroseconds) => Of(
        batch, frame, row, code,
        code == LateErrorCode.KeyExists ? "the operation is insert, and the table has a row with this _id" : "the operation is patch, and the table has no row with this _id",
        nowMicroseconds);

    LateError Of(FrameBatch batch, in BatchedFrame frame, int row, LateErrorCode code, string reason, long nowMicroseconds)
    {
        var index = frame.RecordIndexOf(row);
        return new LateError(
            frame.Header.SinkId, LogPosition.OfRecord(frame.Header.Position.Sequence, index - frame.Header.FirstRecordIndex), frame.RequestId, index,
            CellText.OfKey(batch.Rows.Key, row), code, reason, RenderRow(batch, frame.Header, row), nowMicroseconds);
    }

    /// <summary>A request that was discarded because a record lacked a field.</summary>
    /// <param name="header">Of its last part.</param>
    public static LateError Discarded(in FrameHeader header, long nowMicroseconds) => new(
        header.SinkId, LogPosition.OfRecord(header.Position.Sequence, 0), header.RequestId, -1, "", LateErrorCode.BatchDiscarded,
        string.Create(CultureInfo.InvariantCulture, $"the whole request of {header.RequestRecordCount} records was discarded: a record lacks a mapped field, and the sink does not allow missing fields"),
        null, nowMicroseconds);

    string RenderRow(FrameBatch batch, in FrameHeader header, int row)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, Readable))
        {
            if (TextOf(batch.Schema, header) is not { } text || !text.TryWrite(json, batch.Rows, row)) WriteColumns(json, batch, row);
        }
        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    /// <returns><c>null</c>: the mapping is not known, or fits the table no longer.</returns>
    RecordText? TextOf(TableSchema schema, in FrameHeader header)
    {
        if (_textOf == (header.SinkId, header.MappingVersion, schema)) return _text;
        _textOf = (header.SinkId, header.MappingVersion, schema);
        try
        {
            _text = mappingOf(header.SinkId, (int)header.MappingVersion) is { } mapping ? new RecordText(RecordDecoder.Compile(mapping, schema)) : null;
        }
        catch (SluiceException)
        {
            _text = null;
        }
        return _text;
    }

    static void WriteColumns(Utf8JsonWriter json, FrameBatch batch, int row)
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
}
