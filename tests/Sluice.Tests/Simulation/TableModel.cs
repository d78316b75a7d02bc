using System.Globalization;
using Sluice.Load;
using Sluice.Records;
using Sluice.Tests.Load;

namespace Sluice.Tests.Simulation;

/// <summary>What a table must be when requests are applied one after the other. It knows nothing of batches, folding, positions or crashes.</summary>
sealed class TableModel
{
    const int Tags = 3;

    readonly SortedDictionary<string, SortedDictionary<int, string>> _rows = new(StringComparer.Ordinal);
    readonly Dictionary<string, long> _versions = [];
    readonly Dictionary<string, long> _deleted = [];

    public Dictionary<Guid, SinkCounts> Counts { get; } = [];

    /// <summary><c>sequence/index code</c> of every record that fails, in order.</summary>
    public SortedSet<string> Errors { get; } = new(StringComparer.Ordinal);

    /// <inheritdoc cref="MemoryDatabase.Rows"/>
    public string[] Rows() => [.. _rows.Select(row => $"{row.Key}: {string.Join(' ', row.Value.Select(cell => $"{cell.Key}={cell.Value}"))}".TrimEnd())];

    /// <param name="optional">Columns that the request was decoded with beside those that are always there.</param>
    public void Apply(SimulatedRequest request, ulong sequence, IReadOnlyList<int> optional)
    {
        if (request.IsDiscarded)
        {
            Errors.Add(string.Create(CultureInfo.InvariantCulture, $"{sequence}/-1 {LateErrorCode.BatchDiscarded}"));
            return;
        }
        for (var i = 0; i < request.Records.Count; i++)
        {
            if (request.Records[i].IsRejected) continue;
            var counts = Counts.GetValueOrDefault(request.Sink.Id);
            if (Apply(request.Records[i], optional, out var isSuperseded) is { } failure)
            {
                Errors.Add(string.Create(CultureInfo.InvariantCulture, $"{sequence}/{i} {failure}"));
                counts = counts with { Failed = counts.Failed + 1 };
            }
            else
            {
                counts = counts with { Loaded = counts.Loaded + 1, Superseded = counts.Superseded + (isSuperseded ? 1 : 0) };
            }
            Counts[request.Sink.Id] = counts;
        }
    }

    /// <summary>SQL's DELETE of the rows with a tag.</summary>
    public void Delete(string tag)
    {
        foreach (var key in _rows.Where(row => row.Value.GetValueOrDefault(Tags, "").Contains(tag, StringComparison.Ordinal)).Select(row => row.Key).ToList())
            (_, _) = (_rows.Remove(key), _versions.Remove(key));
    }

    LateErrorCode? Apply(SimulatedRecord record, IReadOnlyList<int> optional, out bool isSuperseded)
    {
        isSuperseded = false;
        if (record.IsRefused) return LateErrorCode.StoreRefused;
        var (key, version) = (record.Key, record.Version);
        var isPresent = _rows.TryGetValue(key, out var row);
        var none = RecordOperations.NoVersion;
        if (version != none && version < Math.Max(_versions.GetValueOrDefault(key, none), _deleted.GetValueOrDefault(key, none)))
        {
            isSuperseded = true;
            return null;
        }
        switch (record.Operation)
        {
            case RecordOperation.Delete:
                (_, _) = (_rows.Remove(key), _versions.Remove(key));
                if (version != none) _deleted[key] = version;
                return null;
            case RecordOperation.Insert when isPresent: return LateErrorCode.KeyExists;
            case RecordOperation.Patch when !isPresent: return LateErrorCode.KeyMissing;
            case RecordOperation.Remove when !isPresent: return null;
        }
        if (row is null) _rows.Add(key, row = []);
        if (record.Operation == RecordOperation.Replace) row.Clear();
        if (version != none) _versions[key] = Math.Max(_versions.GetValueOrDefault(key, none), version);
        if (record.Operation == RecordOperation.Remove)
        {
            Remove(row, record.Cells[Tags]!);
            return null;
        }
        foreach (var (column, cell) in record.Cells)
        {
            if (cell is null) row.Remove(column);
            else row[column] = column == Tags ? MemoryDatabase.Unite(row.GetValueOrDefault(column, "[]"), cell) : cell;
        }
        foreach (var column in optional) row[column] = record.Number.ToString(CultureInfo.InvariantCulture);
        return null;
    }

    static void Remove(SortedDictionary<int, string> row, string tags)
    {
        if (!row.TryGetValue(Tags, out var stored)) return;
        var gone = tags[1..^1].Split(',');
        row[Tags] = $"[{string.Join(',', stored[1..^1].Split(',', StringSplitOptions.RemoveEmptyEntries).Where(tag => !gone.Contains(tag)))}]";
    }
}
