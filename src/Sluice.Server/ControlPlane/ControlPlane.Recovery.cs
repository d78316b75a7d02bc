using Microsoft.EntityFrameworkCore;
using Sluice.Client;
using Sluice.Schema;
using Sluice.Server.Catalog;

namespace Sluice.Server;

/// <summary>What the engine is opened with.</summary>
/// <param name="Tables">
/// With the last schema that the engine has confirmed; a log may be one version ahead of it. Tables being made or dropped are left out.
/// </param>
/// <param name="Sinks">Of those tables; each with its newest mapping, and with those before that still fit the table.</param>
sealed record CatalogDefinitions(IReadOnlyCollection<TableDefinition> Tables, IReadOnlyCollection<SinkDefinition> Sinks);

sealed partial class ControlPlane
{
    // a schema change waits for the table's loader; a store that fails must not keep the other tables from starting
    static readonly TimeSpan ResumeTimeout = TimeSpan.FromSeconds(30);

    const int EarlierMappings = 100;

    const string Recovery = "recovery";

    /// <summary>Reads what the engine is to be opened with. Called once, before <see cref="ResumeAsync"/>.</summary>
    public async Task<CatalogDefinitions> LoadDefinitionsAsync(CancellationToken cancellation)
    {
        var tables = await ReadAsync(db => LiveTables(db).Where(row => row.Status == TableStatus.Running).ToListAsync(cancellation));
        var sinks = await ReadAsync(db => LiveSinks(db).ToListAsync(cancellation));
        var definitions = new List<SinkDefinition>();
        foreach (var sink in sinks)
        {
            if (sink.Status is SinkStatus.Active or SinkStatus.Creating or SinkStatus.Restarting && await TryDefineAsync(sink) is { } definition)
                definitions.AddRange([definition, .. await DefineEarlierAsync(sink, cancellation)]);
            else
                _sinkStatuses[sink.Id] = sink.Status is SinkStatus.Deleting ? SinkStatus.Deleting : SinkStatus.Failed;
        }
        return new CatalogDefinitions(tables.Select(row => new TableDefinition(row.DatabaseId, row.ToSchema())).ToList(), definitions);
    }

    /// <summary>Ids of all tables there is a row of, deleted ones too.</summary>
    public Task<HashSet<Guid>> ListKnownTablesAsync(CancellationToken cancellation) =>
        ReadAsync(async db => (await db.Tables.Select(row => row.Id).ToListAsync(cancellation)).ToHashSet());

    /// <summary>A schema that the engine has and the catalogue never wrote down, not even as an intent, says that this is an older catalogue.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: it is.</exception>
    public async Task ThrowIfOlderThanAsync(Engine engine, CancellationToken cancellation)
    {
        var versions = await ReadAsync(db => db.Tables.Where(row => row.PendingSchema == null).ToDictionaryAsync(row => row.Id, row => row.SchemaVersion, cancellation));
        foreach (var schema in engine.Tables.Select(table => table.Schema))
        {
            if (versions.TryGetValue(schema.TableId, out var version) && version < schema.Version)
                throw new SluiceException(ErrorCode.Corrupt, $"the catalogue has version {version} of table {schema.Name}, and the table's log version {schema.Version}: the catalogue is older than the log. Restore a newer one");
        }
    }

    /// <summary>Takes the opened engine into use and finishes what a crash interrupted. Called once, before the first request.</summary>
    /// <remarks>What cannot be finished is logged and left as it is: it keeps neither the server nor the other tables from working.</remarks>
    public async Task ResumeAsync(Engine engine, CancellationToken cancellation)
    {
        Volatile.Write(ref _engine, engine);
        await ActivateSinksAsync(cancellation);
        var tables = await ReadAsync(db => LiveTables(db).Where(row => row.Status != TableStatus.Running || row.PendingSchema != null).ToListAsync(cancellation));
        foreach (var table in tables)
        {
            var operation = table.Status switch { TableStatus.Creating => "creation", TableStatus.Deleting => "deletion", _ => "schema change" };
            await TryFinishAsync(operation, "table", table.Id, timeout => FinishAsync(engine, table, timeout), cancellation);
        }
        var databases = await ReadAsync(db => db.Databases.Where(row => row.Status == DatabaseStatus.Deleting).Select(row => row.Id).ToListAsync(cancellation));
        foreach (var id in databases)
            await TryFinishAsync("deletion", "database", id, _ => FinishDeletingDatabaseAsync(id, Recovery), cancellation);
        await PurgeDeletedAsync(cancellation);
    }

    async Task FinishAsync(Engine engine, CatalogTable table, CancellationToken cancellation)
    {
        switch (table.Status)
        {
            case TableStatus.Creating:
                if (engine.FindTable(table.Id) is null)
                    await engine.CreateTableAsync(new TableDefinition(table.DatabaseId, table.ToSchema()), cancellation);
                await SetTableStatusAsync(table.Id, TableStatus.Running);
                break;
            case TableStatus.Deleting:
                await DropTableAsync(table.Id, Recovery, cancellation);
                break;
            default:
                await SettleSchemaAsync(engine, table.Id, cancellation);
                break;
        }
    }

    async Task TryFinishAsync(string operation, string resource, Guid id, Func<CancellationToken, Task> finish, CancellationToken cancellation)
    {
        using var timeout = new CancellationTokenSource(ResumeTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellation);
        try
        {
            await finish(either.Token);
            logger.InterruptedChangeFinished(operation, resource, id);
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            logger.InterruptedChangeFailed(e, operation, resource, id);
        }
    }

    /// <summary>The engine has been opened with the newest mappings, so nothing of a creation or an update is left to do; nor of a deletion.</summary>
    async Task ActivateSinksAsync(CancellationToken cancellation)
    {
        var sinks = await ReadAsync(db => db.Sinks.AsNoTracking()
            .Where(row => row.DeletedAt == null && row.Status != SinkStatus.Active && row.Status != SinkStatus.Failed)
            .Select(row => new { row.Id, row.Status }).ToListAsync(cancellation));
        foreach (var sink in sinks.Where(sink => sink.Status == SinkStatus.Deleting))
        {
            await SetSinkStatusAsync(sink.Id, SinkStatus.Deleted);
            _sinkStatuses.TryRemove(sink.Id, out _);
        }
        foreach (var sink in sinks.Where(sink => sink.Status != SinkStatus.Deleting))
            await ActivateAsync(sink.Id);
    }

    /// <returns><c>null</c>: the mapping does not fit the table; the sink is Failed from now on.</returns>
    async Task<SinkDefinition?> TryDefineAsync(CatalogSink sink)
    {
        try
        {
            var definition = ToDefinition(sink, sink.Table!.ToSchema());
            _sinkStatuses[sink.Id] = sink.Status;
            return definition;
        }
        catch (Exception e) // whatever is wrong with one sink, the others work
        {
            logger.SinkUnfit(sink.Id, e.Message);
            await WriteAsync(
                async db =>
                {
                    var row = await db.Sinks.SingleAsync(it => it.Id == sink.Id);
                    row.Status = SinkStatus.Failed;
                    row.StatusReason = e.Message;
                    return row;
                },
                CancellationToken.None);
            return null;
        }
    }

    /// <summary>What waits in the log may have been decoded with an earlier mapping.</summary>
    async Task<IEnumerable<SinkDefinition>> DefineEarlierAsync(CatalogSink sink, CancellationToken cancellation)
    {
        var rows = await ReadAsync(db => db.SinkMappings.AsNoTracking()
            .Where(row => row.SinkId == sink.Id && row.Version < sink.MappingVersion && row.Version > sink.MappingVersion - EarlierMappings).ToListAsync(cancellation));
        var table = sink.Table!.ToSchema();
        return rows.Where(row => Fits(row.ReadSchema(), table)).Select(row => ToDefinition(sink, row, table));
    }

    static bool Fits(SinkSchema mapping, TableSchema table)
    {
        try
        {
            SinkMapping.Resolve(mapping, table);
            return true;
        }
        catch (Exception)
        {
            return false; // a column is gone since
        }
    }

    /// <summary>Removes the rows of what was deleted longer ago than the retention time.</summary>
    async Task PurgeDeletedAsync(CancellationToken cancellation)
    {
        var before = Now - options.DeletedRetention;
        var count = await WriteAsync(
            async db => await db.Sinks.Where(row => row.DeletedAt < before).ExecuteDeleteAsync(cancellation)
                + await db.Tables.Where(row => row.DeletedAt < before && !db.Sinks.Any(sink => sink.TableId == row.Id)).ExecuteDeleteAsync(cancellation)
                + await db.Databases.Where(row => row.DeletedAt < before && !db.Tables.Any(table => table.DatabaseId == row.Id) && !db.Sinks.Any(sink => sink.DatabaseId == row.Id))
                    .ExecuteDeleteAsync(cancellation),
            cancellation);
        if (count > 0)
            logger.DeletedRowsPurged(count, before);
    }
}
