using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Load;
using Sluice.Log;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Maintenance;

/// <summary>Makes damaged logs and databases ones that a server starts on. What is taken out is kept below <c>dropped</c>.</summary>
sealed class DataRepair(DataDirectory data, TextWriter output, TimeProvider time)
{
    readonly string _time = time.GetUtcNow().ToString("yyyyMMdd'T'HHmmssfff'Z'", CultureInfo.InvariantCulture);

    /// <param name="only">One table; <c>null</c>: all.</param>
    /// <param name="apply">False: only says what it would do.</param>
    /// <returns><see cref="ExitCode.DamagedData"/>: something is damaged, and was not repaired.</returns>
    public async Task<ExitCode> RepairLogsAsync(Guid? only, bool apply, CancellationToken cancellation)
    {
        var catalog = await OfflineCatalog.ReadAsync(data, cancellation);
        var tables = catalog.Tables.Where(table => only is null || table.Schema.TableId == only).ToList();
        if (only is not null && tables.Count == 0) throw new StartupException(ExitCode.BadOptions, $"there is no table {only}");
        var damaged = 0;
        foreach (var table in tables)
        {
            cancellation.ThrowIfCancellationRequested();
            try
            {
                if (!await RepairLogAsync(table, apply)) damaged++;
            }
            catch (SluiceException e)
            {
                await output.WriteLineAsync($"  is not repaired: {e.Message}");
                damaged++;
            }
        }
        if (damaged > 0 && !apply) await output.WriteLineAsync("nothing was changed: --apply does it");
        return damaged == 0 ? ExitCode.Stopped : ExitCode.DamagedData;
    }

    /// <summary>Moves a database file aside and lets the loaders load what the logs have.</summary>
    /// <inheritdoc cref="RepairLogsAsync"/>
    public async Task<ExitCode> RebuildAsync(Guid databaseId, bool apply, CancellationToken cancellation)
    {
        var catalog = await OfflineCatalog.ReadAsync(data, cancellation);
        var tables = catalog.Tables.Where(table => table.DatabaseId == databaseId).ToList();
        if (tables.Count == 0) throw new StartupException(ExitCode.BadOptions, $"there is no database {databaseId} with tables");
        foreach (var table in tables) await TellAsync(table, LogRebuild.Examine(DiskFiles.Instance, data.LogDirectory(table.Schema.TableId))); // all logs are sound, or nothing is done
        if (!apply)
        {
            await output.WriteLineAsync("nothing was changed: --apply moves the database file aside and does it");
            return ExitCode.DamagedData;
        }
        MoveAside(databaseId);
        await using var databases = new DuckDbDatabases(data.Path, new DuckDbOptions(), time, NullLoggerFactory.Instance);
        foreach (var table in tables)
        {
            await using var store = await databases.OpenTableAsync(databaseId, table.Schema.TableId, cancellation);
            await LogRebuild.RunAsync(DiskFiles.Instance, data.LogDirectory(table.Schema.TableId), store, table.Schema, Now(), cancellation);
        }
        await output.WriteLineAsync("done: the next start of the server loads what the logs have");
        return ExitCode.Stopped;
    }

    /// <returns>False: the log is damaged still.</returns>
    async Task<bool> RepairLogAsync(TableDefinition table, bool apply)
    {
        var (id, name) = (table.Schema.TableId, table.Schema.Name);
        var (stored, isStoreKnown) = await InspectAsync(table);
        if (UnfinishedRepair.Exists(DiskFiles.Instance, data.LogDirectory(id)))
        {
            await output.WriteLineAsync($"DAMAGED  table {name} ({id}): a repair was interrupted{(apply ? " and is finished" : "; --apply finishes it")}");
            if (!apply) return false;
            UnfinishedRepair.Finish(DiskFiles.Instance, data.LogDirectory(id));
        }
        if (FindFault(table, stored, isStoreKnown) is not { } fault)
        {
            await output.WriteLineAsync($"ok       table {name} ({id})");
            return true;
        }
        await output.WriteLineAsync($"DAMAGED  table {name} ({id}): {fault}");
        var plan = LogRepair.Plan(DiskFiles.Instance, data.LogDirectory(id), stored, Now());
        foreach (var sentence in plan.Faults) await output.WriteLineAsync($"         {sentence}");
        foreach (var range in plan.Dropped) await output.WriteLineAsync($"  {(apply ? "drops" : "would drop")} {range.Path}: offset {range.Offset}, {range.Bytes} bytes: {range.Reason}");
        await output.WriteLineAsync(
            $"  keeps everything else; known to be lost: {plan.LostRecords} accepted records; the log ends at {plan.End.Sequence} then, and goes on at {plan.Next} or higher");
        if (!apply) return false;
        var aside = Path.Combine(data.Path, "dropped", "logs", $"{id}-{_time}");
        plan.Apply(aside);
        await output.WriteLineAsync($"  done: the log as it was is in {aside}");
        if (FindFault(table, stored, isStoreKnown) is not { } left) return true;
        await output.WriteLineAsync($"DAMAGED  table {name} ({id}): {left}");
        return false;
    }

    async Task<(StoredTable? Stored, bool IsKnown)> InspectAsync(TableDefinition table)
    {
        try
        {
            return (data.InspectDatabase(table.DatabaseId).GetValueOrDefault(table.Schema.TableId), true);
        }
        catch (StoreException e) when (e.Fault != StoreFault.Damaged) // what it has would be counted as lost
        {
            throw new StartupException(ExitCode.DamagedData, $"the log is not repaired, as its database cannot be read now: {e.Message}", e);
        }
        catch (StoreException e)
        {
            await output.WriteLineAsync($"         the database of table {table.Schema.Name} cannot be read, so what it has is counted as lost: {e.Message}");
            return (null, false);
        }
    }

    /// <summary>What a repair of the log can mend; a database that is damaged or lacks something is none of it.</summary>
    string? FindFault(TableDefinition table, StoredTable? stored, bool isStoreKnown)
    {
        try
        {
            LogCheck.Run(DiskFiles.Instance, data.LogDirectory(table.Schema.TableId), table, stored, isStoreKnown);
            return null;
        }
        catch (SluiceException e)
        {
            return e.Code == ErrorCode.Corrupt ? e.Message : null;
        }
    }

    Task TellAsync(TableDefinition table, RebuildReport report) => output.WriteLineAsync(
        $"table {table.Schema.Name} ({table.Schema.TableId}): the log has {report.KeptRecords} accepted records"
        + (report switch
        {
            { LostRecords: 0, TrimmedUpTo: 0 } => " and is complete",
            { TrimmedUpTo: 0 } => $"; {report.LostRecords} that a repair took out are not in it any more: lost, unless the database is restored from a backup",
            _ => $"; {report.LostRecords} up to sequence {report.TrimmedUpTo} are not in it any more: lost, unless the database is restored from a backup",
        }));

    void MoveAside(Guid databaseId)
    {
        var aside = Path.Combine(data.Path, "dropped", "databases");
        DiskFiles.Instance.CreateDirectory(aside);
        foreach (var suffix in new[] { "", ".wal" })
        {
            var file = data.DatabaseFile(databaseId) + suffix;
            if (File.Exists(file)) File.Move(file, Path.Combine(aside, $"{databaseId}-{_time}.duckdb{suffix}"));
        }
        Posix.SyncDirectory(aside);
        if (Directory.Exists(data.DatabasesDirectory)) Posix.SyncDirectory(data.DatabasesDirectory);
    }

    long Now() => time.GetUtcNow().ToUnixTimeMilliseconds() * 1_000;
}
