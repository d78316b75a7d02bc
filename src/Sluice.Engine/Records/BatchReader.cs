using System.Text.Json;

namespace Sluice.Records;

/// <summary>How the records of a body stand in it.</summary>
public enum BodyFormat
{
    /// <summary><c>{"records":[{"value":{...}}, ...]}</c>; an element may have <c>op</c> and <c>version</c> too.</summary>
    Records,

    /// <summary>A JSON array of values, <c>[{...}, ...]</c>.</summary>
    Values,

    /// <summary>A value a line; blank lines are passed over. A line that is not JSON costs itself alone.</summary>
    Lines,
}

/// <summary>Cuts a request body into records, in one pass, and hands each value to the decoder.</summary>
public static class BatchReader
{
    /// <summary>Deepest nesting of a record's value.</summary>
    public const int MaxDepth = 64;

    const int EnvelopeDepth = 3; // {"records":[{"value":

    static readonly JsonReaderState BehindRecord = StateBehind(BodyFormat.Records);
    static readonly JsonReaderState BehindValue = StateBehind(BodyFormat.Values);

    static ReadOnlySpan<byte> ByteOrderMark => [0xEF, 0xBB, 0xBF];

    /// <summary>The body without the byte order mark that some senders put first.</summary>
    public static ReadOnlyMemory<byte> WithoutByteOrderMark(ReadOnlyMemory<byte> body) => body[ByteOrderMarkLength(body.Span)..];

    /// <summary>How much of the beginning of a body is a byte order mark.</summary>
    internal static int ByteOrderMarkLength(ReadOnlySpan<byte> body) => body.StartsWith(ByteOrderMark) ? ByteOrderMark.Length : 0;

    /// <param name="operation">Of the records that name none.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.InvalidBody"/>, <see cref="ErrorCode.MissingParameter"/>: the body is not such a text, or a value is deeper than 64 levels;
    /// <see cref="ErrorCode.TooManyRecords"/>. Nothing of the request may be kept.
    /// </exception>
    public static void Read(ReadOnlySpan<byte> body, BodyFormat format, RecordOperation operation, RecordDecoder decoder, int maxRecords, RecordRows rows)
    {
        rows.Form = new RecordForm(IsBare: format != BodyFormat.Records, operation);
        try
        {
            switch (format)
            {
                case BodyFormat.Records: ReadEnvelope(body, decoder, maxRecords, rows); break;
                case BodyFormat.Values: ReadValues(body, decoder, maxRecords, rows); break;
                default: ReadLines(body, decoder, maxRecords, rows); break;
            }
        }
        catch (JsonException e)
        {
            var first = FindError(body, format) ?? e; // e does not count what was read as plain
            throw NotJson(first, first.LineNumber ?? 0, first.BytePositionInLine ?? 0);
        }
        rows.Complete();
    }

    /// <param name="line">From 0, as <paramref name="position"/>, which counts bytes.</param>
    internal static SluiceException NotJson(JsonException e, long line, long position) =>
        new(ErrorCode.InvalidBody, $"The body is not valid JSON at line {line + 1}, byte {position + 1}: {Reason(e)}", e);

    internal static SluiceException NotAnArray() => new(ErrorCode.InvalidBody, "The body is not a JSON array.");

    internal static SluiceException NotAnEnvelope() => new(ErrorCode.InvalidBody, "The body is not a JSON object with a member \"records\".");

    internal static SluiceException RecordsTwice() => new(ErrorCode.InvalidBody, "The body has the member \"records\" twice.");

    internal static SluiceException RecordsNotAnArray() => new(ErrorCode.InvalidBody, "The member \"records\" is not an array.");

    internal static SluiceException RecordsMissing() => new(ErrorCode.MissingParameter, "The body has no member \"records\".");

    internal static JsonReaderOptions OptionsFor(BodyFormat format) => new() { MaxDepth = MaxDepth + (format == BodyFormat.Records ? EnvelopeDepth : 1) };

    /// <summary>The state of a reader behind an element of the array of records: with it one may begin behind any of them, and counts places as if <see cref="Before"/> stood before.</summary>
    internal static JsonReaderState StateBehindElement(BodyFormat format) => format == BodyFormat.Records ? BehindRecord : BehindValue;

    /// <summary>The shortest text that leads to an element of the array of records.</summary>
    internal static ReadOnlySpan<byte> Before(BodyFormat format) => format == BodyFormat.Records ? "{\"records\":[{}"u8 : "[{}"u8;

    static JsonReaderState StateBehind(BodyFormat format)
    {
        var reader = new Utf8JsonReader(Before(format), isFinalBlock: false, new JsonReaderState(OptionsFor(format)));
        while (reader.Read()) { }
        return reader.CurrentState;
    }

    static JsonException? FindError(ReadOnlySpan<byte> body, BodyFormat format)
    {
        var reader = new Utf8JsonReader(body, OptionsFor(format));
        try
        {
            while (reader.Read()) { }
            return null;
        }
        catch (JsonException e)
        {
            return e;
        }
    }

    static void ReadValues(ReadOnlySpan<byte> body, RecordDecoder decoder, int maxRecords, RecordRows rows)
    {
        var reader = new Utf8JsonReader(body, OptionsFor(BodyFormat.Values));
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray) throw NotAnArray();
        reader = ReadElements(reader, body, BodyFormat.Values, decoder, maxRecords, rows);
        reader.Read(); // throws when anything follows
    }

    static void ReadLines(ReadOnlySpan<byte> body, RecordDecoder decoder, int maxRecords, RecordRows rows)
    {
        foreach (var range in body.Split((byte)'\n'))
        {
            var line = body[range];
            AddLine(line, range.Start.GetOffset(body.Length), decoder, maxRecords, rows);
        }
    }

    /// <summary>Reads a line of a body, unless it is blank.</summary>
    /// <param name="start">Where the line begins in the bytes that the places of records count in.</param>
    internal static void AddLine(ReadOnlySpan<byte> line, int start, RecordDecoder decoder, int maxRecords, RecordRows rows)
    {
        if (!line.StartsWith((byte)'{') && line.IndexOfAnyExcept((byte)' ', (byte)'\t', (byte)'\r') < 0) return;
        ThrowIfTooMany(rows, maxRecords);
        if (!rows.MayBePlain || !PlainRecordReader.TryDecodeLine(line, decoder, rows))
        {
            rows.Begin();
            ReadLine(line, decoder, rows);
        }
        rows.End(new RawRecord(start, line.Length));
    }

    static void ReadLine(ReadOnlySpan<byte> line, RecordDecoder decoder, RecordRows rows)
    {
        var reader = new Utf8JsonReader(line, new JsonReaderOptions { MaxDepth = MaxDepth });
        try
        {
            reader.Read();
            ReadValue(ref reader, decoder, rows);
            decoder.FinishRecord(rows);
            reader.Read(); // throws when anything follows
        }
        catch (JsonException e)
        {
            rows.Fail(new FieldError("", "", FieldErrorCode.NotJson, "one JSON object a line", $"at byte {e.BytePositionInLine + 1}: {Reason(e)}"));
        }
    }

    /// <summary>Decodes one record from its own text, without the request it came in. Text that is not JSON fails the record.</summary>
    internal static void ReadAlone(ReadOnlySpan<byte> text, RecordForm form, RecordDecoder decoder, RecordRows rows)
    {
        rows.Form = form;
        rows.Begin();
        if (form.IsBare) ReadLine(text, decoder, rows);
        else ReadElement(text, decoder, rows);
        rows.End(new RawRecord(0, text.Length));
    }

    static void ReadElement(ReadOnlySpan<byte> text, RecordDecoder decoder, RecordRows rows)
    {
        var reader = new Utf8JsonReader(text, new JsonReaderOptions { MaxDepth = MaxDepth + 1 });
        try
        {
            reader.Read();
            ReadRecord(ref reader, decoder, rows);
            reader.Read(); // throws when anything follows
        }
        catch (JsonException e)
        {
            rows.Fail(new FieldError("", "", FieldErrorCode.NotJson, "one JSON object", $"at byte {e.BytePositionInLine + 1}: {Reason(e)}"));
        }
    }

    static void ReadEnvelope(ReadOnlySpan<byte> body, RecordDecoder decoder, int maxRecords, RecordRows rows)
    {
        var reader = new Utf8JsonReader(body, OptionsFor(BodyFormat.Records));
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            throw NotAnEnvelope();
        var hasRecords = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var isRecords = JsonText.NameIs(ref reader, "records"u8, rows);
            reader.Read();
            if (!isRecords)
            {
                reader.Skip();
                continue;
            }
            if (hasRecords) throw RecordsTwice();
            if (reader.TokenType != JsonTokenType.StartArray) throw RecordsNotAnArray();
            hasRecords = true;
            reader = ReadElements(reader, body, BodyFormat.Records, decoder, maxRecords, rows);
        }
        reader.Read(); // throws when anything follows
        if (!hasRecords) throw RecordsMissing();
    }

    /// <summary>Reads the array of records that the reader stands on the bracket of.</summary>
    /// <returns>A reader on its end.</returns>
    static Utf8JsonReader ReadElements(Utf8JsonReader reader, ReadOnlySpan<byte> body, BodyFormat format, RecordDecoder decoder, int maxRecords, RecordRows rows)
    {
        var origin = 0;
        var isFirst = true;
        while (true)
        {
            var start = origin + (int)reader.BytesConsumed;
            var end = PlainRecordReader.ReadElements(body, start, isFirst, format, decoder, maxRecords, rows);
            if (end > start)
            {
                reader = new Utf8JsonReader(body[end..], isFinalBlock: true, StateBehindElement(format));
                origin = end;
            }
            reader.Read();
            if (reader.TokenType == JsonTokenType.EndArray) return reader;
            ReadElement(ref reader, format, origin, decoder, maxRecords, rows);
            isFirst = false;
        }
    }

    /// <summary>Reads the element of the array of records that the reader stands on.</summary>
    /// <param name="origin">Where the reader's bytes begin in those that the places of records count in.</param>
    internal static void ReadElement(ref Utf8JsonReader reader, BodyFormat format, int origin, RecordDecoder decoder, int maxRecords, RecordRows rows)
    {
        ThrowIfTooMany(rows, maxRecords);
        var start = (int)reader.TokenStartIndex;
        rows.Begin();
        if (format == BodyFormat.Records)
        {
            ReadRecord(ref reader, decoder, rows);
        }
        else
        {
            ReadValue(ref reader, decoder, rows);
            decoder.FinishRecord(rows);
        }
        rows.End(new RawRecord(origin + start, (int)reader.BytesConsumed - start));
    }

    static void ReadRecord(ref Utf8JsonReader reader, RecordDecoder decoder, RecordRows rows)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            Fail(ref reader, rows, FieldErrorCode.NotARecord, "an object with a member \"value\"");
            return;
        }
        var seen = RecordMember.None;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var member = MemberOf(ref reader, rows);
            reader.Read();
            if (member == RecordMember.None) reader.Skip();
            else if ((seen & member) != 0) Fail(ref reader, rows, FieldErrorCode.DuplicateField, $"one member \"{member.ToString().ToLowerInvariant()}\"");
            else if (member == RecordMember.Value) ReadValue(ref reader, decoder, rows);
            else if (member == RecordMember.Op) RecordOperations.ReadOperation(ref reader, rows);
            else RecordOperations.ReadVersion(ref reader, rows);
            seen |= member;
        }
        // only now is the operation known: it may stand behind the value
        if ((seen & RecordMember.Value) != 0) decoder.FinishRecord(rows);
        else rows.Fail(new FieldError("", "", FieldErrorCode.MissingValue, "a member \"value\"", "none"));
    }

    static RecordMember MemberOf(ref Utf8JsonReader reader, RecordRows rows) =>
        JsonText.NameIs(ref reader, "value"u8, rows) ? RecordMember.Value
        : JsonText.NameIs(ref reader, "op"u8, rows) ? RecordMember.Op
        : JsonText.NameIs(ref reader, "version"u8, rows) ? RecordMember.Version
        : RecordMember.None;

    static void ReadValue(ref Utf8JsonReader reader, RecordDecoder decoder, RecordRows rows)
    {
        if (reader.TokenType == JsonTokenType.StartObject) decoder.DecodeValue(ref reader, rows);
        else Fail(ref reader, rows, FieldErrorCode.ValueNotAnObject, "an object");
    }

    static void Fail(ref Utf8JsonReader reader, RecordRows rows, FieldErrorCode code, string expected)
    {
        rows.Fail(new FieldError("", "", code, expected, CellDecoder.Describe(ref reader)));
        reader.Skip();
    }

    static void ThrowIfTooMany(RecordRows rows, int maxRecords)
    {
        if (rows.FirstRecordIndex + rows.RecordCount < maxRecords) return;
        // the text old clients know, with the limit named
        throw new SluiceException(ErrorCode.TooManyRecords, $"Request exceeded record count limit ({maxRecords} records)");
    }

    /// <summary>The reader's words without its own position suffix, and of a wrong literal no more than what makes it wrong: it cites all that follows.</summary>
    static string Reason(JsonException e)
    {
        const string wrongLiteral = "' is an invalid JSON literal. Expected the literal '";
        var end = e.Message.LastIndexOf(" LineNumber:", StringComparison.Ordinal);
        var reason = end < 0 ? e.Message : e.Message[..end];
        var at = reason.LastIndexOf(wrongLiteral, StringComparison.Ordinal);
        if (at < 0) return reason;
        var cited = reason.AsSpan(1, at - 1);
        var wrongAt = cited.CommonPrefixLength(reason.AsSpan(at + wrongLiteral.Length));
        return string.Concat("'", cited[..Math.Min(cited.Length, wrongAt + 1)], reason.AsSpan(at));
    }

    /// <summary>The members of an element of <c>records</c>; all others are passed over.</summary>
    [Flags]
    enum RecordMember
    {
        None = 0,
        Value = 1,
        Op = 2,
        Version = 4,
    }
}
