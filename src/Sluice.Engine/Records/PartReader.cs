using System.Text.Json;
using Sluice.Log;

namespace Sluice.Records;

/// <summary>
/// Cuts a body that arrives piece by piece into records: takes the complete ones of the bytes at hand, and goes on behind them when there are more. The records
/// are the same, and the refusals, as if <see cref="BatchReader"/> read the body whole. One thread at a time.
/// </summary>
/// <remarks>
/// A record is decoded as if it stood there whole. When its text ends too early the decoder fails, and the record is taken back and read again with more bytes;
/// before that its beginning is looked through once for what no further byte can mend. Windows that are full each time, and double for a record larger than
/// themselves, keep this from reading any byte more than a few times.
/// </remarks>
sealed class PartReader(BodyFormat format, RecordOperation operation, RecordDecoder decoder, int maxRecords)
{
    /// <summary>Most records in one part: each has a position in the log.</summary>
    public const int MaxRecords = 1 << LogPosition.RecordIndexBits;

    JsonReaderState _state = new(BatchReader.OptionsFor(format));
    Place _place;
    TextPlace _stateBegan; // where the state began to count
    TextPlace _reached; // how far lines have been counted,
    int _reachedAt; // which is here in the bytes at hand
    bool _hasBegun;
    bool _isBehindRecord;
    bool _hasRecords;

    /// <summary>Where the reader stands in a JSON body.</summary>
    enum Place
    {
        Start,

        /// <summary>Before a member of the envelope, or its end.</summary>
        Members,

        /// <summary>Before the value of the member <c>records</c>.</summary>
        RecordsMember,

        /// <summary>Before the value of another member.</summary>
        OtherMember,

        /// <summary>In the object or array that is the value of another member.</summary>
        InOtherMember,

        /// <summary>In the array of records, between two of them.</summary>
        Records,

        /// <summary>Behind the body's last bracket.</summary>
        End,
    }

    /// <summary>The body has been read to its end.</summary>
    public bool IsDone { get; private set; }

    /// <summary>Takes records from the bytes, until none is complete or the part is full.</summary>
    /// <param name="bytes">The body from where the last call ended; at first with at least three bytes, or all.</param>
    /// <param name="isLast">Nothing follows them.</param>
    /// <param name="rows">The part; the places of its records count in <paramref name="bytes"/>.</param>
    /// <returns>How many bytes are done with.</returns>
    /// <exception cref="SluiceException">As of <see cref="BatchReader.Read"/>: nothing of the request may be kept.</exception>
    public int Read(ReadOnlySpan<byte> bytes, bool isLast, RecordRows rows)
    {
        rows.Form = new RecordForm(IsBare: format != BodyFormat.Records, operation);
        var mark = _hasBegun ? 0 : BatchReader.ByteOrderMarkLength(bytes);
        _hasBegun = true;
        try
        {
            _reachedAt = mark;
            var taken = format == BodyFormat.Lines ? ReadLines(bytes, mark, isLast, rows) : ReadJson(bytes, mark, isLast, rows);
            if (format != BodyFormat.Lines) CountTo(bytes, taken); // an error of a line is told by its record
            rows.Complete();
            return taken;
        }
        catch (JsonException e)
        {
            var line = e.LineNumber ?? 0;
            throw BatchReader.NotJson(e, _stateBegan.Line + line, (e.BytePositionInLine ?? 0) + (line == 0 ? _stateBegan.Position : 0));
        }
    }

    int ReadLines(ReadOnlySpan<byte> bytes, int start, bool isLast, RecordRows rows)
    {
        while (rows.RecordCount < MaxRecords && start < bytes.Length)
        {
            var line = bytes[start..];
            var end = line.IndexOf((byte)'\n');
            if (end < 0 && !isLast) return start;
            if (end >= 0) line = line[..end];
            BatchReader.AddLine(line, start, decoder, maxRecords, rows);
            start += end < 0 ? line.Length : end + 1;
        }
        IsDone = isLast && start == bytes.Length;
        return start;
    }

    int ReadJson(ReadOnlySpan<byte> bytes, int start, bool isLast, RecordRows rows)
    {
        bool goesOn;
        do
        {
            goesOn = _place == Place.Records ? ReadRecords(bytes, ref start, isLast, rows) : ReadAround(bytes, ref start, isLast, rows);
        }
        while (goesOn);
        return start;
    }

    /// <summary>Reads what stands before and behind the records, token by token. True: now come records.</summary>
    bool ReadAround(ReadOnlySpan<byte> bytes, ref int start, bool isLast, RecordRows scratch)
    {
        var reader = new Utf8JsonReader(bytes[start..], isLast, _state);
        var hasToken = true;
        while (_place != Place.Records && (hasToken = reader.Read())) _place = Next(ref reader, scratch);
        _state = reader.CurrentState;
        start += (int)reader.BytesConsumed;
        if (_place == Place.Records) return true;
        if (isLast && !hasToken)
        {
            if (format == BodyFormat.Records && !_hasRecords) throw BatchReader.RecordsMissing();
            IsDone = true;
        }
        return false;
    }

    Place Next(ref Utf8JsonReader reader, RecordRows scratch)
    {
        switch (_place)
        {
            case Place.Start when format == BodyFormat.Values:
                return reader.TokenType == JsonTokenType.StartArray ? Place.Records : throw BatchReader.NotAnArray();
            case Place.Start:
                return reader.TokenType == JsonTokenType.StartObject ? Place.Members : throw BatchReader.NotAnEnvelope();
            case Place.Members when reader.TokenType == JsonTokenType.PropertyName:
                return JsonText.NameIs(ref reader, "records"u8, scratch) ? Place.RecordsMember : Place.OtherMember;
            case Place.RecordsMember:
                if (_hasRecords) throw BatchReader.RecordsTwice();
                _hasRecords = true;
                return reader.TokenType == JsonTokenType.StartArray ? Place.Records : throw BatchReader.RecordsNotAnArray();
            case Place.OtherMember:
                return reader.TokenType is JsonTokenType.StartObject or JsonTokenType.StartArray ? Place.InOtherMember : Place.Members;
            case Place.InOtherMember:
                var isEnd = reader.TokenType is JsonTokenType.EndObject or JsonTokenType.EndArray && reader.CurrentDepth == 1;
                return isEnd ? Place.Members : Place.InOtherMember;
            default:
                return Place.End;
        }
    }

    /// <summary>Reads complete records. True: the array of records ends here.</summary>
    bool ReadRecords(ReadOnlySpan<byte> bytes, ref int start, bool isLast, RecordRows rows)
    {
        var reader = new Utf8JsonReader(bytes[start..], isFinalBlock: true, _state);
        var done = reader; // up to the last complete record
        var isAtEnd = false;
        var isInRecord = false;
        try
        {
            while (!isAtEnd && rows.RecordCount < MaxRecords)
            {
                var plainFrom = start + (int)reader.BytesConsumed;
                var plainTo = PlainRecordReader.ReadElements(bytes, plainFrom, !_isBehindRecord, format, decoder, Math.Min(maxRecords - rows.FirstRecordIndex, MaxRecords), rows);
                if (plainTo > plainFrom)
                {
                    CountTo(bytes, plainTo);
                    _stateBegan = _reached with { Position = _reached.Position - BatchReader.Before(format).Length };
                    (start, _isBehindRecord) = (plainTo, true);
                    done = reader = new Utf8JsonReader(bytes[start..], isFinalBlock: true, BatchReader.StateBehindElement(format));
                    continue;
                }
                reader.Read();
                isAtEnd = reader.TokenType == JsonTokenType.EndArray;
                if (!isAtEnd)
                {
                    isInRecord = true;
                    BatchReader.ReadElement(ref reader, format, start, decoder, maxRecords, rows);
                    isInRecord = false;
                    _isBehindRecord = true;
                }
                done = reader;
            }
        }
        catch (JsonException) when (!isLast && IsOnlyIncomplete(bytes[(start + (int)done.BytesConsumed)..], done.CurrentState))
        {
            if (isInRecord) rows.Cancel();
        }
        _state = done.CurrentState;
        start += (int)done.BytesConsumed;
        if (isAtEnd) _place = format == BodyFormat.Values ? Place.End : Place.Members;
        return isAtEnd;
    }

    void CountTo(ReadOnlySpan<byte> bytes, int end)
    {
        var text = bytes[_reachedAt..end];
        var lines = text.Count((byte)'\n');
        _reached = new TextPlace(_reached.Line + lines, lines == 0 ? _reached.Position + text.Length : text.Length - text.LastIndexOf((byte)'\n') - 1);
        _reachedAt = end;
    }

    /// <summary>Whether the bytes can be the beginning of one more record, or of what ends the array.</summary>
    static bool IsOnlyIncomplete(ReadOnlySpan<byte> bytes, JsonReaderState state)
    {
        try
        {
            var reader = new Utf8JsonReader(bytes, isFinalBlock: false, state);
            return !reader.Read() || !reader.TrySkip();
        }
        catch (JsonException)
        {
            return false; // the decoder's own word stands
        }
    }

    /// <summary>A place in the whole body, both from 0.</summary>
    readonly record struct TextPlace(long Line, long Position);
}
