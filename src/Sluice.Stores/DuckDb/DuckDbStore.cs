using DuckDB.NET.Data;
using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Log;
using Sluice.Quarantine;
using Sluice.Records;
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
    const int LoadsPerSum = 100;

    // owned by the one caller of the writing members

    // where the loader knows the position to be; `null`: it was not asked for yet
    LogPosition? _position;

    // as read from _knownKeysSource; another instance says nothing of what was committed in this one
    KnownKeys? _knownKeys;
    DuckDbInstance? _knownKeysSource;

    // the last one and what came of it: whether it was committed is known only from the position
    (Guid Id, DeletionOutcome Outcome) _deletion;

    int _loads;

    public async ValueTask<StoredTable?> ReadStateAsync(CancellationToken cancellation)
    {
        var stored = await database.RunAsync(db => InternalTables.ReadState(db, tableId), cancellation).ConfigureAwait(false);
        _position = stored?.Position;
        _knownKeys = null;
        return stored;
    }

    public async ValueTask<KeyState[]> ReadKeysAsync(TableSchema schema, ColumnBuffer keys, long tombstonesFromMicroseconds, CancellationToken cancellation) =>
        await database.RunAsync(db => ReadKeys(db, schema, keys, tombstonesFromMicroseconds), cancellation).ConfigureAwait(false);

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

    public async ValueTask<DeletionOutcome> DeleteAsync(TableSchema schema, Deletion deletion, LogPosition position, CancellationToken cancellation)
    {
        var (found, error) = deletion.Predicate is { } predicate && _position != position ? await FindAsync(schema, predicate, cancellation).ConfigureAwait(false) : default;
        try
        {
            await RunTwiceAsync(db => Delete(db, schema, deletion, found, error, position), cancellation).ConfigureAwait(false);
        }
        finally
        {
            if (found is not null) RowDeletion.Remove(found);
        }
        _position = position;
        return _deletion.Id == deletion.Id ? _deletion.Outcome : new DeletionOutcome(Rows: null, Error: null);
    }

    public async ValueTask CheckAsync(LoadBatch batch, CancellationToken cancellation) =>
        await database.RunAsync(db => Check(db, batch), cancellation).ConfigureAwait(false);

    public async ValueTask<ExpiryStep> ExpireAsync(RowExpiry expiry, CancellationToken cancellation)
    {
        var step = default(ExpiryStep);
        await RunTwiceAsync(
            db =>
            {
                step = Expire(db, expiry);
                return true;
            },
            cancellation).ConfigureAwait(false);
        return step;
    }

    public async ValueTask DropAsync(CancellationToken cancellation)
    {
        await RunTwiceAsync(Drop, cancellation).ConfigureAwait(false);
        _position = null;
        _knownKeys = null;
    }

    public ValueTask<IReadOnlyList<LateError>> ReadErrorsAsync(Guid sinkId, int limit, CancellationToken cancellation) =>
        ReadAsync(connection => InternalTables.ReadErrors(connection, tableId, sinkId, limit), cancellation);

    public ValueTask<QuarantineOverview> ReadQuarantineAsync(Guid sinkId, long fromMicroseconds, CancellationToken cancellation) =>
        ReadAsync(connection => QuarantineTables.ReadOverview(connection, tableId, sinkId, fromMicroseconds), cancellation);

    public ValueTask<IReadOnlyList<QuarantineEntry>> ReadQuarantinedAsync(QuarantineSelection selection, int limit, CancellationToken cancellation) =>
        ReadAsync(connection => QuarantineTables.ReadEntries(connection, tableId, selection, limit), cancellation);

    public ValueTask<IReadOnlySet<ulong>> ReadReplayedAsync(IReadOnlyList<ulong> positions, CancellationToken cancellation) =>
        ReadAsync(connection => QuarantineTables.ReadReplayed(connection, tableId, positions), cancellation);

    public ValueTask<IReadOnlyList<int>> FindChangedSinceAsync(TableSchema schema, ColumnBuffer keys, IReadOnlyList<ulong> origins, CancellationToken cancellation) =>
        ReadAsync(connection => QuarantineTables.FindChangedSince(connection, schema, keys, origins), cancellation);

    public ValueTask<KeptRequest?> FindRequestAsync(ulong sequence, CancellationToken cancellation) =>
        ReadAsync(connection => IdempotencyTables.Find(connection, tableId, sequence), cancellation);

    public ValueTask<KeptFate> ReadFateAsync(Guid sinkId, string requestId, ulong sequence, CancellationToken cancellation) =>
        ReadAsync(
            connection =>
            {
                var loadedAt = LoadTimes.Find(connection, tableId, sequence);
                var errors = InternalTables.ReadErrors(connection, tableId, requestId);
                var quarantined = QuarantineTables.ReadEntries(connection, tableId, sinkId, requestId, out var isOfOther);
                return new KeptFate(
                    loadedAt, [.. errors.Where(error => error.SinkId == sinkId)], InternalTables.HasAllErrors(connection, tableId, loadedAt), quarantined,
                    isOfOther || errors.Any(error => error.SinkId != sinkId));
            },
            cancellation);

    public async ValueTask ReadRequestKeysAsync(long fromMicroseconds, Action<KeptKey> visit, CancellationToken cancellation) =>
        await ReadAsync(
            connection =>
            {
                IdempotencyTables.VisitKeys(connection, tableId, fromMicroseconds, visit);
                return true;
            },
            cancellation).ConfigureAwait(false);

    public async ValueTask<long> DiscardAsync(QuarantineSelection selection, CancellationToken cancellation)
    {
        var discarded = 0L;
        await RunTwiceAsync(
            db => InTransaction(db, () =>
            {
                var now = QuarantineTables.Discard(db, tableId, selection);
                discarded = Math.Max(discarded, now); // of a COMMIT that took effect and failed the second try finds none
                return now > 0;
            }),
            cancellation).ConfigureAwait(false);
        return discarded;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask; // the database is its owner's

    async ValueTask<T> ReadAsync<T>(Func<DuckDBConnection, T> read, CancellationToken cancellation)
    {
        using var reader = await database.OpenReadConnectionAsync(cancellation).ConfigureAwait(false);
        try
        {
            return read(reader.Connection);
        }
        catch (Exception e) when (DuckDbErrors.IsDuckDb(e))
        {
            throw DuckDbErrors.Translate(e);
        }
    }

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
        if (InternalTables.ReadState(db, tableId) is { } stored)
            return Write(db, position, () => ChangeColumns(db, stored.Schema, schema));
        return InTransaction(db, () =>
        {
            InternalTables.InsertPosition(db, tableId, position);
            ChangeColumns(db, null, schema);
            return true;
        });
    }

    void ChangeColumns(DuckDbInstance db, TableSchema? from, TableSchema to)
    {
        foreach (var statement in SchemaStatements.For(from, to)) db.Execute(statement);
        InternalTables.WriteSchema(db, tableId, to);
    }

    bool Load(DuckDbInstance db, LoadBatch batch)
    {
        var hasLoaded = Write(db, batch.UpTo, () =>
        {
            Apply(db, batch);
            if (batch.TimeMicroseconds is { } time) LoadTimes.Add(db, tableId, KnownPosition(db), batch.UpTo, time);
            if (++_loads % LoadsPerSum != 0) return;
            InternalTables.SumUpCounts(db, tableId);
            QuarantineTables.SumUpCounts(db, tableId);
            LoadTimes.DropOld(db, tableId);
        });
        // only now are they in the table
        if (hasLoaded) _knownKeys = _knownKeys?.With(batch.Rows.Key, batch.Operations?.HasVersions ?? false);
        return hasLoaded;
    }

    /// <summary>Finds the rows of a predicate without the database's turn: other tables are loaded meanwhile.</summary>
    /// <returns>A file with their keys, to be deleted; or why the predicate does not run.</returns>
    async Task<(string? Found, string? Error)> FindAsync(TableSchema schema, string predicate, CancellationToken cancellation)
    {
        using var reader = await database.OpenReadConnectionAsync(cancellation).ConfigureAwait(false);
        try
        {
            return (await DuckDbDatabase.OnThreadAsync(() => RowDeletion.Find(reader, database.Catalog, schema, predicate, database.DeletionTime, database.Time)).ConfigureAwait(false), null);
        }
        catch (PredicateException e)
        {
            return (null, e.Message);
        }
    }

    bool Delete(DuckDbInstance db, TableSchema schema, Deletion deletion, string? found, string? error, LogPosition position)
    {
        var hasMoved = Write(db, position, () =>
        {
            var rows = error is not null ? 0 : deletion.Predicate is null ? RowDeletion.RunAll(db, schema) : RowDeletion.Run(db, schema, found ?? throw new InvalidOperationException("the rows were not looked for"));
            _deletion = (deletion.Id, new DeletionOutcome(rows, error));
        });
        if (hasMoved && deletion.Predicate is null) _knownKeys = null; // cheap to read again, and appending is cheaper than replacing
        return hasMoved;
    }

    bool Check(DuckDbInstance db, LoadBatch batch)
    {
        var from = KnownPosition(db);
        InternalTables.Begin(db);
        try
        {
            if (!InternalTables.TryMovePosition(db, tableId, from, batch.UpTo)) throw HasMoved(from);
            Apply(db, batch);
        }
        finally
        {
            db.Rollback();
        }
        return true;
    }

    ExpiryStep Expire(DuckDbInstance db, RowExpiry expiry)
    {
        var (deleted, cleared) = (0L, 0L);
        InTransaction(db, () =>
        {
            deleted = ExpiryStatements.DeleteRows(db, expiry);
            if (deleted > 0) InternalTables.AddExpired(db, tableId, deleted);
            cleared = ExpiryStatements.ClearTimes(db, expiry);
            return deleted + cleared > 0;
        });
        return new ExpiryStep(InternalTables.ReadExpired(db, tableId), HasMore: deleted >= expiry.MaxRows || cleared >= expiry.MaxRows);
    }

    bool Drop(DuckDbInstance db)
    {
        if (InternalTables.ReadState(db, tableId) is not { } stored) return false;
        return InTransaction(db, () =>
        {
            InternalTables.Delete(db, tableId);
            db.Execute($"DROP TABLE main.{SqlTypes.Quote(stored.Schema.Name)}");
            return true;
        });
    }

    void Apply(DuckDbInstance db, LoadBatch batch)
    {
        if (batch.Operations is { } operations)
        {
            KeyLookup.Delete(db, batch.Schema, operations.DeletedKeys);
            Tombstones.Write(db, tableId, batch.Schema.Key, operations);
        }
        if (batch.Rows.RowCount > 0) RowLoad.Run(db, batch.Schema, batch.Rows, batch.Operations, KnownKeysOf(db, batch.Schema));
        InternalTables.AddCounts(db, tableId, batch.Counts);
        InternalTables.AddErrors(db, tableId, batch.Errors);
        if (batch.Quarantine is { } quarantine) QuarantineTables.Add(db, tableId, quarantine, batch.Counts);
        if (batch.Idempotency is { } idempotency) IdempotencyTables.Add(db, tableId, idempotency);
    }

    KeyState[] ReadKeys(DuckDbInstance db, TableSchema schema, ColumnBuffer keys, long tombstonesFrom)
    {
        var states = new KeyState[keys.RowCount];
        Array.Fill(states, KeyState.Unknown);
        var lookup = KeyLookup.Stage(db, schema.Key, keys);
        if (!KnownKeysOf(db, schema).AreAllBelow(keys)) lookup.ReadRows(schema, states);
        Tombstones.Read(lookup, tableId, schema.Key, tombstonesFrom, states);
        lookup.Drop();
        return states;
    }

    /// <summary>Moves the position and does the rest of a write in one transaction: the position first, before the table is read.</summary>
    /// <returns>False: the position is there already, by a transaction that was committed before.</returns>
    bool Write(DuckDbInstance db, LogPosition to, Action rest)
    {
        var from = KnownPosition(db);
        if (from == to) return false;
        if (to.LogId != from.LogId || !to.IsAfter(from))
            throw new ArgumentException($"position {to} does not follow {from} of table {tableId}");

        var hasMoved = InTransaction(db, () =>
        {
            if (!InternalTables.TryMovePosition(db, tableId, from, to)) return false;
            rest();
            return true;
        });
        if (hasMoved) return true;
        _knownKeys = null;
        return InternalTables.ReadPosition(db, tableId) == to ? false : throw HasMoved(from);
    }

    StoreException HasMoved(LogPosition from) =>
        new(isTransient: true, $"table {tableId} is not at {from} any more; its state must be read again");

    LogPosition KnownPosition(DuckDbInstance db) =>
        _position ??= InternalTables.ReadPosition(db, tableId)
            ?? throw new InvalidOperationException($"table {tableId} was never created in database {db.Catalog}");

    KnownKeys KnownKeysOf(DuckDbInstance db, TableSchema schema)
    {
        if (_knownKeys is null || _knownKeysSource != db)
        {
            _knownKeys = KnownKeys.Read(db, schema);
            _knownKeysSource = db;
        }
        return _knownKeys;
    }

    /// <param name="write">False: there is nothing to commit.</param>
    static bool InTransaction(DuckDbInstance db, Func<bool> write)
    {
        InternalTables.Begin(db);
        try
        {
            if (!write())
            {
                db.Rollback();
                return false;
            }
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
