using Sluice.Schema;

namespace Sluice.Tests.Load;

/// <summary>Makes random records of a schema and does to a dictionary, one after the other, what they should do to a table.</summary>
sealed class ModelTable
{
    readonly SortedDictionary<string, SortedDictionary<int, string>> _rows = new(StringComparer.Ordinal);

    public int RecordCount { get; private set; }

    /// <summary>The next record as JSON, already applied.</summary>
    public string Next(Random random, TableSchema schema, int keys = 8)
    {
        RecordCount++;
        var key = random.Next(keys);
        var isText = schema.Key == KeyKind.String;
        var name = isText ? $"'k{key}'" : $"{key}";
        if (!_rows.TryGetValue(name, out var row)) _rows.Add(name, row = []);
        var members = new List<string> { $"\"_id\":{(isText ? $"\"k{key}\"" : key)}" };
        foreach (var column in schema.Columns)
        {
            switch (random.Next(4))
            {
                case 0:
                    break; // absent
                case 1:
                    members.Add($"\"{column.Name}\":null");
                    if (!column.Type.IsSet) row.Remove(column.Id);
                    break;
                default:
                    var (json, cell) = Value(random, column.Type);
                    members.Add($"\"{column.Name}\":{json}");
                    row[column.Id] = column.Type.IsSet ? MemoryDatabase.Unite(row.GetValueOrDefault(column.Id, "[]"), cell) : cell;
                    break;
            }
        }
        return $"{{{string.Join(',', members.OrderBy(_ => random.Next()))}}}";
    }

    /// <inheritdoc cref="MemoryDatabase.Rows"/>
    public string[] Rows() => [.. _rows.Select(row => $"{row.Key}: {string.Join(' ', row.Value.Select(cell => $"{cell.Key}={cell.Value}"))}".TrimEnd())];

    static (string Json, string Cell) Value(Random random, ColumnType type)
    {
        var number = random.Next(100);
        switch (type.Kind)
        {
            case ColumnKind.Int or ColumnKind.Id: return ($"{number}", $"{number}");
            case ColumnKind.Bool: return number % 2 == 0 ? ("true", "true") : ("false", "false");
            case ColumnKind.String: return ($"\"t{number}\"", $"'t{number}'");
            case ColumnKind.Vector: return ($"[{number}]", $"<{number}>");
            case ColumnKind.Decimal: return ($"{number}.5", $"{(number * 10) + 5}{new string('0', type.Scale - 1)}");
            default:
                var members = Enumerable.Range(0, random.Next(1, 4)).Select(_ => random.Next(6)).ToList();
                return type.Kind == ColumnKind.IdSet
                    ? ($"[{string.Join(',', members)}]", $"[{string.Join(',', members)}]")
                    : ($"[{string.Join(',', members.Select(member => $"\"m{member}\""))}]", $"[{string.Join(',', members.Select(member => $"'m{member}'"))}]");
        }
    }
}
