using Sluice.Client;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;

namespace Sluice.Server;

/// <summary><c>/v2/databases</c>, and <c>/v1/deployments</c> as it was called before.</summary>
static class DatabaseEndpoints
{
    // names that clients of the original ask for; here all of them share one machine
    static readonly string[] _shapes =
    [
        "8GB-Development", "64GB-Development", "32GB", "64GB", "128GB", "256GB", "512GB", "1024GB", "2048GB",
    ];

    public static void Map(IEndpointRouteBuilder app)
    {
        MapVersion(app, "/v2", "databases");
        MapVersion(app, "/v1", "deployments");
        app.MapGet("/v2/service-properties/database:shapes", ListShapes).WithTags("Databases")
            .WithName("getServiceProperties").WithSummary("The names that database_options.shape may hold.");
        app.MapGet("/v1/service-properties/deployment:shapes", ListShapes).ExcludeFromDescription();
    }

    static void MapVersion(IEndpointRouteBuilder app, string version, string noun)
    {
        var databases = app.MapGroup($"{version}/{noun}").WithTags("Databases");
        databases.MapPost("", CreateAsync).Describe(version, "createDatabase", "Makes a database.");
        databases.MapGet("", ListAsync).Describe(version, "getDatabases", "All databases.");
        databases.MapGet("/{id}", GetAsync).Describe(version, "getDatabase", "One database with its state.");
        databases.MapDelete("/{id}", DeleteAsync).Describe(version, "deleteDatabase", "Deletes a database; with force=true, its tables too.");
    }

    static async Task<IResult> CreateAsync(HttpContext http, ControlPlane plane, ServerOptions options, CancellationToken cancellation)
    {
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        var settings = body.OptionalObject("database_options") ?? body.OptionalObject("deployment_options");
        var database = await plane.CreateDatabaseAsync(Caller.Of(http), body.RequiredText("name"), settings?.OptionalText("shape"), cancellation);
        return Answer(http, database, StatusCodes.Status201Created);
    }

    static async Task<IResult> ListAsync(HttpContext http, ControlPlane plane, CancellationToken cancellation)
    {
        var databases = await plane.ListDatabasesAsync(Caller.Of(http), cancellation);
        var list = new ResourceList<DatabaseResource>(databases.Select(row => row.ToResource(Api.IsFirstVersion(http.Request))).ToList());
        return Api.Answer(list, WireJson.Default.ResourceListDatabaseResource, StatusCodes.Status200OK);
    }

    static async Task<IResult> GetAsync(string id, HttpContext http, ControlPlane plane, CancellationToken cancellation) =>
        Answer(http, await plane.GetDatabaseAsync(Caller.Of(http), Api.IdFrom(id, "database"), cancellation), StatusCodes.Status200OK);

    static async Task<IResult> DeleteAsync(string id, string? force, HttpContext http, ControlPlane plane, CancellationToken cancellation)
    {
        var isForced = force switch
        {
            null or "false" => false,
            "" or "true" => true,
            _ => throw new SluiceException(ErrorCode.InvalidParameter, "Parameter 'force' must be true or false."),
        };
        var database = await plane.DeleteDatabaseAsync(Caller.Of(http), Api.IdFrom(id, "database"), isForced, cancellation);
        return Answer(http, database, StatusCodes.Status202Accepted);
    }

    static IResult ListShapes(HttpContext http)
    {
        _ = Caller.Of(http);
        var shapes = _shapes.Select(name => new ShapeResource(name, "Kept and shown, without effect: every database shares this server's memory.")).ToList();
        return Api.Answer(new ResourceList<ShapeResource>(shapes), WireJson.Default.ResourceListShapeResource, StatusCodes.Status200OK);
    }

    static IResult Answer(HttpContext http, CatalogDatabase database, int status) =>
        Api.Answer(database.ToResource(Api.IsFirstVersion(http.Request)), WireJson.Default.DatabaseResource, status);
}
