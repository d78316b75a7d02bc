using Microsoft.Extensions.Logging;
using Sluice.Load;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// The embedded databases of one data directory, <c>databases/&lt;id&gt;.duckdb</c>, one DuckDB instance each. Any thread. The data
/// directory has one owner: nothing else may open these files meanwhile.
/// </summary>
public sealed class DuckDbDatabases : IAsyncDisposable
{
    static readonly TimeSpan s_maintenancePeriod = TimeSpan.FromSeconds(10);

    readonly string _directory;
    readonly string _tempDirectory;
    readonly DuckDbOptions _options;
    readonly TimeProvider _time;
    readonly ILogger _log;
    readonly MemoryShares _memory;
    readonly CancellationTokenSource _closing = new();
    readonly Task _maintenance;

    readonly Lock _lock = new();
    readonly Dictionary<Guid, DuckDbDatabase> _databases = [];
    bool _isDisposed;

    public DuckDbDatabases(string dataDirectory, DuckDbOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        _directory = Path.Combine(dataDirectory, "databases");
        _tempDirectory = options.TempDirectory ?? Path.Combine(dataDirectory, "tmp");
        _options = options;
        _time = time;
        _log = loggers.CreateLogger<DuckDbDatabases>();
        _memory = new MemoryShares(options.MemoryBytes, options.MaxMemoryBytes);
        FreedMemory.Keep();
        _maintenance = MaintainAsync(_closing.Token);
    }

    /// <summary>The store of one table. Touches no file: the database is made when the table is.</summary>
    public ValueTask<ITableStore> OpenTableAsync(Guid databaseId, Guid tableId, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        return new(new DuckDbStore(OpenDatabase(databaseId), tableId));
    }

    /// <summary>A database by its id. Touches no file: it is opened, and made when missing, by its first use.</summary>
    public DuckDbDatabase OpenDatabase(Guid databaseId)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_databases.TryGetValue(databaseId, out var known)) return known;
            var name = databaseId.ToString("D");
            var database = new DuckDbDatabase(
                Path.Combine(_directory, name + ".duckdb"), Path.Combine(_tempDirectory, name), _options, _memory, _time, _log);
            _databases.Add(databaseId, database);
            return database;
        }
    }

    /// <summary>Bytes of a database's file and of its write-ahead log; 0 for one that is not there.</summary>
    public (long File, long Wal) ReadFileSizes(Guid databaseId)
    {
        var path = Path.Combine(_directory, $"{databaseId:D}.duckdb");
        return (LengthOf(path), LengthOf(DuckDbInstance.WalPathOf(path)));

        static long LengthOf(string path)
        {
            try
            {
                return new FileInfo(path).Length;
            }
            catch (FileNotFoundException)
            {
                return 0; // a checkpoint removes it
            }
        }
    }

    /// <summary>Deletes a database with all its tables; running queries are interrupted. Does nothing when there is none.</summary>
    /// <exception cref="StoreException">A query did not end in time; nothing was deleted.</exception>
    public async ValueTask DropDatabaseAsync(Guid databaseId, CancellationToken cancellation)
    {
        await OpenDatabase(databaseId).DropAsync(cancellation).ConfigureAwait(false);
        lock (_lock) _databases.Remove(databaseId);
    }

    /// <summary>Checkpoints and closes all databases; running queries are interrupted.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            if (_isDisposed) return;
            _isDisposed = true;
        }
        await _closing.CancelAsync().ConfigureAwait(false);
        await _maintenance.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var database in _databases.Values) await EndAsync(database).ConfigureAwait(false);
        _closing.Dispose();
    }

    async Task EndAsync(DuckDbDatabase database)
    {
        try
        {
            await database.EndAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is StoreException || DuckDbErrors.IsDuckDb(e))
        {
            StoresLog.CloseFailed(_log, database.Catalog, e); // the write-ahead log has everything
        }
    }

    /// <summary>Whatever one database does to it, the others are looked after, and this one the next time.</summary>
    async Task MaintainAsync(DuckDbDatabase database)
    {
        try
        {
            await database.MaintainAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            StoresLog.MaintenanceFailed(_log, database.Catalog, e); // no thread to be had, for example
        }
    }

    async Task MaintainAsync(CancellationToken cancellation)
    {
        using var timer = new PeriodicTimer(s_maintenancePeriod, _time);
        while (await timer.WaitForNextTickAsync(cancellation).ConfigureAwait(false))
        {
            DuckDbDatabase[] databases;
            lock (_lock) databases = [.. _databases.Values];
            foreach (var database in databases) await MaintainAsync(database).ConfigureAwait(false);
        }
    }
}
