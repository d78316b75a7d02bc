using Sluice.Load;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>The SQL and the chunks that put one batch into its table.</summary>
/// <remarks>
/// Two temporary tables are used: <c>staged</c>, what the batch says, and <c>stored</c>, what the table has of the same keys. Their
/// columns are named by column id.
/// </remarks>
/// <param name="keepsVersions">Whether rows without a version keep the stored one.</param>
sealed class LoadStatements(TableSchema schema, RowBatch rows, RowOperations? operations, bool keepsVersions)
{
    public const string Staged = "staged";
    public const string Stored = "stored";

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
            KeyDefinition, $"{SqlTypes.IngestedAtColumn} TIMESTAMP", $"{SqlTypes.SinkIdColumn} UUID", $"{SqlTypes.PositionColumn} UBIGINT", $"{SqlTypes.VersionColumn} BIGINT",
        };
        if (HasResets) columns.Add("r BOOLEAN");
        foreach (var (column, cells) in BatchColumns())
        {
            columns.Add(Definition(column));
            if (NeedsPresence(column, cells)) columns.Add($"p{column.Id} BOOLEAN");
            if (RemovedOf(column) is not null) columns.Add($"x{column.Id} {MemberType(column)}[]");
        }
        return CreateTemporary(Staged, columns);
    }

    public ChunkSource[] StagedRowSources()
    {
        var sources = KeyAndHiddenSources().ToList();
        if (HasResets) sources.Add(ChunkSource.Cells(operations!.Resets));
        foreach (var (column, cells) in BatchColumns())
        {
            sources.Add(ChunkSource.Cells(cells));
            if (NeedsPresence(column, cells)) sources.Add(ChunkSource.IsPresent(cells));
            if (RemovedOf(column) is { } removed) sources.Add(ChunkSource.Cells(removed));
        }
        return [.. sources];
    }

    /// <summary>Counts the rows that the batch changes.</summary>
    public string CountStored() => $"SELECT count(*) FROM {_table} AS old SEMI JOIN {StagedKeys()} AS new ON old._id = new._id";

    /// <summary>Makes <c>stored</c> without rows.</summary>
    public string CreateStored() =>
        CreateTemporary(Stored, [KeyDefinition, .. keepsVersions ? [$"{SqlTypes.VersionColumn} BIGINT"] : (string[])[], .. StoredColumns().Select(Definition)]);

    /// <summary>Makes <c>stored</c> with the rows that the batch changes.</summary>
    public string CreateStoredFilled() =>
        $"CREATE OR REPLACE TEMP TABLE {Stored} AS SELECT {StoredValues()} FROM {_table} AS old JOIN {StagedKeys()} AS new ON old._id = new._id";

    /// <summary>Whether some rows keep nothing of what is stored.</summary>
    public bool HasResets { get; } = operations is not null && operations.Resets.Bytes.Contains((byte)1);

    /// <summary>Takes the rows out of <c>stored</c> of which nothing is kept.</summary>
    public const string ForgetReset = $"DELETE FROM temp.{Stored} AS old USING temp.{Staged} AS new WHERE new.r AND old._id = new._id";

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
        string[] hidden =
        [
            $"new.{SqlTypes.IngestedAtColumn}", $"new.{SqlTypes.SinkIdColumn}", $"new.{SqlTypes.PositionColumn}",
            keepsVersions ? $"coalesce(new.{SqlTypes.VersionColumn}, old.{SqlTypes.VersionColumn})" : $"new.{SqlTypes.VersionColumn}",
        ];
        return $"""
            INSERT INTO {_table} SELECT new._id, {string.Join(", ", hidden.Concat(schema.Columns.Select(MergedValue)))}
            FROM temp.{Staged} AS new LEFT JOIN temp.{Stored} AS old ON old._id = new._id{(NeedsDefaults ? $" CROSS JOIN temp.{Fresh} AS fresh" : "")}
            {string.Join('\n', schema.Columns.Where(column => RemovedOf(column) is not null).Select(JoinRest))}
            """;
    }

    /// <summary>Whether a row of the batch can have a version that only the stored row knows.</summary>
    public static bool KeepsVersions(RowOperations? operations, KnownKeys known) =>
        known.HasVersions && (operations is null || operations.Versions.ValueCount < operations.Versions.RowCount);

    /// <summary>Whether stored values of the column can show in a row of the batch.</summary>
    public static bool NeedsStored(Column column, RowBatch rows) =>
        column.Type.IsSet || rows.FindColumn(column.Id) is not { } cells || HasAbsent(cells);

    static bool HasAbsent(ColumnBuffer cells) => cells.ValueCount < cells.RowCount && cells.States.Contains(CellState.Absent);

    // null leaves a set as it is, just as absent does; but not in a new row, where absent is the default
    static bool NeedsPresence(Column column, ColumnBuffer cells) => (!column.Type.IsSet || column.Default is not null) && HasAbsent(cells);

    string MergedValue(Column column)
    {
        var (added, stored, present) = ($"new.c{column.Id}", $"old.c{column.Id}", $"new.p{column.Id}");
        if (RemovedOf(column) is not null) stored = $"(CASE WHEN new.x{column.Id} IS NULL OR {stored} IS NULL THEN {stored} ELSE coalesce(rest{column.Id}.members, []) END)";
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

    /// <summary>
    /// The stored members that are not removed, joined for all rows at once: DuckDB's functions of lists would compare each with each. A set that
    /// loses all its members has no row.
    /// </summary>
    string JoinRest(Column column)
    {
        var id = column.Id;
        var member = column.Type.IsQuantum ? "kept.member.m" : "kept.member";
        return $"""
            LEFT JOIN (
                SELECT kept._id, list(kept.member) AS members
                FROM (
                    SELECT old._id, unnest(old.c{id}) AS member
                    FROM temp.{Stored} AS old SEMI JOIN (SELECT _id FROM temp.{Staged} WHERE x{id} IS NOT NULL) AS new ON old._id = new._id) AS kept
                ANTI JOIN (SELECT _id, unnest(x{id}) AS member FROM temp.{Staged}) AS removed ON removed._id = kept._id AND removed.member = {member}
                GROUP BY kept._id) AS rest{id} ON rest{id}._id = new._id
            """;
    }

    ColumnBuffer? RemovedOf(Column column) => operations?.FindRemoved(column.Id);

    static string MemberType(Column column) => column.Type.Physical == PhysicalKind.Int64List ? "UBIGINT" : "VARCHAR";

    string StoredValues() => string.Join(", ", ["old._id", .. keepsVersions ? [$"old.{SqlTypes.VersionColumn}"] : (string[])[], .. StoredColumns().Select(column => $"old.{SqlTypes.Quote(column.Name)} AS c{column.Id}")]);

    string StagedKeys() => KeyLookup.KeysOf($"temp.{Staged}", rows.RowCount);

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
        [ChunkSource.Cells(rows.Key), ChunkSource.IngestedAt(rows), ChunkSource.SinkId(rows), ChunkSource.Position(rows), VersionSource()];

    ChunkSource VersionSource() => operations is null ? ChunkSource.Nulls(1) : ChunkSource.Cells(operations.Versions);
}
