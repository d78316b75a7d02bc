using Sluice.Load;
using Sluice.Records;

namespace Sluice;

public enum RecordFateKind
{
    /// <summary>Wrong, and never accepted.</summary>
    Rejected,

    /// <summary>Not stored, because another record of its request lacks a field.</summary>
    Discarded,

    /// <summary>Accepted, and then not loaded.</summary>
    Failed,
}

/// <summary>A record that was not simply loaded.</summary>
/// <param name="Index">Its place in the request, from 0.</param>
/// <param name="Errors">Of a rejected one; empty where so many were wrong that they were left out.</param>
/// <param name="Code">Of a failed one; <c>null</c> also when only the message is known still.</param>
/// <param name="Message">Of a failed one.</param>
/// <param name="Key">Of a failed one, its <c>_id</c>.</param>
/// <param name="Value">Of a failed one, JSON; <c>null</c>: not kept.</param>
/// <param name="IsReplayed">It is in the table after all, out of the quarantine.</param>
public sealed record RecordFate(
    int Index, RecordFateKind Kind, IReadOnlyList<FieldError> Errors, LateErrorCode? Code = null, string? Message = null, string? Key = null, string? Value = null, bool IsReplayed = false);

/// <summary>What became of one request. What is not known any more is <c>null</c>.</summary>
/// <param name="IsLoaded">False: it waits in the log, or is lost.</param>
/// <param name="Received">Its records. Received = accepted + rejected; once it is loaded, accepted = loaded + failed.</param>
/// <param name="Records">Those that were not simply loaded, by index.</param>
/// <param name="HasMore">More of them have a higher index.</param>
public sealed record RequestFate(
    string RequestId, bool IsLoaded, long? ReceivedAtMicroseconds, long? LoadedAtMicroseconds, int? Received, int? Accepted, int? Rejected, int? Loaded, int? Failed,
    IReadOnlyList<RecordFate> Records, bool HasMore)
{
    /// <summary>A repair or a rebuild found that nothing has its accepted records any more.</summary>
    public bool IsLost { get; init; }
}
