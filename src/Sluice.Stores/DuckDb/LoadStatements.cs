using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>The SQL and the chunks of one batch.</summary>
/// <remarks>
/// Rows are found by key and never by rowid: a rowid read in one statement means another row in the next when a checkpoint has
/// moved rows in between. Statements of their own read a table before it is deleted from, so an order of statements matters.
/// </remarks>
sealed class LoadStatements
{
    public const string StagedTable = "staged";
    public const string DropStaged = $"DROP TABLE temp.{StagedTable}";
    public const string DropStagedAndMerged = $"DROP TABLE temp.{StagedTable}; DROP TABLE temp.{MergedTable}";

    const string MergedTable = "merged";

    readonly TableSchema _schema;
    readonly RowBatch _rows;
    readonly string _table;

    public LoadStatements(TableSchema schema, RowBatch rows)
    {
        _schema = schema;
        _rows = rows;
        _table = $"main.{SqlTypes.Quote(schema.Name)}";
    }

    /// <summary>
    /// Whether no stored value shows in any row of the batch: each column is single-valued and each row gives a value or null for it.
    /// </summary>
    public static bool IsWhole(TableSchema schema, RowBatch rows) =>
        schema.Columns.All(column => !column.Type.IsSet && rows.FindColumn(column.Id) is { } cells && !HasAbsent(cells));

    /// <summary>Chunks in the columns of the table itself.</summary>
    public ChunkSource[] TableSources() =>
        [.. KeyAndHiddenSources(), .. _schema.Columns.Select(column =>
            _rows.FindColumn(column.Id) is { } cells ? ChunkSource.Cells(cells) : ChunkSource.Nulls(Math.Max(1, column.Type.VectorLength)))];

    /// <summary>A temporary table of the keys of the batch.</summary>
    public string CreateStagedKeys() => $"CREATE OR REPLACE TEMP TABLE {StagedTable} (_id {SqlTypes.DuckDb(_schema.Key)})";

    public ChunkSource[] StagedKeySources() => [ChunkSource.Cells(_rows.Key)];

    /// <summary>A temporary table of all the batch says; beside a column that some row says nothing of stands whether it does.</summary>
    public string CreateStagedRows()
    {
        var columns = new List<string>
        {
            $"_id {SqlTypes.DuckDb(_schema.Key)}",
            $"{SqlTypes.IngestedAtColumn} TIMESTAMP",
            $"{SqlTypes.SinkIdColumn} UUID",
            $"{SqlTypes.PositionColumn} UBIGINT",
        };
        foreach (var (column, cells) in BatchColumns())
        {
            columns.Add($"c{column.Id} {SqlTypes.DuckDb(column.Type)}");
            if (NeedsPresence(column, cells)) columns.Add($"p{column.Id} BOOLEAN");
        }
        return $"CREATE OR REPLACE TEMP TABLE {StagedTable} ({string.Join(", ", columns)})";
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

    /// <summary>Staged rows joined with the rows they replace, in the columns of the table.</summary>
    public string CreateMerged()
    {
        var hidden = SqlTypes.HiddenColumns.Select(name => $"new.{name}");
        var columns = _schema.Columns.Select(column => $"{MergedValue(column)} AS {SqlTypes.Quote(column.Name)}");
        return $"""
            CREATE OR REPLACE TEMP TABLE {MergedTable} AS
            SELECT {string.Join(", ", ["new._id", .. hidden, .. columns])}
            FROM temp.{StagedTable} AS new LEFT JOIN {_table} AS old ON old._id = new._id
            """;
    }

    public string DeleteStaged() => $"DELETE FROM {_table} AS old USING temp.{StagedTable} AS new WHERE old._id = new._id";

    public string InsertMerged() => $"INSERT INTO {_table} FROM temp.{MergedTable}";

    static bool HasAbsent(ColumnBuffer cells) => cells.ValueCount < cells.RowCount && cells.States.Contains(CellState.Absent);

    // null on a set leaves it as it is, so a set needs no telling apart of absent and null
    static bool NeedsPresence(Column column, ColumnBuffer cells) => !column.Type.IsSet && HasAbsent(cells);

    string MergedValue(Column column)
    {
        var old = $"old.{SqlTypes.Quote(column.Name)}";
        if (_rows.FindColumn(column.Id) is not { } cells) return old;
        var added = $"new.c{column.Id}";
        if (column.Type.IsSet)
            return $"CASE WHEN {added} IS NULL THEN {old} WHEN {old} IS NULL THEN {added} ELSE list_distinct(list_concat({old}, {added})) END";
        return NeedsPresence(column, cells) ? $"CASE WHEN new.p{column.Id} THEN {added} ELSE {old} END" : added;
    }

    IEnumerable<(Column Column, ColumnBuffer Cells)> BatchColumns()
    {
        foreach (var column in _schema.Columns)
            if (_rows.FindColumn(column.Id) is { } cells) yield return (column, cells);
    }

    ChunkSource[] KeyAndHiddenSources() =>
        [ChunkSource.Cells(_rows.Key), ChunkSource.IngestedAt(_rows), ChunkSource.SinkId(_rows), ChunkSource.Position(_rows)];
}
