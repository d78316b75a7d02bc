using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Log;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Backup;

/// <summary>Makes a data directory of a backup. Offline: no server is needed, and none may have the directory.</summary>
static class Restore
{
    /// <param name="from">The backup.</param>
    /// <param name="target">Missing or empty.</param>
    /// <exception cref="StartupException">
    /// <see cref="ExitCode.DamagedData"/>: the backup is damaged or not complete; the target is as it was. <see cref="ExitCode.BadOptions"/>: one of the
    /// directories cannot be used.
    /// </exception>
    public static async Task RunAsync(string from, string target, TextWriter output, CancellationToken cancellation)
    {
        var source = Path.GetFullPath(from);
        if (!Directory.Exists(source)) throw new StartupException(ExitCode.BadOptions, $"there is no directory {source}");
        var full = Path.GetFullPath(target);
        ThrowIfUsed(full);
        var manifest = BackupManifest.Read(source);
        manifest.Verify(source);

        using var data = DataDirectory.Open(full);
        ThrowIfUsed(full); // while the backup was read, before the directory was locked
        data.BeginRestore();
        foreach (var file in manifest.Files)
        {
            cancellation.ThrowIfCancellationRequested();
            var path = Path.Combine(data.Path, file.Path);
            MakeDirectories(data.Path, Path.GetDirectoryName(path)!);
            SafeFile.Copy(Path.Combine(source, file.Path), path);
        }
        var incarnations = manifest.Tables.ToDictionary(table => table.TableId, table => TableLog.BeginIncarnation(DiskFiles.Instance, Path.Combine(data.LogsDirectory, table.TableId.ToString())).Incarnation);
        await using (var databases = new DuckDbDatabases(data.Path, new DuckDbOptions(), TimeProvider.System, NullLoggerFactory.Instance))
        {
            foreach (var database in manifest.Tables.GroupBy(table => table.DatabaseId))
                await databases.OpenDatabase(database.Key).MoveToIncarnationsAsync(database.ToDictionary(table => table.TableId, table => incarnations[table.TableId]), cancellation);
        }
        data.EndRestore();

        await output.WriteLineAsync($"restored {manifest.Name} of {manifest.TakenAt:u} into {data.Path}: {manifest.Files.Count} files, {manifest.Bytes} bytes");
        foreach (var table in manifest.Tables)
            await output.WriteLineAsync($"  table {table.Name} ({table.TableId}): acknowledged up to sequence {table.Sequence}, of that in the database up to {table.LoadedSequence}");
    }

    static void ThrowIfUsed(string target)
    {
        if (File.Exists(target) || (Directory.Exists(target) && Directory.EnumerateFileSystemEntries(target).Any(path => Path.GetFileName(path) != "lock")))
            throw new StartupException(ExitCode.BadOptions, $"{target} is not empty: restore into a new directory, and start the server on that");
    }

    static void MakeDirectories(string root, string directory)
    {
        if (directory == root || Directory.Exists(directory)) return;
        MakeDirectories(root, Path.GetDirectoryName(directory)!);
        SafeFile.MakeDirectory(directory);
    }
}
