using System.Text;
using System.Text.Json;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>Turns one JSON value into the members of a set: an array, text in the forms that clients of version 1 send, or a single member.</summary>
static class SetDecoder
{
    public static void Decode(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows)
    {
        var isIds = column.Kind == PhysicalKind.Int64List;
        if (reader.TokenType == JsonTokenType.StartArray)
        {
            AddMembers(ref reader, field, column, rows);
            EndSet(column);
            return;
        }
        if (reader.TokenType == JsonTokenType.StartObject && column.HasTimes)
        {
            DecodeTimedSet(ref reader, field, column, rows);
            return;
        }
        if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.Number))
        {
            CellDecoder.Fail(ref reader, field, rows, isIds ? FieldErrorCode.NotAnId : FieldErrorCode.WrongType);
            return;
        }
        var text = CellDecoder.ReadScalar(ref reader, field, rows, out var isRead);
        if (!isRead) return;
        if (text.IsEmpty)
        {
            column.AddAbsent();
            return;
        }
        var isBracketed = text.Length >= 2 && text[0] == '[' && text[^1] == ']';
        if (isBracketed && TryAddJsonMembers(field, column, rows, text.ToArray())) { }
        else if (isBracketed || (isIds && text.Contains((byte)','))) AddSeparatedMembers(ref reader, field, column, rows, isBracketed ? text[1..^1] : text);
        else AddMember(ref reader, field, column, rows, text);
        EndSet(column);
    }

    static void AddMembers(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows)
    {
        var isIds = column.Kind == PhysicalKind.Int64List;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.String && !(isIds && reader.TokenType == JsonTokenType.Number))
                CellDecoder.Fail(ref reader, field, rows, isIds ? FieldErrorCode.NotAnId : FieldErrorCode.WrongType);
            else
                ReadMember(ref reader, field, column, rows);
        }
    }

    /// <summary>Members of a quantum set with a time of their own: <c>{"time": ..., "members": [...]}</c>.</summary>
    static void DecodeTimedSet(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows)
    {
        Instant? time = null;
        var (hasTime, hasMembers) = (false, false);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isTime = JsonText.NameIs(ref reader, "time"u8, rows);
            var isMembers = JsonText.NameIs(ref reader, "members"u8, rows);
            reader.Read();
            if ((isTime && hasTime) || (isMembers && hasMembers)) CellDecoder.Fail(ref reader, field, rows, FieldErrorCode.DuplicateField);
            else if (isMembers && reader.TokenType == JsonTokenType.StartArray) AddMembers(ref reader, field, column, rows);
            else if (!isTime) CellDecoder.Fail(ref reader, field, rows, FieldErrorCode.WrongType);
            else if (reader.TokenType != JsonTokenType.Null) CellDecoder.TryReadInstant(ref reader, field, rows, out time, out _);
            (hasTime, hasMembers) = (hasTime || isTime, hasMembers || isMembers);
        }
        if (!hasMembers) rows.Fail(new FieldError(field.Column, field.Pointer, FieldErrorCode.WrongType, field.Expected, "object without members"));
        EndSet(column);
        if (time is not { } instant) return;
        if (TimestampText.TryToUnit(instant, TimeUnit.Second, out var seconds, out _)) column.SetTimes(column.RowCount - 1, TimeQuantum.Truncate(seconds, field.Type.TimeQuantum));
        else rows.Fail(new FieldError(field.Column, field.Pointer, FieldErrorCode.OutOfRange, field.Expected, "a time out of range"));
    }

    /// <summary>An empty idset changes nothing, an empty stringset is an empty set.</summary>
    static void EndSet(ColumnBuffer column)
    {
        if (column.Kind == PhysicalKind.Int64List && column.OpenMemberCount == 0) column.AddNull();
        else column.EndSet();
    }

    /// <summary>Members from text such as <c>["a","b"]</c>, as clients of version 1 send it. False: not a JSON array of scalars.</summary>
    static bool TryAddJsonMembers(MappedField field, ColumnBuffer column, RecordRows rows, byte[] json)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            foreach (var element in document.RootElement.EnumerateArray())
                if (element.ValueKind != JsonValueKind.String && !(column.Kind == PhysicalKind.Int64List && element.ValueKind == JsonValueKind.Number)) return false;
        }
        catch (JsonException)
        {
            return false;
        }
        var reader = new Utf8JsonReader(json);
        reader.Read();
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            ReadMember(ref reader, field, column, rows);
        return true;
    }

    static void AddSeparatedMembers(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows, scoped ReadOnlySpan<byte> text)
    {
        foreach (var part in text.Split((byte)','))
            AddMember(ref reader, field, column, rows, text[part]);
    }

    static void ReadMember(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows)
    {
        var member = CellDecoder.ReadScalar(ref reader, field, rows, out var isRead);
        if (isRead) AddMember(ref reader, field, column, rows, member);
    }

    static void AddMember(ref Utf8JsonReader reader, MappedField field, ColumnBuffer column, RecordRows rows, scoped ReadOnlySpan<byte> member)
    {
        if (column.Kind == PhysicalKind.TextList)
        {
            if (!member.IsEmpty) column.AddMember(member); // empty members are never stored
        }
        else if (CellDecoder.ReadId(Ascii.Trim(member) is var range ? member[range] : member, reader.TokenType, out var id) == NumberResult.Ok)
        {
            column.AddMember(id);
        }
        else
        {
            CellDecoder.Fail(ref reader, field, rows, FieldErrorCode.NotAnId);
        }
    }
}
