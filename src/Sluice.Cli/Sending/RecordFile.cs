using System.Buffers;
using System.IO.Compression;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
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
    static ReadOnlySpan<byte> ByteOrderMark => [0xEF, 0xBB, 0xBF];

    readonly Stream _file;
    readonly Stream _text;
    readonly RecordFormat _format;

    RecordFile(Stream file, Stream text, RecordFormat format, long? fileBytes) => (_file, _text, _format, FileBytes) = (file, text, format, fileBytes);

    /// <summary>Size of the file as it lies on disk; <c>null</c>: unknown.</summary>
    public long? FileBytes { get; }

    /// <summary>How much of that has been read.</summary>
    public long ReadBytes => FileBytes is null ? 0 : _file.Position;

    /// <param name="path">A file, or <c>-</c>.</param>
    /// <param name="format"><c>null</c>: by the ending of the name; NDJSON for standard input.</param>
    /// <exception cref="CommandException">The format cannot be told from the name.</exception>
    public static RecordFile Open(string path, RecordFormat? format)
    {
        if (path == StandardInput)
        {
            var input = Console.OpenStandardInput();
            return new RecordFile(input, input, format ?? RecordFormat.Ndjson, null);
        }
        var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1 << 20, FileOptions.SequentialScan);
        var (text, name) = Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".gz" => (new GZipStream(file, CompressionMode.Decompress), Path.GetFileNameWithoutExtension(path)),
            ".zst" => (new ZstdSharp.DecompressionStream(file), Path.GetFileNameWithoutExtension(path)),
            _ => ((Stream)file, path),
        };
        return new RecordFile(file, text, format ?? FormatOf(name), file.Length);
    }

    /// <exception cref="JsonException">The file is not JSON; the records before have been given.</exception>
    public IAsyncEnumerable<FileRecord> ReadAsync(CancellationToken cancellation) => _format switch
    {
        RecordFormat.Ndjson => ReadLinesAsync(cancellation),
        RecordFormat.Csv => ReadCsvAsync(cancellation),
        _ => ReadJsonAsync(cancellation),
    };

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
        await using var csv = await CsvDataReader.CreateAsync(new StreamReader(_text, leaveOpen: true), new CsvDataReaderOptions { OwnsReader = true }, cancellation);
        var output = new ArrayBufferWriter<byte>();
        while (await csv.ReadAsync(cancellation))
        {
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

    static ReadOnlyMemory<byte> Utf8(JsonElement element)
    {
        var output = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(output)) element.WriteTo(json);
        return output.WrittenMemory;
    }
}

[System.Text.Json.Serialization.JsonSerializable(typeof(JsonElement))]
sealed partial class JsonElements : System.Text.Json.Serialization.JsonSerializerContext;
