using Sluice.Load;
using Sluice.Log;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>One table in an embedded database: <c>main."name"</c>, and what <see cref="InternalTables"/> keeps of it.</summary>
/// <remarks>
/// <para>The table has no primary key and no index: a batch has each key once, and replaces a row by deleting it by key and
/// appending the new one, which is many times faster than DuckDB's own upsert.</para>
/// <para>Every write moves the position from where the loader knows it to be, and does nothing else when it is not there. So a
/// COMMIT that failed after it took effect does no harm: the same batch, sent again, is found to be in the table already. For any
/// other batch the loader must first learn the position with <see cref="ReadStateAsync"/>.</para>
/// </remarks>
sealed class DuckDbStore(DuckDbDatabase database, Guid tableId) : ITableStore
{
    // each load leaves a row for each of its sinks
    const int LoadsPerSum = 1_000;

    // owned by the one caller of the writing members

    // where the loader knows the position to be; `null`: it was not asked for yet
    LogPosition? _position;

    // as read from _knownKeysSource; another instance says nothing of what was committed in this one
    KnownKeys? _knownKeys;
    DuckDbInstance? _knownKeysSource;

    int _loads;

    public async ValueTask<StoredTable?> ReadStateAsync(CancellationToken cancellation)
    {
        var stored = await database.RunAsync(db => InternalTables.ReadState(db, tableId), cancellation).ConfigureAwait(false);
        _position = stored?.Position;
        return stored;
    }

    public async ValueTask ApplySchemaAsync(TableSchema schema, LogPosition position, CancellationToken cancellation)
    {
        await RunTwiceAsync(db => ApplySchema(db, schema, position), cancellation).ConfigureAwait(false);
        _position = position;
    }

    public async ValueTask LoadAsync(LoadBatch batch, CancellationToken cancellation)
    {
        await RunTwiceAsync(db => Load(db, batch), cancellation).ConfigureAwait(false);
        _position = batch.UpTo;
    }

    public async ValueTask CheckAsync(LoadBatch batch, CancellationToken cancellation) =>
        await database.RunAsync(db => Check(db, batch), cancellation).ConfigureAwait(false);

    public async ValueTask DropAsync(CancellationToken cancellation)
    {
        await RunTwiceAsync(Drop, cancellation).ConfigureAwait(false);
        _position = null;
        _knownKeys = null;
    }

    public async ValueTask<IReadOnlyList<LateError>> ReadErrorsAsync(Guid sinkId, int limit, CancellationToken cancellation)
    {
        using var reader = await database.OpenReadConnectionAsync(cancellation).ConfigureAwait(false);
        try
        {
            return InternalTables.ReadErrors(reader.Connection, tableId, sinkId, limit);
        }
        catch (Exception e) when (DuckDbErrors.IsDuckDb(e))
        {
            throw DuckDbErrors.Translate(e);
        }
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask; // the database is its owner's

    /// <summary>Runs an operation again whose COMMIT failed: on a new instance, where the position tells what became of it.</summary>
    async ValueTask RunTwiceAsync(Func<DuckDbInstance, bool> operation, CancellationToken cancellation)
    {
        try
        {
            await database.RunAsync(operation, cancellation).ConfigureAwait(false);
        }
        catch (StoreException e) when (e.InnerException is CommitFailedException)
        {
            await database.RunAsync(operation, cancellation).ConfigureAwait(false);
        }
    }

    bool ApplySchema(DuckDbInstance db, TableSchema schema, LogPosition position)
    {
        var stored = InternalTables.ReadState(db, tableId);
        if (stored?.Position == position) return true;
        return InTransaction(db, () =>
        {
            if (stored is null) InternalTables.InsertPosition(db, tableId, position);
            else MovePosition(db, _position ?? stored.Position, position);
            foreach (var statement in SchemaStatements.For(stored?.Schema, schema)) db.Execute(statement);
            InternalTables.WriteSchema(db, tableId, schema);
        });
    }

    bool Load(DuckDbInstance db, LoadBatch batch)
    {
        var known = KnownPosition(db);
        if (InternalTables.ReadPosition(db, tableId) == batch.UpTo) return true;
        var keys = KnownKeysOf(db, batch);
        InTransaction(db, () =>
        {
            Apply(db, batch, known, keys);
            if (++_loads % LoadsPerSum == 0) InternalTables.SumUpCounts(db, tableId);
        });
        _knownKeys = keys.With(batch.Rows.Key);
        return true;
    }

    bool Check(DuckDbInstance db, LoadBatch batch)
    {
        var known = KnownPosition(db);
        var keys = KnownKeysOf(db, batch);
        InternalTables.Begin(db);
        try
        {
            Apply(db, batch, known, keys);
        }
        finally
        {
            db.Rollback();
        }
        return true;
    }

    bool Drop(DuckDbInstance db)
    {
        if (InternalTables.ReadState(db, tableId) is not { } stored) return true;
        return InTransaction(db, () =>
        {
            InternalTables.Delete(db, tableId);
            db.Execute($"DROP TABLE main.{SqlTypes.Quote(stored.Schema.Name)}");
        });
    }

    /// <summary>The load itself. The position is written first, before anything of the table is read.</summary>
    void Apply(DuckDbInstance db, LoadBatch batch, LogPosition known, KnownKeys keys)
    {
        MovePosition(db, known, batch.UpTo);
        if (batch.Rows.RowCount > 0) RowLoad.Run(db, batch.Schema, batch.Rows, RowLoad.Choose(batch.Schema, batch.Rows, keys));
        InternalTables.AddCounts(db, tableId, batch.Counts);
        InternalTables.AddErrors(db, tableId, batch.Errors);
    }

    void MovePosition(DuckDbInstance db, LogPosition from, LogPosition to)
    {
        if (to.LogId != from.LogId || to.Sequence <= from.Sequence)
            throw new ArgumentException($"position {to} does not follow {from} of table {tableId}");
        if (!InternalTables.TryMovePosition(db, tableId, from, to))
            throw new StoreException(isTransient: true, $"table {tableId} is not at {from} any more; its state must be read again");
    }

    LogPosition KnownPosition(DuckDbInstance db) =>
        _position ??= InternalTables.ReadPosition(db, tableId)
            ?? throw new InvalidOperationException($"table {tableId} was never created in database {db.Catalog}");

    KnownKeys KnownKeysOf(DuckDbInstance db, LoadBatch batch)
    {
        if (_knownKeys is null || _knownKeysSource != db)
        {
            _knownKeys = KnownKeys.Read(db, batch.Schema);
            _knownKeysSource = db;
        }
        return _knownKeys;
    }

    static bool InTransaction(DuckDbInstance db, Action write)
    {
        InternalTables.Begin(db);
        try
        {
            write();
        }
        catch
        {
            db.Rollback();
            throw;
        }
        Commit(db);
        return true;
    }

    static void Commit(DuckDbInstance db)
    {
        try
        {
            db.Execute("COMMIT");
        }
        catch (Exception e) when (DuckDbErrors.IsDuckDb(e))
        {
            db.Invalidate(); // what is stored now is known only after it was read from the file again
            throw new StoreException(isTransient: true, e.Message, new CommitFailedException(e));
        }
    }

    sealed class CommitFailedException(Exception inner) : Exception("a transaction may or may not have been committed", inner);
}
