using DuckDB.NET.Data;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>A predicate that does not run: its author's error, never the store's.</summary>
sealed class PredicateException(string message, Exception inner) : Exception(message, inner);

/// <summary>Deletes the rows that a predicate of a user names.</summary>
/// <remarks>
/// The predicate is proven again here, as the WHERE of a query that reads the table alone, and is only ever read with: the rows are
/// deleted by their keys. They are found on a connection for reading, because that may take long and other tables of the database are
/// loaded meanwhile; of this table nothing is, since whoever loads it waits for the deletion. Their keys go through a file: a temporary
/// table is seen by one connection only, and there may be more of them than fit in memory.
/// </remarks>
static class RowDeletion
{
    /// <summary>Finds the rows, outside of any transaction that writes.</summary>
    /// <param name="catalog">The name of the database in SQL.</param>
    /// <returns>The path of a file with their keys, for <see cref="Remove"/>.</returns>
    /// <exception cref="PredicateException">The predicate does not run.</exception>
    /// <exception cref="Load.StoreException">The database does not work now.</exception>
    public static string Find(DuckDbReadConnection reader, string catalog, TableSchema schema, string predicate, TimeSpan limit, TimeProvider time)
    {
        var path = Path.Combine(reader.ExportDirectory, $"{Guid.NewGuid():n}.parquet");
        try
        {
            Select(reader.Connection, catalog, schema, predicate, path, limit, time);
            return path;
        }
        catch
        {
            Remove(path);
            throw;
        }
    }

    /// <param name="found">From <see cref="Find"/>.</param>
    /// <returns>The number of rows deleted.</returns>
    public static long Run(DuckDbInstance db, TableSchema schema, string found) =>
        db.Execute($"DELETE FROM main.{SqlTypes.Quote(schema.Name)} AS old USING read_parquet({UserQuery.Literal(found)}) AS doomed WHERE old._id = doomed._id");

    /// <returns>The number of rows deleted.</returns>
    public static long RunAll(DuckDbInstance db, TableSchema schema) => db.Execute($"DELETE FROM main.{SqlTypes.Quote(schema.Name)}");

    static void Select(DuckDBConnection connection, string catalog, TableSchema schema, string predicate, string path, TimeSpan limit, TimeProvider time)
    {
        using var deadline = new CancellationTokenSource(limit, time);
        try
        {
            var query = UserQuery.Selection("_id", schema.Name, predicate);
            var source = $"{SqlTypes.Quote(catalog)}.main.{SqlTypes.Quote(schema.Name)}";
            using var interrupts = new Interrupts(connection.NativeConnection, time, deadline.Token);
            var proof = UserQuery.Admit(connection, query, [new QueryTable(schema.Name, source) { Columns = [.. schema.Columns.Select(column => column.Name)] }]);
            proof.ThrowUnlessPredicate();
            foreach (var definition in UserQuery.Define(connection, proof)) Execute(connection, definition); // the connection is nobody else's, and closed after
            Execute(connection, $"COPY ({query}) TO {UserQuery.Literal(path)} (FORMAT parquet, ROW_GROUP_SIZE 2048)"); // DuckDB holds a row group in memory
        }
        catch (Exception e) when (deadline.IsCancellationRequested && !DuckDbErrors.IsFatal(e) && (e is QueryException || DuckDbErrors.IsDuckDb(e)))
        {
            throw new PredicateException($"the predicate took longer than {limit.TotalSeconds:0.#} s and was stopped", e);
        }
        catch (QueryException e)
        {
            throw new PredicateException(e.Message, e);
        }
        catch (Exception e) when (DuckDbErrors.IsOfStatement(e))
        {
            throw new PredicateException(QueryException.FromDuckDb(e.Message, "").Message, e);
        }
        catch (Exception e) when (DuckDbErrors.IsDuckDb(e))
        {
            throw DuckDbErrors.Translate(e);
        }
    }

    /// <summary>Deletes a file of keys. What cannot be deleted goes when the database is opened the next time.</summary>
    public static void Remove(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // the disk is at fault, and says so elsewhere
        }
    }

    static void Execute(DuckDBConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }
}
