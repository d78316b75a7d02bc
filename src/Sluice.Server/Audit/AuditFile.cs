using System.Globalization;
using System.Text.Json;

namespace Sluice.Server.Audit;

/// <summary>The files of the audit log as they are read.</summary>
/// <param name="First">Sequence of the first event, from the file's name.</param>
sealed record AuditFile(string Path, long First)
{
    public const string Sequence = "sequence";

    const string Prefix = "audit-";
    const string Suffix = ".jsonl";

    public static string NameOf(long first) => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{first:d15}{Suffix}");

    /// <summary>Oldest first.</summary>
    public static IReadOnlyList<AuditFile> FindAll(string directory) =>
    [
        .. Directory.EnumerateFiles(directory, $"{Prefix}*{Suffix}")
            .Select(path => new AuditFile(path, FirstOf(path)))
            .Where(file => file.First > 0)
            .OrderBy(file => file.First),
    ];

    /// <summary>The events of a file, last one first. A line that is torn or not JSON is passed over. A file that is gone has none.</summary>
    public static IEnumerable<JsonElement> ReadBackwards(string path)
    {
        var bytes = ReadAll(path);
        var end = bytes.AsSpan().LastIndexOf((byte)'\n');
        while (end > 0)
        {
            var start = bytes.AsSpan(0, end).LastIndexOf((byte)'\n') + 1;
            if (TryParse(bytes.AsMemory(start, end - start)) is { } line)
                yield return line;
            end = start - 1;
        }
    }

    /// <summary>Bytes up to the end of the last line that has one.</summary>
    public static long LengthOfWholeLines(string path) => ReadAll(path).AsSpan().LastIndexOf((byte)'\n') + 1;

    public static long SequenceOf(JsonElement line) => line.GetProperty(Sequence).GetInt64();

    static JsonElement? TryParse(ReadOnlyMemory<byte> line)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            var root = document.RootElement;
            return root.ValueKind == JsonValueKind.Object && root.TryGetProperty(Sequence, out var sequence) && sequence.TryGetInt64(out _) ? root.Clone() : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    static byte[] ReadAll(string path)
    {
        try
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            var bytes = new byte[file.Length];
            return bytes[..file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false)];
        }
        catch (FileNotFoundException)
        {
            return [];
        }
    }

    static long FirstOf(string path) =>
        long.TryParse(System.IO.Path.GetFileNameWithoutExtension(path).AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var first) ? first : 0;
}
