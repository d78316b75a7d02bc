using System.Text;
using System.Text.Json;

namespace Sluice.Records;

/// <summary>Kinds of JSON values, as drift counts them.</summary>
public enum DriftKind
{
    Null,
    Bool,
    Integer,
    Fraction,
    Text,
    Array,

    /// <summary>An object without members; one with members is counted by these.</summary>
    Object,
}

/// <summary>A path that is new to the sink, with what one request has of it.</summary>
sealed class FoundPath(IReadOnlyList<string> steps, string example)
{
    public IReadOnlyList<string> Steps { get; } = steps;

    public string Example { get; } = example;

    public int[] Counts { get; } = new int[DriftCounts.Kinds];
}

/// <summary>
/// Counts the members of one request that no path names. A member that was seen in an earlier request costs a comparison and an addition; a new one costs a string, and is
/// known from the next request on. One thread at a time.
/// </summary>
/// <param name="knownPaths">Paths that have counts already.</param>
sealed class DriftCounts(int knownPaths)
{
    /// <summary>Most paths counted of one sink.</summary>
    public const int MaxPaths = 1_000;

    /// <summary>Most unknown members of one object that are told apart: an object with more is a map, whose keys are data.</summary>
    public const int MaxNames = 128;

    public const int Kinds = 7;

    const int MaxNameBytes = 256;
    const int MaxDepth = 64;
    const int MaxExampleBytes = 128;

    readonly int[] _counts = new int[knownPaths * Kinds];
    readonly List<int> _touched = [];
    readonly List<int> _present = []; // of the record at hand
    readonly Dictionary<string, FoundPath> _found = new(StringComparer.Ordinal);
    readonly Dictionary<string, int> _namesBelow = new(StringComparer.Ordinal);
    readonly List<(FoundPath Path, DriftKind Kind)> _presentFound = [];
    int _presentOverflow;

    /// <summary>Members that were passed over, because there are too many paths, or names too long.</summary>
    public long Overflow { get; private set; }

    public IReadOnlyCollection<FoundPath> Found => _found.Values;

    public bool IsEmpty => _touched.Count == 0 && _found.Count == 0 && Overflow == 0;

    /// <summary>Counts the member whose name the reader stands on, and moves the reader to the end of its value.</summary>
    public void Count(ref Utf8JsonReader reader, UnknownLevel level, ref int expected)
    {
        if (level.Find(reader.ValueSpan, ref expected) is { } member)
        {
            reader.Read();
            CountValue(ref reader, member, level);
        }
        else
        {
            Learn(ref reader, level.Path, level.Count);
        }
    }

    /// <summary>The record at hand is complete.</summary>
    public void EndRecord()
    {
        if (_present.Count > 0)
        {
            foreach (var at in _present)
                if (_counts[at]++ == 0) _touched.Add(at);
            _present.Clear();
        }
        if (_presentFound.Count > 0)
        {
            foreach (var (path, kind) in _presentFound) path.Counts[(int)kind]++;
            _presentFound.Clear();
        }
        Overflow += _presentOverflow;
        _presentOverflow = 0;
    }

    /// <summary>The record at hand will be read again.</summary>
    public void CancelRecord()
    {
        _present.Clear();
        _presentFound.Clear();
        _presentOverflow = 0;
    }

    /// <summary>What was counted of known paths: place of the path, kind, count.</summary>
    public IEnumerable<(int Path, DriftKind Kind, int Count)> Touched => _touched.Select(at => (at / Kinds, (DriftKind)(at % Kinds), _counts[at]));

    public void Clear()
    {
        CancelRecord();
        foreach (var at in _touched) _counts[at] = 0;
        _touched.Clear();
        _found.Clear();
        _namesBelow.Clear();
        Overflow = 0;
    }

    void CountValue(ref Utf8JsonReader reader, UnknownMember member, UnknownLevel level)
    {
        var kind = KindOf(ref reader);
        if (kind == DriftKind.Object)
        {
            var expected = 0;
            var hasMembers = false;
            for (; reader.Read() && reader.TokenType == JsonTokenType.PropertyName; hasMembers = true) Count(ref reader, member.Below, ref expected);
            if (hasMembers) return;
        }
        else if (kind == DriftKind.Array)
        {
            reader.Skip();
        }
        if (member.Index >= 0) _present.Add((member.Index * Kinds) + (int)kind);
        else AddFound(level.Path, member.Text, "", kind, level.Count - 1); // so far an object with members
    }

    /// <summary>A member that was not seen before this request.</summary>
    void Learn(ref Utf8JsonReader reader, IReadOnlyList<string> parent, int namesKnown)
    {
        var isUsable = reader.ValueSpan.Length <= MaxNameBytes && parent.Count < MaxDepth && knownPaths + _found.Count < MaxPaths && NameOf(ref reader) is not null;
        var name = isUsable ? NameOf(ref reader)! : "";
        reader.Read();
        if (!isUsable)
        {
            _presentOverflow++;
            reader.Skip();
            return;
        }
        if (reader.TokenType == JsonTokenType.StartObject)
        {
            string[] path = [.. parent, name];
            var hasMembers = false;
            for (; reader.Read() && reader.TokenType == JsonTokenType.PropertyName; hasMembers = true) Learn(ref reader, path, 0);
            if (!hasMembers) AddFound(parent, name, "{}", DriftKind.Object, namesKnown);
            return;
        }
        var kind = KindOf(ref reader);
        var example = kind == DriftKind.Array ? ExampleOfArray(ref reader) : ExampleOf(ref reader);
        AddFound(parent, name, example, kind, namesKnown);
    }

    void AddFound(IReadOnlyList<string> parent, string name, string example, DriftKind kind, int namesKnown)
    {
        var above = string.Join('\0', parent);
        var pointer = above + '\0' + name;
        if (!_found.TryGetValue(pointer, out var path))
        {
            var names = _namesBelow.GetValueOrDefault(above, namesKnown);
            if (names >= MaxNames || knownPaths + _found.Count >= MaxPaths)
            {
                _presentOverflow++;
                return;
            }
            _namesBelow[above] = names + 1;
            _found.Add(pointer, path = new FoundPath([.. parent, name], example));
        }
        _presentFound.Add((path, kind));
    }

    static DriftKind KindOf(ref Utf8JsonReader reader) => reader.TokenType switch
    {
        JsonTokenType.Null => DriftKind.Null,
        JsonTokenType.True or JsonTokenType.False => DriftKind.Bool,
        JsonTokenType.Number => reader.ValueSpan.IndexOfAny((byte)'.', (byte)'e', (byte)'E') < 0 ? DriftKind.Integer : DriftKind.Fraction,
        JsonTokenType.String => DriftKind.Text,
        JsonTokenType.StartArray => DriftKind.Array,
        _ => DriftKind.Object,
    };

    /// <summary>The name without escapes; <c>null</c>: it is no text.</summary>
    static string? NameOf(ref Utf8JsonReader reader)
    {
        if (!System.Text.Unicode.Utf8.IsValid(reader.ValueSpan)) return null;
        try
        {
            return reader.GetString();
        }
        catch (InvalidOperationException)
        {
            return null; // a lone surrogate
        }
    }

    static string ExampleOf(ref Utf8JsonReader reader)
    {
        var text = Encoding.UTF8.GetString(reader.ValueSpan[..Math.Min(reader.ValueSpan.Length, MaxExampleBytes)]);
        return reader.TokenType == JsonTokenType.String ? $"\"{text}\"" : text;
    }

    /// <summary>The scalars of an array, as far as there is room for them.</summary>
    static string ExampleOfArray(ref Utf8JsonReader reader)
    {
        var text = new StringBuilder("[");
        for (var depth = 1; depth > 0 && reader.Read();)
        {
            if (reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject) depth++;
            else if (reader.TokenType is JsonTokenType.EndArray or JsonTokenType.EndObject) depth--;
            else if (depth == 1 && text.Length < MaxExampleBytes) text.Append(text.Length > 1 ? "," : "").Append(ExampleOf(ref reader));
        }
        return text.Append(']').ToString();
    }
}
