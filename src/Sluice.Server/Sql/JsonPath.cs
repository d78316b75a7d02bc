using System.Collections.Immutable;
using System.Globalization;
using Sluice.Schema;

namespace Sluice.Server.Sql;

/// <summary>The part of JSONPath that names one value: <c>$</c>, <c>.name</c>, <c>["name"]</c>, <c>['name']</c>, <c>[0]</c>.</summary>
static class JsonPath
{
    /// <returns><c>null</c>: the text is not such a path.</returns>
    public static ImmutableArray<PathStep>? TryParse(string text)
    {
        if (text is not ['$', ..])
            return null;
        var steps = ImmutableArray.CreateBuilder<PathStep>();
        for (var rest = text.AsSpan(1); !rest.IsEmpty;)
        {
            var length = rest[0] switch
            {
                '.' => TakeMember(rest, steps),
                '[' => TakeBracket(rest, steps),
                _ => 0,
            };
            if (length == 0)
                return null;
            rest = rest[length..];
        }
        return steps.ToImmutable();
    }

    public static string Format(ImmutableArray<PathStep> path) =>
        "'$" + string.Concat(path.Select(step => step.Name is { } name ? $"[\"{name}\"]" : string.Create(CultureInfo.InvariantCulture, $"[{step.Index}]"))) + "'";

    static int TakeMember(ReadOnlySpan<char> text, ImmutableArray<PathStep>.Builder steps)
    {
        var end = text[1..].IndexOfAny('.', '[');
        var name = end < 0 ? text[1..] : text.Slice(1, end);
        if (name.IsEmpty)
            return 0;
        steps.Add(PathStep.Member(name.ToString()));
        return 1 + name.Length;
    }

    static int TakeBracket(ReadOnlySpan<char> text, ImmutableArray<PathStep>.Builder steps)
    {
        if (text.Length > 2 && text[1] is '"' or '\'')
        {
            var close = text[2..].IndexOf(text[1]);
            if (close < 0 || close + 3 >= text.Length || text[close + 3] != ']')
                return 0;
            steps.Add(PathStep.Member(text.Slice(2, close).ToString()));
            return close + 4;
        }
        var end = text.IndexOf(']');
        if (end < 2 || !int.TryParse(text[1..end], NumberStyles.None, CultureInfo.InvariantCulture, out var index))
            return 0;
        steps.Add(PathStep.Element(index));
        return end + 1;
    }
}
