using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Unicode;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>
/// Decodes records whose text is plain, which is nearly all there are: members that the mapping names and no others, texts without escapes, numbers of at most 18 digits
/// without an exponent. It looks at every byte once. Whatever else it meets it leaves to <see cref="RecordDecoder"/>, which
/// reads the record again from its beginning: for what is plain both have the same result, and errors are not found here.
/// </summary>
/// <remarks>
/// Twice as fast as the tokens of <see cref="Utf8JsonReader"/> (benchmarks/results/MICRO.md). Methods return where they have read to, or <see cref="NotPlain"/>.
/// </remarks>
static class PlainRecordReader
{
    const int NotPlain = -1;

    const int ExactDigits = 18;

    static readonly SearchValues<byte> EndsPlainText = SearchValues.Create([(byte)'"', (byte)'\\', .. Enumerable.Range(0, ' ').Select(control => (byte)control)]);

    /// <summary>Reads elements of the array of records, from behind its bracket or an element on, as long as they are plain.</summary>
    /// <param name="at">In <paramref name="body"/>, which is what the places of records count in.</param>
    /// <param name="isFirst">No comma stands before the next element.</param>
    /// <param name="maxRecords">In <paramref name="rows"/>.</param>
    /// <returns>Where the last plain element ended.</returns>
    public static int ReadElements(ReadOnlySpan<byte> body, int at, bool isFirst, BodyFormat format, RecordDecoder decoder, int maxRecords, RecordRows rows)
    {
        while (rows.MayBePlain && rows.RecordCount < maxRecords)
        {
            var start = SkipBlank(body, at);
            if (!isFirst)
            {
                if (!Stands(body, start, ',')) return at;
                start = SkipBlank(body, start + 1);
            }
            var end = Decode(body, start, isWrapped: format == BodyFormat.Records, decoder, rows);
            if (end == NotPlain) return at;
            rows.End(new RawRecord(start, end - start));
            (at, isFirst) = (end, false);
        }
        return at;
    }

    /// <summary>Decodes a record that stands alone. False: it is not plain, and was not begun.</summary>
    public static bool TryDecodeLine(ReadOnlySpan<byte> line, RecordDecoder decoder, RecordRows rows)
    {
        var end = Decode(line, SkipBlank(line, 0), isWrapped: false, decoder, rows);
        if (end == NotPlain) return false;
        if (SkipBlank(line, end) == line.Length) return true;
        rows.Cancel();
        return false;
    }

    /// <param name="isWrapped">The value is the member <c>value</c> of an object.</param>
    static int Decode(ReadOnlySpan<byte> body, int start, bool isWrapped, RecordDecoder decoder, RecordRows rows)
    {
        rows.Begin();
        var end = isWrapped ? ReadWrapped(body, start, decoder.Root, rows) : ReadObject(body, start, decoder.Root, rows);
        rows.NotePlain(end != NotPlain);
        if (end == NotPlain)
        {
            rows.Cancel();
            return NotPlain;
        }
        rows.HasValue = true;
        decoder.FinishRecord(rows);
        return end;
    }

    static int ReadWrapped(ReadOnlySpan<byte> body, int at, MappingNode root, RecordRows rows)
    {
        if (!Stands(body, at, '{')) return NotPlain;
        at = SkipBlank(body, at + 1);
        if (!NameStands(body, at, "value"u8)) return NotPlain;
        at = SkipColon(body, at + "\"value\"".Length);
        if (at == NotPlain) return NotPlain;
        at = ReadObject(body, at, root, rows);
        if (at == NotPlain) return NotPlain;
        at = SkipBlank(body, at);
        return Stands(body, at, '}') ? at + 1 : NotPlain;
    }

    static int ReadObject(ReadOnlySpan<byte> body, int at, MappingNode node, RecordRows rows)
    {
        if (!Stands(body, at, '{')) return NotPlain;
        at = SkipBlank(body, at + 1);
        if (Stands(body, at, '}')) return at + 1;
        var members = node.Members.AsSpan();
        var expected = 0;
        while (true)
        {
            var child = FindMember(body, at, members, ref expected);
            if (child is null || rows.NodeSeen[child.Id] == rows.Stamp) return NotPlain;
            rows.NodeSeen[child.Id] = rows.Stamp;
            at = SkipColon(body, at + child.Name.Length + 2);
            if (at == NotPlain) return NotPlain;
            at = child.OnlyField is { } field ? ReadCell(body, at, field, rows)
                : child.Fields.IsEmpty && child.Elements.IsEmpty ? ReadObject(body, at, child, rows)
                : NotPlain;
            if (at == NotPlain) return NotPlain;
            at = SkipBlank(body, at);
            if (Stands(body, at, '}')) return at + 1;
            if (!Stands(body, at, ',')) return NotPlain;
            at = SkipBlank(body, at + 1);
        }
    }

    /// <summary>As <see cref="MappingNode.FindMember(ref Utf8JsonReader, RecordRows, ref int)"/>: records repeat their order.</summary>
    static MappingNode? FindMember(ReadOnlySpan<byte> body, int at, ReadOnlySpan<MappingNode> members, ref int expected)
    {
        for (var i = 0; i < members.Length; i++)
        {
            if ((uint)expected >= (uint)members.Length) expected = 0;
            var member = members[expected++];
            if (NameStands(body, at, member.Name)) return member;
        }
        return null;
    }

    static int ReadCell(ReadOnlySpan<byte> body, int at, MappedField field, RecordRows rows)
    {
        if (field.Index < 0 || (uint)at >= (uint)body.Length) return NotPlain;
        rows.FieldSeen[field.Index] = rows.Stamp;
        var column = rows.Buffers[field.Index];
        return body[at] switch
        {
            (byte)'"' => ReadText(body, at, field, column),
            (byte)'-' or (>= (byte)'0' and <= (byte)'9') => ReadNumber(body, at, field, column),
            (byte)'t' => ReadBool(body, at, "true"u8, field, column),
            (byte)'f' => ReadBool(body, at, "false"u8, field, column),
            (byte)'n' => ReadNull(body, at, field, column),
            (byte)'[' => ReadList(body, at, field, rows),
            _ => NotPlain,
        };
    }

    static int ReadText(ReadOnlySpan<byte> body, int at, MappedField field, ColumnBuffer column)
    {
        var rest = body[(at + 1)..];
        var length = rest.IndexOfAny(EndsPlainText);
        if (length <= 0 || rest[length] != '"') return NotPlain; // "" means something else for each type
        var text = rest[..length];
        if (column.Kind == PhysicalKind.Text)
        {
            if (!Utf8.IsValid(text) || (field.IsKey && length > TableSchema.MaxKeyBytes)) return NotPlain;
            column.AddText(text);
        }
        else
        {
            if (field.IsKey || field.Type.Kind != ColumnKind.Timestamp || !TimestampText.TryParse(text, out var instant, out var isCut) || isCut
                || !TryAddInstant(instant, field, column)) return NotPlain;
        }
        return at + length + 2;
    }

    static bool TryAddInstant(Instant instant, MappedField field, ColumnBuffer column)
    {
        if (!TimestampText.TryToUnit(instant, field.Type.Unit, out var value, out var isTruncated) || isTruncated) return false;
        column.AddInt64(value);
        return true;
    }

    static int ReadNumber(ReadOnlySpan<byte> body, int start, MappedField field, ColumnBuffer column)
    {
        var number = 0L;
        var at = start + (body[start] == '-' ? 1 : 0);
        var digits = at;
        for (; (uint)at < (uint)body.Length && (uint)(body[at] - '0') is <= 9 and var digit; at++) number = unchecked((number * 10) + digit);
        if (at == digits || (body[digits] == '0' && at > digits + 1)) return NotPlain; // not JSON
        var fractionDigits = 0;
        if (Stands(body, at, '.'))
        {
            var point = at++;
            for (; (uint)at < (uint)body.Length && (uint)(body[at] - '0') is <= 9 and var digit; at++) number = unchecked((number * 10) + digit);
            fractionDigits = at - point - 1;
            if (fractionDigits == 0) return NotPlain;
        }
        if (at == body.Length || body[at] is (byte)'e' or (byte)'E') return NotPlain; // its end has not been seen
        if (column.Kind == PhysicalKind.Text)
        {
            if (field.IsKey && at - start > TableSchema.MaxKeyBytes) return NotPlain;
            column.AddText(body[start..at]); // as it was sent
            return at;
        }
        if (at - digits > ExactDigits) return NotPlain;
        return TryAddNumber(digits > start ? -number : number, fractionDigits, at - digits, field, column) ? at : NotPlain;
    }

    static bool TryAddNumber(long number, int fractionDigits, int length, MappedField field, ColumnBuffer column)
    {
        switch (field.Type.Kind)
        {
            case ColumnKind.Id:
                if (fractionDigits > 0 || number < 0) return false;
                break;
            case ColumnKind.Int or ColumnKind.Decimal:
                var zeros = field.Type.Scale - fractionDigits;
                if (zeros < 0 || length + zeros > ExactDigits) return false;
                number *= DecimalText.PowerOfTen(zeros);
                if (!CellDecoder.IsInRange(number, field.Type)) return false;
                break;
            case ColumnKind.Timestamp:
                return fractionDigits == 0 && TimestampText.TryFromNumber(number, field.Unit ?? TimestampText.GuessUnit(number), field.EpochSeconds, out var instant)
                    && TryAddInstant(instant, field, column);
            default:
                return false;
        }
        column.AddInt64(number);
        return true;
    }

    static int ReadBool(ReadOnlySpan<byte> body, int at, ReadOnlySpan<byte> word, MappedField field, ColumnBuffer column)
    {
        if (field.Type.Kind != ColumnKind.Bool || !body[at..].StartsWith(word)) return NotPlain;
        column.AddBool(word.Length == "true".Length);
        return at + word.Length;
    }

    static int ReadNull(ReadOnlySpan<byte> body, int at, MappedField field, ColumnBuffer column)
    {
        if (field.IsKey || !body[at..].StartsWith("null"u8)) return NotPlain;
        column.AddNull();
        return at + "null".Length;
    }

    /// <summary>A set or a vector: its tokens are read as everywhere.</summary>
    static int ReadList(ReadOnlySpan<byte> body, int at, MappedField field, RecordRows rows)
    {
        if (field.IsKey) return NotPlain;
        var reader = new Utf8JsonReader(body[at..], new JsonReaderOptions { MaxDepth = BatchReader.MaxDepth - 1 });
        try
        {
            reader.Read();
            CellDecoder.Decode(ref reader, field, rows);
        }
        catch (JsonException)
        {
            return NotPlain;
        }
        return rows.HasFailed ? NotPlain : at + (int)reader.BytesConsumed;
    }

    static bool NameStands(ReadOnlySpan<byte> body, int at, ReadOnlySpan<byte> name) =>
        body.Length - at > name.Length + 1 && body[at] == '"' && body[at + 1 + name.Length] == '"' && body.Slice(at + 1, name.Length).SequenceEqual(name);

    static bool Stands(ReadOnlySpan<byte> body, int at, char character) => (uint)at < (uint)body.Length && body[at] == character;

    static int SkipColon(ReadOnlySpan<byte> body, int at)
    {
        at = SkipBlank(body, at);
        return Stands(body, at, ':') ? SkipBlank(body, at + 1) : NotPlain;
    }

    // before and behind every token of a record, where nearly always nothing is to be skipped: without a call
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static int SkipBlank(ReadOnlySpan<byte> body, int at) => (uint)at < (uint)body.Length && body[at] <= ' ' ? SkipBlanks(body, at) : at;

    static int SkipBlanks(ReadOnlySpan<byte> body, int at)
    {
        while ((uint)at < (uint)body.Length && body[at] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t') at++;
        return at;
    }
}
