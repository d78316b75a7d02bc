using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Client;
using Sluice.Load;
using Sluice.Metrics;
using Sluice.Server.Accounts;

namespace Sluice.Server.DataPlane;

/// <summary>Always: received = accepted + rejected, accepted = loaded + failed + pending.</summary>
/// <param name="Superseded">Of those loaded: not applied, because something newer was applied to their key before.</param>
/// <param name="Lost">Of those failed: gone after a repair or a rebuild; nothing has them any more.</param>
/// <param name="Replayed">Rejected and failed records that are in the table after all, out of the quarantine; they stay counted as what they were.</param>
sealed record LedgerAnswer(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] Guid? SinkId, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] Guid? TableId,
    long Requests, long Received, long Accepted, long Rejected, long Loaded, long Superseded, long Failed, long Lost, long Pending, long Replayed,
    long BytesReceived, long PendingBytes, long OldestPendingAgeSeconds,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IdempotencyAnswer? Idempotency)
{
    public static LedgerAnswer Of(Sink sink, DateTimeOffset now)
    {
        var window = sink.ReadIdempotencyWindow();
        return Of(sink.ReadLedger(), sink.ReadVolume(), now) with { SinkId = sink.Definition.Id, Idempotency = new(window.Keys, (long)window.Window.TotalSeconds) };
    }

    public static LedgerAnswer Of(Table table, DateTimeOffset now) => Of(table.ReadLedger(), table.ReadVolume(), now) with { TableId = table.Id };

    static LedgerAnswer Of(SinkLedger ledger, SinkVolume volume, DateTimeOffset now) => new(
        null, null, ledger.Requests, ledger.Received, ledger.Accepted, ledger.Rejected, ledger.Loaded, ledger.Superseded, ledger.Failed, ledger.Lost, ledger.Pending, ledger.Replayed,
        volume.ReceivedBytes, volume.PendingBytes,
        volume.OldestPendingMicroseconds == 0 ? 0 : Math.Max(0, now.ToUnixTimeSeconds() - (volume.OldestPendingMicroseconds / 1_000_000)), null);
}

/// <summary>What the server remembers of keys, those of all sinks: a key that was sent within the window is known.</summary>
sealed record IdempotencyAnswer(int Keys, long WindowSeconds);

/// <summary>What became of one request. What is not known any more is <c>null</c>.</summary>
/// <param name="State"><c>pending</c>: durable, and not in the table yet. <c>loaded</c>: settled.</param>
/// <param name="Received">Its records. Received = accepted + rejected; once it is loaded, accepted = loaded + failed.</param>
/// <param name="Records">Those that were not simply loaded, by index.</param>
/// <param name="Next">Goes into <c>after</c> for the next page; left out at the end.</param>
sealed record RequestFateAnswer(
    string RequestId, string State, DateTime? ReceivedAt, DateTime? LoadedAt, int? Received, int? Accepted, int? Rejected, int? Loaded, int? Failed,
    IReadOnlyList<RecordFateAnswer> Records, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Next);

/// <param name="Status"><c>rejected</c>: wrong. <c>discarded</c>: not stored because of another record of the request. <c>failed</c>: accepted, and not loaded.</param>
/// <param name="ErrorCode">Of a failed one, from docs/errors.md; left out when only the message is known still.</param>
/// <param name="Errors">Of a rejected one.</param>
/// <param name="Value">Of a failed one, as it was sent.</param>
/// <param name="Replayed">True: it is in the table after all, out of the quarantine.</param>
sealed record RecordFateAnswer(
    int Index, string Status,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? ErrorCode,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? ErrorMessage,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<FieldErrorShape>? Errors,
    [property: JsonPropertyName("_id"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Key,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] JsonElement? Value, bool Replayed);

/// <summary>What became of the records of a sink: <c>/errors</c>, <c>/requests</c>, <c>/metrics</c> and <c>/ledger</c>.</summary>
static class SinkReports
{
    const int DefaultErrors = 100;
    const int MaxErrors = 1_000;
    const int DefaultRecords = 100;
    const int MaxRecords = 1_000;

    public static void Map(IEndpointRouteBuilder routes)
    {
        foreach (var version in new[] { "v2", "v1" })
        {
            var sinks = routes.MapGroup($"/{version}/sinks/{{id}}").WithTags("Records").RequireAuthorization(Policies.Read);
            var errors = sinks.MapGet("/errors", ReadErrorsAsync).WithSummary("Records that were accepted and could not be loaded, newest first.")
                .Produces<ResourceList<SinkErrorResource>>();
            var request = sinks.MapGet("/requests/{requestId}", ReadRequestAsync).WithSummary("What became of one request, and of each of its records that was not simply loaded.");
            var metrics = sinks.MapGet("/metrics", ReadMinutes).WithSummary("What the sink did, minute by minute; minutes without requests are left out.")
                .Produces<ResourceList<SinkMetricResource>>();
            var ledger = sinks.MapGet("/ledger", ReadLedger).WithSummary("The sink's counters since it was made.");

            if (version == "v2")
                _ = (errors.WithName("getSinkErrors"), request.WithName("getSinkRequest"), metrics.WithName("getSinkMetrics"), ledger.WithName("getSinkLedger"));
            else
                sinks.ExcludeFromDescription();
        }
        routes.MapGet("/v2/tables/{database:guid}/{table}/ledger", ReadTableLedgerAsync).WithTags("Records").RequireAuthorization(Policies.Read)
            .WithName("getTableLedger").WithSummary("The counters of all sinks of a table, SQL included.");
    }

    static async Task<IResult> ReadErrorsAsync(string id, EngineSlot slot, CancellationToken cancellation, int limit = DefaultErrors)
    {
        if (limit is < 1 or > MaxErrors)
            throw new SluiceException(ErrorCode.InvalidParameter, $"The parameter limit must be from 1 to {MaxErrors}.");

        var errors = await Find(id, slot).ReadErrorsAsync(limit, cancellation);
        return Api.Answer(new ResourceList<SinkErrorResource>([.. errors.Select(Answer)]), WireJson.Default.ResourceListSinkErrorResource, StatusCodes.Status200OK);
    }

    static async Task<RequestFateAnswer> ReadRequestAsync(string id, string requestId, EngineSlot slot, CancellationToken cancellation, int limit = DefaultRecords, int? after = null)
    {
        var sink = Find(id, slot);
        if (limit is < 1 or > MaxRecords)
            throw new SluiceException(ErrorCode.InvalidParameter, $"The parameter limit must be from 1 to {MaxRecords}.");
        if (after < 0)
            throw new SluiceException(ErrorCode.InvalidParameter, "The parameter after must be the index of a record.");

        var fate = await sink.ReadFateAsync(requestId, after ?? -1, limit, cancellation);
        return new(
            fate.RequestId, fate.IsLost ? "lost" : fate.IsLoaded ? "loaded" : "pending", Time(fate.ReceivedAtMicroseconds), Time(fate.LoadedAtMicroseconds), fate.Received, fate.Accepted, fate.Rejected,
            fate.Loaded, fate.Failed, [.. fate.Records.Select(Answer)], fate.HasMore ? fate.Records[^1].Index : null);
    }

    static DateTime? Time(long? microseconds) => microseconds is { } time ? DateTime.UnixEpoch.AddMicroseconds(time) : null;

    static RecordFateAnswer Answer(RecordFate record) => new(
        record.Index,
        record.Kind switch { RecordFateKind.Rejected => "rejected", RecordFateKind.Discarded => "discarded", _ => "failed" },
        record.Code?.ToString(), record.Message, record.Kind == RecordFateKind.Rejected ? [.. record.Errors.Select(QuarantineEndpoints.Shape)] : null, record.Key,
        record.Value is null ? null : JsonElement.Parse(record.Value), record.IsReplayed);

    static IResult ReadMinutes(string id, EngineSlot slot)
    {
        var minutes = Find(id, slot).ReadMinutes().Select(point => new SinkMetricResource(DateTime.UnixEpoch.AddMinutes(point.Minute), point.Accepted, point.Requests, point.Rejected));
        return Api.Answer(new ResourceList<SinkMetricResource>([.. minutes]), WireJson.Default.ResourceListSinkMetricResource, StatusCodes.Status200OK);
    }

    static LedgerAnswer ReadLedger(string id, EngineSlot slot, TimeProvider time) => LedgerAnswer.Of(Find(id, slot), time.GetUtcNow());

    static async Task<LedgerAnswer> ReadTableLedgerAsync(Guid database, string table, HttpContext http, ControlPlane plane, EngineSlot slot, TimeProvider time, CancellationToken cancellation)
    {
        var found = await plane.GetTableAsync(Caller.Of(http), database, table, cancellation);
        return LedgerAnswer.Of(slot.Engine.FindTable(found.Id) ?? throw new SluiceException(ErrorCode.NotFound, "There is no such table."), time.GetUtcNow());
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
