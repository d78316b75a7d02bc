using System.Globalization;
using System.Text.RegularExpressions;

namespace Sluice.Stores.DuckDb;

/// <summary>A query that was refused or that failed. The message is for its author.</summary>
/// <param name="message">A fragment without position: <c>column 'foo' not found</c>.</param>
/// <param name="offset">Where in the query, in characters from its start; <c>null</c>: unknown.</param>
public sealed partial class QueryException(string message, int? offset = null, Exception? inner = null) : Exception(message, inner)
{
    public int? Offset { get; } = offset;

    /// <summary>Turns DuckDB's words into the original's where the original has words for it, and finds the place the error points at.</summary>
    internal static QueryException FromDuckDb(string error, string sql)
    {
        var message = FirstLine(error);
        if (MissingColumn().Match(message) is { Success: true } column)
            message = $"column '{column.Groups[1].Value}' not found";
        else if (MissingTable().Match(message) is { Success: true } table)
            message = $"table or view '{table.Groups[1].Value}' not found";
        else if (MissingFunction().Match(message) is { Success: true } function)
            message = $"call to unknown function '{function.Groups[1].Value}'";
        else if (message.StartsWith("Out of Memory Error", StringComparison.Ordinal) || Allocation().IsMatch(message))
            message = "the query needs more memory, or more room for intermediate results, than there is; read or group fewer rows, or try again later";
        else
            message = Prefix().Replace(message, "");
        return new QueryException(message, FindOffset(error, sql));
    }

    /// <summary>What follows are candidates, hints and the query again.</summary>
    static string FirstLine(string error) => error.AsSpan().Trim() is var text && text.IndexOf('\n') is var end and >= 0
        ? text[..end].Trim().ToString()
        : text.ToString();

    /// <summary>Reads the caret below DuckDB's <c>LINE n: text</c>. Long lines are shown cut, with dots; then the place is not known.</summary>
    static int? FindOffset(string error, string sql)
    {
        if (Caret().Match(error) is not { Success: true } caret || caret.Groups["text"].Value.StartsWith("...", StringComparison.Ordinal))
            return null;
        var line = int.Parse(caret.Groups["line"].Value, CultureInfo.InvariantCulture);
        var column = caret.Groups["indent"].Length - caret.Groups["head"].Length;
        var start = 0;
        for (; line > 1; line--)
            start = sql.IndexOf('\n', start) + 1;
        return column >= 0 && start + column <= sql.Length ? start + column : null;
    }

    [GeneratedRegex("""Referenced column "([^"]+)" (?:was )?not found|column named "([^"]+)" not found""")]
    private static partial Regex MissingColumn();

    [GeneratedRegex("Table with name (.+?) does not exist")]
    private static partial Regex MissingTable();

    [GeneratedRegex(@"(?:Table |Scalar |Aggregate )?Function with name (\S+) does not exist")]
    private static partial Regex MissingFunction();

    // also where DuckDB tells no type
    [GeneratedRegex(@"^(?:[A-Za-z ]+ Error: )?(?:failed|could not) (?:to )?(?:allocate|pin|offload) .*(?:block|data)")]
    private static partial Regex Allocation();

    [GeneratedRegex("^[A-Za-z]+(?: [A-Za-z]+){0,2} Error: ")]
    private static partial Regex Prefix();

    [GeneratedRegex(@"\n(?<head>LINE (?<line>\d+): )(?<text>[^\n]*)\n(?<indent> *)\^")]
    private static partial Regex Caret();
}
