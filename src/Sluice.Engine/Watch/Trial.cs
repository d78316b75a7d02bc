using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Watch;

/// <summary>What a mapping makes of one record.</summary>
/// <param name="Values">JSON: what each column would get; empty: the record would be rejected.</param>
/// <param name="Errors">Why it would be rejected.</param>
/// <param name="Truncated">Columns that would lose digits.</param>
public sealed record TrialRecord(SampledRecord Record, string Values, IReadOnlyList<FieldError> Errors, IReadOnlyList<string> Truncated);

/// <summary>Decodes records with a mapping without sending them anywhere.</summary>
static class Trial
{
    static readonly JsonWriterOptions s_readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static IReadOnlyList<TrialRecord> Run(IReadOnlyList<SampledRecord> records, RecordDecoder decoder)
    {
        var tried = new List<TrialRecord>();
        foreach (var record in records)
        {
            var rows = decoder.Rent();
            BatchReader.ReadAlone(record.Raw, record.Form, decoder, rows);
            rows.CompleteEachAlone();
            tried.Add(new TrialRecord(
                record, rows.AcceptedCount == 0 ? "" : Render(rows, decoder.Schema), rows.Rejected.SelectMany(wrong => wrong.Errors).ToList(),
                rows.Warnings.Select(warning => warning.Column).ToList()));
            decoder.Return(rows);
        }
        return tried;
    }

    static string Render(RecordRows rows, TableSchema schema)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, s_readable))
        {
            json.WriteStartObject();
            foreach (var column in rows.Columns)
            {
                var definition = schema.FindColumn(column.ColumnId);
                if (column.States[0] == CellState.Absent || (definition is null && column != rows.Columns[0])) continue;
                json.WritePropertyName(definition?.Name ?? TableSchema.KeyColumnName);
                CellText.Write(json, column, definition?.Type ?? (schema.Key == KeyKind.Number ? ColumnType.Id : ColumnType.String), 0);
            }
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.ToArray());
    }
}
