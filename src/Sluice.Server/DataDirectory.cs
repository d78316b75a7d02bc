using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Sluice.Load;
using Sluice.Log;
using Sluice.Stores.DuckDb;

namespace Sluice.Server;

/// <summary>Everything the server keeps, in one directory that one process owns at a time.</summary>
/// <remarks>The lock is the kernel's (flock on <c>lock</c>): it ends with the process, however that ends. Any thread.</remarks>
sealed class DataDirectory : IDisposable
{
    readonly SafeFileHandle _lock;

    DataDirectory(string path, SafeFileHandle @lock)
    {
        Path = path;
        _lock = @lock;
    }

    /// <summary>Absolute.</summary>
    public string Path { get; }

    public string CatalogFile => System.IO.Path.Combine(Path, "catalog.sqlite");

    public string TlsDirectory => System.IO.Path.Combine(Path, "tls");

    public string AuditDirectory => System.IO.Path.Combine(Path, "audit");

    public string KeysDirectory => System.IO.Path.Combine(Path, "keys");

    public string LogsDirectory => System.IO.Path.Combine(Path, "logs");

    public string DatabasesDirectory => System.IO.Path.Combine(Path, "databases");

    string RestoreMark => System.IO.Path.Combine(Path, "restore.unfinished");

    /// <summary>True: the directory held something else before, so its mode was left as it is. Everything in it that is ours is closed anyway.</summary>
    public bool IsOpenToOthers => (File.GetUnixFileMode(Path) & (UnixFileMode)0x3F) != 0; // 0077

    /// <summary>Takes the lock of a directory that is there, and makes or changes nothing.</summary>
    /// <exception cref="StartupException">As <see cref="Open"/>.</exception>
    public static DataDirectory OpenUnused(string path)
    {
        Posix.CloseToOthers();
        var absolute = System.IO.Path.GetFullPath(path);
        if (!Directory.Exists(absolute)) throw new StartupException(ExitCode.BadOptions, $"there is no directory {absolute}");
        var file = System.IO.Path.Combine(absolute, "lock");
        if (!File.Exists(file)) return new DataDirectory(absolute, new SafeFileHandle());
        var handle = Posix.OpenForReading(file);
        if (Posix.TryLock(handle, file)) return new DataDirectory(absolute, handle);
        using (handle) throw new StartupException(ExitCode.DataDirectoryInUse, $"the data directory {absolute} is in use by process {ReadHolder(handle)}: stop it first");
    }

    /// <summary>Makes the directory when it is missing (0700) and takes its lock.</summary>
    /// <exception cref="StartupException">
    /// <see cref="ExitCode.DataDirectoryInUse"/>: another process holds the lock. <see cref="ExitCode.BadOptions"/>: the path cannot be used.
    /// </exception>
    public static DataDirectory Open(string path)
    {
        Posix.CloseToOthers();
        var absolute = System.IO.Path.GetFullPath(path);

        try
        {
            if (IsOursToClose(absolute))
                SafeFile.MakeDirectory(absolute);

            return Lock(absolute);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartupException(ExitCode.BadOptions, $"the data directory {absolute} cannot be used: {e.Message}; set --data to another", e);
        }
    }

    public void Dispose()
    {
        if (_lock is { IsInvalid: false, IsClosed: false }) Posix.Unlock(_lock);
        _lock.Dispose();
    }

    /// <summary>From here to <see cref="EndRestore"/> no server starts on the directory.</summary>
    public void BeginRestore() => SafeFile.WriteSecret(RestoreMark, "a backup is being restored\n");

    public void EndRestore()
    {
        File.Delete(RestoreMark);
        Posix.SyncDirectory(Path);
    }

    /// <summary>Finds out whether the directory as a whole is one to start on. A new and empty one is.</summary>
    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>: half restored, or its catalogue is missing.</exception>
    public void ThrowIfIncomplete()
    {
        if (File.Exists(RestoreMark))
            throw new StartupException(ExitCode.DamagedData, $"{Path} is a restore that did not finish: empty it and restore again");

        // an empty file is a new catalogue to SQLite; keys are made after it
        var hasCatalogue = new FileInfo(CatalogFile) is { Exists: true, Length: > 0 };
        if (!hasCatalogue && (HasEntries(LogsDirectory) || HasEntries(DatabasesDirectory) || HasEntries(KeysDirectory)))
            throw new StartupException(ExitCode.DamagedData, $"{CatalogFile} is missing or empty, and the directory has been in use: restore the catalogue from a backup");
    }

    public string LogDirectory(Guid tableId) => System.IO.Path.Combine(LogsDirectory, tableId.ToString());

    public string DatabaseFile(Guid databaseId) => System.IO.Path.Combine(DatabasesDirectory, $"{databaseId}.duckdb");

    /// <summary>Logs of tables that the catalogue does not know, not even as deleted: it is older than they are.</summary>
    public IReadOnlyList<string> FindUnknownLogs(IReadOnlySet<Guid> tables) => !Directory.Exists(LogsDirectory) ? [] :
    [
        .. Directory.EnumerateDirectories(LogsDirectory).Where(path =>
            !(Guid.TryParse(System.IO.Path.GetFileName(path), out var id) && tables.Contains(id)) && TableLog.Exists(DiskFiles.Instance, path)),
    ];

    /// <summary>What a database says of its tables, once all of its file was read. None when there is no file.</summary>
    /// <exception cref="StoreException">The file is damaged, or holds another database, or whether there is one cannot be seen.</exception>
    public IReadOnlyDictionary<Guid, StoredTable> InspectDatabase(Guid databaseId)
    {
        var file = DatabaseFile(databaseId);
        try
        {
            File.GetAttributes(file); // File.Exists says no of a directory that may not be searched, too
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return new Dictionary<Guid, StoredTable>();
        }
        catch (UnauthorizedAccessException e)
        {
            throw new StoreException(isTransient: true, e.Message, e) { Fault = StoreFault.NotPermitted };
        }
        var temporary = Directory.CreateTempSubdirectory("sluice-check-").FullName;
        DatabaseInspection found;
        try
        {
            found = DatabaseInspection.Run(file, System.IO.Path.Combine(temporary, "spill"));
        }
        finally
        {
            Directory.Delete(temporary, recursive: true);
        }
        return found.Id is null || found.Id == databaseId ? found.Tables : throw new StoreException(isTransient: false, $"the file holds the database {found.Id}");
    }

    static bool HasEntries(string directory) => Directory.Exists(directory) && Directory.EnumerateFileSystemEntries(directory).Any();

    /// <summary>Missing, empty, or made by an earlier run. A directory with anything else in it keeps its mode.</summary>
    static bool IsOursToClose(string path) =>
        !Directory.Exists(path) || !Directory.EnumerateFileSystemEntries(path).Any() || File.Exists(System.IO.Path.Combine(path, "lock"));

    static DataDirectory Lock(string path)
    {
        var file = System.IO.Path.Combine(path, "lock");
        var handle = Posix.OpenUnlocked(file);

        if (!Posix.TryLock(handle, file))
        {
            using (handle)
                throw new StartupException(ExitCode.DataDirectoryInUse, $"the data directory {path} is in use by process {ReadHolder(handle)}");
        }

        RandomAccess.SetLength(handle, 0);
        RandomAccess.Write(handle, Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n"), 0);
        return new DataDirectory(path, handle);
    }

    static string ReadHolder(SafeFileHandle handle)
    {
        Span<byte> text = stackalloc byte[16];
        var length = RandomAccess.Read(handle, text, 0);
        return length == 0 ? "(unknown)" : Encoding.ASCII.GetString(text[..length]).Trim();
    }
}
