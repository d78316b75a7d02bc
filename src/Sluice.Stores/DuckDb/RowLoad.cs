using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>Puts the rows of one batch into the table, in the way that reads the least of what is stored.</summary>
static class RowLoad
{
    public static void Run(DuckDbInstance db, TableSchema schema, RowBatch rows, LargestKey largestKey)
    {
        var statements = new LoadStatements(schema, rows);
        if (largestKey.IsBelowAll(rows.Key)) AppendToTable(db, statements, schema, rows);
        else if (LoadStatements.IsWhole(schema, rows)) Replace(db, statements, schema, rows);
        else Merge(db, statements, rows);
    }

    static void Replace(DuckDbInstance db, LoadStatements statements, TableSchema schema, RowBatch rows)
    {
        db.Execute(statements.CreateStagedKeys());
        Append(db, "temp", LoadStatements.StagedTable, statements.StagedKeySources(), rows);
        db.Execute(statements.DeleteStaged());
        db.Execute(LoadStatements.DropStaged);
        AppendToTable(db, statements, schema, rows);
    }

    static void Merge(DuckDbInstance db, LoadStatements statements, RowBatch rows)
    {
        db.Execute(statements.CreateStagedRows());
        Append(db, "temp", LoadStatements.StagedTable, statements.StagedRowSources(), rows);
        db.Execute(statements.CreateMerged());
        db.Execute(statements.DeleteStaged());
        db.Execute(statements.InsertMerged());
        db.Execute(LoadStatements.DropStagedAndMerged);
    }

    static void AppendToTable(DuckDbInstance db, LoadStatements statements, TableSchema schema, RowBatch rows) =>
        Append(db, db.Catalog, schema.Name, statements.TableSources(), rows);

    static void Append(DuckDbInstance db, string catalog, string table, ChunkSource[] sources, RowBatch rows)
    {
        using var writer = ChunkWriter.Open(db.Connection, catalog, table, sources);
        writer.Append(rows.RowCount);
        writer.Complete();
    }
}
