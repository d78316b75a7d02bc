using System.Globalization;
using System.Text;
using System.Text.Json;
using Sluice.Schema;

namespace Sluice.Server.Sql;

/// <summary>Turns what BULK INSERT reads into values of the types it is mapped to, by the original's rules. <c>null</c>: it does not fit.</summary>
static class BulkValue
{
    /// <param name="text">Not a NULL.</param>
    public static SqlValue? FromCsv(string text, ColumnType type) => type.Kind switch
    {
        ColumnKind.String => new TextValue(text),
        ColumnKind.Id or ColumnKind.Int => Whole(text),
        ColumnKind.Decimal => Number(text),
        ColumnKind.Bool => text switch
        {
            "1" or "t" or "T" or "true" or "TRUE" or "True" => new BoolValue(true),
            "0" or "f" or "F" or "false" or "FALSE" or "False" => new BoolValue(false),
            _ => null,
        },
        ColumnKind.Timestamp => (SqlValue?)Whole(text) ?? new TextValue(text), // what is no time is found by the table's decoder
        ColumnKind.Vector => List(text),
        ColumnKind.IdSet or ColumnKind.IdSetQ => text.StartsWith('[') ? List(text) : Members(text.Split(','), Whole),
        ColumnKind.StringSet or ColumnKind.StringSetQ => text.StartsWith('[') ? List(text) : new ListValue([new TextValue(text)]),
        _ => null,
    };

    /// <param name="value">Not a null.</param>
    public static SqlValue? FromJson(JsonElement value, ColumnType type) => type.Kind switch
    {
        ColumnKind.String => value.ValueKind is JsonValueKind.String or JsonValueKind.Number ? new TextValue(value.ToString()) : null,
        ColumnKind.Id or ColumnKind.Int => WholeOf(value),
        ColumnKind.Decimal => value.ValueKind is JsonValueKind.String or JsonValueKind.Number ? Number(value.ToString()) : null,
        ColumnKind.Bool => value.ValueKind switch
        {
            JsonValueKind.True or JsonValueKind.False => new BoolValue(value.GetBoolean()),
            JsonValueKind.Number when Whole(value.GetRawText()) is { } number => new BoolValue(number.Digits[0] != '-' && number.Digits != "0"),
            _ => null,
        },
        ColumnKind.Timestamp => value.ValueKind switch
        {
            JsonValueKind.Number => Whole(value.GetRawText()),
            JsonValueKind.String => new TextValue(value.GetString()!),
            _ => null,
        },
        ColumnKind.Vector => value.ValueKind == JsonValueKind.Array
            ? Members(value.EnumerateArray(), member => member.ValueKind == JsonValueKind.Number ? new NumberValue(member.GetRawText()) : null) : null,
        ColumnKind.IdSet or ColumnKind.IdSetQ => value.ValueKind == JsonValueKind.Array
            ? Members(value.EnumerateArray(), WholeOf) : Members([value], WholeOf),
        ColumnKind.StringSet or ColumnKind.StringSetQ => value.ValueKind switch
        {
            JsonValueKind.String or JsonValueKind.Number => new ListValue([new TextValue(value.ToString())]),
            JsonValueKind.Array => Members(value.EnumerateArray(), member => member.ValueKind == JsonValueKind.String ? new TextValue(member.GetString()!) : null),
            _ => null,
        },
        _ => null,
    };

    static NumberValue? WholeOf(JsonElement value) => value.ValueKind is JsonValueKind.Number or JsonValueKind.String ? Whole(value.ToString()) : null;

    /// <summary>A number without fraction, also when it is written with one: 1.0, 1e3.</summary>
    static NumberValue? Whole(string text) =>
        Number(text) is not { } number ? null
        : number.TypeName == "int" ? number
        : decimal.TryParse(number.Digits, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && decimal.Truncate(value) == value
            ? new NumberValue(decimal.Truncate(value).ToString("0", CultureInfo.InvariantCulture))
            : null;

    /// <summary>A number with its digits as they are; one with an exponent is written out.</summary>
    static NumberValue? Number(string text) =>
        SqlValue.TryReadLiteral(text) is NumberValue number ? number
        : char.IsAsciiDigit(text.AsSpan().TrimStart("+-.") is [var first, ..] ? first : ' ')
            && decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value)
            ? new NumberValue(value.ToString(CultureInfo.InvariantCulture))
            : null;

    /// <summary>A list as SQL writes it, or JSON.</summary>
    static ListValue? List(string text)
    {
        if (SqlValue.TryReadLiteral(text) is ListValue list)
            return list;
        try
        {
            var json = Encoding.UTF8.GetBytes(text);
            WellFormedText.Check(json);
            using var document = JsonDocument.Parse(json);
            return SqlValue.FromJson(document.RootElement) as ListValue;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    static ListValue? Members<T>(IEnumerable<T> members, Func<T, SqlValue?> read)
    {
        var values = members.Select(read).ToList();
        return values.Contains(null) ? null : new ListValue([.. values.OfType<SqlValue>()]);
    }
}
