using Prometheus;
using Sluice.Server.Accounts;

namespace Sluice.Server.Operations;

/// <summary><c>GET /metrics</c>, in the text format of Prometheus. docs/operations.md has all series.</summary>
static class MetricsEndpoint
{
    public const string Path = "/metrics";

    public static void Map(IEndpointRouteBuilder routes, MetricsOptions options)
    {
        var metrics = routes.MapGet(Path, AnswerAsync)
            .WithTags("Operations").WithName("getMetrics").WithSummary("All counters and gauges, for Prometheus.").Produces<string>(StatusCodes.Status200OK, "text/plain");
        if (options.Anonymous)
            metrics.AllowAnonymous();
        else
            metrics.RequireAuthorization(Policies.Read);
    }

    static async Task<IResult> AnswerAsync(MeteredSeries metered, ServerSeries server, EngineSlot slot, TimeProvider time, CancellationToken cancellation)
    {
        var registry = Prometheus.Metrics.NewCustomRegistry();
        var make = Prometheus.Metrics.WithCustomRegistry(registry);
        server.Read(make);
        if (slot.Opened is { } engine)
            new EngineSeries(make).Read(engine, time);

        // whole or not at all: half of it would be taken for series that have ended
        var text = new MemoryStream();
        await metered.Registry.CollectAndExportAsTextAsync(text, cancellation);
        await registry.CollectAndExportAsTextAsync(text, cancellation);
        return Results.Bytes(text.GetBuffer().AsMemory(0, (int)text.Length), PrometheusConstants.TextContentTypeWithVersionAndEncoding);
    }
}
