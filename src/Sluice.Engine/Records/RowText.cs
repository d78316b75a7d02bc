using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>Writes a decoded row as JSON: what each column gets, by its name; what is absent is left out.</summary>
static class RowText
{
    static readonly JsonWriterOptions s_readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static string Render(RecordRows rows, TableSchema schema, int row)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, s_readable))
        {
            json.WriteStartObject();
            foreach (var column in rows.Columns)
            {
                var definition = schema.FindColumn(column.ColumnId);
                if (column.States[row] == CellState.Absent || (definition is null && column != rows.Columns[0])) continue;
                json.WritePropertyName(definition?.Name ?? TableSchema.KeyColumnName);
                CellText.Write(json, column, definition?.Type ?? (schema.Key == KeyKind.Number ? ColumnType.Id : ColumnType.String), row);
            }
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.ToArray());
    }
}
