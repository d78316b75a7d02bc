using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Watch;

/// <summary>A path of records that no path of the mapping names.</summary>
/// <param name="Path">Member names.</param>
/// <param name="Kinds">How often each <see cref="DriftKind"/> came.</param>
/// <param name="Example">The first value as JSON, at most 128 bytes of a text.</param>
/// <param name="FirstMicroseconds">Received then, microseconds since 1970-01-01 UTC.</param>
public sealed record DriftPath(IReadOnlyList<string> Path, IReadOnlyDictionary<DriftKind, long> Kinds, string Example, long FirstMicroseconds, long LastMicroseconds)
{
    public long Count => Kinds.Values.Sum();

    /// <summary>The path as RFC 6901 writes it.</summary>
    public string Pointer => string.Concat(Path.Select(name => "/" + PathStep.Member(name)));
}

/// <summary>What a sink receives and does not map.</summary>
/// <param name="Paths">The most frequent first.</param>
/// <param name="Overflow">Members beyond the bounds, counted and not told apart.</param>
public sealed record Drift(IReadOnlyList<DriftPath> Paths, long Overflow);

/// <summary>The counts of a sink's drift since the process began. Any thread.</summary>
sealed class DriftTotals
{
    readonly Lock _lock = new();
    readonly List<Total> _paths = []; // under _lock; the place of a path never changes
    readonly Dictionary<string, int> _places = new(StringComparer.Ordinal);
    long _overflow;

    /// <summary>Paths in the order of their places.</summary>
    public IReadOnlyList<IReadOnlyList<string>> ReadPaths()
    {
        lock (_lock) return [.. _paths.Select(path => path.Steps)];
    }

    /// <summary>Adds what one request has.</summary>
    /// <returns>Whether it has paths that are new: a decoder must be made that knows them.</returns>
    public bool Add(DriftCounts counts, long receivedAtMicroseconds)
    {
        if (counts.IsEmpty) return false;
        lock (_lock)
        {
            var before = _paths.Count;
            _overflow += counts.Overflow;
            foreach (var (path, kind, count) in counts.Touched) _paths[path].Add(kind, count, receivedAtMicroseconds);
            foreach (var found in counts.Found)
            {
                if (PlaceOf(found, receivedAtMicroseconds) is not { } total)
                {
                    _overflow += found.Counts.Sum();
                    continue;
                }
                for (var kind = 0; kind < found.Counts.Length; kind++)
                    if (found.Counts[kind] > 0) total.Add((DriftKind)kind, found.Counts[kind], receivedAtMicroseconds);
            }
            return _paths.Count > before;
        }
    }

    /// <summary>What is not mapped.</summary>
    public Drift Read(SinkDefinition definition)
    {
        var mapped = definition.Fields.Select(field => field.Pointer).ToList();
        lock (_lock)
        {
            var paths = _paths.Select(path => path.Read()).Where(path => path.Count > 0 && !mapped.Exists(pointer => Touch(pointer, path.Pointer)));
            return new Drift([.. paths.OrderByDescending(path => path.Count)], _overflow);
        }
    }

    Total? PlaceOf(FoundPath found, long receivedAtMicroseconds)
    {
        var key = string.Join('\0', found.Steps);
        if (_places.TryGetValue(key, out var place)) return _paths[place];
        if (_paths.Count >= DriftCounts.MaxPaths) return null;
        _places.Add(key, _paths.Count);
        _paths.Add(new Total(found.Steps, found.Example, receivedAtMicroseconds));
        return _paths[^1];
    }

    // one is the other, or lies below it
    static bool Touch(string a, string b) => a == b || a.StartsWith(b + "/", StringComparison.Ordinal) || b.StartsWith(a + "/", StringComparison.Ordinal);

    sealed class Total(IReadOnlyList<string> steps, string example, long firstMicroseconds)
    {
        readonly long[] _counts = new long[DriftCounts.Kinds];
        readonly long _first = firstMicroseconds;
        long _last;

        public IReadOnlyList<string> Steps { get; } = steps;

        public void Add(DriftKind kind, long count, long timeMicroseconds)
        {
            _counts[(int)kind] += count;
            _last = Math.Max(_last, timeMicroseconds);
        }

        public DriftPath Read() => new(
            Steps, Enumerable.Range(0, _counts.Length).Where(kind => _counts[kind] > 0).ToDictionary(kind => (DriftKind)kind, kind => _counts[kind]), example, _first, _last);
    }
}
