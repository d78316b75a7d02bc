using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>How rows get into a table.</summary>
enum LoadWay
{
    /// <summary>All keys are new: rows are appended.</summary>
    Append,

    /// <summary>The batch says all of each row: stored rows are deleted by key, the batch is appended.</summary>
    Replace,

    /// <summary>Stored values are needed, of few rows: the deletion returns them, at 20 us a row.</summary>
    MergeFew,

    /// <summary>Stored values are needed, of many rows: a join reads them, at 30 ns for each row of the table.</summary>
    MergeMany,
}

/// <summary>Puts the rows of one batch into the table, in the way that reads the least of what is stored.</summary>
/// <remarks>
/// Rows are found by key and never by rowid: rowids move when a checkpoint falls between reading and using them. The caller's
/// transaction has written before it comes here, so that none can.
/// </remarks>
static class RowLoad
{
    // measured with 1 and 10 million rows of 10 columns: the two ways of merging take the same time at one changed row in about 900
    const int TableRowsPerMergedRow = 1_000;

    public static LoadWay Choose(TableSchema schema, RowBatch rows, KnownKeys known)
    {
        if (known.AreAllBelow(rows.Key)) return LoadWay.Append;
        if (!schema.Columns.Any(column => LoadStatements.NeedsStored(column, rows))) return LoadWay.Replace;
        return rows.RowCount * (long)TableRowsPerMergedRow <= known.EstimatedRows ? LoadWay.MergeFew : LoadWay.MergeMany;
    }

    public static void Run(DuckDbInstance db, TableSchema schema, RowBatch rows, LoadWay way)
    {
        var statements = new LoadStatements(schema, rows);
        if (way is LoadWay.Replace) DeleteOld(db, statements, rows);
        if (way is LoadWay.Append or LoadWay.Replace) db.Append(db.Catalog, schema.Name, statements.TableSources(), rows.RowCount);
        else Merge(db, statements, rows, way);
    }

    static void DeleteOld(DuckDbInstance db, LoadStatements statements, RowBatch rows)
    {
        db.Execute(statements.CreateStagedKeys());
        db.Append("temp", LoadStatements.Staged, statements.StagedKeySources(), rows.RowCount);
        db.Execute(statements.DeleteOld());
        db.Execute(LoadStatements.DropTemporary);
    }

    static void Merge(DuckDbInstance db, LoadStatements statements, RowBatch rows, LoadWay way)
    {
        db.Execute(statements.CreateStagedRows());
        db.Append("temp", LoadStatements.Staged, statements.StagedRowSources(), rows.RowCount);
        if (way is LoadWay.MergeFew)
        {
            db.Execute(statements.CreateStored());
            db.AppendResult(statements.DeleteOldReturning(), LoadStatements.Stored);
        }
        else
        {
            db.Execute(statements.CreateStoredFilled());
            db.Execute(statements.DeleteOld());
        }
        db.Execute(statements.InsertMerged());
        db.Execute(LoadStatements.DropTemporary);
    }
}
