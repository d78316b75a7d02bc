using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>The SQL and the chunks that put one batch into its table.</summary>
/// <remarks>
/// Two temporary tables are used: <c>staged</c>, what the batch says, and <c>stored</c>, what the table has of the same keys. Their
/// columns are named by column id.
/// </remarks>
sealed class LoadStatements(TableSchema schema, RowBatch rows)
{
    public const string Staged = "staged";
    public const string Stored = "stored";

    /// <summary>
    /// From this many keys on DuckDB is made to filter the scan of the table's keys by a Bloom filter of those of the batch, which
    /// halves the time to delete 100,000 of 10 million rows, and costs more than it saves for 10,000.
    /// </summary>
    const int MinKeysForBloomFilter = 32_768;

    readonly string _table = $"main.{SqlTypes.Quote(schema.Name)}";

    public const string DropTemporary = $"DROP TABLE IF EXISTS temp.{Staged}; DROP TABLE IF EXISTS temp.{Stored}";

    /// <summary>Chunks in the columns of the table itself.</summary>
    public ChunkSource[] TableSources() =>
        [.. KeyAndHiddenSources(), .. schema.Columns.Select(column =>
            rows.FindColumn(column.Id) is { } cells ? ChunkSource.Cells(cells) : ChunkSource.Nulls(Math.Max(1, column.Type.VectorLength)))];

    /// <summary>Makes <c>staged</c> for the keys alone.</summary>
    public string CreateStagedKeys() => CreateTemporary(Staged, [KeyDefinition]);

    public ChunkSource[] StagedKeySources() => [ChunkSource.Cells(rows.Key)];

    /// <summary>Makes <c>staged</c> for all the batch says; where some row says nothing of a column, stands beside it which do.</summary>
    public string CreateStagedRows()
    {
        var columns = new List<string>
        {
            KeyDefinition, $"{SqlTypes.IngestedAtColumn} TIMESTAMP", $"{SqlTypes.SinkIdColumn} UUID", $"{SqlTypes.PositionColumn} UBIGINT",
        };
        foreach (var (column, cells) in BatchColumns())
        {
            columns.Add(Definition(column));
            if (NeedsPresence(column, cells)) columns.Add($"p{column.Id} BOOLEAN");
        }
        return CreateTemporary(Staged, columns);
    }

    public ChunkSource[] StagedRowSources()
    {
        var sources = KeyAndHiddenSources().ToList();
        foreach (var (column, cells) in BatchColumns())
        {
            sources.Add(ChunkSource.Cells(cells));
            if (NeedsPresence(column, cells)) sources.Add(ChunkSource.IsPresent(cells));
        }
        return [.. sources];
    }

    /// <summary>Counts the rows that the batch changes.</summary>
    public string CountStored() => $"SELECT count(*) FROM {_table} AS old SEMI JOIN {StagedKeys()} AS new ON old._id = new._id";

    /// <summary>Makes <c>stored</c> without rows.</summary>
    public string CreateStored() => CreateTemporary(Stored, [KeyDefinition, .. StoredColumns().Select(Definition)]);

    /// <summary>Makes <c>stored</c> with the rows that the batch changes.</summary>
    public string CreateStoredFilled() =>
        $"CREATE OR REPLACE TEMP TABLE {Stored} AS SELECT {StoredValues()} FROM {_table} AS old JOIN {StagedKeys()} AS new ON old._id = new._id";

    /// <summary>Deletes the rows that the batch changes.</summary>
    public string DeleteOld() => $"DELETE FROM {_table} AS old USING {StagedKeys()} AS new WHERE old._id = new._id";

    /// <summary>Deletes the rows that the batch changes, and returns them in the columns of <c>stored</c>.</summary>
    public string DeleteOldReturning() => $"{DeleteOld()} RETURNING {StoredValues()}";

    /// <summary>Inserts the rows of <c>staged</c>, completed from <c>stored</c>.</summary>
    public string InsertMerged()
    {
        var values = SqlTypes.HiddenColumns.Select(name => $"new.{name}").Concat(schema.Columns.Select(MergedValue));
        return $"""
            INSERT INTO {_table} SELECT new._id, {string.Join(", ", values)}
            FROM temp.{Staged} AS new LEFT JOIN temp.{Stored} AS old ON old._id = new._id
            """;
    }

    /// <summary>Whether stored values of the column can show in a row of the batch.</summary>
    public static bool NeedsStored(Column column, RowBatch rows) =>
        column.Type.IsSet || rows.FindColumn(column.Id) is not { } cells || HasAbsent(cells);

    static bool HasAbsent(ColumnBuffer cells) => cells.ValueCount < cells.RowCount && cells.States.Contains(CellState.Absent);

    // null leaves a set as it is, just as absent does
    static bool NeedsPresence(Column column, ColumnBuffer cells) => !column.Type.IsSet && HasAbsent(cells);

    string MergedValue(Column column)
    {
        var (added, stored) = ($"new.c{column.Id}", $"old.c{column.Id}");
        if (rows.FindColumn(column.Id) is not { } cells) return stored;
        if (column.Type.IsSet)
            return $"CASE WHEN {added} IS NULL THEN {stored} WHEN {stored} IS NULL THEN {added} ELSE list_distinct(list_concat({stored}, {added})) END";
        if (!NeedsPresence(column, cells)) return added;
        // DuckDB has no CASE of arrays
        return column.Type.Kind == ColumnKind.Vector
            ? $"CAST(CASE WHEN new.p{column.Id} THEN CAST({added} AS DOUBLE[]) ELSE CAST({stored} AS DOUBLE[]) END AS {SqlTypes.DuckDb(column.Type)})"
            : $"CASE WHEN new.p{column.Id} THEN {added} ELSE {stored} END";
    }

    string StoredValues() => string.Join(", ", ["old._id", .. StoredColumns().Select(column => $"old.{SqlTypes.Quote(column.Name)} AS c{column.Id}")]);

    // DuckDB gives a join's scan a Bloom filter when its other side is filtered; this one passes all keys and is not optimised away
    string StagedKeys() => rows.RowCount < MinKeysForBloomFilter ? $"temp.{Staged}" : $"(SELECT _id FROM temp.{Staged} WHERE hash(_id) IS NOT NULL)";

    string KeyDefinition => $"_id {SqlTypes.DuckDb(schema.Key)}";

    static string Definition(Column column) => $"c{column.Id} {SqlTypes.DuckDb(column.Type)}";

    static string CreateTemporary(string name, IEnumerable<string> columns) => $"CREATE OR REPLACE TEMP TABLE {name} ({string.Join(", ", columns)})";

    IEnumerable<Column> StoredColumns() => schema.Columns.Where(column => NeedsStored(column, rows));

    IEnumerable<(Column Column, ColumnBuffer Cells)> BatchColumns()
    {
        foreach (var column in schema.Columns)
            if (rows.FindColumn(column.Id) is { } cells) yield return (column, cells);
    }

    ChunkSource[] KeyAndHiddenSources() =>
        [ChunkSource.Cells(rows.Key), ChunkSource.IngestedAt(rows), ChunkSource.SinkId(rows), ChunkSource.Position(rows)];
}
