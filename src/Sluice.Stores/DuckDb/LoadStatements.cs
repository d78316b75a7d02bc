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

    /// <summary>One row: the defaults that a row of the batch may need.</summary>
    public const string Fresh = "fresh";

    public const string DropTemporary = $"DROP TABLE IF EXISTS temp.{Staged}; DROP TABLE IF EXISTS temp.{Stored}; DROP TABLE IF EXISTS temp.{Fresh}";

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

    /// <summary>Whether a row of the batch, if it is new, gets a default.</summary>
    public bool NeedsDefaults => DefaultedColumns().Any();

    /// <summary>Makes <c>fresh</c> without its row.</summary>
    public string CreateFresh() => CreateTemporary(Fresh, DefaultedColumns().Select(Definition));

    public ChunkSource[] FreshSources() => [.. DefaultedColumns().Select(column => ChunkSource.Cells(ColumnDefault.Read(column)))];

    /// <summary>Inserts the rows of <c>staged</c>, completed from <c>stored</c>, and new ones from <c>fresh</c>.</summary>
    public string InsertMerged()
    {
        var values = SqlTypes.HiddenColumns.Select(name => $"new.{name}").Concat(schema.Columns.Select(MergedValue));
        return $"""
            INSERT INTO {_table} SELECT new._id, {string.Join(", ", values)}
            FROM temp.{Staged} AS new LEFT JOIN temp.{Stored} AS old ON old._id = new._id{(NeedsDefaults ? $" CROSS JOIN temp.{Fresh} AS fresh" : "")}
            """;
    }

    /// <summary>Whether stored values of the column can show in a row of the batch.</summary>
    public static bool NeedsStored(Column column, RowBatch rows) =>
        column.Type.IsSet || rows.FindColumn(column.Id) is not { } cells || HasAbsent(cells);

    static bool HasAbsent(ColumnBuffer cells) => cells.ValueCount < cells.RowCount && cells.States.Contains(CellState.Absent);

    // null leaves a set as it is, just as absent does; but not in a new row, where absent is the default
    static bool NeedsPresence(Column column, ColumnBuffer cells) => (!column.Type.IsSet || column.Default is not null) && HasAbsent(cells);

    string MergedValue(Column column)
    {
        var (added, stored, present) = ($"new.c{column.Id}", $"old.c{column.Id}", $"new.p{column.Id}");
        var kept = ColumnDefault.IsNeeded(column, rows) ? Case(column, "old._id IS NULL", $"fresh.c{column.Id}", stored) : stored;
        if (rows.FindColumn(column.Id) is not { } cells) return kept;
        if (column.Type.IsSet)
            added = $"CASE WHEN {added} IS NULL THEN {stored} WHEN {stored} IS NULL THEN {added} ELSE list_distinct(list_concat({stored}, {added})) END";
        return NeedsPresence(column, cells) ? Case(column, present, added, kept) : added;
    }

    // DuckDB has no CASE of arrays
    static string Case(Column column, string condition, string yes, string no) => column.Type.Kind == ColumnKind.Vector
        ? $"CAST(CASE WHEN {condition} THEN CAST({yes} AS DOUBLE[]) ELSE CAST({no} AS DOUBLE[]) END AS {SqlTypes.DuckDb(column.Type)})"
        : $"CASE WHEN {condition} THEN {yes} ELSE {no} END";

    IEnumerable<Column> DefaultedColumns() => schema.Columns.Where(column => ColumnDefault.IsNeeded(column, rows));

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
