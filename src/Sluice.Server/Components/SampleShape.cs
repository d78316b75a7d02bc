using System.Globalization;
using System.Text;
using System.Text.Json;
using Sluice.Client;

namespace Sluice.Server.Components;

/// <summary>A column proposed for what stands at one path of a sample.</summary>
sealed class ProposedColumn
{
    public bool IsTaken { get; set; } = true;

    public required ColumnForm Form { get; init; }

    public required string Path { get; init; }

    /// <summary>One value, as it came.</summary>
    public required string Example { get; init; }
}

/// <summary>What a sample looks like, and the table it asks for.</summary>
sealed class SampleShape
{
    const int MaxColumns = 200;
    const int MaxDepth = 8;
    const int MaxRecords = 1_000;

    static readonly string[] KeyNames = ["_id", "id", "key", "uuid", "guid", "_key"];

    /// <summary>The records' values, in their order; at least one.</summary>
    public required IReadOnlyList<JsonElement> Records { get; init; }

    public required IReadOnlyList<ProposedColumn> Columns { get; init; }

    /// <summary>The path proposed for <c>_id</c>; empty: the sample has none that would do.</summary>
    public required string KeyPath { get; set; }

    /// <summary>Whether the value at <see cref="KeyPath"/> is a number in every record.</summary>
    public bool IsNumberKey => DotPath.TryParse(KeyPath, out var path)
        && Records.All(record => DotPath.Find(record, path) is { ValueKind: JsonValueKind.Number } number && number.TryGetInt64(out var id) && id >= 0);

    /// <summary>Reads what was pasted: records in their envelope, an array of values, one value, or one a line.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidBody"/>: no JSON object is in it.</exception>
    public static SampleShape Of(string text)
    {
        var records = ReadRecords(text).Take(MaxRecords).ToList();
        if (records.Count == 0 || records.Any(record => record.ValueKind != JsonValueKind.Object))
            throw new SluiceException(ErrorCode.InvalidBody, "Paste at least one JSON object, as in {\"id\": 1, \"price\": 2.5}.");
        var paths = new Dictionary<string, List<JsonElement>>(StringComparer.Ordinal);
        foreach (var record in records)
            Collect(record, [], paths);
        var key = paths.Keys.Where(path => paths[path].Count == records.Count && paths[path].All(IsKeyValue)).MinBy(KeyRank) ?? "";
        var names = new HashSet<string>(StringComparer.Ordinal);
        return new SampleShape
        {
            Records = records,
            KeyPath = key,
            Columns =
            [
                .. paths.Where(path => path.Key != key).Take(MaxColumns).Select(path => new ProposedColumn
                {
                    Form = FormOf(NameOf(path.Key, names), path.Value),
                    Path = path.Key,
                    Example = path.Value[0].GetRawText(),
                }),
            ],
        };
    }

    static IEnumerable<JsonElement> ReadRecords(string text)
    {
        try
        {
            var whole = JsonElement.Parse(text);
            return whole.ValueKind == JsonValueKind.Array ? whole.EnumerateArray()
                : whole.ValueKind == JsonValueKind.Object && whole.TryGetProperty("records", out var records) && records.ValueKind == JsonValueKind.Array
                    ? records.EnumerateArray().Select(record => record.ValueKind == JsonValueKind.Object && record.TryGetProperty("value", out var value) ? value : record)
                : [whole];
        }
        catch (JsonException whole)
        {
            try
            {
                return [.. text.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(line => JsonElement.Parse(line))];
            }
            catch (JsonException)
            {
                throw new SluiceException(ErrorCode.InvalidBody, $"The sample is not JSON (line {whole.LineNumber + 1}, byte {whole.BytePositionInLine + 1}).", whole);
            }
        }
    }

    static void Collect(JsonElement value, List<WirePathStep> path, Dictionary<string, List<JsonElement>> paths)
    {
        if (value.ValueKind == JsonValueKind.Object && path.Count < MaxDepth)
        {
            foreach (var member in value.EnumerateObject())
                Collect(member.Value, [.. path, member.Name], paths);
            return;
        }
        // a list of objects has no column that would hold it; its first element's members have
        if (value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0 && value[0].ValueKind is JsonValueKind.Object or JsonValueKind.Array && path.Count < MaxDepth)
        {
            Collect(value[0], [.. path, 0], paths);
            return;
        }
        var name = DotPath.Write(path);
        if (name.Length == 0)
            return;
        if (!paths.TryGetValue(name, out var values))
            paths[name] = values = [];
        values.Add(value);
    }

    static ColumnForm FormOf(string name, List<JsonElement> values)
    {
        var known = values.Where(value => value.ValueKind != JsonValueKind.Null).ToList();
        var form = new ColumnForm { Name = name };
        if (known.Count == 0)
            return form;
        if (known.All(value => value.ValueKind is JsonValueKind.True or JsonValueKind.False))
            form.Type = "bool";
        else if (known.All(value => value.ValueKind == JsonValueKind.Number))
            SetNumber(form, known);
        else if (known.All(value => value.ValueKind == JsonValueKind.String && IsTime(value.GetString()!)))
            form.Type = "timestamp";
        else if (known.All(value => value.ValueKind == JsonValueKind.Array))
            form.Type = known.SelectMany(value => value.EnumerateArray()).All(member => member.ValueKind == JsonValueKind.Number && member.TryGetInt64(out var id) && id >= 0)
                && known.Any(value => value.GetArrayLength() > 0) ? "idset" : "stringset";
        return form;
    }

    static void SetNumber(ColumnForm form, List<JsonElement> numbers)
    {
        if (numbers.All(number => number.TryGetInt64(out _)))
        {
            form.Type = "int";
            return;
        }
        form.Type = "decimal";
        var digits = numbers.Max(number => decimal.TryParse(number.GetRawText(), NumberStyles.Float, CultureInfo.InvariantCulture, out var exact) ? exact.Scale : 6);
        form.Scale = Math.Min(digits, 9).ToString(CultureInfo.InvariantCulture);
    }

    static bool IsTime(string text) => text.Length >= 10 && text[4] == '-' && Rfc3339.TryParse(text, out _);

    static bool IsKeyValue(JsonElement value) =>
        value.ValueKind == JsonValueKind.String && value.GetString() is { Length: > 0 and <= 256 }
        || value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var id) && id >= 0;

    static int KeyRank(string path)
    {
        var last = path[(path.LastIndexOf('.') + 1)..].ToLowerInvariant();
        var depth = path.Count(character => character == '.');
        var rank = Array.IndexOf(KeyNames, last);
        return rank >= 0 ? rank + 10 * depth : last.EndsWith("id", StringComparison.Ordinal) ? 100 + depth : 1_000 + depth;
    }

    /// <summary>The path as a column may be named, and unlike the others.</summary>
    static string NameOf(string path, HashSet<string> taken)
    {
        var name = new StringBuilder();
        foreach (var character in path.ToLowerInvariant())
            name.Append(char.IsAsciiLetterOrDigit(character) ? character : name.Length > 0 && name[^1] != '_' ? "_" : "");
        var text = name.ToString().TrimEnd('_');
        if (text.Length == 0 || !char.IsAsciiLetterLower(text[0]))
            text = "c_" + text;
        text = text[..Math.Min(text.Length, 100)];
        var unique = text;
        for (var i = 2; !taken.Add(unique); i++)
            unique = $"{text}_{i}";
        return unique;
    }
}
