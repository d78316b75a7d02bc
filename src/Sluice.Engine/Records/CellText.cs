using System.Globalization;
using System.Text;
using System.Text.Json;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>Writes the cell of a column back as JSON, in the form a sink takes.</summary>
static class CellText
{
    public static void Write(Utf8JsonWriter json, ColumnBuffer column, ColumnType type, int row)
    {
        if (column.States[row] != CellState.Value)
        {
            json.WriteNullValue();
            return;
        }
        switch (type.Kind)
        {
            case ColumnKind.Id or ColumnKind.Int: json.WriteNumberValue(column.Int64s[row]); break;
            case ColumnKind.Decimal: json.WriteRawValue(Decimal(column.Int64s[row], type.Scale)); break;
            case ColumnKind.Timestamp: json.WriteStringValue(Timestamp(column.Int64s[row], type.Unit)); break;
            case ColumnKind.Bool: json.WriteBooleanValue(column.Bytes[row] != 0); break;
            case ColumnKind.String: json.WriteStringValue(column.Text(row)); break;
            default: WriteList(json, column, row); break;
        }
    }

    /// <summary>An <c>_id</c> as text.</summary>
    public static string OfKey(ColumnBuffer key, int row) => key.Kind == PhysicalKind.Text
        ? Encoding.UTF8.GetString(key.Text(row))
        : key.Int64s[row].ToString(CultureInfo.InvariantCulture);

    static void WriteList(Utf8JsonWriter json, ColumnBuffer column, int row)
    {
        json.WriteStartArray();
        if (column.Kind == PhysicalKind.Float64Vector)
        {
            foreach (var element in column.Float64s.Slice(row * column.VectorLength, column.VectorLength)) json.WriteNumberValue(element);
        }
        else
        {
            for (var member = column.Start(row); member < column.End(row); member++)
            {
                if (column.Kind == PhysicalKind.Int64List) json.WriteNumberValue(column.Int64s[member]);
                else json.WriteStringValue(column.MemberText(member));
            }
        }
        json.WriteEndArray();
    }

    /// <summary>A scaled integer with its point, all fraction digits kept.</summary>
    static string Decimal(long scaled, int scale) => new decimal((int)(Magnitude(scaled) & uint.MaxValue), (int)(Magnitude(scaled) >> 32), 0, scaled < 0, (byte)scale).ToString(CultureInfo.InvariantCulture);

    static ulong Magnitude(long value) => value < 0 ? 0UL - (ulong)value : (ulong)value;

    static string Timestamp(long value, TimeUnit unit)
    {
        var perSecond = TimestampText.PerSecond(unit);
        var (seconds, rest) = Math.DivRem(value, perSecond);
        if (rest < 0) (seconds, rest) = (seconds - 1, rest + perSecond);
        var whole = DateTimeOffset.FromUnixTimeSeconds(seconds).UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss", CultureInfo.InvariantCulture);
        if (rest == 0) return whole + "Z";
        var digits = (rest * (1_000_000_000 / perSecond)).ToString("D9", CultureInfo.InvariantCulture).TrimEnd('0');
        return $"{whole}.{digits}Z";
    }
}
