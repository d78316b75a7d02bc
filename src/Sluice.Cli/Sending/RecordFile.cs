using System.Buffers;
using System.IO.Compression;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Sylvan.Data.Csv;

namespace Sluice.Cli.Sending;

/// <summary>How records stand in a file.</summary>
enum RecordFormat
{
    /// <summary>One JSON object a line.</summary>
    Ndjson,

    /// <summary><c>{"records":[{"value":{...}}, ...]}</c>, an array of objects, or objects one after the other.</summary>
    Json,

    /// <summary>A header line names the members; every value is sent as text, empty ones are left out.</summary>
    Csv,
}

/// <summary>One record of a file.</summary>
/// <param name="IsElement">True: an element of <c>records</c>, with its own <c>value</c>; false: a bare value.</param>
readonly record struct FileRecord(ReadOnlyMemory<byte> Json, bool IsElement);

/// <summary>Records in a file or on standard input, read as they come; plain, gzip or zstd by the ending of the name.</summary>
sealed class RecordFile : IDisposable
{
    const string StandardInput = "-";
    const int MaxCsvRowChars = 32 * 1024 * 1024; // no request is longer
    const char NoComment = '\uDC00'; // the second half of a character begins no line
    static ReadOnlySpan<byte> ByteOrderMark => [0xEF, 0xBB, 0xBF];

    readonly string _name;
    readonly Stream _file;
    readonly Stream _text;
    readonly Pipe? _aside;
    readonly RecordFormat _format;

    RecordFile(string path, Stream file, RecordFormat? format)
    {
        (_name, _file) = (path == StandardInput ? "Standard input" : path, file);
        if (path != StandardInput && IsOnDisk(path) && file.CanSeek) FileBytes = file.Length;
        if (!file.CanSeek) _aside = ReadAside(file);
        var input = _aside?.Reader.AsStream() ?? file;
        var ending = Path.GetExtension(path).ToLowerInvariant();
        _text = ending switch
        {
            ".gz" => new GZipStream(input, CompressionMode.Decompress),
            ".zst" => new ZstdSharp.DecompressionStream(input),
            _ => input,
        };
        _format = format ?? (path == StandardInput ? RecordFormat.Ndjson : FormatOf(_text == input ? path : Path.GetFileNameWithoutExtension(path)));
    }

    /// <summary>Size of the file as it lies on disk; <c>null</c>: unknown, and what is read cannot be read again (standard input, a pipe).</summary>
    public long? FileBytes { get; }

    /// <summary>How much of that has been read.</summary>
    public long ReadBytes => FileBytes is null ? 0 : _file.Position;

    /// <param name="path">A file, or <c>-</c>.</param>
    /// <param name="format"><c>null</c>: by the ending of the name; NDJSON for standard input.</param>
    /// <exception cref="CommandException">The format cannot be told from the name.</exception>
    public static RecordFile Open(string path, RecordFormat? format)
    {
        if (path == StandardInput) return new RecordFile(path, Console.OpenStandardInput(), format);
        return new RecordFile(path, new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1 << 20, FileOptions.SequentialScan), format);
    }

    /// <exception cref="JsonException">The file is not JSON; the records before have been given.</exception>
    /// <exception cref="CommandException">It is not the CSV or the compressed file that it should be; the records before have been given.</exception>
    public async IAsyncEnumerable<FileRecord> ReadAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        using var _ = cancellation.Register(() => _aside?.Reader.CancelPendingRead());
        await using var records = (_format switch
        {
            RecordFormat.Ndjson => ReadLinesAsync(cancellation),
            RecordFormat.Csv => ReadCsvAsync(cancellation),
            _ => ReadJsonAsync(cancellation),
        }).GetAsyncEnumerator(cancellation);
        while (true)
        {
            try
            {
                if (!await records.MoveNextAsync()) yield break;
            }
            catch (Exception e) when (Sentence(e) is { } sentence)
            {
                throw new CommandException(sentence);
            }
            yield return records.Current;
        }
    }

    public void Dispose()
    {
        _text.Dispose();
        _file.Dispose();
    }

    static RecordFormat FormatOf(string name) => Path.GetExtension(name).ToLowerInvariant() switch
    {
        ".json" => RecordFormat.Json,
        ".ndjson" or ".jsonl" => RecordFormat.Ndjson,
        ".csv" => RecordFormat.Csv,
        _ => throw new CommandException($"The format of {name} is not told by its name; give it with --format."),
    };

    /// <summary>What lies there is the same file the next time.</summary>
    static bool IsOnDisk(string path) => Path.GetFullPath(path) is var full && !full.StartsWith("/dev/", StringComparison.Ordinal) && !full.StartsWith("/proc/", StringComparison.Ordinal);

    /// <summary>Reads ahead in a task of its own: a read of a terminal or a pipe cannot be cancelled, waiting for the task can.</summary>
    static Pipe ReadAside(Stream input)
    {
        var pipe = new Pipe();
        _ = Task.Run(async () =>
        {
            try
            {
                await input.CopyToAsync(pipe.Writer);
                await pipe.Writer.CompleteAsync();
            }
            catch (Exception e)
            {
                await pipe.Writer.CompleteAsync(e); // whoever reads gets it
            }
        });
        return pipe;
    }

    string? Sentence(Exception e) => e switch
    {
        CsvRecordTooLargeException large => $"{_name}, row {Row(large.RowNumber)}: longer than a request may be. A quote that is opened and never closed makes such rows.",
        CsvFormatException wrong => $"{_name}, row {Row(wrong.RowNumber)}: {wrong.Message}",
        InvalidDataException or ZstdSharp.ZstdException or EndOfStreamException => $"{_name} cannot be decompressed: it ends in the middle, is damaged, or is not compressed as its name says.",
        _ => null,
    };

    /// <summary>As people count: the header is row 1.</summary>
    static int Row(int number) => number + 1;

    async IAsyncEnumerable<FileRecord> ReadLinesAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        var pipe = PipeReader.Create(_text, new StreamPipeReaderOptions(bufferSize: 1 << 16, leaveOpen: true));
        var isFirst = true;
        while (true)
        {
            var read = await pipe.ReadAsync(cancellation);
            var buffer = read.Buffer;
            while (TryCutLine(ref buffer, read.IsCompleted, out var line))
            {
                var record = line.ToArray().AsMemory();
                if (isFirst && record.Span.StartsWith(ByteOrderMark)) record = record[ByteOrderMark.Length..];
                isFirst = false;
                if (record.Span.IndexOfAnyExcept((byte)' ', (byte)'\t', (byte)'\r') >= 0) yield return new FileRecord(record, IsElement: false);
            }
            pipe.AdvanceTo(buffer.Start, buffer.End);
            if (read.IsCompleted) break;
        }
        await pipe.CompleteAsync();
    }

    static bool TryCutLine(ref ReadOnlySequence<byte> buffer, bool isLast, out ReadOnlySequence<byte> line)
    {
        if (buffer.PositionOf((byte)'\n') is { } end)
        {
            line = buffer.Slice(0, end);
            buffer = buffer.Slice(buffer.GetPosition(1, end));
            return true;
        }
        line = buffer;
        if (!isLast || buffer.IsEmpty) return false;
        buffer = buffer.Slice(buffer.End);
        return true;
    }

    async IAsyncEnumerable<FileRecord> ReadJsonAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        var options = new JsonSerializerOptions { MaxDepth = 128, TypeInfoResolver = JsonElements.Default };
        await foreach (var root in JsonSerializer.DeserializeAsyncEnumerable<JsonElement>(_text, topLevelValues: true, options, cancellation))
        {
            var elements = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("records", out var records) && records.ValueKind == JsonValueKind.Array ? records : default;
            if (elements.ValueKind == JsonValueKind.Array)
            {
                foreach (var element in elements.EnumerateArray()) yield return new FileRecord(Utf8(element), IsElement: true);
            }
            else if (root.ValueKind == JsonValueKind.Array)
            {
                foreach (var value in root.EnumerateArray()) yield return new FileRecord(Utf8(value), IsElement: false);
            }
            else
            {
                yield return new FileRecord(Utf8(root), IsElement: false);
            }
        }
    }

    async IAsyncEnumerable<FileRecord> ReadCsvAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        var replaced = new CountedReplacements();
        await using var csv = await OpenCsvAsync(replaced, cancellation);
        if (csv is null) yield break;
        var output = new ArrayBufferWriter<byte>();
        if (Enumerable.Range(0, csv.FieldCount).Any(i => IsDamaged(csv.GetName(i), replaced))) throw NotUtf8(row: 1);
        while (await csv.ReadAsync(cancellation))
        {
            var raw = csv.GetRawRecordSpan();
            if (IsDamaged(raw, replaced)) throw NotUtf8(Row(csv.RowNumber));
            if (raw.IsWhiteSpace()) continue;
            if (HasSurplus(csv))
            {
                // as a line of NDJSON that is no JSON, so that it is rejected and counted like that
                yield return new FileRecord(Encoding.UTF8.GetBytes($"CSV row {Row(csv.RowNumber)} has {csv.RowFieldCount} fields, the header {csv.FieldCount}: {raw.TrimEnd("\r\n").ToString().ReplaceLineEndings(" ")}"), IsElement: false);
                continue;
            }
            output.ResetWrittenCount();
            using (var json = new Utf8JsonWriter(output))
            {
                json.WriteStartObject();
                for (var i = 0; i < csv.RowFieldCount && i < csv.FieldCount; i++)
                    if (csv.GetString(i) is { Length: > 0 } text) json.WriteString(csv.GetName(i), text);
                json.WriteEndObject();
            }
            yield return new FileRecord(output.WrittenSpan.ToArray(), IsElement: false);
        }
    }

    /// <returns><c>null</c>: nothing is in it, not even a header.</returns>
    async Task<CsvDataReader?> OpenCsvAsync(CountedReplacements replaced, CancellationToken cancellation)
    {
        var encoding = Encoding.GetEncoding("utf-8", EncoderFallback.ReplacementFallback, replaced);
        try
        {
            return await CsvDataReader.CreateAsync(
                new StreamReader(_text, encoding, leaveOpen: true), new CsvDataReaderOptions { OwnsReader = true, Comment = NoComment, MaxBufferSize = MaxCsvRowChars }, cancellation);
        }
        catch (CsvMissingHeadersException)
        {
            return null;
        }
    }

    static bool IsDamaged(ReadOnlySpan<char> text, CountedReplacements replaced) => replaced.Count > 0 && text.Contains(CountedReplacements.Replacement);

    CommandException NotUtf8(int row) => new($"{_name}, row {row}: not UTF-8. Convert it first, as in iconv -f LATIN1 -t UTF-8.");

    static bool HasSurplus(CsvDataReader csv)
    {
        for (var i = csv.FieldCount; i < csv.RowFieldCount; i++)
            if (csv.GetString(i).Length > 0) return true;
        return false;
    }

    /// <summary>The element as it stands in the file, on one line. A writer would refuse what is no Unicode (half a surrogate pair); that is for the server to reject.</summary>
    static ReadOnlyMemory<byte> Utf8(JsonElement element)
    {
        var raw = JsonMarshal.GetRawUtf8Value(element);
        var line = new byte[raw.Length];
        var length = 0;
        var isInText = false;
        for (var i = 0; i < raw.Length; i++)
        {
            if (!isInText && raw[i] is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n') continue;
            if (raw[i] == '"') isInText = !isInText;
            line[length++] = raw[i];
            if (raw[i] == '\\') line[length++] = raw[++i]; // an escaped quote ends no text
        }
        return line.AsMemory(0, length);
    }

    /// <summary>Puts the usual sign for bytes that are not UTF-8, and counts them: a file may hold the sign itself.</summary>
    sealed class CountedReplacements : DecoderFallback
    {
        public const char Replacement = '\uFFFD';

        public int Count { get; private set; }

        public override int MaxCharCount => 1;

        public override DecoderFallbackBuffer CreateFallbackBuffer() => new Buffer(this);

        sealed class Buffer(CountedReplacements owner) : DecoderFallbackBuffer
        {
            int _remaining;

            public override int Remaining => _remaining;

            public override bool Fallback(byte[] bytesUnknown, int index)
            {
                owner.Count++;
                _remaining = 1;
                return true;
            }

            public override char GetNextChar()
            {
                if (_remaining == 0) return '\0';
                _remaining = 0;
                return Replacement;
            }

            public override bool MovePrevious() => false;

            public override void Reset() => _remaining = 0;
        }
    }
}

[System.Text.Json.Serialization.JsonSerializable(typeof(JsonElement))]
sealed partial class JsonElements : System.Text.Json.Serialization.JsonSerializerContext;
