using System.Globalization;
using System.Text.Json;

namespace Sluice.Server;

/// <summary>What samples have at one path. One thread.</summary>
/// <param name="path">Member names.</param>
sealed class PathSamples(IReadOnlyList<string> path)
{
    const int MaxDistinct = 10_000;

    readonly HashSet<string> _distinct = new(StringComparer.Ordinal);
    readonly HashSet<string> _members = new(StringComparer.Ordinal);
    int? _arrayLength;
    bool _arraysDiffer;

    public IReadOnlyList<string> Path { get; } = path;

    /// <summary>Samples with a value that is not null.</summary>
    public int Values { get; private set; }

    public int Nulls { get; private set; }

    public int Bools { get; private set; }

    public int Integers { get; private set; }

    public int Fractions { get; private set; }

    /// <summary>Numbers that no column type keeps whole: more than 18 digits, or with an exponent.</summary>
    public int OtherNumbers { get; private set; }

    public int Texts { get; private set; }

    /// <summary>Of the texts, those that are times of RFC 3339.</summary>
    public int Times { get; private set; }

    /// <summary>Of the texts, those that are numbers with a fraction.</summary>
    public int NumberTexts { get; private set; }

    public int Arrays { get; private set; }

    public int EmptyObjects { get; private set; }

    public long Min { get; private set; } = long.MaxValue;

    public long Max { get; private set; } = long.MinValue;

    /// <summary>Most digits after the point, of numbers and of texts that are numbers.</summary>
    public int Scale { get; private set; }

    /// <summary>Most digits before the point.</summary>
    public int WholeDigits { get; private set; }

    /// <summary>Most digits of a fraction of a second.</summary>
    public int TimeDigits { get; private set; }

    public int LongestText { get; private set; }

    public bool HasEmptyText { get; private set; }

    /// <summary>Members of arrays by kind.</summary>
    public int TextMembers { get; private set; }

    public int IdMembers { get; private set; }

    public int NumberMembers { get; private set; }

    public int OtherMembers { get; private set; }

    public int DistinctMembers => _members.Count;

    /// <summary>The length that all arrays have; <c>null</c>: they differ.</summary>
    public int? ArrayLength => _arraysDiffer ? null : _arrayLength;

    /// <summary>No scalar value came twice.</summary>
    public bool IsUnique { get; private set; } = true;

    public void Add(JsonElement value)
    {
        if (value.ValueKind == JsonValueKind.Null)
        {
            Nulls++;
            return;
        }
        Values++;
        switch (value.ValueKind)
        {
            case JsonValueKind.True or JsonValueKind.False: Bools++; IsUnique = false; break;
            case JsonValueKind.Number: AddNumber(value.GetRawText()); break;
            case JsonValueKind.String: AddText(value.GetString()!); break;
            case JsonValueKind.Array: AddArray(value); IsUnique = false; break;
            default: EmptyObjects++; IsUnique = false; break;
        }
    }

    void AddNumber(string digits)
    {
        NoteDistinct(digits);
        if (long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number))
        {
            Integers++;
            (Min, Max) = (Math.Min(Min, number), Math.Max(Max, number));
            WholeDigits = Math.Max(WholeDigits, digits.TrimStart('-').Length);
        }
        else if (NoteFraction(digits)) Fractions++;
        else OtherNumbers++;
    }

    void AddText(string text)
    {
        Texts++;
        LongestText = Math.Max(LongestText, text.Length);
        HasEmptyText |= text.Length == 0;
        NoteDistinct(text);
        if (Rfc3339.TryParse(text, out _))
        {
            Times++;
            var point = text.IndexOf('.', StringComparison.Ordinal);
            if (point >= 0) TimeDigits = Math.Max(TimeDigits, text.AsSpan(point + 1).IndexOfAnyExceptInRange('0', '9'));
        }
        else if (NoteFraction(text)) NumberTexts++;
    }

    void AddArray(JsonElement array)
    {
        Arrays++;
        var length = array.GetArrayLength();
        _arraysDiffer |= _arrayLength is { } other && other != length;
        _arrayLength = length;
        foreach (var member in array.EnumerateArray())
        {
            if (member.ValueKind == JsonValueKind.String) TextMembers++;
            else if (member.ValueKind == JsonValueKind.Number && member.TryGetInt64(out var id) && id >= 0) IdMembers++;
            else if (member.ValueKind == JsonValueKind.Number) NumberMembers++;
            else OtherMembers++;
            if (_members.Count < MaxDistinct) _members.Add(member.GetRawText());
        }
    }

    void NoteDistinct(string text)
    {
        if (IsUnique) IsUnique = _distinct.Count < MaxDistinct ? _distinct.Add(text) : !_distinct.Contains(text);
    }

    bool NoteFraction(string text)
    {
        var digits = text.AsSpan(text.StartsWith('-') ? 1 : 0);
        var point = digits.IndexOf('.');
        if (point < 1 || point == digits.Length - 1 || digits.Length > 19 || digits.IndexOfAnyExceptInRange('0', '9') != point || digits[(point + 1)..].ContainsAnyExceptInRange('0', '9')) return false;
        if (digits[0] == '0' && point > 1) return false;
        Scale = Math.Max(Scale, digits.Length - point - 1);
        WholeDigits = Math.Max(WholeDigits, point);
        return true;
    }
}
