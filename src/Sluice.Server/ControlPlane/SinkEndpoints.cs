using Sluice.Client;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;

namespace Sluice.Server;

/// <summary><c>/v2/sinks</c>: making, showing, changing and deleting ingest endpoints. Sending records is the data plane's.</summary>
static class SinkEndpoints
{
    public static void Map(IEndpointRouteBuilder app)
    {
        foreach (var version in Api.Versions)
        {
            var sinks = app.MapGroup(version + "/sinks").WithTags("Sinks");
            sinks.MapPost("", CreateAsync).Describe(version, "createSink", "Makes a sink: a mapping from JSON to the columns of one table.");
            sinks.MapGet("", ListAsync).Describe(version, "getSinks", "All sinks.");
            sinks.MapGet("/{id}", GetAsync).Describe(version, "getSink", "One sink with its mapping and state.");
            sinks.MapPut("/{id}", ReplaceAsync).Describe(version, "putSink", "Replaces mapping and limits while records keep coming in.");
            sinks.MapPatch("/{id}", PatchAsync).Describe(version, "patchSink", "Changes what the body names.");
            sinks.MapDelete("/{id}", DeleteAsync).Describe(version, "deleteSink", "Deletes a sink; what it has accepted is still loaded.");
        }
    }

    static async Task<IResult> CreateAsync(HttpContext http, ControlPlane plane, ServerOptions options, CancellationToken cancellation)
    {
        var body = SinkBody.ParseNew(await JsonBody.ReadAsync(http.Request, options, cancellation));
        var sink = Api.IsFirstVersion(http.Request)
            ? await plane.CreateSinkWithColumnsAsync(Caller.Of(http), body, cancellation)
            : await plane.CreateSinkAsync(Caller.Of(http), body, cancellation);
        return Answer(http, plane, sink, StatusCodes.Status201Created);
    }

    static async Task<IResult> ListAsync(HttpContext http, ControlPlane plane, CancellationToken cancellation)
    {
        var sinks = await plane.ListSinksAsync(Caller.Of(http), cancellation);
        var list = new ResourceList<SinkResource>(sinks.Select(row => Show(http, plane, row)).ToList());
        return Api.Answer(list, WireJson.Default.ResourceListSinkResource, StatusCodes.Status200OK);
    }

    static async Task<IResult> GetAsync(string id, HttpContext http, ControlPlane plane, CancellationToken cancellation) =>
        Answer(http, plane, await plane.GetSinkAsync(Caller.Of(http), SinkId(id), cancellation), StatusCodes.Status200OK);

    static Task<IResult> ReplaceAsync(string id, HttpContext http, ControlPlane plane, ServerOptions options, CancellationToken cancellation) =>
        UpdateAsync(id, http, plane, options, keepOthers: false, cancellation);

    static Task<IResult> PatchAsync(string id, HttpContext http, ControlPlane plane, ServerOptions options, CancellationToken cancellation) =>
        UpdateAsync(id, http, plane, options, keepOthers: true, cancellation);

    static async Task<IResult> UpdateAsync(string id, HttpContext http, ControlPlane plane, ServerOptions options, bool keepOthers, CancellationToken cancellation)
    {
        var body = SinkBody.ParseChange(await JsonBody.ReadAsync(http.Request, options, cancellation), isSchemaRequired: !keepOthers);
        return Answer(http, plane, await plane.UpdateSinkAsync(Caller.Of(http), SinkId(id), body, keepOthers, cancellation), StatusCodes.Status200OK);
    }

    static async Task<IResult> DeleteAsync(string id, HttpContext http, ControlPlane plane, CancellationToken cancellation) =>
        Answer(http, plane, await plane.DeleteSinkAsync(Caller.Of(http), SinkId(id), cancellation), StatusCodes.Status202Accepted);

    static Guid SinkId(string text) => Api.IdFrom(text, "sink");

    static SinkResource Show(HttpContext http, ControlPlane plane, CatalogSink sink) =>
        sink.ToResource(plane.QuotaOf(sink), Api.OriginOf(http.Request), Api.IsFirstVersion(http.Request));

    static IResult Answer(HttpContext http, ControlPlane plane, CatalogSink sink, int status) => Api.Answer(Show(http, plane, sink), WireJson.Default.SinkResource, status);
}
