using Sluice.Records;

namespace Sluice.Quarantine;

/// <summary>A record that still fails.</summary>
/// <param name="Errors">Why, now; empty when its text was not kept.</param>
public sealed record ReplayFailure(string RequestId, int RecordIndex, IReadOnlyList<FieldError> Errors);

/// <summary>A record whose key was written since it failed: the replay, being the newer write, went over that.</summary>
public sealed record ReplayOverwrite(string RequestId, int RecordIndex, string Key);

/// <summary>What became of the records of a replay. Lists hold at most <see cref="Listed"/> entries, counts are exact.</summary>
/// <param name="Passed">Decoded without error; in the table, unless the run was dry or <paramref name="NotLoaded"/> says otherwise.</param>
/// <param name="Failed">Wrong still; they stay in quarantine as they were.</param>
/// <param name="WithoutRaw">Cannot be tried: their text was not kept.</param>
/// <param name="NotLoaded">Passed, and the store refused them: they stay in quarantine, and stand under the sink's errors.</param>
/// <param name="Overwrites">How many keys were written since.</param>
/// <param name="RequestIds">The frames appended.</param>
public sealed record ReplayOutcome(
    long Passed, long Failed, long WithoutRaw, long NotLoaded, long Overwrites, IReadOnlyList<string> RequestIds, IReadOnlyList<ReplayFailure> Failures,
    IReadOnlyList<ReplayOverwrite> Overwritten)
{
    /// <summary>Most failures and overwrites that are named one by one: 100.</summary>
    public const int Listed = 100;
}
