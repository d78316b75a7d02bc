using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>The SQL that gives a table the columns of a schema.</summary>
static class SchemaStatements
{
    /// <param name="from">The schema the table has; <c>null</c>: there is no table.</param>
    /// <remarks>Columns are the same when their ids are. The table's columns stay in the order of the schema, behind key and hidden ones.</remarks>
    public static IReadOnlyList<string> For(TableSchema? from, TableSchema to) => from is null ? [Create(to)] : [.. Change(from, to)];

    static string Create(TableSchema schema)
    {
        string[] fixedColumns =
        [
            $"{TableSchema.KeyColumnName} {KeyType(schema.Key)} NOT NULL",
            $"{SqlTypes.IngestedAtColumn} TIMESTAMP NOT NULL",
            $"{SqlTypes.SinkIdColumn} UUID NOT NULL",
            $"{SqlTypes.PositionColumn} UBIGINT NOT NULL",
            $"{SqlTypes.VersionColumn} BIGINT",
        ];
        return $"CREATE TABLE {NameOf(schema)} ({string.Join(", ", [.. fixedColumns, .. schema.Columns.Select(Definition)])})";
    }

    static IEnumerable<string> Change(TableSchema from, TableSchema to)
    {
        var table = NameOf(to);
        var kept = from.Columns.Where(column => to.FindColumn(column.Id) is not null).ToList();
        var added = to.Columns.Where(column => from.FindColumn(column.Id) is null).ToList();
        RequireSameOrder(to, [.. kept, .. added]);

        foreach (var dropped in from.Columns.Except(kept))
            yield return $"ALTER TABLE {table} DROP COLUMN {SqlTypes.Quote(dropped.Name)}";

        // two steps, since two columns may swap their names
        var renamed = kept.Where(column => to.FindColumn(column.Id)!.Name != column.Name).ToList();
        foreach (var column in renamed)
            yield return $"ALTER TABLE {table} RENAME COLUMN {SqlTypes.Quote(column.Name)} TO {SqlTypes.Quote(BetweenNames(column))}";
        foreach (var column in renamed)
            yield return $"ALTER TABLE {table} RENAME COLUMN {SqlTypes.Quote(BetweenNames(column))} TO {SqlTypes.Quote(to.FindColumn(column.Id)!.Name)}";

        foreach (var column in added)
            yield return $"ALTER TABLE {table} ADD COLUMN {Definition(column)}";
    }

    // chunks are written by place, not by name
    static void RequireSameOrder(TableSchema schema, IEnumerable<Column> stored)
    {
        if (!schema.Columns.Select(column => column.Id).SequenceEqual(stored.Select(column => column.Id)))
            throw new ArgumentException($"the columns of {schema.Name} are not in order of creation");
    }

    // most loads read all keys: compressed texts take half the space and 2.5 times as long
    static string KeyType(KeyKind key) => key == KeyKind.String ? $"{SqlTypes.DuckDb(key)} USING COMPRESSION uncompressed" : SqlTypes.DuckDb(key);

    static string BetweenNames(Column column) => $"_sluice renamed {column.Id}";

    static string Definition(Column column) => $"{SqlTypes.Quote(column.Name)} {SqlTypes.DuckDb(column.Type)}";

    static string NameOf(TableSchema schema) => $"main.{SqlTypes.Quote(schema.Name)}";
}
