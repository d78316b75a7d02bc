using System.Globalization;
using DuckDB.NET.Data;
using DuckDB.NET.Native;
using Microsoft.Win32.SafeHandles;
using Sluice.Load;
using Sluice.Log;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// One open DuckDB instance and the connection that keeps it open, which is also the only one that writes. One thread at a time,
/// except <see cref="OpenConnection"/>.
/// </summary>
/// <remarks>All settings of an instance are made here, and cannot be changed by SQL after that (but for the memory limit).</remarks>
sealed class DuckDbInstance : IDisposable
{
    readonly DuckDBConnection _connection;
    readonly string _path;

    // Once opened, not closed before the instance: closing any handle of a file gives up the process's record locks on it, which are DuckDB's
    SafeFileHandle? _file;

    DuckDbInstance(DuckDBConnection connection, string path, string exportDirectory)
    {
        _connection = connection;
        ExportDirectory = exportDirectory;
        _path = path;
        Catalog = Path.GetFileNameWithoutExtension(path);
    }

    /// <summary>The memory limit.</summary>
    public long MemoryBytes { get; private set; }

    /// <summary>Since a fatal error DuckDB refuses everything until all connections are closed; after a failed COMMIT or a conflict nothing more is to be done here.</summary>
    public bool IsInvalid { get; private set; }

    /// <summary>The name of the database in SQL.</summary>
    public string Catalog { get; }

    public DuckDBConnection Connection => _connection;

    /// <summary>The only place beside its own files that the instance may touch; SQL of users has no function that does.</summary>
    public string ExportDirectory { get; }

    /// <summary>Bytes of the write-ahead log.</summary>
    public long WalBytes => new FileInfo(WalPathOf(_path)) is { Exists: true } wal ? wal.Length : 0;

    /// <exception cref="StoreException">The file cannot be opened, for the reason that <see cref="StoreException.Fault"/> says; transient, as the same file may open later.</exception>
    /// <param name="isAgain">Somebody of this process may still need what is in the export directory.</param>
    public static DuckDbInstance Open(string path, string tempDirectory, long memoryBytes, DuckDbOptions options, bool isAgain = false) =>
        Open(path, tempDirectory, memoryBytes, options, writable: true, isAgain);

    /// <summary>Opens a database that no process has open, to look at it: nothing in the file changes.</summary>
    /// <exception cref="StoreException">The file cannot be opened, or holds no database of ours.</exception>
    public static DuckDbInstance OpenReadOnly(string path, string tempDirectory, long memoryBytes, DuckDbOptions options) =>
        Open(path, tempDirectory, memoryBytes, options, writable: false, isAgain: false);

    static DuckDbInstance Open(string path, string tempDirectory, long memoryBytes, DuckDbOptions options, bool writable, bool isAgain)
    {
        var connection = new DuckDBConnection(ConnectionString(path, tempDirectory, memoryBytes, options, writable));
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            var exportDirectory = ExportDirectoryOf(tempDirectory);
            foreach (var left in (isAgain ? [tempDirectory] : new[] { tempDirectory, exportDirectory }).Where(Directory.Exists)) Directory.Delete(left, recursive: true); // by a crash
            Directory.CreateDirectory(Path.GetDirectoryName(tempDirectory)!); // DuckDB makes the last part only
            Directory.CreateDirectory(exportDirectory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            connection.Open();
            var instance = new DuckDbInstance(connection, path, exportDirectory) { MemoryBytes = memoryBytes };
            instance.Execute($"SET allowed_directories = [{UserQuery.Literal(exportDirectory)}]");
            instance.Execute(Settings);
            if (writable) InternalTables.Create(instance);
            return instance;
        }
        catch (Exception e)
        {
            connection.Dispose();
            if (!DuckDbErrors.IsDuckDb(e) && e is not (IOException or UnauthorizedAccessException)) throw;
            var fault = DuckDbErrors.FaultOf(e);
            throw new StoreException(isTransient: true, $"database {path} cannot be opened: {e.Message}{DuckDbErrors.WayOut(fault)}", e) { Fault = fault };
        }
    }

    /// <summary>The write-ahead log of a database file.</summary>
    public static string WalPathOf(string path) => path + ".wal";

    public static string ExportDirectoryOf(string tempDirectory) => tempDirectory + "-export";

    /// <summary>Another connection to the same instance. Any thread.</summary>
    public DuckDBConnection OpenConnection()
    {
        var connection = new DuckDBConnection(_connection.ConnectionString);
        connection.Open();
        return connection;
    }

    /// <summary>Runs statements without result.</summary>
    /// <returns>Rows inserted, changed or deleted.</returns>
    public long Execute(string sql)
    {
        try
        {
            using var command = _connection.CreateCommand();
            command.CommandText = sql;
            return command.ExecuteNonQuery();
        }
        catch (Exception e) when (NoteFatal(e))
        {
            throw;
        }
    }

    public List<T> Query<T>(string sql, Func<DuckDBDataReader, T> read)
    {
        try
        {
            using var command = _connection.CreateCommand();
            command.CommandText = sql;
            using var reader = command.ExecuteReader();
            var rows = new List<T>();
            while (reader.Read()) rows.Add(read(reader));
            return rows;
        }
        catch (Exception e) when (NoteFatal(e))
        {
            throw;
        }
    }

    /// <summary>Appends rows to a table.</summary>
    /// <param name="catalog">The database, or <c>temp</c>.</param>
    /// <param name="sources">One for each column of the table; disposed here.</param>
    public void Append(string catalog, string table, ChunkSource[] sources, int rowCount)
    {
        try
        {
            using var appender = TableAppender.Open(_connection, catalog, table);
            appender.Append(sources, rowCount);
            appender.Complete();
        }
        catch (Exception e) when (NoteFatal(e))
        {
            throw;
        }
        finally
        {
            foreach (var source in sources) source.Dispose();
        }
    }

    /// <summary>Runs a statement and appends the rows it returns to a temporary table that has their columns.</summary>
    /// <returns>The number of rows.</returns>
    public long AppendResult(string sql, string tempTable)
    {
        var result = default(DuckDBResult);
        try
        {
            if (NativeMethods.Query.DuckDBQuery(_connection.NativeConnection, sql, out result) == DuckDBState.Error)
                throw new DuckDbNativeException(
                    NativeMethods.Query.DuckDBResultErrorType(ref result), NativeMethods.Query.DuckDBResultError(ref result));
            using var appender = TableAppender.Open(_connection, "temp", tempTable);
            var rowCount = appender.Append(result);
            appender.Complete();
            return rowCount;
        }
        catch (Exception e) when (NoteFatal(e))
        {
            throw;
        }
        finally
        {
            NativeMethods.Query.DuckDBDestroyResult(ref result);
        }
    }

    /// <summary>Undoes the open transaction. When that fails too, only a new instance can tell what is stored.</summary>
    public void Rollback()
    {
        try
        {
            Execute("ROLLBACK");
        }
        catch (Exception e) when (DuckDbErrors.IsDuckDb(e))
        {
            IsInvalid = true;
        }
    }

    /// <summary>Nothing more is to be done in this instance: what it has in memory may not be what is stored.</summary>
    public void Invalidate() => IsInvalid = true;

    /// <summary>Changes the memory limit; leaves it when more than that is in use, to be tried again.</summary>
    public void LimitMemory(long bytes)
    {
        if (bytes == MemoryBytes) return;
        try
        {
            Execute($"SET memory_limit = '{Bytes(bytes)}'");
            MemoryBytes = bytes;
        }
        catch (Exception e) when (DuckDbErrors.IsDuckDb(e) && !IsInvalid)
        {
        }
    }

    /// <summary>Copies the database as it is now; nothing may write meanwhile. What is in the write-ahead log still goes into a file of its own.</summary>
    /// <param name="path">Of a file that does not exist.</param>
    /// <exception cref="IOException">The disk refused.</exception>
    public void CopyTo(string path)
    {
        _file ??= File.OpenHandle(_path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        Copy(_file, path);
        if (WalBytes == 0) return;
        using var wal = File.OpenHandle(WalPathOf(_path), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        Copy(wal, WalPathOf(path));
    }

    static void Copy(SafeFileHandle from, string path)
    {
        using var to = DiskFiles.Instance.Create(path);
        var buffer = new byte[1 << 20];
        for (var offset = 0L; RandomAccess.Read(from, buffer, offset) is > 0 and var read; offset += read) to.Write(buffer.AsSpan(0, read), offset);
        to.Sync();
    }

    public void Dispose()
    {
        _connection.Dispose();
        _file?.Dispose();
    }

    /// <summary>Remembers a fatal error.</summary>
    /// <returns>False, so that it can stand in an exception filter.</returns>
    bool NoteFatal(Exception error)
    {
        if (DuckDbErrors.IsDuckDb(error) && DuckDbErrors.IsFatal(error)) IsInvalid = true;
        return false;
    }

    static string ConnectionString(string path, string tempDirectory, long memoryBytes, DuckDbOptions options, bool writable) => new DuckDBConnectionStringBuilder
    {
        // what replaying the write-ahead log needs already, the rest is in Settings
        DataSource = path,
        ["access_mode"] = writable ? "READ_WRITE" : "READ_ONLY",
        ["memory_limit"] = Bytes(memoryBytes),
        ["threads"] = options.Threads.ToString(CultureInfo.InvariantCulture),
        ["temp_directory"] = tempDirectory,
        ["max_temp_directory_size"] = Bytes(options.MaxTempBytes),
    }.ConnectionString;

    static string Bytes(long count) => string.Create(CultureInfo.InvariantCulture, $"{count}B");

    const string Settings =
        """
        SET checkpoint_threshold = '1TB';          -- checkpoints are ours: DuckDB's own fall into load transactions
        SET preserve_insertion_order = false;

        SET autoinstall_known_extensions = false;
        SET autoload_known_extensions = false;
        SET allow_community_extensions = false;
        SET enable_external_access = false;
        SET allowed_configs = ['memory_limit'];    -- shares of the memory change while databases open and close
        SET lock_configuration = true;
        """;
}
