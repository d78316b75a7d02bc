using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Metrics;

namespace Sluice.Log;

/// <summary>What frames of one sink added up to.</summary>
/// <param name="Bytes">Of decompressed bodies.</param>
/// <param name="Minutes">Per minute: minute since 1970, requests, accepted, rejected.</param>
public sealed record SummarisedSink(Guid SinkId, long Requests, long Received, long Accepted, List<long[]> Minutes, long Bytes = 0)
{
    /// <summary>Accepted records that a repair dropped, or that a rebuild did not find in the log any more.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public long Lost { get; init; }

    /// <summary>When they were last found to be lost, microseconds since 1970-01-01 UTC.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public long LostAt { get; init; }
}

/// <summary>
/// What the trimmed part of a log said, so that state = summary + retained frames. A file beside the segments, replaced atomically before any
/// segment is deleted: first line CRC32C of the rest in hexadecimal, then JSON.
/// </summary>
sealed record LogSummary(int Format, Guid LogId, ulong Sequence, List<SummarisedSink> Sinks)
{
    public const string FileName = "summary";
    const int CurrentFormat = 1;
    const int CrcDigits = 8;

    /// <summary>Sequences of requests of which a repair or a rebuild took parts: they are counted as lost and take no effect. Known also when they are trimmed.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public HashSet<ulong>? Torn { get; init; }

    /// <summary>Sequences that a repair or a rebuild found missing and no table has, each <c>[first, last]</c>: nothing has the records of a request that was among them.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public List<ulong[]>? Missing { get; init; }

    /// <summary>Requests up to this sequence were trimmed before a rebuild: nothing has their records any more. 0: none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public ulong LostUpTo { get; init; }

    public static LogSummary Empty { get; } = new(CurrentFormat, Guid.Empty, 0, []);

    public static HashSet<ulong>? TornOf(IEnumerable<ulong>? sequences) => sequences?.ToHashSet() is { Count: > 0 } torn ? torn : null;

    /// <summary>Adds what lies behind one sequence and before the next; nothing when they follow each other.</summary>
    public static void AddGap(List<ulong[]> missing, ulong behind, ulong before)
    {
        if (before > behind + 1) missing.Add([behind + 1, before - 1]);
    }

    /// <summary>Whether nothing has the accepted records of a request any more.</summary>
    public bool IsLost(ulong sequence) => sequence <= LostUpTo || Torn?.Contains(sequence) == true || Missing?.Exists(range => range[0] <= sequence && sequence <= range[1]) == true;

    /// <summary>Nothing was trimmed, and nothing lost.</summary>
    [JsonIgnore]
    public bool IsEmpty => Sequence == 0 && Sinks.Count == 0;

    /// <summary>The same further on.</summary>
    public LogSummary With(Guid logId, ulong sequence, TableLedger ledger) =>
        this with { LogId = logId, Sequence = sequence, Sinks = ledger.ReadSummary() };

    /// <summary>The summary in a log's directory; an empty one when nothing was ever trimmed.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: damaged, or of a newer version.</exception>
    public static LogSummary Read(LogFiles files, string directory)
    {
        var path = Path.Combine(directory, FileName);
        if (!files.Exists(path)) return Empty;
        using var file = files.Open(path, writable: false);
        var bytes = new byte[file.Length];
        file.Read(bytes, 0);
        var json = bytes.AsSpan(Math.Min(bytes.Length, CrcDigits + 1));
        var isIntact = uint.TryParse(Encoding.ASCII.GetString(bytes.AsSpan(0, Math.Min(bytes.Length, CrcDigits))), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out var crc)
            && crc == Crc32C.Of(json);
        if (!isIntact) throw new SluiceException(ErrorCode.Corrupt, $"{path}: offset 0: the summary of trimmed frames is damaged");
        var summary = JsonSerializer.Deserialize(json, LogSummaryJson.Default.LogSummary)!;
        if (summary.Format != CurrentFormat) throw new SluiceException(ErrorCode.Corrupt, $"{path}: was written by a newer version (format {summary.Format})");
        return summary;
    }

    public void Write(LogFiles files, string directory)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(this, LogSummaryJson.Default.LogSummary);
        var head = Encoding.ASCII.GetBytes(Crc32C.Of(json).ToString("x8", CultureInfo.InvariantCulture) + "\n");
        files.Replace(Path.Combine(directory, FileName), [.. head, .. json]);
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(LogSummary))]
sealed partial class LogSummaryJson : JsonSerializerContext;
