using System.Text.Json;
using Sluice.Client;
using Sluice.Load;
using Sluice.Server.Accounts;

namespace Sluice.Server.DataPlane;

/// <summary>Always: received = accepted + rejected, accepted = loaded + failed + pending.</summary>
/// <param name="Superseded">Of those loaded: not applied, because something newer was applied to their key before.</param>
/// <param name="Replayed">Rejected and failed records that are in the table after all, out of the quarantine; they stay counted as what they were.</param>
sealed record LedgerAnswer(Guid SinkId, long Requests, long Received, long Accepted, long Rejected, long Loaded, long Superseded, long Failed, long Pending, long Replayed);

/// <summary>What became of the records of a sink: <c>/errors</c>, <c>/metrics</c> and <c>/ledger</c>.</summary>
static class SinkReports
{
    const int DefaultErrors = 100;
    const int MaxErrors = 1_000;

    public static void Map(IEndpointRouteBuilder routes)
    {
        foreach (var version in new[] { "v2", "v1" })
        {
            var sinks = routes.MapGroup($"/{version}/sinks/{{id}}").WithTags("Records").RequireAuthorization(Policies.Read);
            var errors = sinks.MapGet("/errors", ReadErrorsAsync).WithSummary("Records that were accepted and could not be loaded, newest first.")
                .Produces<ResourceList<SinkErrorResource>>();
            var metrics = sinks.MapGet("/metrics", ReadMinutes).WithSummary("What the sink did, minute by minute; minutes without requests are left out.")
                .Produces<ResourceList<SinkMetricResource>>();
            var ledger = sinks.MapGet("/ledger", ReadLedger).WithSummary("The sink's counters since it was made.");

            if (version == "v2")
                _ = (errors.WithName("getSinkErrors"), metrics.WithName("getSinkMetrics"), ledger.WithName("getSinkLedger"));
            else
                sinks.ExcludeFromDescription();
        }
    }

    static async Task<IResult> ReadErrorsAsync(string id, EngineSlot slot, CancellationToken cancellation, int limit = DefaultErrors)
    {
        if (limit is < 1 or > MaxErrors)
            throw new SluiceException(ErrorCode.InvalidParameter, $"The parameter limit must be from 1 to {MaxErrors}.");

        var errors = await Find(id, slot).ReadErrorsAsync(limit, cancellation);
        return Api.Answer(new ResourceList<SinkErrorResource>([.. errors.Select(Answer)]), WireJson.Default.ResourceListSinkErrorResource, StatusCodes.Status200OK);
    }

    static IResult ReadMinutes(string id, EngineSlot slot)
    {
        var minutes = Find(id, slot).ReadMinutes().Select(point => new SinkMetricResource(DateTime.UnixEpoch.AddMinutes(point.Minute), point.Accepted, point.Requests, point.Rejected));
        return Api.Answer(new ResourceList<SinkMetricResource>([.. minutes]), WireJson.Default.ResourceListSinkMetricResource, StatusCodes.Status200OK);
    }

    static LedgerAnswer ReadLedger(string id, EngineSlot slot)
    {
        var sink = Find(id, slot);
        var ledger = sink.ReadLedger();
        return new(sink.Definition.Id, ledger.Requests, ledger.Received, ledger.Accepted, ledger.Rejected, ledger.Loaded, ledger.Superseded, ledger.Failed, ledger.Pending, ledger.Replayed);
    }

    static Sink Find(string id, EngineSlot slot) =>
        (Guid.TryParseExact(id, "d", out var sinkId) ? slot.Engine.FindSink(sinkId) : null) ?? throw new SluiceException(ErrorCode.NotFound, "There is no such sink.");

    static SinkErrorResource Answer(LateError error) =>
        new(error.SinkId, "Error", error.Message, DateTime.UnixEpoch.AddMicroseconds(error.TimeMicroseconds))
        {
            ErrorCode = error.Code.ToString(),
            RequestId = error.RequestId,
            RecordIndex = error.RecordIndex,
            Key = error.Key,
            Value = error.Value is null ? null : JsonElement.Parse(error.Value),
        };
}
