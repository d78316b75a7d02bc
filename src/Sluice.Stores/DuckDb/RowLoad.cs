using Sluice.Load;
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

    /// <summary>Stored values are needed: rows are completed from them before they replace them.</summary>
    Merge,
}

/// <summary>Puts the rows of one batch into the table, in the way that reads the least of what is stored.</summary>
/// <remarks>
/// Rows are found by key and never by rowid: rowids move when a checkpoint falls between reading and using them. The caller's
/// transaction has written before it comes here, so that none can.
/// </remarks>
static class RowLoad
{
    /// <summary>
    /// Stored rows come from the deletion of them at 20 us a row, or from a join at 30 ns for each row of the table: the same at one
    /// changed row in 850, measured with 1 and 10 million rows of 10 columns.
    /// </summary>
    const int TableRowsPerReturnedRow = 1_000;

    public static LoadWay Choose(TableSchema schema, RowBatch rows, RowOperations? operations, KnownKeys known)
    {
        if (known.AreAllBelow(rows.Key)) return LoadWay.Append;
        if (operations is not null && !operations.Resets.Bytes.Contains((byte)0)) return LoadWay.Replace; // nothing stored is kept
        return LoadStatements.KeepsVersions(operations, known) || schema.Columns.Any(column => LoadStatements.NeedsStored(column, rows)) ? LoadWay.Merge : LoadWay.Replace;
    }

    public static void Run(DuckDbInstance db, TableSchema schema, RowBatch rows, RowOperations? operations, KnownKeys known)
    {
        var statements = new LoadStatements(schema, rows, operations, LoadStatements.KeepsVersions(operations, known));
        switch (Choose(schema, rows, operations, known))
        {
            case LoadWay.Append: Append(db, schema, rows, operations); break;
            case LoadWay.Replace: Replace(db, statements, schema, rows, operations); break;
            default: Merge(db, statements, schema, rows, operations, known.EstimatedRows); break;
        }
    }

    /// <summary>Whether so many stored rows are better returned by their deletion than read by a join.</summary>
    public static bool AreFew(long storedRows, long tableRows) => storedRows * TableRowsPerReturnedRow <= tableRows;

    static void Append(DuckDbInstance db, TableSchema schema, RowBatch rows, RowOperations? operations) =>
        db.Append(db.Catalog, schema.Name, new LoadStatements(schema, ColumnDefault.Fill(schema, rows), operations, keepsVersions: false).TableSources(), rows.RowCount);

    static void Replace(DuckDbInstance db, LoadStatements statements, TableSchema schema, RowBatch rows, RowOperations? operations)
    {
        db.Execute(statements.CreateStagedKeys());
        db.Append("temp", LoadStatements.Staged, statements.StagedKeySources(), rows.RowCount);
        db.Execute(statements.DeleteOld());
        db.Execute(LoadStatements.DropTemporary);
        Append(db, schema, rows, operations);
    }

    static void Merge(DuckDbInstance db, LoadStatements statements, TableSchema schema, RowBatch rows, RowOperations? operations, long tableRows)
    {
        db.Execute(statements.CreateStagedRows());
        db.Append("temp", LoadStatements.Staged, statements.StagedRowSources(), rows.RowCount);
        var storedRows = AreFew(rows.RowCount, tableRows) ? rows.RowCount : db.Query(statements.CountStored(), row => row.GetInt64(0))[0];
        if (storedRows == 0)
        {
            db.Execute(LoadStatements.DropTemporary);
            Append(db, schema, rows, operations);
            return;
        }
        if (AreFew(storedRows, tableRows))
        {
            db.Execute(statements.CreateStored());
            db.AppendResult(statements.DeleteOldReturning(), LoadStatements.Stored);
        }
        else
        {
            db.Execute(statements.CreateStoredFilled());
            db.Execute(statements.DeleteOld());
        }
        if (statements.NeedsDefaults)
        {
            db.Execute(statements.CreateFresh());
            db.Append("temp", LoadStatements.Fresh, statements.FreshSources(), 1);
        }
        if (statements.HasResets) db.Execute(LoadStatements.ForgetReset);
        db.Execute(statements.InsertMerged());
        db.Execute(LoadStatements.DropTemporary);
    }
}
