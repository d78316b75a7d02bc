using System.Text.Json.Serialization;

namespace Sluice.Client;

/// <summary>A record as it became durable, one line of <c>/tail</c>.</summary>
/// <param name="Key">Its <c>_id</c>, where it is known.</param>
/// <param name="Status"><c>accepted</c> or <c>rejected</c>.</param>
/// <param name="Raw">The record, or its beginning.</param>
/// <param name="Missed">Records that were left out before this one, because the reader was too slow or the request too long.</param>
public sealed record TailResource(
    string RequestId, int Index, [property: JsonPropertyName("_id")] string? Key, string Status, IReadOnlyList<FieldErrorBody> Errors, string Raw, bool RawShortened,
    DateTime Time, long Missed);

/// <summary>Failures that look alike; a record is in the group of its first error.</summary>
/// <param name="Text">For people, as in <c>/price expected decimal(2), got string</c>.</param>
/// <param name="Count">All there ever were.</param>
/// <param name="Waiting">Kept, and neither replayed nor discarded.</param>
public sealed record QuarantineGroupResource(string Id, string Text, string Path, string Code, string Expected, string Got, long Count, long Waiting, long Replayed, long Discarded);

public sealed record QuarantineResource(IReadOnlyList<QuarantineGroupResource> Resources, long KeptBytes, long MaxBytes, string MaxAge, bool KeepRaw);

/// <summary>A record that failed.</summary>
/// <param name="State"><c>waiting</c> or <c>replayed</c>.</param>
/// <param name="Raw">As it was sent; <c>null</c>: its text was not kept.</param>
public sealed record QuarantineEntryResource(string Id, string Group, string RequestId, int Index, string State, IReadOnlyList<FieldErrorBody> Errors, string? Raw, DateTime Time)
{
    [JsonPropertyName("_id")]
    public string? Key { get; init; }

    /// <summary>Why it was not loaded; of records that were accepted only.</summary>
    public string? Message { get; init; }
}

/// <param name="Next">Where the next page begins; <c>null</c>: there is none.</param>
public sealed record QuarantinePage(IReadOnlyList<QuarantineEntryResource> Resources, string? Next);

/// <summary>Which records to send again: one of <paramref name="Group"/>, <paramref name="Entries"/> (10,000 at most) and <paramref name="All"/>.</summary>
/// <param name="Schema">Another mapping to try; with <paramref name="DryRun"/> only.</param>
public sealed record ReplayRequest(string? Group = null, IReadOnlyList<string>? Entries = null, bool? All = null, bool DryRun = false, SinkSchema? Schema = null);

/// <param name="Passed">In the table now; with <paramref name="DryRun"/>, would be.</param>
/// <param name="Failed">Wrong still; they wait on.</param>
/// <param name="WithoutRaw">Not tried: their text was not kept.</param>
/// <param name="NotLoaded">Of those passed, refused by the store; they wait on.</param>
/// <param name="Overwrites">Of those passed, keys that were written since the record failed.</param>
/// <param name="Failures">At most 100 of them.</param>
/// <param name="Warnings">At most 100 of the overwrites.</param>
public sealed record ReplayAnswer(
    bool DryRun, long Passed, long Failed, long WithoutRaw, long NotLoaded, long Overwrites, IReadOnlyList<string> RequestIds, IReadOnlyList<ReplayFailure> Failures,
    IReadOnlyList<ReplayWarning> Warnings);

public sealed record ReplayFailure(string RequestId, int Index, IReadOnlyList<FieldErrorBody> Errors);

/// <param name="Code">Always <c>KeyChanged</c>.</param>
public sealed record ReplayWarning(string RequestId, int Index, [property: JsonPropertyName("_id")] string Key, string Code);

/// <summary>One version of a sink's mapping; the highest is in use.</summary>
public sealed record SinkMappingResource(int Version, SinkSchema Schema, string Truncation, DateTime CreatedAt, string CreatedBy);
