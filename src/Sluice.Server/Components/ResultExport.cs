using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Sluice.Server.Components;

/// <summary>An answer as a file.</summary>
static class ResultExport
{
    // a spreadsheet takes a cell that begins with one of these for a formula and runs it
    const string FormulaStarts = "=+-@\t\r";

    /// <summary>RFC 4180, UTF-8 with a header line; lists and structures as JSON.</summary>
    public static void WriteCsv(QueryAnswer answer, Stream output)
    {
        using var writer = new StreamWriter(output, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), leaveOpen: true) { NewLine = "\r\n" };
        writer.WriteLine(string.Join(',', answer.Columns.Select(column => Quote(column.Name, isText: true))));
        foreach (var row in answer.Rows)
            writer.WriteLine(string.Join(',', row.EnumerateArray().Select(cell => Quote(TextOf(cell), cell.ValueKind == JsonValueKind.String))));
    }

    /// <summary>An array with an object a row.</summary>
    public static void WriteJson(QueryAnswer answer, Stream output)
    {
        using var writer = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        writer.WriteStartArray();
        foreach (var row in answer.Rows)
        {
            writer.WriteStartObject();
            foreach (var (column, cell) in answer.Columns.Zip(row.EnumerateArray()))
            {
                writer.WritePropertyName(column.Name);
                cell.WriteTo(writer);
            }
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    static string TextOf(JsonElement cell) => cell.ValueKind switch
    {
        JsonValueKind.Null => "",
        JsonValueKind.String => cell.GetString()!,
        _ => cell.GetRawText(),
    };

    static string Quote(string text, bool isText)
    {
        var safe = isText && text.Length > 0 && FormulaStarts.Contains(text[0]) ? "'" + text : text;
        return safe.AsSpan().ContainsAny(",\"\r\n") ? $"\"{safe.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : safe;
    }
}
