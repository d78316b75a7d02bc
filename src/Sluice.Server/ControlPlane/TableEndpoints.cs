using Sluice.Client;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;

namespace Sluice.Server;

/// <summary><c>/v2/tables/{database}</c> and the columns of a table. A table goes by its name or its id.</summary>
static class TableEndpoints
{
    // everything else never changes: a member that is passed over would look as if it had
    static readonly HashSet<string> Patchable = ["options"];
    static readonly HashSet<string> PatchableOptions = ["retention"];

    public static void Map(IEndpointRouteBuilder app)
    {
        foreach (var version in Api.Versions)
        {
            // a trailing slash matches too: routing leaves it out of account
            var tables = app.MapGroup(version + "/tables/{database}").WithTags("Tables");
            tables.MapPost("", CreateAsync).Describe(version, "createTable", "Makes a table, with columns if the body has fields.");
            tables.MapGet("", ListAsync).Describe(version, "getTables", "The tables of a database.");
            tables.MapGet("/{table}", GetAsync).Describe(version, "getTable", "One table with its columns.");
            tables.MapPatch("/{table}", PatchAsync).Describe(version, "patchTable", "Changes how long the table's rows are kept.");
            tables.MapDelete("/{table}", DeleteAsync).Describe(version, "deletetable", "Drops a table with its data; its sinks fail from then on.");
            tables.MapPost("/{table}/fields/{column}", AddColumnAsync).Describe(version, "createTableColumn", "Adds a column.");
            tables.MapDelete("/{table}/fields/{column}", DropColumnAsync).Describe(version, "deletetableColumn", "Drops a column with its data.");
        }
    }

    static async Task<IResult> CreateAsync(string database, HttpContext http, ControlPlane plane, ServerOptions options, CancellationToken cancellation)
    {
        var table = NewTable.Parse(await JsonBody.ReadAsync(http.Request, options, cancellation));
        return Answer(plane, await plane.CreateTableAsync(Caller.Of(http), DatabaseId(database), table, cancellation), StatusCodes.Status201Created);
    }

    static async Task<IResult> ListAsync(string database, HttpContext http, ControlPlane plane, CancellationToken cancellation)
    {
        var tables = await plane.ListTablesAsync(Caller.Of(http), DatabaseId(database), cancellation);
        return Api.Answer(
            new ResourceList<TableResource>(tables.Select(row => row.ToResource(plane.FindExpiredRows(row.Id))).ToList()), WireJson.Default.ResourceListTableResource, StatusCodes.Status200OK);
    }

    static async Task<IResult> GetAsync(string database, string table, HttpContext http, ControlPlane plane, CancellationToken cancellation) =>
        Answer(plane, await plane.GetTableAsync(Caller.Of(http), DatabaseId(database), table, cancellation), StatusCodes.Status200OK);

    static async Task<IResult> PatchAsync(string database, string table, HttpContext http, ControlPlane plane, ServerOptions options, CancellationToken cancellation)
    {
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        body.RefuseUnknown(Patchable);
        var changes = body.RequiredObject("options");
        changes.RefuseUnknown(PatchableOptions);
        var retention = NewTable.ParseRetention(changes) ?? throw changes.Missing("retention");
        return Answer(plane, await plane.SetRetentionAsync(Caller.Of(http), DatabaseId(database), table, retention, cancellation), StatusCodes.Status200OK);
    }

    static async Task<IResult> DeleteAsync(string database, string table, HttpContext http, ControlPlane plane, CancellationToken cancellation) =>
        Answer(plane, await plane.DeleteTableAsync(Caller.Of(http), DatabaseId(database), table, cancellation), StatusCodes.Status202Accepted);

    static async Task<IResult> AddColumnAsync(
        string database, string table, string column, HttpContext http, ControlPlane plane, ServerOptions options, CancellationToken cancellation)
    {
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        var added = NewColumn.Parse(column, body.RequiredObject("options"));
        var changed = await plane.AddColumnAsync(Caller.Of(http), DatabaseId(database), table, added, cancellation);
        return Answer(changed.Columns.Single(row => row.Name == column), StatusCodes.Status201Created);
    }

    static async Task<IResult> DropColumnAsync(
        string database, string table, string column, HttpContext http, ControlPlane plane, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        var before = await plane.GetTableAsync(caller, DatabaseId(database), table, cancellation);
        await plane.DropColumnAsync(caller, DatabaseId(database), table, column, cancellation);
        // another call may have added and this one dropped it in between: then there is nothing to show
        return before.Columns.Find(row => row.Name == column) is { } dropped
            ? Answer(dropped, StatusCodes.Status202Accepted)
            : Results.Json(new { }, contentType: "application/json", statusCode: StatusCodes.Status202Accepted);
    }

    static Guid DatabaseId(string text) => Api.IdFrom(text, "database");

    static IResult Answer(ControlPlane plane, CatalogTable table, int status) => Api.Answer(table.ToResource(plane.FindExpiredRows(table.Id)), WireJson.Default.TableResource, status);

    static IResult Answer(CatalogColumn column, int status) => Api.Answer(column.ToResource(), WireJson.Default.ColumnResource, status);
}
