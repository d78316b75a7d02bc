using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Authentication;
using Sluice.Client;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Sluice.Watch;

namespace Sluice.Server.DataPlane;

/// <param name="Raw">As it was sent.</param>
sealed record SampleAnswer(string Raw, DateTime Time);

/// <param name="Values">What each column would get; left out where the record would be rejected.</param>
sealed record TrialRecordAnswer(
    string Status, string Raw, JsonElement? Values, IReadOnlyList<FieldErrorShape> Errors,
    IReadOnlyList<WarningShape> Warnings);

sealed record TrialAnswer(int SuccessCount, int ErrorCount, IReadOnlyList<TrialRecordAnswer> Records);

sealed record TrialShape(SinkSchema Schema);

/// <param name="Version">Frames name it; the highest is in use.</param>
sealed record MappingAnswer(int Version, SinkSchema Schema, string Truncation, DateTime CreatedAt, string CreatedBy);

/// <param name="Path">JSON Pointer into the record's value.</param>
/// <param name="Kinds">How often each kind of value came.</param>
/// <param name="Example">The first value; a long text is cut.</param>
sealed record DriftPathAnswer(
    string Path, long Count, IReadOnlyDictionary<string, long> Kinds, string Example, DateTime FirstSeen, DateTime LastSeen, DriftProposalAnswer Proposal);

/// <param name="Name">For the column; left out, as is <paramref name="Options"/>, where none can be proposed.</param>
/// <param name="Options">May be posted to <c>/v2/tables/{database}/{table}/fields/{name}</c>.</param>
/// <param name="Path">For the entry in the sink's mapping.</param>
sealed record DriftProposalAnswer(string? Name, ColumnRequest? Options, IReadOnlyList<string> Path, string Reason);

/// <param name="Overflow">Members beyond 1,000 paths and 128 names an object: counted, and not told apart.</param>
sealed record DriftAnswer(IReadOnlyList<DriftPathAnswer> Resources, long Overflow);

/// <summary>A record as it came, one line of <c>/tail</c>.</summary>
/// <param name="Status"><c>accepted</c> or <c>rejected</c>.</param>
/// <param name="RawShortened">The record is longer than what is shown of it.</param>
/// <param name="Missed">Records that were left out before this one.</param>
sealed record TailAnswer(
    string RequestId, int Index, [property: JsonPropertyName("_id")] string? Key, string Status,
    IReadOnlyList<FieldErrorShape> Errors, string Raw, bool RawShortened, DateTime Time, long Missed);

/// <summary>What passes through a sink, for those who look: <c>/sample</c>, <c>/try</c>, <c>/tail</c>, and the versions of its mapping.</summary>
static class WatchEndpoints
{
    // proxies and clients give a silent connection up; the caller is asked for as often
    static readonly TimeSpan s_heartbeat = TimeSpan.FromSeconds(15);

    static readonly JsonSerializerOptions s_line = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    static readonly JsonSerializerOptions s_readable = new(s_line) { WriteIndented = true };

    public static void Map(IEndpointRouteBuilder routes)
    {
        foreach (var version in Api.Versions)
        {
            var sinks = routes.MapGroup(version + "/sinks/{id}").WithTags("Watch");
            sinks.MapGet("/mappings", MappingsAsync).Produces<ResourceList<MappingAnswer>>()
                .Describe(version, "getSinkMappings", "Every version of the sink's mapping, the newest first.");
            sinks.MapGet("/drift", ReadDrift).Produces<DriftAnswer>()
                .Describe(version, "getSinkDrift", "The fields of records that no path of the mapping names, with a column for each; since the server started.");
            sinks.MapGet("/sample", Sample).Produces<ResourceList<SampleAnswer>>()
                .Describe(version, "getSinkSample", "The newest records as they were sent: at most 100 and 1 MiB, in memory, best effort.");
            sinks.MapPost("/try", TryAsync).DescribesBody<TrialShape>().Produces<TrialAnswer>()
                .Describe(version, "trySinkSchema", "Says what another mapping would make of the newest records; changes nothing.");
            sinks.MapGet("/tail", TailAsync).Produces<TailAnswer>(contentType: "application/x-ndjson")
                .Describe(version, "tailSink", "The records as they come, one JSON object a line, or as server-sent events when those are asked for; errors=true, filter=TEXT.");
        }
    }

    static async Task<IResult> MappingsAsync(string id, HttpContext http, ControlPlane plane, CancellationToken cancellation)
    {
        var mappings = await plane.ListMappingsAsync(Caller.Of(http), Api.IdFrom(id, "sink"), cancellation);
        return Results.Json(new ResourceList<MappingAnswer>([.. mappings.Select(Answer)]), s_readable);
    }

    static MappingAnswer Answer(CatalogSinkMapping row) =>
        new(row.Version, row.ReadSchema(), row.RejectTruncation ? "error" : "warn", row.CreatedAt.UtcDateTime, row.CreatedBy);

    static IResult Sample(string id, HttpContext http, ControlPlane plane)
    {
        var records = plane.ReadSample(Caller.Of(http), Api.IdFrom(id, "sink"));
        return Results.Json(
            new ResourceList<SampleAnswer>([.. records.Select(record => new SampleAnswer(Encoding.UTF8.GetString(record.Raw), QuarantineEndpoints.Time(record.TimeMicroseconds)))]), s_readable);
    }

    static IResult ReadDrift(string id, HttpContext http, ControlPlane plane)
    {
        var drift = plane.ReadDrift(Caller.Of(http), Api.IdFrom(id, "sink"));
        var names = new HashSet<string>(StringComparer.Ordinal);
        return Results.Json(new DriftAnswer([.. drift.Paths.Select(path => Answer(path, names))], drift.Overflow), s_readable);
    }

    static DriftPathAnswer Answer(DriftPath path, HashSet<string> names)
    {
        var column = SchemaInference.Propose(path, names);
        return new(
            path.Pointer, path.Count, path.Kinds.ToDictionary(kind => kind.Key.ToString().ToLowerInvariant(), kind => kind.Value), path.Example,
            QuarantineEndpoints.Time(path.FirstMicroseconds), QuarantineEndpoints.Time(path.LastMicroseconds),
            new DriftProposalAnswer(column.Type is null ? null : column.Name, column.Type is null ? null : new ColumnRequest(null, ColumnOptions.Write(column.Type)), path.Path, column.Reason));
    }

    static async Task<IResult> TryAsync(string id, HttpContext http, ControlPlane plane, ServerOptions options, CancellationToken cancellation)
    {
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        var tried = await plane.TryMappingAsync(Caller.Of(http), Api.IdFrom(id, "sink"), SinkBody.ReadSchema(body.RequiredObject("schema")), cancellation);
        var wrong = tried.Count(record => record.Values.Length == 0);
        return Results.Json(new TrialAnswer(tried.Count - wrong, wrong, [.. tried.Select(Answer)]), s_readable);
    }

    static TrialRecordAnswer Answer(TrialRecord record) => new(
        record.Values.Length == 0 ? "error" : "success", Encoding.UTF8.GetString(record.Record.Raw), record.Values.Length == 0 ? null : JsonElement.Parse(record.Values),
        [.. record.Errors.Select(QuarantineEndpoints.Shape)], [.. record.Truncated.Select(column => new WarningShape(column, "Truncated"))]);

    /// <summary>Streams until the client goes, the server stops, or the caller would not be let in any more.</summary>
    static async Task TailAsync(
        string id, HttpContext http, ControlPlane plane, IAuthenticationSchemeProvider schemes, Drain drain, TimeProvider time, CancellationToken cancellation,
        bool errors = false, string filter = "")
    {
        var watcher = new Watcher(http, schemes, time);
        using var subscription = plane.Tail(Caller.Of(http), Api.IdFrom(id, "sink"), new TailFilter(errors, filter));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation, drain.Stopping);
        var asEvents = http.Request.Headers.Accept.ToString().Contains("text/event-stream", StringComparison.OrdinalIgnoreCase);
        http.Response.ContentType = asEvents ? "text/event-stream" : "application/x-ndjson";
        http.Response.Headers.CacheControl = "no-store";
        if (HeadAnswer.IsAskedFor(http)) return;
        await http.Response.StartAsync(stop.Token);
        try
        {
            var goesOn = true;
            while (goesOn)
            {
                goesOn = await WriteWaitingAsync(http.Response, subscription, watcher, asEvents, stop.Token)
                    && await WaitAsync(http.Response, subscription, watcher, asEvents, time, stop.Token);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // the end of a tail is no failure
        }
    }

    /// <returns>False: the caller may watch no more.</returns>
    static async Task<bool> WriteWaitingAsync(HttpResponse response, TailSubscription subscription, Watcher watcher, bool asEvents, CancellationToken cancellation)
    {
        while (subscription.Records.TryRead(out var record))
        {
            if (watcher.IsDue && !await watcher.MayWatchAsync())
                return false;
            var json = JsonSerializer.Serialize(Answer(record), s_line);
            await response.WriteAsync(asEvents ? $"data: {json}\n\n" : json + "\n", cancellation);
        }
        await response.Body.FlushAsync(cancellation);
        return true;
    }

    /// <summary>Returns when there is a record; says meanwhile that the connection lives.</summary>
    /// <returns>False: the caller may watch no more.</returns>
    static async Task<bool> WaitAsync(HttpResponse response, TailSubscription subscription, Watcher watcher, bool asEvents, TimeProvider time, CancellationToken cancellation)
    {
        var waiting = subscription.Records.WaitToReadAsync(cancellation).AsTask();
        while (await Task.WhenAny(waiting, Task.Delay(s_heartbeat, time, cancellation)) != waiting)
        {
            if (!await watcher.MayWatchAsync())
                return false;
            await response.WriteAsync(asEvents ? ": \n\n" : "\n", cancellation);
            await response.Body.FlushAsync(cancellation);
        }
        return await waiting;
    }

    static TailAnswer Answer(TailRecord record) => new(
        record.RequestId, record.RecordIndex, record.Key, record.IsAccepted ? "accepted" : "rejected", [.. record.Errors.Select(QuarantineEndpoints.Shape)], record.Raw,
        record.IsShortened, QuarantineEndpoints.Time(record.TimeMicroseconds), record.Missed);

    /// <summary>The caller of an answer that goes on: the key, login or token that began it may have ended since.</summary>
    sealed class Watcher(HttpContext http, IAuthenticationSchemeProvider schemes, TimeProvider time)
    {
        long _asked = time.GetTimestamp();

        public bool IsDue => time.GetElapsedTime(_asked) >= s_heartbeat;

        /// <summary>Authenticates the request anew, and asks for the role that its route does.</summary>
        public async Task<bool> MayWatchAsync()
        {
            _asked = time.GetTimestamp();
            // a handler of its own: that of the request answers what it found at first
            var handler = await new AuthenticationHandlerProvider(schemes).GetHandlerAsync(http, BearerTokens.SchemeName);
            var found = await handler!.AuthenticateAsync();
            return found.Principal is { } principal && Caller.Of(principal) is { } caller && Policies.Allows(caller.Role, Policies.Read);
        }
    }
}
