using Sluice.Load;
using Sluice.Log;

namespace Sluice.Server.Maintenance;

/// <summary>Reads everything in a data directory and says what is damaged. Changes nothing.</summary>
sealed class DataCheck(DataDirectory data, TextWriter output)
{
    int _faults;

    /// <returns><see cref="ExitCode.DamagedData"/>: at least one line says DAMAGED.</returns>
    public async Task<ExitCode> RunAsync(CancellationToken cancellation)
    {
        var catalog = await OfflineCatalog.ReadAsync(data, cancellation);
        await output.WriteLineAsync($"ok       {data.CatalogFile}: {catalog.Tables.Count} tables");
        foreach (var path in data.FindUnknownLogs(catalog.KnownTables)) await DamagedAsync($"{path}: belongs to no table of the catalogue; is the catalogue older than the log?");
        foreach (var database in catalog.Tables.GroupBy(table => table.DatabaseId)) await CheckDatabaseAsync(database.Key, [.. database], cancellation);
        await output.WriteLineAsync(_faults == 0 ? "nothing is damaged" : $"{_faults} damaged");
        return _faults == 0 ? ExitCode.Stopped : ExitCode.DamagedData;
    }

    async Task CheckDatabaseAsync(Guid id, IReadOnlyList<TableDefinition> tables, CancellationToken cancellation)
    {
        IReadOnlyDictionary<Guid, StoredTable>? stored = null;
        try
        {
            stored = data.InspectDatabase(id);
            await output.WriteLineAsync($"ok       {data.DatabaseFile(id)}: {stored.Count} tables");
        }
        catch (StoreException e)
        {
            await DamagedAsync($"{data.DatabaseFile(id)}: {e.Message}");
        }
        foreach (var table in tables)
        {
            cancellation.ThrowIfCancellationRequested();
            await CheckTableAsync(table, stored);
        }
    }

    async Task CheckTableAsync(TableDefinition table, IReadOnlyDictionary<Guid, StoredTable>? stored)
    {
        var (id, name) = (table.Schema.TableId, table.Schema.Name);
        var state = stored?.GetValueOrDefault(id);
        try
        {
            var report = LogCheck.Run(DiskFiles.Instance, data.LogDirectory(id), table, state, isStoreKnown: stored is not null);
            var ledger = report.Ledger;
            await output.WriteLineAsync(
                $"ok       table {name} ({id}): log up to {report.End.Sequence}, trimmed up to {report.TrimmedUpTo}, loaded up to {state?.Position.Sequence ?? 0}; "
                + $"received {ledger.Received}, accepted {ledger.Accepted}, lost {ledger.Lost}");
            if (report.UnacknowledgedBytes > 0) await output.WriteLineAsync($"         {report.UnacknowledgedBytes} bytes at its end were never acknowledged; the next start cuts them off");
            if (stored is not null && (ledger.Pending < 0 || ledger.Received != ledger.Accepted + ledger.Rejected))
                await DamagedAsync($"table {name} ({id}): its database has settled {ledger.Loaded + ledger.Failed} records, and its log accepted {ledger.Accepted}");
            else if (stored is not null && (state?.Position.RecordsAhead > 0 ? ledger.Pending > report.WaitingRecords : ledger.Pending != report.WaitingRecords))
                await DamagedAsync($"table {name} ({id}): {ledger.Pending} accepted records are neither loaded nor failed, and {report.WaitingRecords} wait in its log");
        }
        catch (SluiceException e)
        {
            await DamagedAsync($"table {name} ({id}): {e.Message}");
        }
    }

    Task DamagedAsync(string what)
    {
        _faults++;
        return output.WriteLineAsync($"DAMAGED  {what}");
    }
}
