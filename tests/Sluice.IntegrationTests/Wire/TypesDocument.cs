using System.Text;
using System.Text.RegularExpressions;

namespace Sluice.IntegrationTests.Wire;

/// <summary>A section of docs/types.md: a column, and rows of what is sent and what becomes of it.</summary>
/// <param name="Column">As CREATE TABLE writes it; <c>_id ...</c>: the section is about the key.</param>
/// <param name="Held">The value before an update, as SQL answers it; <c>null</c>: the section has no updates.</param>
sealed record TypeSection(string Title, int Line, string Column, string? Held, IReadOnlyList<TypeRow> Rows);

/// <summary>One form of a value and its outcomes: for a new row, and for one that is there.</summary>
/// <param name="Sent">JSON, or <c>absent</c>.</param>
sealed record TypeRow(int Line, string Sent, IReadOnlyList<TypeOutcome> Outcomes);

/// <summary>A value as SQL answers it and the code of its warning, or the code of an error and no value.</summary>
sealed record TypeOutcome(string? Value, string Code)
{
    public override string ToString() => $"{Value} {Code}".Trim();
}

/// <summary>Reads docs/types.md.</summary>
static partial class TypesDocument
{
    public static IReadOnlyList<TypeSection> Read(string path)
    {
        var lines = File.ReadAllLines(path);
        var sections = new List<TypeSection>();
        for (var i = 0; i < lines.Length; i++)
        {
            if (!lines[i].StartsWith("### ", StringComparison.Ordinal)) continue;
            var title = lines[i][4..];
            var heading = i + 2;
            var spans = Spans(lines[heading]);
            var rows = new List<TypeRow>();
            var at = heading + 1;
            while (at < lines.Length && !lines[at].StartsWith('#'))
            {
                if (lines[at].StartsWith("| `", StringComparison.Ordinal)) rows.AddRange(ReadRow(lines[at], at + 1));
                at++;
            }
            sections.Add(new TypeSection(title, i + 1, spans[0], spans.ElementAtOrDefault(1), rows));
        }
        return sections;
    }

    /// <summary>The bytes that a form stands for.</summary>
    public static byte[] Bytes(string sent)
    {
        var repeated = Repeated.Match(sent);
        var text = repeated.Success ? $"\"{new string(repeated.Groups[1].Value[0], int.Parse(repeated.Groups[2].ValueSpan, null))}\"" : sent;
        return text.Contains("\\xff", StringComparison.Ordinal)
            ? [.. Encoding.UTF8.GetBytes(text[..text.IndexOf('\\', StringComparison.Ordinal)]), 0xff, (byte)'"']
            : Encoding.UTF8.GetBytes(text);
    }

    static IEnumerable<TypeRow> ReadRow(string line, int number)
    {
        var cells = line.Trim('|', ' ').Split(" | ");
        var outcomes = cells[1..].Select(cell => ReadOutcome(Spans(cell))).ToList();
        return Spans(cells[0]).Select(sent => new TypeRow(number, sent, outcomes));
    }

    static TypeOutcome ReadOutcome(List<string> spans) =>
        char.IsAsciiLetterUpper(spans[0][0]) ? new TypeOutcome(null, spans[0]) : new TypeOutcome(Encoding.UTF8.GetString(Bytes(spans[0])), spans.ElementAtOrDefault(1) ?? "");

    static List<string> Spans(string text) => [.. Span.Matches(text).Select(match => match.Groups[1].Value)];

    [GeneratedRegex("`([^`]+)`")]
    static partial Regex Span { get; }

    [GeneratedRegex("^\"(.)\"×([0-9]+)$")]
    static partial Regex Repeated { get; }
}
