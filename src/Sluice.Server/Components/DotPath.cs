using System.Globalization;
using System.Text;
using System.Text.Json;
using Sluice.Client;

namespace Sluice.Server.Components;

/// <summary>A path as people type it: <c>order.items.0.price</c>. Digits are the place in an array; a name with a dot or of digits stands in quotes.</summary>
static class DotPath
{
    /// <returns>False: a quote is not closed, or a step is empty.</returns>
    public static bool TryParse(string text, out List<WirePathStep> path)
    {
        path = [];
        var rest = text.AsSpan().Trim();
        while (true)
        {
            if (!TryReadStep(ref rest, path))
                return false;
            if (rest.IsEmpty)
                return true;
            if (rest[0] != '.')
                return false;
            rest = rest[1..];
        }
    }

    public static string Write(IEnumerable<WirePathStep> path) => string.Join('.', path.Select(Write));

    /// <summary>What stands at the path; <c>null</c>: nothing does.</summary>
    public static JsonElement? Find(JsonElement value, IEnumerable<WirePathStep> path)
    {
        foreach (var step in path)
        {
            if (step.Name is { } name)
            {
                if (value.ValueKind != JsonValueKind.Object || !value.TryGetProperty(name, out value))
                    return null;
            }
            else if (value.ValueKind != JsonValueKind.Array || step.Index >= value.GetArrayLength())
            {
                return null;
            }
            else
            {
                value = value[step.Index];
            }
        }
        return value;
    }

    static bool TryReadStep(ref ReadOnlySpan<char> rest, List<WirePathStep> path)
    {
        if (rest.StartsWith("\""))
            return TryReadQuoted(ref rest, path);
        var end = rest.IndexOf('.');
        var step = (end < 0 ? rest : rest[..end]).Trim();
        rest = end < 0 ? [] : rest[end..];
        if (step.IsEmpty)
            return false;
        path.Add(int.TryParse(step, NumberStyles.None, CultureInfo.InvariantCulture, out var index) ? index : step.ToString());
        return true;
    }

    static bool TryReadQuoted(ref ReadOnlySpan<char> rest, List<WirePathStep> path)
    {
        var name = new StringBuilder();
        for (var i = 1; i < rest.Length; i++)
        {
            if (rest[i] != '"')
            {
                name.Append(rest[i]);
            }
            else if (i + 1 < rest.Length && rest[i + 1] == '"')
            {
                name.Append('"');
                i++;
            }
            else
            {
                path.Add(name.ToString());
                rest = rest[(i + 1)..];
                return true;
            }
        }
        return false;
    }

    static string Write(WirePathStep step) =>
        step.Name is not { } name ? step.Index.ToString(CultureInfo.InvariantCulture)
        : name.Length == 0 || name.Contains('.') || name.StartsWith('"') || name.Trim() != name || name.All(char.IsAsciiDigit) ? $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\""
        : name;
}
