using Sluice.Idempotency;
using Sluice.Log;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Load;

/// <summary>Records of one sink that one load settled.</summary>
/// <param name="Loaded">Applied to the table, or overtaken by a later record of the same load, or superseded.</param>
/// <param name="Failed">Refused by the store, or its operation's condition did not hold; each has a <see cref="LateError"/>.</param>
public readonly record struct SinkCounts(long Loaded, long Failed)
{
    /// <summary>Of those loaded: not applied, because their version is below that of their key.</summary>
    public long Superseded { get; init; }

    /// <summary>Records out of the quarantine that were applied to the table: counted here and nowhere else.</summary>
    public long Replayed { get; init; }
}

/// <summary>Why a record was accepted and not loaded. The names are stable API (docs/errors.md): add, never rename.</summary>
public enum LateErrorCode
{
    /// <summary>The store refused the record for what it holds.</summary>
    StoreRefused,

    /// <summary>The whole request was discarded: a record lacks a mapped field, and the sink does not allow that.</summary>
    BatchDiscarded,

    /// <summary>An insert, and the table has a row of the key.</summary>
    KeyExists,

    /// <summary>A patch, and the table has no row of the key.</summary>
    KeyMissing,

    /// <summary>Accepted records are gone: with a part of the log that was repaired, or with a database that was rebuilt.</summary>
    RecordsLost,
}

/// <summary>A record that was accepted and could not be loaded, or a request that was discarded as a whole.</summary>
/// <param name="SinkId">The sink that took the record.</param>
/// <param name="Position">Where the record stands in the log: sequence of its frame x 2^17 + index in that. Unique, so writing the error again is harmless.</param>
/// <param name="RequestId">The request that brought the record.</param>
/// <param name="RecordIndex">Its place in the request; -1 when the error is about the whole request.</param>
/// <param name="Key">The record's <c>_id</c> as text; empty when unknown.</param>
/// <param name="Code">Why, for programs.</param>
/// <param name="Message">Why, for people.</param>
/// <param name="Value">The record rendered as JSON through its mapping; <c>null</c> when not kept.</param>
/// <param name="TimeMicroseconds">When the error was found, microseconds since 1970-01-01 UTC.</param>
public sealed record LateError(
    Guid SinkId, ulong Position, string RequestId, int RecordIndex, string Key, LateErrorCode Code, string Message, string? Value, long TimeMicroseconds);

/// <summary>What a store knows of one table.</summary>
/// <param name="Position">Everything up to and including this position is in the table, and <see cref="LogPosition.RecordsAhead"/> records of the next request.</param>
/// <param name="Schema">The schema the table has at that position.</param>
/// <param name="Counts">Totals per sink since the table was created.</param>
public sealed record StoredTable(LogPosition Position, TableSchema Schema, IReadOnlyDictionary<Guid, SinkCounts> Counts)
{
    /// <summary>Rows that have outlived the table's retention since the table was made.</summary>
    public long ExpiredRows { get; init; }
}

/// <summary>One load: rows folded to one per key, and everything that becomes true together with them.</summary>
/// <param name="Schema">The schema the table has when the rows go in.</param>
/// <param name="Rows">
/// At most one row per key. A cell that is absent keeps the stored value; null clears a single value and leaves a set as it is; a value
/// replaces a single value and is united with a stored set. May have no rows.
/// </param>
/// <param name="UpTo">The table's position after the load; it is after the stored one.</param>
/// <param name="Counts">To be added to the totals per sink.</param>
/// <param name="Errors">To be kept for <see cref="ITableStore.ReadErrorsAsync"/>.</param>
public sealed record LoadBatch(
    TableSchema Schema, RowBatch Rows, LogPosition UpTo, IReadOnlyDictionary<Guid, SinkCounts> Counts, IReadOnlyList<LateError> Errors)
{
    /// <summary>What changes in the quarantine; <c>null</c>: nothing, as in most loads.</summary>
    public QuarantineBatch? Quarantine { get; init; }

    /// <summary>What the load does beside that; <c>null</c>: nothing, as most loads.</summary>
    public RowOperations? Operations { get; init; }

    /// <summary>Requests with keys; <c>null</c>: none, as in most loads.</summary>
    public IdempotencyBatch? Idempotency { get; init; }

    /// <summary>When the load was made, microseconds since 1970-01-01 UTC; <c>null</c>: it completes no request, and its time is not kept.</summary>
    public long? TimeMicroseconds { get; init; }
}

/// <summary>Why a store cannot be used, as far as that can be told apart.</summary>
public enum StoreFault
{
    /// <summary>None of the others is known to be it.</summary>
    Other,

    /// <summary>What is in the file makes no sense.</summary>
    Damaged,

    DiskFull,

    /// <summary>The process may not read or write the file.</summary>
    NotPermitted,

    /// <summary>Memory, threads or file handles do not suffice.</summary>
    OutOfResources,

    /// <summary>Another process has the file open.</summary>
    InUse,
}

/// <summary>A store that did not do what was asked; nothing of it is in the table.</summary>
/// <param name="isTransient">
/// True: the same call may succeed later (conflict, full disk, lost connection). False: the store refuses these rows for what
/// they hold, and will refuse them again.
/// </param>
public sealed class StoreException(bool isTransient, string message, Exception? inner = null) : Exception(message, inner)
{
    public bool IsTransient { get; } = isTransient;

    public StoreFault Fault { get; init; }

    /// <summary>Something around the file is at fault, and what is in it may be as good as ever.</summary>
    public bool IsOfSurroundings => Fault is StoreFault.DiskFull or StoreFault.NotPermitted or StoreFault.OutOfResources or StoreFault.InUse;
}

/// <summary>
/// One table in a store. The table's position is a row of the store's own and changes only in the transaction that changes the
/// rows: this is what makes loading exactly-once.
/// </summary>
/// <remarks>
/// The members have one caller, the table's loader; but <see cref="ReadErrorsAsync"/>, <see cref="ReadFateAsync"/> and those of the quarantine may be called from any thread. Each
/// writing member is one transaction whose first statement writes the position. All throw <see cref="StoreException"/>.
/// </remarks>
public interface ITableStore : IAsyncDisposable
{
    /// <summary>What is stored of the table; <c>null</c> when it was never created here.</summary>
    ValueTask<StoredTable?> ReadStateAsync(CancellationToken cancellation);

    /// <summary>Creates the table, or changes its columns to those of <paramref name="schema"/>, and moves the position.</summary>
    /// <remarks>
    /// Columns are matched by id: a new id is added, a missing id dropped with its data, a changed name renamed. A call that took effect and reported a failure
    /// is made again, and does nothing then.
    /// </remarks>
    ValueTask ApplySchemaAsync(TableSchema schema, LogPosition position, CancellationToken cancellation);

    /// <summary>What the table has of these keys, in their order. <see cref="ReadStateAsync"/> or a writing member was called before.</summary>
    /// <param name="schema">The schema the table has.</param>
    /// <param name="keys">Each once.</param>
    /// <param name="tombstonesFromMicroseconds">Tombstones made before this time do not count.</param>
    /// <param name="cancellation">Stops waiting.</param>
    ValueTask<KeyState[]> ReadKeysAsync(TableSchema schema, ColumnBuffer keys, long tombstonesFromMicroseconds, CancellationToken cancellation);

    /// <summary>Applies rows, operations, counts, errors and position together.</summary>
    /// <remarks>
    /// After a failure the loader asks for the state before it loads rows again. A call that only moves the position, took effect and reported a failure is
    /// made again without asking, and does nothing then.
    /// </remarks>
    ValueTask LoadAsync(LoadBatch batch, CancellationToken cancellation);

    /// <summary>Deletes the rows that a predicate names among those in the table, and moves the position.</summary>
    /// <remarks>
    /// A predicate that does not run, or not within the store's limits, moves the position all the same and deletes nothing. A call that took effect and
    /// reported a failure is made again, and does nothing then.
    /// </remarks>
    ValueTask<DeletionOutcome> DeleteAsync(TableSchema schema, Deletion deletion, LogPosition position, CancellationToken cancellation);

    /// <summary>Does all that <see cref="LoadAsync"/> does and undoes it: finds out whether the store takes the rows.</summary>
    ValueTask CheckAsync(LoadBatch batch, CancellationToken cancellation);

    /// <summary>Does one step of removing what the table keeps no longer. A writing member: the position does not move.</summary>
    ValueTask<ExpiryStep> ExpireAsync(RowExpiry expiry, CancellationToken cancellation);

    /// <summary>Removes the table, its position, counts, errors and tombstones. Does nothing when there is no such table.</summary>
    ValueTask DropAsync(CancellationToken cancellation);

    /// <summary>The newest errors of one sink, newest first, at most <paramref name="limit"/>.</summary>
    ValueTask<IReadOnlyList<LateError>> ReadErrorsAsync(Guid sinkId, int limit, CancellationToken cancellation);

    /// <summary>The failures of one sink by group, the most frequent first.</summary>
    /// <param name="fromMicroseconds">Records received earlier are too old to wait.</param>
    ValueTask<QuarantineOverview> ReadQuarantineAsync(Guid sinkId, long fromMicroseconds, CancellationToken cancellation);

    /// <summary>Records in quarantine, by position, at most <paramref name="limit"/>.</summary>
    ValueTask<IReadOnlyList<QuarantineEntry>> ReadQuarantinedAsync(QuarantineSelection selection, int limit, CancellationToken cancellation);

    /// <summary>Which of these positions stand in the quarantine as replayed.</summary>
    ValueTask<IReadOnlySet<ulong>> ReadReplayedAsync(IReadOnlyList<ulong> positions, CancellationToken cancellation);

    /// <summary>Throws records that wait away. A writing member that any thread may call: the position does not move.</summary>
    /// <returns>How many.</returns>
    ValueTask<long> DiscardAsync(QuarantineSelection selection, CancellationToken cancellation);

    /// <summary>What was kept of a request with a key; <c>null</c>: nothing.</summary>
    /// <param name="sequence">Of the request.</param>
    ValueTask<KeptRequest?> FindRequestAsync(ulong sequence, CancellationToken cancellation);

    /// <summary>What is kept of a request that was loaded.</summary>
    /// <param name="sinkId">The sink that is asked.</param>
    /// <param name="requestId">Names the request in late errors and in the quarantine.</param>
    /// <param name="sequence">Of its last part.</param>
    /// <param name="cancellation">Stops waiting.</param>
    ValueTask<KeptFate> ReadFateAsync(Guid sinkId, string requestId, ulong sequence, CancellationToken cancellation);

    /// <summary>Visits the keys of all requests that are kept and were received at or after a time, in no order.</summary>
    ValueTask ReadRequestKeysAsync(long fromMicroseconds, Action<KeptKey> visit, CancellationToken cancellation);

    /// <summary>Which of these rows have a key whose row in the table was written after their origin.</summary>
    /// <param name="origins">A position for each key.</param>
    ValueTask<IReadOnlyList<int>> FindChangedSinceAsync(TableSchema schema, ColumnBuffer keys, IReadOnlyList<ulong> origins, CancellationToken cancellation);
}

/// <summary>Opens the store of a table; the database it belongs to is created when missing.</summary>
public delegate ValueTask<ITableStore> OpenTableStore(Guid databaseId, Guid tableId, CancellationToken cancellation);
