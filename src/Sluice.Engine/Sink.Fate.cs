using System.Text.Json;
using Sluice.Load;
using Sluice.Log;
using Sluice.Quarantine;
using Sluice.Records;

namespace Sluice;

/// <summary>What became of one request: from the log as long as that has it, and from what the store keeps.</summary>
public sealed partial class Sink
{
    /// <summary>Finds out what became of a request, while it waits, when it is loaded, and after it was trimmed from the log.</summary>
    /// <param name="requestId">As the answer to the request had it.</param>
    /// <param name="after">Only records with a higher index; -1: from the first.</param>
    /// <param name="limit">Most records to list.</param>
    /// <param name="cancellation">Stops waiting.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.InvalidParameter"/>: no request id. <see cref="ErrorCode.NotFound"/>: this sink took no such request.
    /// </exception>
    public async ValueTask<RequestFate> ReadFateAsync(string requestId, int after, int limit, CancellationToken cancellation)
    {
        if (!FrameHeader.TryParseRequestId(requestId, out var logId, out var sequence))
            throw new SluiceException(ErrorCode.InvalidParameter, "That is no request id.");
        requestId = FrameHeader.FormatRequestId(new LogPosition(logId, 0, sequence)); // as the store has it
        var isLoaded = sequence <= _table.LoadedSequence; // asked first: what the log has no more is in the store then
        if (logId != _table.Log.Id || sequence == 0) throw NoRequest();
        var isLost = _table.IsLost(sequence); // the loader has passed it, and loaded nothing
        if (!isLost && (sequence > _table.Log.DurablePosition.Sequence || _table.Log.IsLeftOut(sequence))) throw NoRequest();
        var logged = FindLoggedFate(sequence, isLost);
        var kept = isLoaded ? await _table.Store.ReadFateAsync(Definition.Id, requestId, sequence, cancellation) : s_nothingKept;
        if (logged is null && kept.IsOfOtherSink) throw NoRequest();
        var (receivedAt, outcome) = logged is null ? await FindAnsweredAsync(sequence, cancellation) : (logged.Header.ReceivedAtMicroseconds, logged.Outcome);

        var records = Records(outcome, kept).Where(record => record.Index > after).Take(limit + 1).ToList();
        int? failed = kept.HasAllErrors ? kept.Errors.Count(error => error.RecordIndex >= 0) : null;
        var accepted = outcome?.AcceptedCount ?? logged?.Header.RequestAcceptedCount;
        var received = outcome?.RecordCount ?? logged?.Header.RequestRecordCount;
        if (isLost && accepted != 0)
        {
            return new RequestFate(requestId, IsLoaded: false, receivedAt, null, received, accepted, received - accepted, 0, accepted, [.. records.Take(limit)], records.Count > limit) { IsLost = true };
        }
        return new RequestFate(
            requestId, isLoaded, receivedAt ?? ReceivedAtOf(kept), kept.LoadedAtMicroseconds, received, accepted, received - accepted, isLoaded ? accepted - failed : 0, failed,
            [.. records.Take(limit)], records.Count > limit);
    }

    static readonly KeptFate s_nothingKept = new(null, [], HasAllErrors: true, [], IsOfOtherSink: false);

    /// <returns><c>null</c>: it was trimmed, or a repair took it out whole.</returns>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>: what stands there is no request of this sink.</exception>
    LoggedFate? FindLoggedFate(ulong sequence, bool isLost)
    {
        var log = _table.Log;
        if (log.IsTrimmed(sequence)) return null;
        try
        {
            using var reader = log.OpenReader(sequence - 1);
            if (!reader.TryPeek(out var last) || last.Header.Position.Sequence != sequence) return isLost ? null : throw NoRequest();
            var header = last.Header;
            if (header.Kind is not (FrameKind.Records or FrameKind.Replay) || !header.IsLastPart || header.SinkId != Definition.Id) throw NoRequest();
            var hasAllParts = header.FirstPart == 0 || !log.IsTrimmed(header.FirstPart);
            return new LoggedFate(header, hasAllParts ? LoggedRequest.Read(log, header, last.Payload.Span).Outcome : null);
        }
        catch (Exception e) when (e is ObjectDisposedException || (e is SluiceException { Code: ErrorCode.Corrupt } && log.IsTrimmed(sequence)))
        {
            return null; // trimmed at this moment
        }
    }

    /// <summary>A request with a key is kept with its answer.</summary>
    async ValueTask<(long? ReceivedAt, BatchOutcome? Outcome)> FindAnsweredAsync(ulong sequence, CancellationToken cancellation)
    {
        if (await _table.Store.FindRequestAsync(sequence, cancellation) is not { } request) return default;
        return request.SinkId == Definition.Id ? (request.ReceivedAtMicroseconds, request.Outcome) : throw NoRequest();
    }

    /// <summary>Every record that was not simply loaded, by index.</summary>
    /// <param name="outcome"><c>null</c>: only the quarantine knows the rejected ones.</param>
    static IEnumerable<RecordFate> Records(BatchOutcome? outcome, KeptFate kept)
    {
        var fates = new SortedDictionary<int, RecordFate>();
        var replayed = kept.Quarantined.Where(entry => entry.IsReplayed).Select(entry => entry.RecordIndex).ToHashSet();
        foreach (var record in outcome?.Rejected ?? [])
            fates[record.Index] = new RecordFate(record.Index, record.IsDiscarded ? RecordFateKind.Discarded : RecordFateKind.Rejected, record.Errors);
        foreach (var error in kept.Errors.Where(error => error.RecordIndex >= 0))
            fates[error.RecordIndex] = new RecordFate(error.RecordIndex, RecordFateKind.Failed, [], error.Code, error.Message, error.Key, error.Value);
        foreach (var entry in kept.Quarantined) fates.TryAdd(entry.RecordIndex, FateOf(entry));
        return fates.Values.Select(fate => replayed.Contains(fate.Index) ? fate with { IsReplayed = true } : fate);
    }

    static RecordFate FateOf(QuarantineEntry entry) => entry.Errors switch
    {
        ['"', ..] => new RecordFate(entry.RecordIndex, RecordFateKind.Failed, [], Message: JsonSerializer.Deserialize(entry.Errors, ErrorTextJson.Default.String), Key: entry.Key),
        "[]" => new RecordFate(entry.RecordIndex, RecordFateKind.Discarded, []),
        "" => new RecordFate(entry.RecordIndex, RecordFateKind.Rejected, []), // so many were wrong that they were left out
        _ => new RecordFate(entry.RecordIndex, RecordFateKind.Rejected, JsonSerializer.Deserialize(entry.Errors, RecordErrorJson.Default.IReadOnlyListFieldError) ?? []),
    };

    /// <summary>Records that were rejected at the door are kept with the time of their request; those that failed later, with the time of that.</summary>
    static long? ReceivedAtOf(KeptFate kept) => kept.Quarantined.FirstOrDefault(entry => entry.Errors is not ['"', ..])?.TimeMicroseconds;

    static SluiceException NoRequest() => new(ErrorCode.NotFound, "The sink took no such request.");

    /// <param name="Header">Of the last part.</param>
    /// <param name="Outcome"><c>null</c>: parts before it were trimmed.</param>
    sealed record LoggedFate(FrameHeader Header, BatchOutcome? Outcome);
}
