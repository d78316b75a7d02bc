using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Sluice.Load;
using Sluice.Log;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Backup;

/// <summary>Makes backups of the running server, one at a time. Any thread.</summary>
/// <remarks>
/// The order makes it consistent, while records go on being acknowledged: changes of definitions wait, no log is trimmed, the catalogue is copied, then
/// each database between two loads, and after all of them the logs. So each log goes at least as far as its database, and reaches back to it.
/// </remarks>
sealed partial class Backups(
    ServerOptions options, DataDirectory data, EngineSlot slot, ControlPlane plane, DuckDbDatabases databases, IDbContextFactory<CatalogContext> catalog, AuditLog audit, TimeProvider time)
    : IDisposable
{
    const string Unfinished = ".unfinished-"; // no backup's name begins with a dot

    readonly SemaphoreSlim _turn = new(1);

    /// <summary>Makes a backup in a directory of its own below the root.</summary>
    /// <param name="name"><c>null</c>: the time.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.InvalidParameter"/>: no such name. <see cref="ErrorCode.AlreadyExists"/>. <see cref="ErrorCode.IncorrectState"/>: no root is set,
    /// or another backup is being made. <see cref="ErrorCode.DatabaseDamaged"/>: it would lack something. <see cref="ErrorCode.DiskLow"/>,
    /// <see cref="ErrorCode.Unavailable"/>: it could not be written; nothing is left of it.
    /// </exception>
    public async Task<BackupManifest> TakeAsync(Caller caller, string? name, CancellationToken cancellation)
    {
        name ??= time.GetUtcNow().ToString("yyyyMMdd'T'HHmmss'Z'", CultureInfo.InvariantCulture);
        if (!ValidName().IsMatch(name))
            throw new SluiceException(ErrorCode.InvalidParameter, "The parameter name must be 1 to 100 letters, digits, dots, dashes and underscores, and begin with a letter or digit.");
        var root = OpenRoot();
        if (!await _turn.WaitAsync(TimeSpan.Zero, cancellation))
            throw new SluiceException(ErrorCode.IncorrectState, "Another backup is being made.");
        try
        {
            var target = Path.Combine(root, name);
            if (Path.Exists(target)) throw new SluiceException(ErrorCode.AlreadyExists, $"There is a backup {name} already.");
            var unfinished = Path.Combine(root, Unfinished + name);
            var manifest = await WriteAsync(name, unfinished, root, cancellation);
            Directory.Move(unfinished, target);
            Posix.SyncDirectory(root);
            audit.Write(AuditEvent.By(caller, AuditAction.CreateBackup) with { Target = "backup", TargetName = name });
            return manifest;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>The complete backups below the root, oldest first.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.IncorrectState"/>: no root is set.</exception>
    public IReadOnlyList<BackupManifest> List()
    {
        var root = OpenRoot();
        var found = new List<BackupManifest>();
        foreach (var directory in Directory.EnumerateDirectories(root).Where(path => !Path.GetFileName(path.AsSpan()).StartsWith(Unfinished, StringComparison.Ordinal)))
        {
            try
            {
                found.Add(BackupManifest.Read(directory));
            }
            catch (Exception e) when (e is StartupException or IOException or UnauthorizedAccessException or System.Text.Json.JsonException)
            {
                // something else, or damaged: no backup that could be restored
            }
        }
        return [.. found.OrderBy(manifest => manifest.TakenAt)];
    }

    public void Dispose() => _turn.Dispose();

    /// <summary>The directory of all backups, made when missing; it must be one, and no link to one.</summary>
    string OpenRoot()
    {
        if (options.Backup.Directory is not { } configured)
            throw new SluiceException(ErrorCode.IncorrectState, "No directory for backups is set: start the server with Sluice:Backup:Directory.");
        var root = Path.GetFullPath(configured);
        try
        {
            if (!Path.Exists(root)) SafeFile.MakeDirectory(root);
            return new DirectoryInfo(root) is { Exists: true, LinkTarget: null }
                ? root
                : throw new SluiceException(ErrorCode.IncorrectState, "Sluice:Backup:Directory is no directory, or a link.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new SluiceException(ErrorCode.Unavailable, $"The directory for backups cannot be used: {e.Message}", e);
        }
    }

    async Task<BackupManifest> WriteAsync(string name, string directory, string root, CancellationToken cancellation)
    {
        try
        {
            ThrowIfNoRoom(root);
            if (Path.Exists(directory)) Directory.Delete(directory, recursive: true); // a crash left it
            SafeFile.MakeDirectory(directory);
            IReadOnlyList<BackupTable> tables;
            using (await plane.HoldChangesAsync(cancellation)) tables = await CopyStateAsync(directory, cancellation);
            CopyFiles(data.TlsDirectory, Path.Combine(directory, "tls"));
            CopyFiles(data.AuditDirectory, Path.Combine(directory, "audit"));
            var manifest = new BackupManifest(BackupManifest.CurrentFormat, name, time.GetUtcNow().UtcDateTime, tables, BackupManifest.ReadFiles(directory, cancellation));
            manifest.Write(directory);
            return manifest;
        }
        catch (Exception e)
        {
            if (Directory.Exists(directory)) Directory.Delete(directory, recursive: true);
            if (e is IOException or UnauthorizedAccessException or StoreException or SqliteException)
                throw new SluiceException(ErrorCode.Unavailable, $"The backup could not be written: {e.Message}", e);
            throw;
        }
    }

    /// <summary>Copies catalogue, databases and logs. Nothing is being defined or trimmed meanwhile.</summary>
    async Task<IReadOnlyList<BackupTable>> CopyStateAsync(string directory, CancellationToken cancellation)
    {
        var engine = slot.Engine;
        if (engine.ClosedTables.FirstOrDefault() is { } closed) engine.ThrowIfClosed(closed.TableId); // it would not be complete
        var tables = engine.Tables;
        var holds = tables.Select(table => table.HoldLog()).ToList();
        try
        {
            CopyCatalogue(Path.Combine(directory, "catalog.sqlite"));
            var positions = new Dictionary<Guid, LogPosition>();
            if (tables.Count > 0) SafeFile.MakeDirectory(Path.Combine(directory, "databases"));
            foreach (var database in tables.Select(table => table.DatabaseId).Distinct())
            {
                var copied = await databases.OpenDatabase(database).CopyAsync(Path.Combine(directory, "databases", $"{database}.duckdb"), cancellation);
                foreach (var (table, position) in copied) positions[table] = position;
            }
            if (tables.FirstOrDefault(table => !positions.ContainsKey(table.Id)) is { } empty)
                throw new SluiceException(ErrorCode.Unavailable, $"Table '{empty.Schema.Name}' is not in its database yet: it is being loaded from its log.");
            return [.. tables.Select(table => CopyLog(table, directory, positions[table.Id], cancellation))];
        }
        finally
        {
            foreach (var hold in holds) hold.Dispose();
        }
    }

    static BackupTable CopyLog(Table table, string directory, LogPosition loaded, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        var logs = Path.Combine(directory, "logs");
        SafeFile.MakeDirectory(logs);
        var position = table.CopyLog(Path.Combine(logs, table.Id.ToString()));
        return new BackupTable(table.Id, table.DatabaseId, table.Schema.Name, position.LogId, position.Incarnation, position.Sequence, loaded.Sequence);
    }

    void CopyCatalogue(string path)
    {
        using var context = catalog.CreateDbContext();
        var source = (SqliteConnection)context.Database.GetDbConnection();
        source.Open();
        using (var target = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false }.ToString()))
        {
            target.Open();
            source.BackupDatabase(target);
            using var command = target.CreateCommand();
            command.CommandText = "PRAGMA journal_mode = DELETE"; // one file
            command.ExecuteNonQuery();
        }
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        using var file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
        Posix.Sync(file, path);
    }

    /// <summary>Files that only grow are copied as far as they are; a torn last line of the audit log is cut off when it is opened.</summary>
    static void CopyFiles(string from, string to)
    {
        if (!Directory.Exists(from)) return; // tls, with a certificate of the operator's
        SafeFile.MakeDirectory(to);
        foreach (var path in Directory.EnumerateFiles(from)) SafeFile.Copy(path, Path.Combine(to, Path.GetFileName(path)));
    }

    /// <summary>A backup must not take the room that the logs need, if they are on one disk.</summary>
    void ThrowIfNoRoom(string root)
    {
        var everything = new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 };
        var needed = new DirectoryInfo(data.Path).EnumerateFiles("*", everything).Sum(LengthOf) + options.Storage.DiskReserveBytes;
        if (new DriveInfo(root).AvailableFreeSpace is var free && free < needed)
            throw new SluiceException(ErrorCode.DiskLow, $"The disk of the backups has {free} bytes free; a backup and the reserve need {needed}.");
    }

    static long LengthOf(FileInfo file)
    {
        try
        {
            return file.Length;
        }
        catch (FileNotFoundException)
        {
            return 0; // trimmed meanwhile
        }
    }

    [GeneratedRegex(@"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\z")]
    private static partial Regex ValidName();
}
