using System.Globalization;
using System.Text.Json;
using DuckDB.NET.Native;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// Writes cells as the original wrote them: integers and decimals as JSON numbers with all their digits, timestamps as RFC 3339 in
/// UTC, sets and vectors as arrays, quantum sets as their distinct members. Not a number and the infinities are strings.
/// </summary>
static class CellWriter
{
    internal static void Write(Utf8JsonWriter writer, ResultVector vector, long row)
    {
        if (vector.IsNull(row))
        {
            writer.WriteNullValue();
            return;
        }
        switch (vector.Type.Id)
        {
            case DuckDBType.Boolean:
                writer.WriteBooleanValue(vector.Read<byte>(row) != 0);
                break;
            case DuckDBType.Float:
                WriteFloat(writer, vector.Read<float>(row));
                break;
            case DuckDBType.Double:
                WriteFloat(writer, vector.Read<double>(row));
                break;
            case DuckDBType.Decimal:
                WriteDecimal(writer, ReadInteger(vector, vector.Type.Storage, row), vector.Type.Scale);
                break;
            case DuckDBType.Varchar:
                writer.WriteStringValue(vector.ReadText(row));
                break;
            case DuckDBType.Enum:
                writer.WriteStringValue(vector.Type.EnumNames[(int)ReadInteger(vector, vector.Type.Storage, row)]);
                break;
            case DuckDBType.List or DuckDBType.Array:
                WriteList(writer, vector, row);
                break;
            default:
                WriteIntegerOrTime(writer, vector, row);
                break;
        }
    }

    static void WriteIntegerOrTime(Utf8JsonWriter writer, ResultVector vector, long row)
    {
        if (vector.Type.IsInteger)
            writer.WriteRawValue(ReadDigits(vector, row), skipInputValidation: true);
        else
            WriteTime(writer, vector, row);
    }

    static void WriteList(Utf8JsonWriter writer, ResultVector vector, long row)
    {
        var (start, length) = vector.ReadRange(row);
        writer.WriteStartArray();
        if (vector.Type.Children[0].IsQuantumMember)
            WriteDistinctMembers(writer, vector.Child!, start, length);
        else
        {
            for (var i = start; i < start + length; i++)
                Write(writer, vector.Child!, i);
        }
        writer.WriteEndArray();
    }

    /// <summary>A member stands in a quantum set once for each time it was added.</summary>
    static void WriteDistinctMembers(Utf8JsonWriter writer, ResultVector members, long start, long length)
    {
        var values = members.Child!;
        var isText = values.Type.Id == DuckDBType.Varchar;
        var seen = new HashSet<string>(StringComparer.Ordinal);
        for (var i = start; i < start + length; i++)
        {
            var key = isText
                ? System.Text.Encoding.UTF8.GetString(values.ReadText(i))
                : ReadDigits(values, i);
            if (seen.Add(key))
                Write(writer, values, i);
        }
    }

    static string ReadDigits(ResultVector integers, long row) => integers.Type.Id == DuckDBType.UnsignedHugeInt
        ? integers.Read<UInt128>(row).ToString(CultureInfo.InvariantCulture)
        : ReadInteger(integers, integers.Type.Id, row).ToString(CultureInfo.InvariantCulture);

    static Int128 ReadInteger(ResultVector vector, DuckDBType storage, long row) => storage switch
    {
        DuckDBType.TinyInt => vector.Read<sbyte>(row),
        DuckDBType.SmallInt => vector.Read<short>(row),
        DuckDBType.Integer => vector.Read<int>(row),
        DuckDBType.BigInt => vector.Read<long>(row),
        DuckDBType.UnsignedTinyInt => vector.Read<byte>(row),
        DuckDBType.UnsignedSmallInt => vector.Read<ushort>(row),
        DuckDBType.UnsignedInteger => vector.Read<uint>(row),
        DuckDBType.UnsignedBigInt => vector.Read<ulong>(row),
        // Little-endian 128 bits, in memory as .NET has them.
        DuckDBType.HugeInt => vector.Read<Int128>(row),
        _ => throw new InvalidOperationException($"{storage} is not an integer"),
    };

    static void WriteDecimal(Utf8JsonWriter writer, Int128 unscaled, int scale)
    {
        var digits = Int128.Abs(unscaled).ToString(CultureInfo.InvariantCulture).PadLeft(scale + 1, '0');
        var text = scale == 0 ? digits : $"{digits.AsSpan(0, digits.Length - scale)}.{digits.AsSpan(digits.Length - scale)}";
        writer.WriteRawValue(unscaled < 0 ? "-" + text : text, skipInputValidation: true);
    }

    static void WriteFloat(Utf8JsonWriter writer, double value)
    {
        if (double.IsFinite(value))
            writer.WriteNumberValue(value);
        else
            writer.WriteStringValue(value.ToString(CultureInfo.InvariantCulture));
    }

    static void WriteFloat(Utf8JsonWriter writer, float value)
    {
        if (float.IsFinite(value))
            writer.WriteNumberValue(value);
        else
            writer.WriteStringValue(value.ToString(CultureInfo.InvariantCulture));
    }

    static void WriteTime(Utf8JsonWriter writer, ResultVector vector, long row)
    {
        var (value, unitsPerSecond) = vector.Type.Id switch
        {
            DuckDBType.Date => (vector.Read<int>(row) * 86_400L, 1L),
            DuckDBType.TimestampS => (vector.Read<long>(row), 1L),
            DuckDBType.TimestampMs => (vector.Read<long>(row), 1_000L),
            DuckDBType.TimestampNs => (vector.Read<long>(row), 1_000_000_000L),
            _ => (vector.Read<long>(row), 1_000_000L),
        };
        var (seconds, fraction) = Math.DivRem(value, unitsPerSecond);
        if (fraction < 0)
            (seconds, fraction) = (seconds - 1, fraction + unitsPerSecond);
        writer.WriteStringValue(FormatTime(seconds, fraction * (1_000_000_000L / unitsPerSecond)));
    }

    /// <summary>RFC 3339 with as many fraction digits as are not zero at the end. Outside of the years 1 to 9999: "out of range".</summary>
    static string FormatTime(long seconds, long nanoseconds)
    {
        const long FirstSecond = -62_135_596_800; // 0001-01-01T00:00:00Z
        const long LastSecond = 253_402_300_799;  // 9999-12-31T23:59:59Z
        if (seconds is < FirstSecond or > LastSecond)
            return "out of range";
        var text = DateTimeOffset.FromUnixTimeSeconds(seconds).ToString("yyyy-MM-dd'T'HH:mm:ss", CultureInfo.InvariantCulture);
        return nanoseconds == 0
            ? text + "Z"
            : $"{text}.{nanoseconds.ToString("D9", CultureInfo.InvariantCulture).TrimEnd('0')}Z";
    }
}
