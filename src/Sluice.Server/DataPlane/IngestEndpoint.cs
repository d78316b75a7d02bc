using Sluice.Records;
using Sluice.Server.Accounts;

namespace Sluice.Server.DataPlane;

/// <summary><c>POST /v2/sinks/{id}</c>: finds the sink, admits, reads the body, hands it to the sink, writes what became of each record.</summary>
static class IngestEndpoint
{
    static readonly TimeSpan CreationPoll = TimeSpan.FromMilliseconds(25);

    /// <summary>A client may send at once after making its sink.</summary>
    static readonly TimeSpan CreationWait = TimeSpan.FromSeconds(5);

    public static void Map(IEndpointRouteBuilder routes)
    {
        Configure(routes.MapPost("/v2/sinks/{id}", HandleAsync)).WithName("postDataRecords");
        Configure(routes.MapPost("/v1/sinks/{id}", HandleAsync)).ExcludeFromDescription();
    }

    static RouteHandlerBuilder Configure(RouteHandlerBuilder route) => route
        .RequireAuthorization(Policies.Ingest)
        .DisableAntiforgery()
        .DescribesBody<RecordsShape>()
        .Produces<OutcomeShape>()
        .WithTags("Records")
        .WithSummary("Sends records; every record of a 200 with status success is durable.")
        .WithDescription("Body: {\"records\":[{\"value\":{...}}]}, any content type; Content-Encoding gzip, br or zstd. Query: return=all|errors|summary, wait=durable|loaded, dry_run=true|false, timeout=SECONDS, format=json|ndjson|array, op=upsert|insert|replace|patch|delete|remove. Header Idempotency-Key: the same key and body are answered again and stored once, for 24 hours.");

    static async Task HandleAsync(string id, HttpContext context, EngineSlot slot, SinkGate gate, BodyBudget budget, ServerOptions options, RefusalMeter meter, TimeProvider time)
    {
        var cancellation = context.RequestAborted;
        var caller = Caller.Of(context.User) ?? throw new SluiceException(ErrorCode.MissingToken, "This call needs a token.");
        var query = IngestQuery.Parse(context.Request);
        var sink = await FindSinkAsync(id, caller, slot.Engine, gate, time, cancellation);
        if (sink.FindRefusal(caller.Sender) is { } refusal)
        {
            meter.RequestRefused(Refusals.For(refusal));
            await Refusals.WriteAsync(context, refusal);
            return;
        }

        var receiveTime = new ReceiveTime(time, options.Storage.MaxReceiveTime);
        using var body = await RequestBody.ReadAsync(context, sink.Definition.MaxRequestBytes, budget, receiveTime, cancellation);
        if (query.IsDryRun)
        {
            if (body.Window is not null)
                throw new SluiceException(ErrorCode.RequestTooLarge, $"dry_run takes bodies of at most {BodyWindow.DefaultBytes} bytes after decompression.");
            await DryRunWriter.WriteAsync(context.Response, sink.Check(body.Memory, query.Format, query.Operation), query.Return, cancellation);
            return;
        }
        using var watch = query.WaitsUntilLoaded ? sink.WatchLoad() : null;
        var outcome = query.Key is { } key
            ? await sink.IngestOnceAsync(key, body.Window ?? new BodyWindow(body.Memory), query.Format, query.Operation, caller.Sender, cancellation, watch)
            : body.Window is { } window
            ? await sink.IngestLargeAsync(window, query.Format, query.Operation, caller.Sender, cancellation, watch)
            : await sink.IngestAsync(body.Memory, query.Format, query.Operation, caller.Sender, cancellation, watch);
        var loaded = watch is not null ? await sink.WaitLoadedAsync(outcome, watch, query.Timeout, cancellation) : outcome;

        if (outcome.IsRepeated)
            context.Response.Headers["Idempotency-Replayed"] = "true";
        await OutcomeWriter.WriteAsync(context.Response, loaded ?? outcome, isPending: loaded is null, query.Return, cancellation);
    }

    static async ValueTask<Sink> FindSinkAsync(string id, Caller caller, Engine engine, SinkGate gate, TimeProvider time, CancellationToken cancellation)
    {
        if (!Guid.TryParseExact(id, "d", out var sinkId) || !caller.MaySendTo(sinkId))
            throw NotFound();

        var admission = gate(sinkId);
        for (var started = time.GetTimestamp(); admission == SinkAdmission.Creating && time.GetElapsedTime(started) < CreationWait; admission = gate(sinkId))
            await Task.Delay(CreationPoll, time, cancellation);

        return admission switch
        {
            SinkAdmission.Unknown => throw NotFound(),
            SinkAdmission.Open => engine.FindSink(sinkId) ?? throw NotFound(),
            _ => throw new SluiceException(ErrorCode.IncorrectState, "The sink is not active, so it takes no records now."),
        };
    }

    static SluiceException NotFound() => new(ErrorCode.NotFound, "There is no such sink.");
}
