using Sluice.Log;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice;

/// <summary>The records of a sink that failed: looking at them, throwing them away, and sending them again.</summary>
public sealed partial class Sink
{
    const int ReplayedAtOnce = 1_000;
    static readonly TimeSpan s_replayPatience = TimeSpan.FromSeconds(60);

    /// <summary>What failed, by group. A record is listed when its frame is loaded, about a second after it was sent.</summary>
    public ValueTask<QuarantineOverview> ReadQuarantineAsync(CancellationToken cancellation) =>
        _table.Store.ReadQuarantineAsync(Definition.Id, OldestKept(), cancellation);

    /// <summary>Records that failed, oldest first, replayed ones too.</summary>
    public ValueTask<IReadOnlyList<QuarantineEntry>> ReadQuarantinedAsync(ulong? groupId, ulong after, int limit, CancellationToken cancellation) =>
        _table.Store.ReadQuarantinedAsync(new QuarantineSelection(Definition.Id, groupId, After: after) { FromMicroseconds = OldestKept() }, limit, cancellation);

    /// <summary>Throws records away that wait in quarantine; they stay counted.</summary>
    /// <returns>How many.</returns>
    public ValueTask<long> DiscardAsync(ulong? groupId, IReadOnlyList<ulong>? positions, CancellationToken cancellation) =>
        _table.Store.DiscardAsync(new QuarantineSelection(Definition.Id, groupId, positions), cancellation);

    /// <summary>
    /// Sends records of the quarantine again, through the sink's present mapping: what passes is appended as new writes, and is in the table when this returns. A
    /// record is replayed once, however often and from wherever this is called, also over a crash: the mark stands in the transaction that loads it.
    /// </summary>
    /// <param name="groupId"><c>null</c>: of every group.</param>
    /// <param name="positions"><c>null</c>: all of the group.</param>
    /// <param name="trial">Another mapping to try them with; for a dry run only.</param>
    /// <param name="isDryRun">Only says what would pass.</param>
    /// <param name="caller">Id of the user or key, for the log.</param>
    /// <param name="cancellation">Stops between two batches, and waiting.</param>
    /// <exception cref="SluiceException">As <see cref="IngestAsync"/>; <see cref="ErrorCode.Unavailable"/>: not loaded within a minute, and will be. The outcome is unknown when batches before were replayed.</exception>
    public async ValueTask<ReplayOutcome> ReplayAsync(
        ulong? groupId, IReadOnlyList<ulong>? positions, SinkDefinition? trial, bool isDryRun, string caller, CancellationToken cancellation)
    {
        if (trial is not null && !isDryRun) throw new ArgumentException("another mapping can only be tried", nameof(trial));
        if (!isDryRun) ThrowIfNotAdmitting();
        await _table.ReplayTurn.WaitAsync(cancellation);
        try
        {
            var decoder = trial is null ? Volatile.Read(ref _mapping).Decoder : RecordDecoder.Compile(trial, _table.Schema);
            var selection = new QuarantineSelection(Definition.Id, groupId, positions) { OnlyWaiting = true, FromMicroseconds = OldestKept() };
            var outcome = new ReplayOutcome(0, 0, 0, 0, 0, [], [], []);
            while (await _table.Store.ReadQuarantinedAsync(selection, ReplayedAtOnce, cancellation) is { Count: > 0 } entries)
            {
                try
                {
                    outcome = await ReplayAsync(entries, decoder, isDryRun, caller, outcome, cancellation);
                }
                catch (SluiceException e) when (e.Outcome == RefusalOutcome.NotStored && outcome.RequestIds.Count > 0)
                {
                    throw new SluiceException(e.Code, $"{e.Message} A part of the records was sent before; the same request again sends the rest.", e) { Outcome = RefusalOutcome.Unknown, RetryAfter = e.RetryAfter };
                }
                selection = selection with { After = entries[^1].Position };
            }
            return outcome;
        }
        finally
        {
            _table.ReplayTurn.Release();
        }
    }

    async ValueTask<ReplayOutcome> ReplayAsync(
        IReadOnlyList<QuarantineEntry> entries, RecordDecoder decoder, bool isDryRun, string caller, ReplayOutcome outcome, CancellationToken cancellation)
    {
        var tried = entries.Where(entry => entry.Raw is not null).ToList();
        var rows = decoder.Rent();
        _context.Admission.Enter();
        try
        {
            foreach (var entry in tried)
            {
                var accepted = rows.NextRow;
                BatchReader.ReadAlone(entry.Raw, entry.Form, decoder, rows);
                if (rows.NextRow > accepted) rows.Origins.AddInt64((long)entry.Position);
            }
            rows.CompleteEachAlone();
            outcome = Add(outcome, tried, rows) with { WithoutRaw = outcome.WithoutRaw + entries.Count - tried.Count };
            return rows.AcceptedCount == 0 ? outcome : await ApplyAsync(tried, decoder, rows, isDryRun, caller, outcome, cancellation);
        }
        finally
        {
            _context.Admission.Leave();
            decoder.Return(rows);
        }
    }

    async ValueTask<ReplayOutcome> ApplyAsync(
        List<QuarantineEntry> tried, RecordDecoder decoder, RecordRows rows, bool isDryRun, string caller, ReplayOutcome outcome, CancellationToken cancellation)
    {
        var origins = rows.Origins.Int64s.ToArray().Select(origin => (ulong)origin).ToList();
        // where the server makes the ids, the row of a record is its own
        var changed = decoder.Schema.IsAutoId ? [] : await _table.Store.FindChangedSinceAsync(_table.Schema, rows.Columns[0], origins, cancellation);
        var byPosition = tried.ToDictionary(entry => entry.Position);
        var overwritten = changed.Select(row => new ReplayOverwrite(byPosition[origins[row]].RequestId, byPosition[origins[row]].RecordIndex, CellText.OfKey(rows.Columns[0], row)));
        outcome = outcome with
        {
            Overwrites = outcome.Overwrites + changed.Count,
            Overwritten = [.. outcome.Overwritten.Concat(overwritten).Take(ReplayOutcome.Listed)],
        };
        if (isDryRun) return outcome;

        var frame = RecordsFrame.EncodeReplay(decoder, Definition.Id, NowMicroseconds(), new RecordsFrame.Meta(caller, "", default, 0), rows);
        var position = await _table.Log.AppendAsync(frame).WaitAsync(cancellation);
        await WaitReplayedAsync(position.Sequence, cancellation);
        var replayed = await _table.Store.ReadReplayedAsync(origins, cancellation);
        return outcome with
        {
            NotLoaded = outcome.NotLoaded + origins.Count - replayed.Count,
            RequestIds = [.. outcome.RequestIds, FrameHeader.FormatRequestId(position)],
        };
    }

    async Task WaitReplayedAsync(ulong sequence, CancellationToken cancellation)
    {
        try
        {
            await _table.WaitLoadedAsync(sequence, cancellation).WaitAsync(s_replayPatience, _context.Time, cancellation);
        }
        catch (TimeoutException e)
        {
            throw new SluiceException(ErrorCode.Unavailable, $"The records are durable, but were not loaded within {s_replayPatience.TotalSeconds} s; they will be.", e) { Outcome = RefusalOutcome.Unknown };
        }
    }

    static ReplayOutcome Add(ReplayOutcome outcome, List<QuarantineEntry> tried, RecordRows rows)
    {
        var failures = rows.Rejected.Select(record => new ReplayFailure(tried[record.Index].RequestId, tried[record.Index].RecordIndex, record.Errors));
        return outcome with
        {
            Passed = outcome.Passed + rows.AcceptedCount,
            Failed = outcome.Failed + rows.Rejected.Count,
            Failures = [.. outcome.Failures.Concat(failures).Take(ReplayOutcome.Listed)],
        };
    }

    long OldestKept() => NowMicroseconds() - (Definition.Quarantine.MaxAge.Ticks / TimeSpan.TicksPerMicrosecond);
}
