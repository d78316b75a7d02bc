using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>
/// Turns one JSON value into one cell of a column: the conversions of docs/errors.md. Adds the cell to the column, or a
/// <see cref="FieldError"/> to the record. The reader stands on the value before and on its last token after.
/// </summary>
static class CellDecoder
{
    const int ShownCharacters = 64;

    public static void Decode(ref Utf8JsonReader reader, MappedField field, RecordRows rows)
    {
        if (field.Index < 0)
        {
            DecodeRecordTime(ref reader, field, rows);
            return;
        }
        var column = rows.Buffers[field.Index];
        if (field.IsKey)
        {
            DecodeKey(ref reader, field, column, rows);
            return;
        }
        if (reader.TokenType == JsonTokenType.Null)
        {
            column.AddNull();
            return;
        }
        switch (field.Type.Kind)
        {
            case ColumnKind.Id or ColumnKind.Int or ColumnKind.Decimal: DecodeNumber(ref reader, field, column, rows); break;
            case ColumnKind.Timestamp: DecodeTimestamp(ref reader, field, column, rows); break;
            case ColumnKind.Bool: DecodeBool(ref reader, field, column, rows); break;
            case ColumnKind.String: DecodeString(ref reader, field, column, rows); break;
            case ColumnKind.Vector: DecodeVector(ref reader, field, column, rows); break;
            default: SetDecoder.Decode(ref reader, field, column, rows); break;
        }
    }

    static void DecodeKey(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            Fail(ref reader, field, rows, FieldErrorCode.MissingKey);
            return;
        }
        var text = ReadScalar(ref reader, field, rows, out var isRead);
        if (!isRead) return;
        if (text.IsEmpty)
        {
            Fail(ref reader, field, rows, FieldErrorCode.MissingKey);
        }
        else if (column.Kind == PhysicalKind.Int64)
        {
            var isBool = reader.TokenType is JsonTokenType.True or JsonTokenType.False;
            if (isBool || ReadId(text, reader.TokenType, out var id) is not NumberResult.Ok) Fail(ref reader, field, rows, FieldErrorCode.NotAnId);
            else column.AddInt64(id);
        }
        else if (text.Length > TableSchema.MaxKeyBytes)
        {
            Fail(ref reader, field, rows, FieldErrorCode.KeyTooLong);
        }
        else
        {
            column.AddText(text);
        }
    }

    static void DecodeNumber(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows)
    {
        var type = field.Type;
        var malformed = type.Kind switch
        {
            ColumnKind.Id => FieldErrorCode.NotAnId,
            ColumnKind.Int => FieldErrorCode.NotAnInteger,
            _ => FieldErrorCode.NotADecimal,
        };
        if (reader.TokenType is not (JsonTokenType.Number or JsonTokenType.String))
        {
            Fail(ref reader, field, rows, malformed);
            return;
        }
        var text = ReadScalar(ref reader, field, rows, out var isRead);
        if (!isRead) return;
        if (text.IsEmpty)
        {
            column.AddAbsent();
            return;
        }
        long value;
        var isTruncated = false;
        var result = type.Kind == ColumnKind.Id
            ? ReadId(text, reader.TokenType, out value)
            : DecimalText.TryScale(text, type.Scale, allowExponent: reader.TokenType == JsonTokenType.Number, out value, out isTruncated);
        if (result == NumberResult.NotANumber)
        {
            Fail(ref reader, field, rows, malformed);
        }
        else if (result == NumberResult.OutOfRange || !IsInRange(value, type))
        {
            Fail(ref reader, field, rows, FieldErrorCode.OutOfRange);
        }
        else
        {
            AddNumber(ref reader, field, column, rows, value, isTruncated);
        }
    }

    static void AddNumber(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows, long value, bool isTruncated)
    {
        if (isTruncated && field.RejectTruncation)
        {
            Fail(ref reader, field, rows, FieldErrorCode.Truncated);
            return;
        }
        if (isTruncated) rows.Warn(field.Column);
        column.AddInt64(value);
    }

    public static bool IsInRange(long value, ColumnType type) => type.Kind switch
    {
        ColumnKind.Int => value >= type.Min && value <= type.Max,
        // DECIMAL(18,s) of the stores: 18 digits in all
        ColumnKind.Decimal => value is > -1_000_000_000_000_000_000 and < 1_000_000_000_000_000_000,
        _ => true,
    };

    /// <summary>A whole number from 0 to 2^63-1.</summary>
    public static NumberResult ReadId(ReadOnlySpan<byte> text, JsonTokenType token, out long id)
    {
        var result = DecimalText.TryScale(text, 0, allowExponent: token == JsonTokenType.Number, out id, out var isTruncated);
        if (result != NumberResult.Ok) return result;
        return isTruncated || id < 0 ? NumberResult.NotANumber : NumberResult.Ok;
    }

    static void DecodeTimestamp(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows)
    {
        if (!TryReadInstant(ref reader, field, rows, out var instant, out var isCut)) return;
        if (instant is null)
        {
            Fail(ref reader, field, rows, FieldErrorCode.NotATimestamp); // as the original: "" is no time, unlike "" for a number
        }
        else if (!TimestampText.TryToUnit(instant.Value, field.Type.Unit, out var value, out var isTruncated))
        {
            Fail(ref reader, field, rows, FieldErrorCode.OutOfRange);
        }
        else
        {
            AddNumber(ref reader, field, column, rows, value, isTruncated || isCut);
        }
    }

    /// <summary>The time of the record for its quantum sets; null and "" give it none.</summary>
    static void DecodeRecordTime(ref Utf8JsonReader reader, MappedField field, RecordRows rows)
    {
        if (reader.TokenType == JsonTokenType.Null || !TryReadInstant(ref reader, field, rows, out var instant, out _) || instant is null) return;
        if (TimestampText.TryToUnit(instant.Value, TimeUnit.Second, out var seconds, out _)) rows.RecordTime = seconds;
        else Fail(ref reader, field, rows, FieldErrorCode.OutOfRange);
    }

    /// <summary>False: the record has failed. An instant of <c>null</c>: an empty string.</summary>
    public static bool TryReadInstant(ref Utf8JsonReader reader, MappedField field, RecordRows rows, out Instant? instant, out bool isTruncated)
    {
        (instant, isTruncated) = (null, false);
        if (reader.TokenType is not (JsonTokenType.Number or JsonTokenType.String))
        {
            Fail(ref reader, field, rows, FieldErrorCode.NotATimestamp);
            return false;
        }
        var text = ReadScalar(ref reader, field, rows, out var isRead);
        if (!isRead) return false;
        if (text.IsEmpty) return true;
        if (reader.TokenType == JsonTokenType.String && TimestampText.TryParse(text, out var parsed, out isTruncated))
        {
            instant = parsed;
            return true;
        }
        var result = TryReadTime(text, reader.TokenType, field, out parsed, out isTruncated);
        if (result == NumberResult.Ok) instant = parsed;
        else Fail(ref reader, field, rows, result == NumberResult.NotANumber ? FieldErrorCode.NotATimestamp : FieldErrorCode.OutOfRange);
        return result == NumberResult.Ok;
    }

    /// <summary>A number as a time. Its fraction counts, to the nanosecond, within the 292 years around the epoch that 64 bits of nanoseconds hold.</summary>
    static NumberResult TryReadTime(ReadOnlySpan<byte> text, JsonTokenType token, MappedField field, out Instant instant, out bool isTruncated)
    {
        var allowExponent = token == JsonTokenType.Number;
        instant = default;
        var result = DecimalText.TryScale(text, 0, allowExponent, out var number, out isTruncated);
        if (result != NumberResult.Ok) return result;
        var unit = field.Unit ?? TimestampText.GuessUnit(number);
        if (isTruncated && DecimalText.TryScale(text, TimestampText.NanosecondDigits(unit), allowExponent, out var nanoseconds, out var isCut) == NumberResult.Ok)
            (number, unit, isTruncated) = (nanoseconds, TimeUnit.Nanosecond, isCut);
        return TimestampText.TryFromNumber(number, unit, field.EpochSeconds, out instant) ? NumberResult.Ok : NumberResult.OutOfRange;
    }

    static void DecodeBool(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows)
    {
        if (reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject)
        {
            Fail(ref reader, field, rows, FieldErrorCode.NotABool);
            return;
        }
        var text = ReadScalar(ref reader, field, rows, out var isRead);
        if (!isRead) return;
        if (text.IsEmpty)
        {
            column.AddNull();
        }
        else if (reader.TokenType == JsonTokenType.Number)
        {
            column.AddBool(text.IndexOfAnyInRange((byte)'1', (byte)'9') is var digit && digit >= 0 && !IsInExponent(text, digit));
        }
        else if (Ascii.EqualsIgnoreCase(text, "true"u8) || Ascii.EqualsIgnoreCase(text, "t"u8) || text.SequenceEqual("1"u8))
        {
            column.AddBool(true);
        }
        else if (Ascii.EqualsIgnoreCase(text, "false"u8) || Ascii.EqualsIgnoreCase(text, "f"u8) || text.SequenceEqual("0"u8))
        {
            column.AddBool(false);
        }
        else
        {
            Fail(ref reader, field, rows, FieldErrorCode.NotABool);
        }
    }

    static bool IsInExponent(ReadOnlySpan<byte> number, int at) => number[..at].IndexOfAny((byte)'e', (byte)'E') >= 0;

    static void DecodeString(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows)
    {
        var text = ReadScalar(ref reader, field, rows, out var isRead);
        if (!isRead) return;
        if (text.IsEmpty) column.AddAbsent(); // the original never stores empty strings
        else column.AddText(text);
    }

    static void DecodeVector(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
        {
            Fail(ref reader, field, rows, FieldErrorCode.WrongType);
            return;
        }
        var elements = column.AddVector();
        var count = 0;
        FieldErrorCode? failure = null;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            var element = 0d;
            if (reader.TokenType != JsonTokenType.Number) failure ??= FieldErrorCode.WrongType;
            else if (!Utf8Parser.TryParse(reader.ValueSpan, out element, out _) || !double.IsFinite(element)) failure ??= FieldErrorCode.OutOfRange;
            if (count < elements.Length) elements[count] = element;
            count++;
            reader.Skip();
        }
        if (failure is null && count != elements.Length) failure = FieldErrorCode.WrongLength;
        if (failure is { } code) rows.Fail(new FieldError(field.Column, field.Pointer, code, field.Expected, FormattableString.Invariant($"array of {count}")));
    }

    /// <summary>
    /// The text of a string, the digits of a number as they were sent, or <c>true</c> / <c>false</c>. Not read: an array or object, or text that is not
    /// well-formed; the record has failed.
    /// </summary>
    /// <remarks>
    /// The text is the result, and not an out parameter, because the reader has just written its two halves: a copy of both at once would wait for
    /// them (a tenth of the decoder's time).
    /// </remarks>
    public static ReadOnlySpan<byte> ReadScalar(ref Utf8JsonReader reader, MappedField field, RecordRows rows, out bool isRead)
    {
        isRead = true;
        if (reader.TokenType is JsonTokenType.Number or JsonTokenType.True or JsonTokenType.False) return reader.ValueSpan;
        if (reader.TokenType == JsonTokenType.String)
        {
            if (!reader.ValueIsEscaped && Utf8.IsValid(reader.ValueSpan)) return TrimmedFor(field, reader.ValueSpan);
            var result = JsonText.TryRead(ref reader, rows, out var text);
            if (result == TextResult.Ok) return TrimmedFor(field, text);
            Fail(ref reader, field, rows, result == TextResult.NulCharacter ? FieldErrorCode.NulCharacter : FieldErrorCode.InvalidUnicode);
        }
        else
        {
            Fail(ref reader, field, rows, FieldErrorCode.WrongType);
        }
        isRead = false;
        return default;
    }

    /// <summary>Blanks around numbers, times and words mean nothing; in texts they are kept.</summary>
    static ReadOnlySpan<byte> TrimmedFor(MappedField field, ReadOnlySpan<byte> text) =>
        field.Type.Kind is ColumnKind.String or ColumnKind.StringSet or ColumnKind.StringSetQ ? text : text[Ascii.Trim(text)];

    /// <summary>Notes the error, and skips the value.</summary>
    public static void Fail(ref Utf8JsonReader reader, MappedField field, RecordRows rows, FieldErrorCode code)
    {
        rows.Fail(new FieldError(field.Column, field.Pointer, code, field.Expected, Describe(ref reader)));
        reader.Skip();
    }

    /// <summary>A JSON value for an error message: its kind, and at most 64 characters of it.</summary>
    public static string Describe(ref Utf8JsonReader reader) => reader.TokenType switch
    {
        JsonTokenType.StartArray => "array",
        JsonTokenType.StartObject => "object",
        JsonTokenType.Null => "null",
        JsonTokenType.True => "bool true",
        JsonTokenType.False => "bool false",
        JsonTokenType.Number => "number " + Shorten(reader.ValueSpan),
        _ => $"string \"{Shorten(reader.ValueSpan)}\"",
    };

    static string Shorten(ReadOnlySpan<byte> utf8)
    {
        var text = Encoding.UTF8.GetString(utf8[..Math.Min(utf8.Length, ShownCharacters * 4)]);
        return text.Length <= ShownCharacters ? text : string.Concat(text.AsSpan(0, char.IsHighSurrogate(text[ShownCharacters - 1]) ? ShownCharacters - 1 : ShownCharacters), "…");
    }
}
