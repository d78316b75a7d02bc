using System.Security.Cryptography;
using System.Text;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Sql;

/// <summary>Gives SQL statements the control plane, the engine and the stores to act on.</summary>
static class SqlWiring
{
    public static SqlPlane Build(IServiceProvider services)
    {
        var plane = services.GetRequiredService<ControlPlane>();
        var slot = services.GetRequiredService<EngineSlot>();
        var audit = services.GetRequiredService<AuditLog>();
        var stores = services.GetRequiredService<DuckDbDatabases>();
        var queries = services.GetRequiredService<UserQuery>();
        return new SqlPlane
        {
            ListTables = async (context, cancellation) =>
            {
                var catalog = stores.OpenDatabase(context.DatabaseId).Catalog;
                var tables = await plane.ListTablesAsync(context.Caller, context.DatabaseId, cancellation);
                return [.. tables.Where(table => table.Status == TableStatus.Running).Select(table => TableOf(table, catalog))];
            },
            WaitLoaded = async (context, after, cancellation) =>
            {
                await plane.GetDatabaseAsync(context.Caller, context.DatabaseId, cancellation);
                await slot.Engine.WaitLoadedAsync(context.DatabaseId, after.RequestIds, after.Timeout, cancellation);
            },
            ListDatabases = async (context, cancellation) => [.. (await plane.ListDatabasesAsync(context.Caller, cancellation)).Select(DatabaseOf)],
            CreateTable = (context, create, cancellation) => plane.CreateTableAsync(
                context.Caller, context.DatabaseId,
                new NewTable(create.Table.Text, create.Key, create.Comment, [.. create.Columns.Select(ColumnOf)])
                {
                    IsAutoId = create.IsAutoId,
                    Retention = create.Retention,
                },
                cancellation),
            AddColumn = (context, table, column, cancellation) => plane.AddColumnAsync(
                context.Caller, context.DatabaseId, table.Schema.Name, ColumnOf(column), cancellation),
            DropColumn = (context, table, column, cancellation) => plane.DropColumnAsync(context.Caller, context.DatabaseId, table.Schema.Name, column, cancellation),
            RenameColumn = (context, table, from, to, cancellation) => plane.RenameColumnAsync(
                context.Caller, context.DatabaseId, table.Schema.Name, from, to, cancellation),
            DropTable = (context, table, cancellation) => plane.DeleteTableAsync(context.Caller, context.DatabaseId, table.Schema.Name, cancellation),
            SetRetention = (context, table, retention, cancellation) => plane.SetRetentionAsync(
                context.Caller, context.DatabaseId, table.Schema.Name, retention, cancellation),
            Insert = (context, tableId, values, columns, operation, cancellation) =>
            {
                ControlPlane.RequireWrite(context.Caller);
                var table = slot.Engine.FindTable(tableId) ?? throw new SluiceException(ErrorCode.NotFound, "There is no such table any more.");
                return table.InsertAsync(values, columns, operation, context.Caller.Id, cancellation);
            },
            Delete = (context, table, predicate, cancellation) =>
            {
                ControlPlane.RequireWrite(context.Caller);
                var found = slot.Engine.FindTable(table.Schema.TableId) ?? throw new SluiceException(ErrorCode.NotFound, "There is no such table any more.");
                return found.DeleteAsync(predicate, cancellation);
            },
            Query = (databaseId, sql, form, tables, consume, cancellation) => queries.RunAsync(token => OpenAsync(databaseId, token), sql, form, tables, consume, cancellation),
            Export = (databaseId, sql, tables, cancellation) => queries.ExportAsync(token => OpenAsync(databaseId, token), sql, tables, cancellation),
            NoteWrite = (context, sql, result) => audit.Write(AuditEvent.By(context.Caller, AuditAction.SqlWrite) with
            {
                Result = result,
                Target = "database",
                TargetId = context.DatabaseId.ToString(),
                Detail = $"sha256 {Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(sql)))}",
            }),
            MaxAnswerBytes = queries.Limits.MaxAnswerBytes,
            Time = services.GetRequiredService<TimeProvider>(),
        };

        // a database that lacks a table is not asked for the others: it may be of another time
        ValueTask<DuckDbReadConnection> OpenAsync(Guid databaseId, CancellationToken cancellation)
        {
            if (slot.Engine.ClosedTables.FirstOrDefault(table => table.DatabaseId == databaseId) is { } closed) slot.Engine.ThrowIfClosed(closed.TableId);
            return stores.OpenDatabase(databaseId).OpenQueryConnectionAsync(cancellation);
        }
    }

    static Server.NewColumn ColumnOf(NewColumn column) => new(column.Name.Text, column.Type) { IsRequired = column.IsRequired, Default = column.Default };

    static SqlTable TableOf(CatalogTable table, string catalog)
    {
        var schema = table.ToSchema();
        return new SqlTable(
            schema, $"{UserQuery.Quote(catalog)}.main.{UserQuery.Quote(schema.Name)}", table.Description, table.Owner, table.UpdatedBy, table.CreatedAt, table.UpdatedAt, SpaceUsed: 0)
        {
            ColumnTimes = table.Columns.ToDictionary(column => column.ColumnId, column => column.CreatedAt),
        };
    }

    static SqlDatabase DatabaseOf(CatalogDatabase database) => new(
        database.Id, database.Name, "", database.Owner, database.UpdatedBy, database.CreatedAt, database.UpdatedAt);
}
