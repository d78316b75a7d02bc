using System.Text.RegularExpressions;

namespace Sluice.IntegrationTests.Server;

/// <summary>
/// The table of docs/security.md: for each call what each kind of caller gets. <c>yes</c>: the call is carried out or refused for its content;
/// a number: exactly this status; <c>-</c>: there is no such case. A call that ends in <c>*</c> stands for all that begin with it, <c>/v1</c> goes by
/// the row of <c>/v2</c>, HEAD by that of GET.
/// </summary>
sealed partial record AuthorizationTable(IReadOnlyDictionary<string, IReadOnlyList<string>> Rows)
{
    public static IReadOnlyList<string> Columns { get; } =
        ["nobody", "ingest key", "ingest key, other sink", "reader", "user", "administrator", "deactivated user", "expired key", "user, foreign id"];

    public static AuthorizationTable Read(string document)
    {
        var lines = File.ReadAllLines(document);
        var head = Array.FindIndex(lines, line => line.StartsWith("| call |", StringComparison.Ordinal));
        if (head < 0 || !Cells(lines[head]).Skip(1).SequenceEqual(Columns))
            throw new InvalidDataException($"{document} has no table with the columns call, {string.Join(", ", Columns)}");

        var rows = new Dictionary<string, IReadOnlyList<string>>(StringComparer.Ordinal);
        foreach (var line in lines.Skip(head + 2).TakeWhile(line => line.StartsWith('|')))
        {
            var cells = Cells(line);
            if (cells.Count != Columns.Count + 1 || cells.Skip(1).Any(cell => !Cell().IsMatch(cell)))
                throw new InvalidDataException($"{document}: this row needs {Columns.Count} cells, each yes, - or a status: {line}");
            if (!rows.TryAdd(cells[0].Trim('`'), [.. cells.Skip(1)]))
                throw new InvalidDataException($"{document} has two rows for {cells[0]}");
        }

        return new AuthorizationTable(rows);
    }

    /// <summary>The name of the row for a call; <c>null</c>: there is none.</summary>
    public string? RowOf(string call)
    {
        var second = call.Contains(" /v1/", StringComparison.Ordinal)
            ? call.Replace(" /v1/", " /v2/", StringComparison.Ordinal).Replace("deployment", "database", StringComparison.Ordinal)
            : call;
        return Find(call) ?? Find(second)
            ?? Rows.Keys.Where(row => IsForMany(row) && call.StartsWith(row[..^1], StringComparison.Ordinal)).MaxBy(row => row.Length)
            ?? (call.StartsWith("HEAD ", StringComparison.Ordinal) ? RowOf(string.Concat("GET", call.AsSpan(4))) : null);

        string? Find(string name) => Rows.ContainsKey(name) ? name : null;
    }

    public static bool IsForMany(string row) => row.EndsWith('*');

    public static bool Fits(string cell, int status) =>
        cell == "yes" ? status is (>= 200 and < 300) or (>= 400 and < 500 and not (401 or 403 or 404 or 405)) : cell == status.ToString(System.Globalization.CultureInfo.InvariantCulture);

    static IReadOnlyList<string> Cells(string line) => [.. line.Trim().Trim('|').Split('|').Select(cell => cell.Trim())];

    [GeneratedRegex(@"^(yes|-|[2-5]\d\d)$")]
    private static partial Regex Cell();
}

/// <summary>In the order of <see cref="AuthorizationTable.Columns"/>.</summary>
enum Who
{
    Nobody,
    IngestKey,
    IngestKeyElsewhere,
    Reader,
    User,
    Administrator,
    Deactivated,
    ExpiredKey,
    UserForeign,
}
