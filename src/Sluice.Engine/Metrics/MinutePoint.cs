namespace Sluice.Metrics;

/// <summary>What one sink did in one minute. A minute without requests has no point.</summary>
/// <param name="Minute">Start of the minute, minutes since 1970-01-01 UTC.</param>
/// <param name="Requests">POST requests that were answered with per-record results.</param>
/// <param name="Accepted">Records sent on for loading.</param>
/// <param name="Rejected">Records that failed validation.</param>
public readonly record struct MinutePoint(long Minute, long Requests, long Accepted, long Rejected);

/// <summary>
/// The counters of one sink since its creation. Always: received = accepted + rejected, accepted = loaded + failed + pending.
/// </summary>
public readonly record struct SinkLedger(long Requests, long Received, long Accepted, long Rejected, long Loaded, long Failed, long Pending)
{
    /// <summary>
    /// Records that were rejected or failed, and are in the table after all, from the quarantine. They stay counted as rejected or failed: this is no part of the sums.
    /// </summary>
    public long Replayed { get; init; }

    /// <summary>Of those loaded: not applied, because something newer was applied to their key before.</summary>
    public long Superseded { get; init; }

    /// <summary>Of those failed: gone with a part of the log that was repaired, or with a database that was rebuilt; nothing has them any more.</summary>
    public long Lost { get; init; }
}

/// <summary>The size of what came, beside the counters of <see cref="SinkLedger"/>.</summary>
/// <param name="ReceivedBytes">Of decompressed bodies, since the sink's creation.</param>
/// <param name="PendingBytes">Of the bodies of requests that are not wholly settled; those of one second count together.</param>
/// <param name="OldestPendingMicroseconds">When the oldest of those was received, to the second, microseconds since 1970-01-01 UTC; 0: nothing is pending.</param>
public readonly record struct SinkVolume(long ReceivedBytes, long PendingBytes, long OldestPendingMicroseconds);
