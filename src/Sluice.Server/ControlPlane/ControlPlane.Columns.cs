using System.Diagnostics.CodeAnalysis;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Sluice.Schema;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;

namespace Sluice.Server;

sealed partial class ControlPlane
{
    /// <summary>
    /// Adds a column. Returns when the table's store has it; records sent earlier were decoded without it. Rows that are there have null in it, also
    /// when it is required or has a default.
    /// </summary>
    /// <param name="table">Name or id.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.InvalidParameter"/>, <see cref="ErrorCode.NotFound"/>, <see cref="ErrorCode.AlreadyExists"/>,
    /// <see cref="ErrorCode.IncorrectState"/>: the table is not Running; and what the engine refuses with.
    /// </exception>
    public Task<CatalogTable> AddColumnAsync(Caller caller, Guid databaseId, string table, NewColumn column, CancellationToken cancellation)
    {
        RequireWrite(caller);
        ResourceNames.CheckColumn(column.Name, "column");
        var added = column.ToColumn();
        return ChangeSchemaAsync(
            caller,
            databaseId,
            table,
            schema => schema.FindColumn(column.Name) is null ? schema.WithColumn(added) : throw ColumnExists(schema, column.Name),
            cancellation);
    }

    /// <summary>Drops a column with its data; the mappings of the table's sinks lose it too. <c>_id</c> cannot be dropped.</summary>
    /// <param name="table">Name or id.</param>
    /// <exception cref="SluiceException">As <see cref="AddColumnAsync"/>.</exception>
    public Task<CatalogTable> DropColumnAsync(Caller caller, Guid databaseId, string table, string column, CancellationToken cancellation)
    {
        RequireWrite(caller);
        if (column == TableSchema.KeyColumnName)
            throw new SluiceException(ErrorCode.InvalidParameter, "The column '_id' cannot be dropped.");
        return ChangeSchemaAsync(
            caller,
            databaseId,
            table,
            schema => schema.FindColumn(column) is not null ? schema.WithoutColumn(column) : throw NoColumn(schema, column),
            cancellation);
    }

    /// <summary>Renames a column; its data and its place in the mappings of sinks stay. <c>_id</c> cannot be renamed.</summary>
    /// <param name="table">Name or id.</param>
    /// <exception cref="SluiceException">As <see cref="AddColumnAsync"/>.</exception>
    public Task<CatalogTable> RenameColumnAsync(Caller caller, Guid databaseId, string table, string from, string to, CancellationToken cancellation)
    {
        RequireWrite(caller);
        if (from == TableSchema.KeyColumnName)
            throw new SluiceException(ErrorCode.InvalidParameter, "The column '_id' cannot be renamed.");
        ResourceNames.CheckColumn(to, "column");
        return ChangeSchemaAsync(
            caller,
            databaseId,
            table,
            schema => schema.FindColumn(from) is null ? throw NoColumn(schema, from)
                : schema.FindColumn(to) is not null ? throw ColumnExists(schema, to)
                : schema.WithRenamedColumn(from, to),
            cancellation);
    }

    async Task<CatalogTable> ChangeSchemaAsync(
        Caller caller, Guid databaseId, string table, Func<TableSchema, TableSchema> change, CancellationToken cancellation)
    {
        var engine = Engine;
        var id = (await GetTableAsync(caller, databaseId, table, cancellation)).Id;
        var gate = GateOf(id);
        using var turn = await gate.EnterAsync(cancellation);
        await SettleSchemaAsync(engine, id, gate.Dropping);
        var schema = await WriteAsync(db => PlanChangeAsync(db, id, change), cancellation);
        var sinks = await ReadAsync(db => SinksOf(db, id).ToListAsync());
        try
        {
            foreach (var sink in sinks)
                PutBothNames(engine, sink, schema);
            await engine.ChangeTableAsync(schema, gate.Dropping);
        }
        catch (SluiceException e) when (e.Outcome == RefusalOutcome.NotStored)
        {
            await WriteAsync(db => ForgetChangeAsync(db, id), CancellationToken.None);
            foreach (var sink in sinks)
                engine.PutSink(ToDefinition(sink, sink.Table!.ToSchema()));
            throw;
        }
        catch (OperationCanceledException e) when (gate.Dropping.IsCancellationRequested)
        {
            throw new SluiceException(ErrorCode.IncorrectState, "The table is being deleted.", e) { Outcome = RefusalOutcome.Unknown };
        }
        var changed = await ConfirmSchemaAsync(engine, id, schema, caller.Email);
        NoteChange(caller, "table", id, changed.Name, "alter", $"schema version {schema.Version}");
        return changed;
    }

    /// <summary>
    /// Gives a sink every renamed column under its old and its new name. The engine leaves out names that the table does not have, so
    /// no record loses the column's value between the rename and the moment the mapping has followed.
    /// </summary>
    void PutBothNames(Engine engine, CatalogSink sink, TableSchema after)
    {
        var before = sink.Table!.ToSchema();
        var definition = ToDefinition(sink, before);
        var renamed = definition.Fields
            .Select(field => before.FindColumn(field.Column) is { } column && after.FindColumn(column.Id) is { } now && now.Name != column.Name
                ? field with { Column = now.Name }
                : null)
            .OfType<FieldMapping>()
            .ToList();
        if (renamed.Count > 0)
            engine.PutSink(definition with { Fields = definition.Fields.AddRange(renamed) });
    }

    /// <summary>Finishes a change that an earlier call left open because nobody knew whether the engine had it.</summary>
    async Task SettleSchemaAsync(Engine engine, Guid tableId, CancellationToken cancellation)
    {
        var open = await ReadAsync(db => db.Tables.Where(row => row.Id == tableId && row.Status == TableStatus.Running && row.PendingSchema != null)
            .Select(row => new { row.PendingSchema, row.UpdatedBy }).SingleOrDefaultAsync());
        if (open?.PendingSchema is not { } json)
            return;
        var schema = TableSchema.FromJson(Encoding.UTF8.GetBytes(json));
        try
        {
            if (engine.FindTable(tableId) is { } table && table.Schema.Version < schema.Version)
                await engine.ChangeTableAsync(schema, cancellation);
        }
        catch (OperationCanceledException e)
        {
            throw new SluiceException(ErrorCode.IncorrectState, "An earlier schema change of this table has not finished.", e);
        }
        await ConfirmSchemaAsync(engine, tableId, schema, open.UpdatedBy);
        logger.InterruptedChangeFinished("schema change", "table", tableId);
    }

    static async Task<TableSchema> PlanChangeAsync(CatalogContext db, Guid tableId, Func<TableSchema, TableSchema> change)
    {
        var table = await LiveTables(db).AsTracking().SingleOrDefaultAsync(row => row.Id == tableId);
        RequireRunning(table);
        var before = table.ToSchema();
        var schema = change(before);
        foreach (var sink in await SinksOf(db, tableId).ToListAsync())
            ThrowIfUnfit(sink, before, schema);
        table.PendingSchema = Encoding.UTF8.GetString(schema.ToJson());
        return schema;
    }

    static async Task<CatalogTable> ForgetChangeAsync(CatalogContext db, Guid tableId)
    {
        var table = await db.Tables.SingleAsync(row => row.Id == tableId);
        table.PendingSchema = null;
        return table;
    }

    /// <summary>Makes the schema the table's own and lets the mappings of its sinks follow, in one transaction; then hands those to the engine.</summary>
    async Task<CatalogTable> ConfirmSchemaAsync(Engine engine, Guid tableId, TableSchema schema, string by)
    {
        var changedSinks = new List<CatalogSink>();
        await WriteAsync(
            async db =>
            {
                var table = await db.Tables.Include(row => row.Columns).SingleAsync(row => row.Id == tableId);
                var before = table.ToSchema();
                table.Confirm(schema, Now);
                table.UpdatedAt = Now;
                table.UpdatedBy = by;
                foreach (var sink in await SinksOf(db, tableId).AsTracking().ToListAsync())
                {
                    // a part of the key may have become a column: the mapping's text is the same, and what it says is not
                    if (TryFollow(sink, before, schema, by) || !ToDefinition(sink, before).Fields.SequenceEqual(ToDefinition(sink, schema).Fields))
                        changedSinks.Add(sink);
                }
                return table;
            },
            CancellationToken.None);
        foreach (var sink in changedSinks)
            engine.PutSink(ToDefinition(sink, schema));
        return await ReadAsync(db => LiveTables(db).SingleAsync(row => row.Id == tableId));
    }

    bool TryFollow(CatalogSink sink, TableSchema before, TableSchema after, string by)
    {
        var mapping = sink.Mapping;
        var schema = mapping.ReadSchema();
        var followed = SinkMapping.Follow(schema, before, after);
        if (ReferenceEquals(followed, schema))
            return false;
        AddMapping(sink, followed, SinkSettings.Of(mapping), by);
        return true;
    }

    static IQueryable<CatalogSink> SinksOf(CatalogContext db, Guid tableId) => LiveSinks(db).Where(row => row.TableId == tableId && row.Status != SinkStatus.Failed);

    /// <summary>A mapping that could not follow would be found out when the table has changed already.</summary>
    static void ThrowIfUnfit(CatalogSink sink, TableSchema before, TableSchema after)
    {
        try
        {
            SinkMapping.Resolve(SinkMapping.Follow(sink.Mapping.ReadSchema(), before, after), after);
        }
        catch (SluiceException e)
        {
            throw new SluiceException(ErrorCode.IncorrectState, $"The mapping of sink '{sink.Name}' would not fit the table any more; change it first. {e.Message}", e);
        }
    }

    static void RequireRunning([NotNull] CatalogTable? table)
    {
        if (table is null)
            throw new SluiceException(ErrorCode.NotFound, "The table was deleted by another call.");
        if (table.Status != TableStatus.Running)
            throw new SluiceException(ErrorCode.IncorrectState, $"Table '{table.Name}' is {table.Status.ToWire()}.");
    }

    static SluiceException ColumnExists(TableSchema table, string column) =>
        new(ErrorCode.AlreadyExists, $"Table '{table.Name}' has a column '{column}' already.");

    static SluiceException NoColumn(TableSchema table, string column) =>
        new(ErrorCode.NotFound, $"Table '{table.Name}' has no column '{(column.Length <= 64 ? column : "...")}'.");
}
