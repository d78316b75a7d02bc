using Microsoft.EntityFrameworkCore;
using Sluice.Schema;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;

namespace Sluice.Server;

sealed partial class ControlPlane
{
    sealed record DroppedTable(Guid DatabaseId, IReadOnlyList<Guid> SinkIds);

    /// <summary>Makes a table with its columns. Returns when records can be sent and SQL sees it.</summary>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.InvalidParameter"/>; <see cref="ErrorCode.NotFound"/>: no such database; <see cref="ErrorCode.IncorrectState"/>:
    /// the database is being deleted; <see cref="ErrorCode.AlreadyExists"/>; and what the engine refuses with.
    /// </exception>
    public async Task<CatalogTable> CreateTableAsync(Caller caller, Guid databaseId, NewTable table, CancellationToken cancellation)
    {
        RequireWrite(caller);
        var schema = table.ToSchema(Guid.CreateVersion7(Now));
        var engine = Engine;
        using var turn = await GateOf(schema.TableId).EnterAsync(cancellation); // before the row can be seen, so that no drop comes in between
        var row = await WriteAsync(db => AddTableRowAsync(db, caller, databaseId, table, schema), cancellation);
        try
        {
            await engine.CreateTableAsync(new TableDefinition(databaseId, schema), CancellationToken.None);
        }
        catch (SluiceException e) when (e.Outcome == RefusalOutcome.NotStored)
        {
            await SetTableStatusAsync(row.Id, TableStatus.Deleted);
            throw;
        }
        var made = await SetTableStatusAsync(row.Id, TableStatus.Running);
        NoteChange(caller, "table", row.Id, row.Name, "create");
        return made;
    }

    /// <summary>The tables of a database with their columns, oldest first, those being made or deleted too.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>: no such database.</exception>
    public Task<List<CatalogTable>> ListTablesAsync(Caller caller, Guid databaseId, CancellationToken cancellation)
    {
        RequireRead(caller);
        return ReadAsync(async db =>
        {
            await FindDatabaseAsync(db.Databases.AsNoTracking(), databaseId, cancellation);
            return await LiveTables(db).Where(row => row.DatabaseId == databaseId).OrderBy(row => row.CreatedAt).ThenBy(row => row.Id).ToListAsync(cancellation);
        });
    }

    /// <param name="table">Name or id.</param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>: no such database or table.</exception>
    public Task<CatalogTable> GetTableAsync(Caller caller, Guid databaseId, string table, CancellationToken cancellation)
    {
        RequireRead(caller);
        return ReadAsync(async db =>
        {
            await FindDatabaseAsync(db.Databases.AsNoTracking(), databaseId, cancellation);
            return await FindTableAsync(db, databaseId, table, cancellation);
        });
    }

    /// <summary>Rows of the table that have outlived its retention; 0 when there is no such table, or none that is open.</summary>
    public long FindExpiredRows(Guid tableId) => Engine.ClosedTables.Any(table => table.TableId == tableId) ? 0 : Engine.FindTable(tableId)?.ExpiredRows ?? 0;

    /// <summary>Changes how long rows are kept after their newest record. Returns when the table's store knows it.</summary>
    /// <param name="table">Name or id.</param>
    /// <param name="retention">In whole seconds; zero: for ever.</param>
    /// <exception cref="SluiceException">As <see cref="AddColumnAsync"/>.</exception>
    public Task<CatalogTable> SetRetentionAsync(Caller caller, Guid databaseId, string table, TimeSpan retention, CancellationToken cancellation)
    {
        RequireWrite(caller);
        return ChangeSchemaAsync(caller, databaseId, table, schema => schema.WithRetention(retention), cancellation);
    }

    /// <summary>
    /// Drops a table with its data, its log and what is still to be loaded. Its sinks become Failed. Returns when it is gone; asked
    /// again after a failure, it goes on where it stopped.
    /// </summary>
    /// <param name="table">Name or id.</param>
    /// <returns>The table as it was while being deleted.</returns>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>: no such database or table.</exception>
    public async Task<CatalogTable> DeleteTableAsync(Caller caller, Guid databaseId, string table, CancellationToken cancellation)
    {
        RequireWrite(caller);
        var row = await GetTableAsync(caller, databaseId, table, cancellation);
        await DropTableAsync(row.Id, caller.Email, cancellation);
        NoteChange(caller, "table", row.Id, row.Name, "delete");
        row.Status = TableStatus.Deleting;
        return row;
    }

    async Task DropTableAsync(Guid tableId, string by, CancellationToken cancellation)
    {
        var engine = Engine;
        var gate = GateOf(tableId);
        // marked before the turn, so that a schema change under way is only given up for a drop that is sure to come; and again
        // inside it, because a creation under way has set other states meanwhile
        await WriteAsync(db => MarkDroppedAsync(db, tableId, by), cancellation);
        await gate.BeginDropAsync();
        using var turn = await gate.EnterAsync(cancellation);
        if (await WriteAsync(db => MarkDroppedAsync(db, tableId, by), cancellation) is not { } dropped)
            return; // another call was faster
        foreach (var sink in dropped.SinkIds)
            _sinkStatuses[sink] = SinkStatus.Failed;
        await engine.DropTableAsync(dropped.DatabaseId, tableId, CancellationToken.None);
        await SetTableStatusAsync(tableId, TableStatus.Deleted);
    }

    /// <summary>Marks the table as Deleting and its sinks as Failed, in one transaction.</summary>
    /// <returns><c>null</c>: the table is gone.</returns>
    async Task<DroppedTable?> MarkDroppedAsync(CatalogContext db, Guid tableId, string by)
    {
        if (await db.Tables.SingleOrDefaultAsync(row => row.Id == tableId && row.DeletedAt == null) is not { } table)
            return null;
        table.Status = TableStatus.Deleting;
        table.UpdatedAt = Now;
        table.UpdatedBy = by;
        var sinks = await db.Sinks.Where(row => row.TableId == tableId && row.DeletedAt == null).ToListAsync();
        foreach (var sink in sinks)
        {
            sink.Status = SinkStatus.Failed;
            sink.StatusReason = $"table '{table.Name}' was dropped";
            sink.UpdatedAt = Now;
            sink.UpdatedBy = by;
        }
        return new DroppedTable(table.DatabaseId, sinks.Select(sink => sink.Id).ToList());
    }

    async Task<CatalogTable> AddTableRowAsync(CatalogContext db, Caller caller, Guid databaseId, NewTable table, TableSchema schema)
    {
        var database = await FindRunningDatabaseAsync(db, databaseId);
        if (await db.Tables.AnyAsync(row => row.DatabaseId == databaseId && row.Name == table.Name && row.DeletedAt == null))
            throw new SluiceException(ErrorCode.AlreadyExists, $"Database '{database.Name}' has a table named '{table.Name}' already.");
        var now = Now;
        var row = new CatalogTable
        {
            Id = schema.TableId,
            DatabaseId = databaseId,
            Name = table.Name,
            Description = table.Description,
            Key = table.Key,
            IsAutoId = table.IsAutoId,
            RetentionSeconds = (long)table.Retention.TotalSeconds,
            Status = TableStatus.Creating,
            SchemaVersion = schema.Version,
            NextColumnId = schema.NextColumnId,
            Owner = caller.Email,
            CreatedAt = now,
            UpdatedAt = now,
            UpdatedBy = caller.Email,
        };
        row.Columns.AddRange(schema.Columns.Select(column => CatalogColumn.From(row.Id, column, now)));
        db.Tables.Add(row);
        return row;
    }

    Task<CatalogTable> SetTableStatusAsync(Guid id, TableStatus status) => WriteAsync(
        async db =>
        {
            var row = await LiveTables(db).AsTracking().SingleAsync(table => table.Id == id);
            row.Status = status;
            row.DeletedAt = status == TableStatus.Deleted ? Now : null;
            return row;
        },
        CancellationToken.None);

    /// <summary>Tables that are not deleted, with the columns that are not dropped; not tracked.</summary>
    static IQueryable<CatalogTable> LiveTables(CatalogContext db) =>
        db.Tables.AsNoTracking().Include(row => row.Columns.Where(column => column.DroppedAt == null)).Where(row => row.DeletedAt == null);

    // a name may look like a UUID, so the name is tried first
    static async Task<CatalogTable> FindTableAsync(CatalogContext db, Guid databaseId, string table, CancellationToken cancellation)
    {
        var tables = LiveTables(db).Where(row => row.DatabaseId == databaseId);
        var found = await tables.SingleOrDefaultAsync(row => row.Name == table, cancellation);
        if (found is null && Guid.TryParseExact(table, "D", out var id))
            found = await tables.SingleOrDefaultAsync(row => row.Id == id, cancellation);
        return found ?? throw new SluiceException(ErrorCode.NotFound, $"There is no table '{(table.Length <= 64 ? table : "...")}' in this database.");
    }
}
