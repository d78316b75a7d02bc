using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;
using DuckDB.NET.Data;
using Microsoft.Extensions.Logging;
using Sluice.Load;
using Sluice.Log;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// One database file. It is opened when first used, closed when nobody has used it for a while, and after a fatal error or a conflict closed
/// and opened again. Any thread.
/// </summary>
/// <remarks>
/// Everything that writes goes through <see cref="RunAsync"/>, one operation at a time in the order of the calls: a load, a change of
/// schema, a checkpoint. So a checkpoint never runs beside a load, which it would corrupt or stop. Queries have connections of their
/// own and wait for nobody, but for a load that did not find memory beside them.
/// </remarks>
[SuppressMessage("Design", "CA1001", Justification = "neither wait handle is ever made, so there is nothing to dispose of")]
public sealed class DuckDbDatabase
{
    // a query that was interrupted ends at its next chunk; when it does not, the loader tries again
    static readonly TimeSpan s_readerPatience = TimeSpan.FromSeconds(5);

    // no load for so long: a checkpoint now delays nobody, and the next start has no write-ahead log to replay
    static readonly TimeSpan s_quiet = TimeSpan.FromSeconds(5);

    readonly string _path;
    readonly string _tempDirectory;
    readonly DuckDbOptions _options;
    readonly MemoryShares _memory;
    readonly TimeProvider _time;
    readonly ILogger _log;

    // its waiters are served in the order they came (a test holds it to that)
    readonly SemaphoreSlim _turn = new(1, 1);

    // written by the owner of the turn only, under the gate; read under the gate by those who open or close read connections
    readonly Lock _gate = new();
    readonly HashSet<DuckDbReadConnection> _readers = [];
    readonly ManualResetEventSlim _readersGone = new(initialState: true);
    DuckDbInstance? _instance;
    bool _refusesReaders;
    bool _refusesQueries;
    bool _isEnded;
    long _lastUse;
    long _nextCheckpointBytes;
    bool _hasOpened;

    internal DuckDbDatabase(
        string path, string tempDirectory, DuckDbOptions options, MemoryShares memory, TimeProvider time, ILogger log)
    {
        _path = path;
        _tempDirectory = tempDirectory;
        _options = options;
        _memory = memory;
        _time = time;
        _log = log;
        _lastUse = time.GetTimestamp();
        _nextCheckpointBytes = options.CheckpointBytes;
    }

    /// <summary>The database's name in SQL.</summary>
    public string Catalog => Path.GetFileNameWithoutExtension(_path);

    internal TimeSpan DeletionTime => _options.DeletionTime;

    internal TimeProvider Time => _time;

    /// <summary>A connection for reads of the server itself. Opens the database when it is closed; then, and only then, waits for the turn.</summary>
    /// <exception cref="StoreException">The database cannot be opened now.</exception>
    /// <exception cref="ObjectDisposedException">It was dropped, or the process is stopping.</exception>
    public ValueTask<DuckDbReadConnection> OpenReadConnectionAsync(CancellationToken cancellation) => OpenReaderAsync(yieldsToLoads: false, cancellation);

    /// <summary>A connection for a query of a user: stopped when a load needs its memory; waits for the turn then, too.</summary>
    /// <inheritdoc cref="OpenReadConnectionAsync"/>
    public ValueTask<DuckDbReadConnection> OpenQueryConnectionAsync(CancellationToken cancellation) => OpenReaderAsync(yieldsToLoads: true, cancellation);

    async ValueTask<DuckDbReadConnection> OpenReaderAsync(bool yieldsToLoads, CancellationToken cancellation)
    {
        try
        {
            if (TryOpenReadConnection(yieldsToLoads) is { } reader) return reader;
        }
        catch (DuckDBException e)
        {
            throw DuckDbErrors.Translate(e);
        }
        return await RunAsync(_ => TryOpenReadConnection(yieldsToLoads)
            ?? throw new StoreException(isTransient: true, "the database has just become invalid"), cancellation).ConfigureAwait(false);
    }

    /// <summary>
    /// Runs one bounded operation on the writing connection, on a thread for such calls, after those that were asked for earlier.
    /// </summary>
    /// <param name="operation">Run again, with more memory each time, when its share did not suffice, and maybe in another instance; must leave no transaction open.</param>
    /// <param name="cancellation">Stops waiting; an operation that has begun runs to its end.</param>
    /// <exception cref="StoreException">DuckDB refused; nothing of an open transaction is left.</exception>
    internal ValueTask<T> RunAsync<T>(Func<DuckDbInstance, T> operation, CancellationToken cancellation) =>
        OnTurnAsync(() => Run(operation), cancellation);

    /// <summary>Copies the database file, between two writes: the loader waits, queries do not.</summary>
    /// <param name="path">Of a file that does not exist.</param>
    /// <returns>Where the tables in the copy are.</returns>
    /// <exception cref="StoreException">The database cannot be opened.</exception>
    /// <exception cref="IOException">The disk refused; what was written so far is there.</exception>
    public async ValueTask<IReadOnlyDictionary<Guid, LogPosition>> CopyAsync(string path, CancellationToken cancellation) => await RunAsync(
        db =>
        {
            CheckpointWhenDue(db, walBytes: 1);
            var positions = InternalTables.ReadPositions(db);
            db.CopyTo(path);
            return positions;
        },
        cancellation).ConfigureAwait(false);

    /// <summary>Says of tables that they belong to another incarnation of their logs, as a restore makes one.</summary>
    /// <exception cref="StoreException">DuckDB refused; nothing was changed.</exception>
    public async ValueTask MoveToIncarnationsAsync(IReadOnlyDictionary<Guid, uint> incarnations, CancellationToken cancellation) => await RunAsync(
        db =>
        {
            InternalTables.Begin(db);
            try
            {
                foreach (var (tableId, incarnation) in incarnations)
                {
                    if (InternalTables.ReadPosition(db, tableId) is { } position && position.Incarnation != incarnation)
                        InternalTables.TryMovePosition(db, tableId, position, position with { Incarnation = incarnation });
                }
            }
            catch
            {
                db.Rollback();
                throw;
            }
            return db.Execute("COMMIT");
        },
        cancellation).ConfigureAwait(false);

    /// <summary>Checkpoints what is quiet, closes what is idle, and finds out whether the instance still lives.</summary>
    internal async ValueTask MaintainAsync()
    {
        // whoever has the turn: then it is neither quiet nor idle
        if (_instance is not null && _turn.CurrentCount > 0) await OnTurnAsync(Maintain, CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>Checkpoints and closes the file for good. Interrupts queries.</summary>
    internal async ValueTask EndAsync() => await OnTurnAsync(End, CancellationToken.None).ConfigureAwait(false);

    /// <summary>Deletes the database for good. Interrupts queries.</summary>
    /// <exception cref="StoreException">A query did not end in time; nothing was deleted.</exception>
    internal async ValueTask DropAsync(CancellationToken cancellation) => await OnTurnAsync(Drop, cancellation).ConfigureAwait(false);

    async ValueTask<T> OnTurnAsync<T>(Func<T> action, CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            return await OnThreadAsync(action).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Runs what blocks outside the pool. DuckDB's calls do for up to a second: pool threads, which serve requests, must not wait in them.</summary>
    internal static Task<T> OnThreadAsync<T>(Func<T> action)
    {
        try
        {
            return KeptThreads.Shared.RunAsync(action);
        }
        catch (Exception e) when (e is ThreadStartException or OutOfMemoryException)
        {
            throw new StoreException(isTransient: true, "the system has no thread to give", e) { Fault = StoreFault.OutOfResources }; // out of threads or file handles for a while
        }
    }

    T Run<T>(Func<DuckDbInstance, T> operation)
    {
        try
        {
            var instance = OpenInstance();
            _lastUse = _time.GetTimestamp();
            CheckpointWhenDue(instance, _nextCheckpointBytes);
            try
            {
                return RunOn(instance, operation);
            }
            catch (Exception e) when (DuckDbErrors.IsOutOfMemory(e))
            {
                return RunAlone(instance, operation, e);
            }
        }
        catch (Exception e) when (DuckDbErrors.IsDuckDb(e))
        {
            throw DuckDbErrors.Translate(e);
        }
    }

    // A statement that runs out of memory while it deletes can leave rows marked as deleted by a transaction that is no more. No other can delete them then, until the file is read
    // again. The marks do no harm before: to whoever reads, and to a checkpoint, the rows are there
    static T RunOn<T>(DuckDbInstance instance, Func<DuckDbInstance, T> operation)
    {
        try
        {
            return operation(instance);
        }
        catch (Exception e) when (DuckDbErrors.IsConflict(e))
        {
            instance.Invalidate();
            throw;
        }
    }

    /// <summary>
    /// Again without queries, which come again after this turn, and with as much memory as it takes. What it needed without them is kept: loads would fail with less again, each time.
    /// </summary>
    T RunAlone<T>(DuckDbInstance instance, Func<DuckDbInstance, T> operation, Exception failure)
    {
        lock (_gate) _refusesQueries = true;
        try
        {
            var stopped = StopReaders(reader => reader.YieldsToLoads, "loading needed its memory");
            if (stopped > 0) StoresLog.QueriesStoppedForLoad(_log, stopped, _path);
            var unmet = stopped > 0 ? 0 : instance.MemoryBytes; // the queries may have had all that was lacking
            while (true)
            {
                var limit = unmet == 0 ? Math.Max(instance.MemoryBytes, _memory.Total) : _memory.Above(this, unmet);
                if (limit == unmet) ExceptionDispatchInfo.Throw(failure); // there is no more to be had
                try
                {
                    var result = RunReopened(limit, operation);
                    if (unmet > 0) KeepMemory(limit);
                    return result;
                }
                catch (Exception e) when (DuckDbErrors.IsOutOfMemory(e))
                {
                    (failure, unmet) = (e, Math.Max(limit, _memory.LimitOf(this))); // more, when that was needed to open it again
                }
            }
        }
        finally
        {
            lock (_gate) _refusesQueries = false;
        }
    }

    T RunReopened<T>(long memoryBytes, Func<DuckDbInstance, T> operation)
    {
        for (var isReopened = false; ; isReopened = true)
        {
            var instance = OpenInstance(memoryBytes);
            try
            {
                return RunOn(instance, operation);
            }
            catch (Exception e) when (DuckDbErrors.IsConflict(e) && !isReopened)
            {
            }
        }
    }

    void KeepMemory(long bytes)
    {
        _memory.Keep(this, bytes);
        StoresLog.MemoryRaised(_log, _path, bytes);
    }

    /// <param name="memoryBytes">If that is more than its limit.</param>
    DuckDbInstance OpenInstance(long memoryBytes = 0)
    {
        ObjectDisposedException.ThrowIf(_isEnded, this);
        if (_instance is { IsInvalid: true })
        {
            CloseInstance();
            StoresLog.DatabaseReopened(_log, _path);
        }
        if (_instance is null)
        {
            var opened = OpenNew(memoryBytes);
            lock (_gate) _instance = opened;
        }
        _instance.LimitMemory(Math.Max(_memory.LimitOf(this), memoryBytes));
        return _instance;
    }

    /// <summary>Reads the write-ahead log too, which takes as much memory as the loads in it did.</summary>
    DuckDbInstance OpenNew(long memoryBytes)
    {
        _memory.Open(this);
        try
        {
            var first = Math.Max(_memory.LimitOf(this), memoryBytes);
            for (var limit = first; ; limit = _memory.Above(this, limit))
            {
                try
                {
                    var instance = DuckDbInstance.Open(_path, _tempDirectory, limit, _options, isAgain: _hasOpened);
                    _hasOpened = true;
                    if (limit > first) KeepMemory(limit);
                    return instance;
                }
                catch (StoreException e) when (DuckDbErrors.IsOutOfMemory(e) && _memory.Above(this, limit) > limit)
                {
                }
            }
        }
        catch
        {
            _memory.Close(this);
            throw;
        }
    }

    /// <summary>Closes all connections, which is what ends a DuckDB instance.</summary>
    /// <exception cref="StoreException">A query did not end in time; nothing was closed.</exception>
    void CloseInstance()
    {
        lock (_gate) _refusesReaders = true;
        try
        {
            StopReaders(_ => true, "its database was closed");
            if (!_readersGone.IsSet)
                throw new StoreException(isTransient: true, "the database cannot be closed while queries run");
            DuckDbInstance? closed;
            lock (_gate) (closed, _instance) = (_instance, null);
            closed?.Dispose();
            _memory.Close(this);
        }
        finally
        {
            lock (_gate) _refusesReaders = false;
        }
    }

    /// <summary>Stops what runs on read connections, and waits for their return; not for ever.</summary>
    /// <returns>How many there were.</returns>
    int StopReaders(Func<DuckDbReadConnection, bool> which, string reason)
    {
        var started = _time.GetTimestamp();
        var stopped = Open();
        foreach (var reader in stopped) reader.Stop(reason); // outside the gate: it may be given back at once
        for (var left = stopped; left.Count > 0 && _time.GetElapsedTime(started) < s_readerPatience; left = Open())
        {
            lock (_gate)
            {
                foreach (var reader in left.Where(_readers.Contains)) reader.Connection.NativeConnection.Interrupt();
            }
            // again and again: an interrupt that comes before a query begins is forgotten
            _readersGone.Wait(TimeSpan.FromMilliseconds(20));
        }
        return stopped.Count;

        List<DuckDbReadConnection> Open()
        {
            lock (_gate) return [.. _readers.Where(which)];
        }
    }

    bool End()
    {
        _isEnded = true;
        if (_instance is null) return false;
        CheckpointWhenDue(_instance, walBytes: 1);
        CloseInstance();
        _memory.Forget(this);
        return true;
    }

    bool Drop()
    {
        if (_instance is not null) CloseInstance();
        _memory.Forget(this);
        _isEnded = true;
        if (Directory.Exists(Path.GetDirectoryName(_path))) // not before the first table of all databases was made
        {
            HeldFile.Delete(_path);
            HeldFile.Delete(DuckDbInstance.WalPathOf(_path));
        }
        if (Directory.Exists(_tempDirectory)) Directory.Delete(_tempDirectory, recursive: true);
        if (Directory.Exists(DuckDbInstance.ExportDirectoryOf(_tempDirectory))) Directory.Delete(DuckDbInstance.ExportDirectoryOf(_tempDirectory), recursive: true);
        return true;
    }

    bool Maintain()
    {
        if (_isEnded || _instance is null) return false;
        try
        {
            var instance = OpenInstance();
            instance.Execute("SELECT 1");
            var unused = _time.GetElapsedTime(_lastUse);
            if (unused >= s_quiet) CheckpointWhenDue(instance, walBytes: 1);
            if (unused < _options.IdleTimeout || !_readersGone.IsSet) return true;
            CloseInstance();
            _memory.Forget(this);
        }
        catch (Exception e) when (e is StoreException || DuckDbErrors.IsDuckDb(e))
        {
            StoresLog.MaintenanceFailed(_log, _path, e);
        }
        return true;
    }

    /// <summary>A checkpoint that fails leaves everything as it was: it is tried again when the log has grown by a quarter.</summary>
    void CheckpointWhenDue(DuckDbInstance instance, long walBytes)
    {
        var present = instance.WalBytes;
        if (present < walBytes) return;
        try
        {
            using (HeldFile.Open(DuckDbInstance.WalPathOf(_path))) instance.Execute("CHECKPOINT"); // deletes the write-ahead log
            _nextCheckpointBytes = _options.CheckpointBytes;
        }
        catch (Exception e) when (DuckDbErrors.IsDuckDb(e) && !instance.IsInvalid)
        {
            _nextCheckpointBytes = Math.Max(_options.CheckpointBytes, present + present / 4);
            StoresLog.CheckpointFailed(_log, _path, e);
        }
    }

    DuckDbReadConnection? TryOpenReadConnection(bool yieldsToLoads)
    {
        lock (_gate)
        {
            if (_refusesReaders || (_refusesQueries && yieldsToLoads) || _instance is not { IsInvalid: false }) return null;
            _lastUse = _time.GetTimestamp();
            var reader = new DuckDbReadConnection(_instance.OpenConnection(), yieldsToLoads, Return) { ExportDirectory = _instance.ExportDirectory };
            _readers.Add(reader);
            _readersGone.Reset();
            return reader;
        }
    }

    void Return(DuckDbReadConnection reader)
    {
        lock (_gate)
        {
            // within the gate, so that an instance never closes while one of its connections is half closed
            reader.Connection.Dispose();
            _readers.Remove(reader);
            if (_readers.Count == 0) _readersGone.Set();
        }
    }
}
