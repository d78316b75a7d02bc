using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>A predicate that does not run: its author's error, never the store's.</summary>
sealed class PredicateException(string message, Exception inner) : Exception(message, inner);

/// <summary>Deletes the rows that a predicate of a user names.</summary>
/// <remarks>
/// The predicate is proven again here, as the WHERE of a query that reads the table alone, and is only ever read with: the rows are
/// deleted by their keys. The caller's transaction has written before it comes here.
/// </remarks>
static class RowDeletion
{
    const string Doomed = "temp.\"_sluice doomed\"";

    /// <returns>The number of rows deleted.</returns>
    /// <exception cref="PredicateException">The predicate does not run; the transaction is to be undone.</exception>
    public static long Run(DuckDbInstance db, TableSchema schema, string? predicate, TimeSpan limit, TimeProvider time)
    {
        var table = $"main.{SqlTypes.Quote(schema.Name)}";
        if (predicate is null) return db.Execute($"DELETE FROM {table}");
        Select(db, schema, predicate, limit, time);
        var count = db.Execute($"DELETE FROM {table} AS old USING {Doomed} AS doomed WHERE old._id = doomed._id");
        db.Execute($"DROP TABLE {Doomed}");
        return count;
    }

    static void Select(DuckDbInstance db, TableSchema schema, string predicate, TimeSpan limit, TimeProvider time)
    {
        using var deadline = new CancellationTokenSource(limit, time);
        try
        {
            var query = UserQuery.Selection("_id", schema.Name, predicate);
            var source = $"{SqlTypes.Quote(db.Catalog)}.main.{SqlTypes.Quote(schema.Name)}";
            using var interrupts = new Interrupts(db.Connection.NativeConnection, time, deadline.Token);
            var proof = UserQuery.Admit(db.Connection, query, [new QueryTable(schema.Name, source)]);
            proof.ThrowUnlessPredicate();
            var drops = new List<string>();
            foreach (var (create, drop) in UserQuery.Define(db.Connection, proof))
            {
                db.Execute(create);
                drops.Add(drop);
            }
            db.Execute($"CREATE TEMP TABLE {Doomed} AS {query}");
            // at once: the view has the name of the table
            foreach (var drop in drops) db.Execute(drop);
        }
        catch (Exception e) when (deadline.IsCancellationRequested && !db.IsInvalid && (e is QueryException || DuckDbErrors.IsDuckDb(e)))
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
    }
}
