using Sluice.Quarantine;

namespace Sluice.Load;

/// <summary>What a store knows of one request that was loaded.</summary>
/// <param name="LoadedAtMicroseconds">Microseconds since 1970-01-01 UTC; <c>null</c>: not known any more.</param>
/// <param name="Errors">The late errors that are kept, by index; one about the whole request has index -1.</param>
/// <param name="HasAllErrors">False: some may have made room for newer ones.</param>
/// <param name="Quarantined">The records that are kept in quarantine, by index, without their text.</param>
/// <param name="IsOfOtherSink">What is kept of the request belongs to another sink.</param>
public sealed record KeptFate(
    long? LoadedAtMicroseconds, IReadOnlyList<LateError> Errors, bool HasAllErrors, IReadOnlyList<QuarantineEntry> Quarantined, bool IsOfOtherSink)
{
    /// <summary>Newest loads of a table whose time a store keeps at least: 10,000.</summary>
    public const int MaxLoadTimes = 10_000;
}
