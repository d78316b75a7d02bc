using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Quarantine;

/// <summary>A record that failed, as it is handed to a store.</summary>
/// <param name="Position">Of the record in the log: names it, so that writing it again is harmless.</param>
/// <param name="RecordIndex">Its place in its request.</param>
/// <param name="GroupId"><see cref="ErrorSignature.Id"/>.</param>
/// <param name="Form">How to read <paramref name="Raw"/>.</param>
/// <param name="Key">Its <c>_id</c>; empty when unknown.</param>
/// <param name="Errors">JSON: an array of field errors; of a late failure the reason, as a JSON string.</param>
/// <param name="Raw">Its text; empty: not kept.</param>
/// <param name="TimeMicroseconds">When it was received, microseconds since 1970-01-01 UTC.</param>
public sealed record QuarantinedRecord(
    Guid SinkId, ulong Position, string RequestId, int RecordIndex, ulong GroupId, RecordForm Form, string Key, string Errors, byte[] Raw, long TimeMicroseconds);

/// <summary>Failures of one group that one load found.</summary>
/// <param name="Count">All of them, kept one by one or not.</param>
/// <param name="RawOmitted">Of those, the ones without text.</param>
public sealed record GroupCount(Guid SinkId, ErrorSignature Signature, long Count, long RawOmitted, long FirstMicroseconds, long LastMicroseconds);

/// <summary>What a load changes in the quarantine, in the transaction that moves the position.</summary>
/// <param name="Records">To be kept one by one, as far as the policy of their sink allows.</param>
/// <param name="Groups">To be added to the totals.</param>
/// <param name="Replayed">Positions of records that are in the table now: they wait no more. Empty for all but replays.</param>
/// <param name="Policies">Of every sink that <paramref name="Records"/> names.</param>
/// <param name="NowMicroseconds">The time that ages are counted from.</param>
public sealed record QuarantineBatch(
    IReadOnlyList<QuarantinedRecord> Records, IReadOnlyList<GroupCount> Groups, IReadOnlyList<ulong> Replayed,
    IReadOnlyDictionary<Guid, QuarantinePolicy> Policies, long NowMicroseconds)
{
    /// <summary>Most records that a store keeps of one sink: 100,000. Beyond, they are only counted.</summary>
    public const int MaxRecordsPerSink = 100_000;
}
