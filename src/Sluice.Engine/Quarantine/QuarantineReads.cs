using Sluice.Records;

namespace Sluice.Quarantine;

/// <summary>Failures of one sink that look alike.</summary>
/// <param name="Count">All that there ever were. Exact.</param>
/// <param name="Waiting">Kept, and neither replayed nor discarded.</param>
/// <param name="Replayed">In the table now.</param>
/// <param name="Discarded">Thrown away by somebody.</param>
/// <param name="RawOmitted">Of all, those whose text was not kept.</param>
/// <param name="Sample">The newest that waits; <c>null</c>: none does.</param>
public sealed record QuarantineGroup(
    ErrorSignature Signature, long Count, long Waiting, long Replayed, long Discarded, long RawOmitted, long FirstMicroseconds, long LastMicroseconds, QuarantineEntry? Sample);

/// <summary>What a sink has in quarantine.</summary>
/// <param name="KeptBytes">Texts and errors, held against <see cref="Schema.QuarantinePolicy.MaxBytes"/>.</param>
public sealed record QuarantineOverview(IReadOnlyList<QuarantineGroup> Groups, long KeptBytes);

/// <summary>A record in quarantine.</summary>
/// <param name="Raw"><c>null</c>: not kept, or replayed since.</param>
/// <param name="IsReplayed">It is in the table now.</param>
/// <inheritdoc cref="QuarantinedRecord"/>
public sealed record QuarantineEntry(
    ulong Position, string RequestId, int RecordIndex, ulong GroupId, RecordForm Form, string Key, string Errors, byte[]? Raw, bool IsReplayed, long TimeMicroseconds);

/// <summary>Which records of a sink; what is <c>null</c> does not narrow.</summary>
/// <param name="After">Only positions above; for the next page.</param>
public sealed record QuarantineSelection(Guid SinkId, ulong? GroupId = null, IReadOnlyList<ulong>? Positions = null, ulong After = 0)
{
    /// <summary>Leaves out what was replayed and what was received before this time.</summary>
    public bool OnlyWaiting { get; init; }

    /// <summary>Leaves out what was received before: it is too old, whether or not it was cleared away yet.</summary>
    public long FromMicroseconds { get; init; }
}
