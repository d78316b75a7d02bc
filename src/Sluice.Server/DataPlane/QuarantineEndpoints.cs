using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Server.Accounts;

namespace Sluice.Server.DataPlane;

/// <summary>Failures that look alike.</summary>
/// <param name="Text">For people, as in <c>/price expected decimal(2), got string</c>.</param>
/// <param name="Count">All there ever were. Exact.</param>
/// <param name="Waiting">Kept, and neither replayed nor discarded.</param>
/// <param name="RawOmitted">Of all, those whose text was not kept.</param>
sealed record QuarantineGroupAnswer(
    string Id, string Text, string Path, string Code, string Expected, string Got, long Count, long Waiting, long Replayed, long Discarded, long RawOmitted,
    DateTime FirstSeen, DateTime LastSeen, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] QuarantineEntryAnswer? Sample);

/// <param name="KeptBytes">Of texts and errors, held against <paramref name="MaxBytes"/>.</param>
/// <param name="MaxAge">How long a record is kept.</param>
sealed record QuarantineAnswer(IReadOnlyList<QuarantineGroupAnswer> Resources, long KeptBytes, long MaxBytes, string MaxAge, bool KeepRaw);

/// <summary>A record that failed.</summary>
/// <param name="Key">Its <c>_id</c>, where it is known.</param>
/// <param name="State"><c>waiting</c> or <c>replayed</c>.</param>
/// <param name="Message">Why it was not loaded; of records that were accepted only.</param>
/// <param name="Raw">As it was sent: an element of <c>records</c>, or a bare value where those were sent.</param>
sealed record QuarantineEntryAnswer(
    string Id, string Group, string RequestId, int Index, [property: JsonPropertyName("_id"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Key,
    string State, JsonElement Errors, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Message,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Raw, bool RawOmitted, DateTime Time);

/// <param name="Next">Goes into <c>after</c> for the next page; left out at the end.</param>
sealed record QuarantineEntriesAnswer(
    IReadOnlyList<QuarantineEntryAnswer> Resources, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Next);

sealed record DiscardAnswer(long Discarded);

/// <param name="Passed">In the table now; with <paramref name="DryRun"/>, would be.</param>
/// <param name="Failed">Wrong still; they wait on.</param>
/// <param name="WithoutRaw">Not tried: their text was not kept.</param>
/// <param name="NotLoaded">Of those passed, refused by the store; they wait on.</param>
/// <param name="Overwrites">Of those passed, keys that were written since the record failed.</param>
/// <param name="Failures">At most 100 of them.</param>
/// <param name="Warnings">At most 100 of the overwrites.</param>
sealed record ReplayAnswer(
    bool DryRun, long Passed, long Failed, long WithoutRaw, long NotLoaded, long Overwrites, IReadOnlyList<string> RequestIds,
    IReadOnlyList<ReplayFailureAnswer> Failures, IReadOnlyList<ReplayWarningAnswer> Warnings);

sealed record ReplayFailureAnswer(string RequestId, int Index, IReadOnlyList<FieldErrorShape> Errors);

/// <param name="Code">Always <c>KeyChanged</c>.</param>
sealed record ReplayWarningAnswer(string RequestId, int Index, [property: JsonPropertyName("_id")] string Key, string Code);

/// <param name="Group">Id of a group; this or <paramref name="Entries"/> or <paramref name="All"/>.</param>
/// <param name="Schema">Another mapping to try; with <paramref name="DryRun"/> only.</param>
sealed record ReplayShape(string? Group, IReadOnlyList<string>? Entries, bool? All, bool? DryRun, Client.SinkSchema? Schema);

/// <summary><c>/v2/sinks/{id}/quarantine</c>: the records that failed, and sending them again.</summary>
static class QuarantineEndpoints
{
    const int DefaultEntries = 100;
    const int MaxEntries = 1_000;
    const int MaxNamedEntries = 10_000;

    public static void Map(IEndpointRouteBuilder routes)
    {
        foreach (var version in Api.Versions)
        {
            var quarantine = routes.MapGroup(version + "/sinks/{id}/quarantine").WithTags("Quarantine");
            quarantine.MapGet("", ReadAsync)
                .Produces<QuarantineAnswer>()
                .RequireAuthorization(Policies.Read)
                .Describe(version, "getQuarantine", "The records that failed: groups of them, or with group the records of one, with limit and after for pages.");
            quarantine.MapDelete("", DiscardAsync)
                .Produces<DiscardAnswer>()
                .RequireAuthorization(Policies.Write)
                .Describe(version, "discardQuarantine", "Throws the waiting records of a group, or one entry, away.");
            quarantine.MapPost("/replay", ReplayAsync)
                .DescribesBody<ReplayShape>()
                .Produces<ReplayAnswer>()
                .RequireAuthorization(Policies.Write)
                .Describe(version, "replayQuarantine", "Sends records again through the present mapping; each at most once.");
        }
    }

    static async Task<IResult> ReadAsync(
        string id, HttpContext http, ControlPlane plane, CancellationToken cancellation, string? group = null, string? after = null, int limit = DefaultEntries)
    {
        var (caller, sinkId) = (Caller.Of(http), Api.IdFrom(id, "sink"));
        if (limit is < 1 or > MaxEntries)
            throw new SluiceException(ErrorCode.InvalidParameter, $"The parameter limit must be from 1 to {MaxEntries}.");
        if (group is null)
        {
            var policy = (await plane.GetSinkAsync(caller, sinkId, cancellation)).Mapping.ReadQuarantine();
            var overview = await plane.ReadQuarantineAsync(caller, sinkId, cancellation);
            return Results.Json(new QuarantineAnswer([.. overview.Groups.Select(Answer)], overview.KeptBytes, policy.MaxBytes, TimeToLive.Write(policy.MaxAge), policy.KeepRaw), Readable);
        }
        var entries = await plane.ReadQuarantinedAsync(caller, sinkId, GroupFrom(group, "group"), after is null ? 0 : PositionFrom(after, "after"), limit, cancellation);
        return Results.Json(new QuarantineEntriesAnswer([.. entries.Select(Answer)], entries.Count < limit ? null : Text(entries[^1].Position)), Readable);
    }

    static async Task<DiscardAnswer> DiscardAsync(string id, HttpContext http, ControlPlane plane, CancellationToken cancellation, string? group = null, string? entry = null)
    {
        if (group is null == entry is null)
            throw new SluiceException(ErrorCode.MissingParameter, "One of the parameters group and entry is required.");
        var choice = group is not null ? new QuarantineChoice(GroupFrom(group, "group"), null) : new QuarantineChoice(null, [PositionFrom(entry!, "entry")]);
        return new DiscardAnswer(await plane.DiscardAsync(Caller.Of(http), Api.IdFrom(id, "sink"), choice, cancellation));
    }

    static async Task<IResult> ReplayAsync(string id, HttpContext http, ControlPlane plane, ServerOptions options, CancellationToken cancellation)
    {
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        var isDryRun = body.OptionalFlag("dry_run") ?? false;
        var trial = body.OptionalObject("schema") is { } schema ? SinkBody.ReadSchema(schema) : null;
        var outcome = await plane.ReplayAsync(Caller.Of(http), Api.IdFrom(id, "sink"), ReadChoice(body), trial, isDryRun, cancellation);
        return Results.Json(Answer(outcome, isDryRun), Readable);
    }

    static QuarantineChoice ReadChoice(JsonBody body)
    {
        var group = body.OptionalText("group");
        var entries = body.OptionalArray("entries");
        var all = body.OptionalFlag("all") ?? false;
        if ((group is null ? 0 : 1) + (entries is null ? 0 : 1) + (all ? 1 : 0) != 1)
            throw new SluiceException(ErrorCode.MissingParameter, "One of the parameters 'group', 'entries' and 'all' is required.");
        if (group is not null)
            return new QuarantineChoice(GroupFrom(group, "group"), null);
        if (entries is { Count: > MaxNamedEntries })
            throw body.Invalid("entries", $"can name {MaxNamedEntries} at most");
        return new QuarantineChoice(null, entries?.Select((entry, i) => PositionFrom(entry.ValueKind == JsonValueKind.String ? entry.GetString()! : "", $"entries[{i}]")).ToList());
    }

    // quotes as \", text as it is: the answer is JSON and is never read as anything else
    static JsonSerializerOptions Readable { get; } = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        WriteIndented = true,
    };

    static QuarantineGroupAnswer Answer(QuarantineGroup group) => new(
        Group(group.Signature.Id), group.Signature.Text, group.Signature.Path, group.Signature.Code, group.Signature.Expected, group.Signature.Got, group.Count, group.Waiting,
        group.Replayed, group.Discarded, group.RawOmitted, Time(group.FirstMicroseconds), Time(group.LastMicroseconds), group.Sample is null ? null : Answer(group.Sample));

    static QuarantineEntryAnswer Answer(QuarantineEntry entry)
    {
        var errors = JsonElement.Parse(entry.Errors.Length == 0 ? "[]" : entry.Errors);
        var isLate = errors.ValueKind == JsonValueKind.String;
        return new(
            Text(entry.Position), Group(entry.GroupId), entry.RequestId, entry.RecordIndex, entry.Key.Length == 0 ? null : entry.Key, entry.IsReplayed ? "replayed" : "waiting",
            isLate ? JsonElement.Parse("[]") : errors, isLate ? errors.GetString() : null, entry.Raw is null ? null : Encoding.UTF8.GetString(entry.Raw).TrimEnd('\r'),
            entry.Raw is null && !entry.IsReplayed, Time(entry.TimeMicroseconds));
    }

    static ReplayAnswer Answer(ReplayOutcome outcome, bool isDryRun) => new(
        isDryRun, outcome.Passed, outcome.Failed, outcome.WithoutRaw, outcome.NotLoaded, outcome.Overwrites, outcome.RequestIds,
        [.. outcome.Failures.Select(failure => new ReplayFailureAnswer(failure.RequestId, failure.RecordIndex, [.. failure.Errors.Select(Shape)]))],
        [.. outcome.Overwritten.Select(record => new ReplayWarningAnswer(record.RequestId, record.RecordIndex, record.Key, "KeyChanged"))]);

    internal static FieldErrorShape Shape(FieldError error) => new(error.Column, error.Path, error.Code.ToString(), error.Expected, error.Got);

    static string Group(ulong id) => id.ToString("x16", CultureInfo.InvariantCulture);

    static string Text(ulong position) => position.ToString(CultureInfo.InvariantCulture);

    internal static DateTime Time(long microseconds) => DateTime.UnixEpoch.AddMicroseconds(microseconds);

    static ulong GroupFrom(string text, string parameter) => ulong.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var id)
        ? id
        : throw new SluiceException(ErrorCode.InvalidParameter, $"Parameter '{parameter}' must be the id of a group.");

    static ulong PositionFrom(string text, string parameter) => ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var position)
        ? position
        : throw new SluiceException(ErrorCode.InvalidParameter, $"Parameter '{parameter}' must be the id of an entry.");
}
