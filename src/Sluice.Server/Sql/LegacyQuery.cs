using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;

namespace Sluice.Server.Sql;

/// <summary>
/// The query call of 2022: <c>POST /v2/databases/{id}/query</c>, also without <c>/query</c>. Takes <c>{"language":"sql","statement":".."}</c>
/// or, with the content type <c>application/vnd.molecula.sql</c>, the statement itself; answers headers and rows of <c>ColumnVal</c>s.
/// </summary>
/// <remarks>A wrong statement is 400 with <c>{code, message}</c>. The answer is made in memory: it is bounded like any other.</remarks>
static class LegacyQuery
{
    public static async Task RunAsync(SqlStatements statements, SqlContext context, string body, HttpContext http)
    {
        var answer = new MemoryStream();
        var output = PipeWriter.Create(answer, new StreamPipeWriterOptions(leaveOpen: true));
        await statements.RunAsync(context, ReadStatement(body, http.Request.ContentType), output, http.RequestAborted);
        await output.CompleteAsync();
        using var document = JsonDocument.Parse(answer.GetBuffer().AsMemory(0, (int)answer.Length));

        http.Response.ContentType = "application/json";
        await using var writer = new Utf8JsonWriter(http.Response.BodyWriter);
        if (document.RootElement.TryGetProperty("error", out var error))
        {
            http.Response.StatusCode = StatusCodes.Status400BadRequest;
            WriteError(writer, error.GetString()!);
        }
        else
        {
            WriteResults(writer, document.RootElement);
        }
    }

    static string ReadStatement(string body, string? contentType)
    {
        if (contentType?.Contains("vnd.molecula.pql", StringComparison.OrdinalIgnoreCase) == true)
            throw new SluiceException(ErrorCode.InvalidParameter, "PQL is not supported; use SQL");
        if (contentType?.Contains("vnd.molecula.sql", StringComparison.OrdinalIgnoreCase) == true)
            return body;
        try
        {
            WellFormedText.Check(Encoding.UTF8.GetBytes(body));
            using var document = JsonDocument.Parse(body);
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("statement", out var statement) || statement.ValueKind != JsonValueKind.String)
                throw new SluiceException(ErrorCode.MissingParameter, "the body needs a member 'statement'");
            if (root.TryGetProperty("language", out var language) && !(language.ValueKind == JsonValueKind.String && language.ValueEquals("sql"u8)))
                throw new SluiceException(ErrorCode.InvalidParameter, "language must be sql");
            return statement.GetString()!;
        }
        catch (JsonException e)
        {
            throw new SluiceException(ErrorCode.InvalidBody, "the body is not JSON", e);
        }
    }

    static void WriteError(Utf8JsonWriter writer, string message)
    {
        writer.WriteStartObject();
        writer.WriteString("code", "Bad Request");
        writer.WriteString("message", message);
        writer.WriteEndObject();
    }

    static void WriteResults(Utf8JsonWriter writer, JsonElement answer)
    {
        var types = answer.GetProperty("schema").GetProperty("fields").EnumerateArray().Select(LegacyColumn.Of).ToArray();
        writer.WriteStartObject();
        writer.WriteStartObject("results");
        writer.WriteStartArray("headers");
        foreach (var type in types)
        {
            writer.WriteStartObject();
            writer.WriteString("name", type.Name);
            writer.WriteString("datatype", type.DataType);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteStartArray("rows");
        foreach (var row in answer.GetProperty("data").EnumerateArray())
            WriteRow(writer, types, row);
        writer.WriteEndArray();
        // Nanoseconds.
        writer.WriteNumber("duration", answer.GetProperty("execution-time").GetInt64() * 1_000);
        writer.WriteEndObject();
        writer.WriteEndObject();
    }

    static void WriteRow(Utf8JsonWriter writer, LegacyColumn[] types, JsonElement row)
    {
        writer.WriteStartObject();
        writer.WriteStartArray("columns");
        for (var i = 0; i < types.Length; i++)
        {
            writer.WriteStartObject();
            writer.WritePropertyName("ColumnVal");
            types[i].Write(writer, row[i]);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
        writer.WriteEndObject();
    }
}

/// <summary>How the cells of a column are written: which member of the original's <c>ColumnVal</c> holds them.</summary>
sealed record LegacyColumn(string Name, string DataType, string Member, int Scale)
{
    /// <summary>An expression without a name that is an int is taken for a count, which the original named and had unsigned.</summary>
    public static LegacyColumn Of(JsonElement field)
    {
        var name = field.GetProperty("name").GetString()!;
        var type = field.GetProperty("base-type").GetString()!;
        return type switch
        {
            "id" => new(name, "uint64", "Uint64Val", 0),
            "int" when name.Length == 0 => new("count", "uint64", "Uint64Val", 0),
            "int" => new(name, "int64", "Int64Val", 0),
            "decimal" when field.GetProperty("type-info").ValueKind == JsonValueKind.Object =>
                new(name, "decimal", "DecimalVal", field.GetProperty("type-info").GetProperty("scale").GetInt32()),
            "decimal" => new(name, "float64", "Float64Val", 0),
            "bool" => new(name, "bool", "BoolVal", 0),
            "timestamp" => new(name, "timestamp", "TimestampVal", 0),
            "idset" or "idsetq" => new(name, "[]uint64", "Uint64ArrayVal", 0),
            "stringset" or "stringsetq" => new(name, "[]string", "StringArrayVal", 0),
            _ => new(name, "string", "StringVal", 0),
        };
    }

    public void Write(Utf8JsonWriter writer, JsonElement cell)
    {
        if (cell.ValueKind == JsonValueKind.Null)
        {
            writer.WriteNullValue();
            return;
        }
        writer.WriteStartObject();
        writer.WritePropertyName(Member);
        switch (Member)
        {
            case "DecimalVal":
                writer.WriteStartObject();
                writer.WritePropertyName("value");
                writer.WriteRawValue(Unscaled(cell.GetRawText()), skipInputValidation: true);
                writer.WriteNumber("scale", Scale);
                writer.WriteEndObject();
                break;
            case "Uint64ArrayVal" or "StringArrayVal":
                writer.WriteStartObject();
                writer.WritePropertyName("vals");
                cell.WriteTo(writer);
                writer.WriteEndObject();
                break;
            // Vectors and lists had no member.
            case "StringVal" when cell.ValueKind != JsonValueKind.String:
                writer.WriteStringValue(cell.GetRawText());
                break;
            default:
                cell.WriteTo(writer);
                break;
        }
        writer.WriteEndObject();
    }

    /// <summary>-0.05 at scale 2 is -5.</summary>
    static string Unscaled(string number)
    {
        var digits = new StringBuilder(number).Replace(".", "").Replace("-", "").ToString().TrimStart('0');
        return digits.Length == 0 ? "0" : string.Create(CultureInfo.InvariantCulture, $"{(number[0] == '-' ? "-" : "")}{digits}");
    }
}
