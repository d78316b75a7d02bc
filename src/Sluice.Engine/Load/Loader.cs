using Microsoft.Extensions.Logging;
using Sluice.Idempotency;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Quarantine;
using Sluice.Schema;

namespace Sluice.Load;

/// <summary>The policy of a sink, also of one that is gone. Any thread.</summary>
delegate QuarantinePolicy QuarantineOf(Guid sinkId);

/// <summary>
/// Moves one table's frames from its log into its store: takes all that waits up to a cap, folds it to one row per key, and loads it in one
/// transaction together with the position. A batch that the store refuses for its data is halved until the bad record stands alone.
/// </summary>
/// <remarks>One loop; <see cref="Loaded"/> and <see cref="WaitAsync"/> may be used from any thread.</remarks>
sealed class Loader : IDisposable
{
    readonly Guid _tableId;
    readonly TableLog _log;
    readonly ITableStore _store;
    readonly TableLedger _ledger;
    readonly IngestMeters _meters;
    readonly LoadOptions _options;
    readonly TimeProvider _time;
    readonly ILogger _logger;
    readonly RequestReader _reader;
    readonly RowFolder _folder = new();
    readonly OperationFolder _operations = new();
    readonly LoadProgress _progress;

    readonly QuarantineOf _quarantineOf;
    readonly LateErrors _lateErrors;
    readonly ExpirySchedule _expiry;

    FrameBatch? _batch;
    HashSet<int> _replayedBefore = []; // rows of a replay that are in the table already
    LogPosition _position; // of the table
    long _lastLoad;
    TimeSpan _wholeInterval; // from one load to the next, for enough records to be written at once; zero: they come too slowly
    long _expiredRows;
    long _began; // the first try of the load
    long _retryDelayTicks; // 0: the last load went well
    IReadOnlyList<LateError> _tried = []; // the failures of the last load that was tried
    bool _isInDoubt; // the last load failed, and may have taken effect all the same
    bool _moreWaited; // when the last load ended

    public Loader(
        Guid tableId, TableLog log, ITableStore store, StoredTable? stored, TableLedger ledger, IngestMeters meters, LoadOptions options, TimeProvider time, ILogger logger,
        QuarantineOf? quarantineOf = null, MappingOf? mappingOf = null)
    {
        _lateErrors = new LateErrors(mappingOf ?? ((_, _) => null));
        _expiry = new ExpirySchedule(options, time);
        _expiredRows = stored?.ExpiredRows ?? 0;
        _quarantineOf = quarantineOf ?? (_ => new QuarantinePolicy());
        (_tableId, _log, _store, _ledger, _meters, _options, _time, _logger) = (tableId, log, store, ledger, meters, options, time, logger);
        _position = stored?.Position ?? log.DurablePosition with { Sequence = 0 };
        _progress = new LoadProgress(_position.Sequence);
        _reader = new RequestReader(log, after: _position);
        if (stored is not null) _batch = new FrameBatch(stored.Schema);
    }

    /// <summary>Everything up to this sequence is in the store.</summary>
    public ulong Loaded => _progress.Sequence;

    /// <summary>The schema the store has; <c>null</c> before the first barrier.</summary>
    public TableSchema? Schema => _batch?.Schema;

    /// <summary>Rows that have outlived the table's retention since the table was made.</summary>
    public long ExpiredRows => Volatile.Read(ref _expiredRows);

    /// <summary>Who waits for requests, and wants to know of their failures.</summary>
    public LoadWatches Watches { get; } = new();

    /// <summary>How fast the log is drained while more waits: of a load that takes all there was, the fixed cost says nothing of a backlog.</summary>
    public DrainRate DrainRate { get; } = new();

    /// <summary>The store fails, and is tried again after this time; <c>null</c>: it does not.</summary>
    public TimeSpan? RetryDelay => Volatile.Read(ref _retryDelayTicks) is > 0 and var ticks ? TimeSpan.FromTicks(ticks) : null;

    /// <summary>Who waits for deletions.</summary>
    public Deletions Deletions { get; } = new();

    /// <summary>Called on the loader's thread after a load, at most every few seconds: the time to trim the log.</summary>
    public Action<ulong>? OnLoaded { get; init; }

    /// <summary>Requests with keys that were received earlier need not be kept, microseconds since 1970.</summary>
    public Func<long> OldestKeptKey { get; init; } = () => 0;

    /// <summary>Returns when everything up to the sequence is in the store.</summary>
    public Task WaitAsync(ulong sequence, CancellationToken cancellation) => _progress.WaitAsync(sequence, cancellation);

    /// <summary>Fails those who wait for what will not be loaded any more here.</summary>
    public void End(SluiceException reason) => _progress.End(reason);

    /// <summary>Loads until cancelled. Ends otherwise only with an exception: the loader is broken then, and the server must stop.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        var failures = 0;
        while (!cancellation.IsCancellationRequested)
        {
            var isWoken = HasFrames || await WaitForMoreAsync(cancellation);
            await ExpireWhenDueAsync(cancellation);
            if (!isWoken) continue;
            if (failures == 0)
            {
                await GatherAsync(cancellation);
                _began = _time.GetTimestamp();
            }
            if (!HasFrames && _log.DurablePosition.Sequence <= _reader.Sequence) return; // the log is closed and all of it is loaded
            try
            {
                await LoadNextAsync(cancellation);
                if (failures > 0) _logger.LoadResumed(_tableId, failures);
                failures = 0;
                Volatile.Write(ref _retryDelayTicks, 0);
            }
            catch (StoreException e)
            {
                _isInDoubt = true;
                var delay = LoadRetry.DelayAfter(++failures, _options);
                Volatile.Write(ref _retryDelayTicks, delay.Ticks);
                _logger.LoadDelayed(e, _tableId, failures, (long)delay.TotalMilliseconds);
                await Task.Delay(delay, _time, cancellation);
            }
        }
    }

    public void Dispose() => _reader.Dispose();

    /// <summary>Frames were taken from the log and are not loaded yet.</summary>
    bool HasFrames => _batch is { Frames.Count: > 0 };

    /// <summary>False: nothing came, and it is time to look for what the table keeps no longer.</summary>
    async Task<bool> WaitForMoreAsync(CancellationToken cancellation)
    {
        var more = _log.WaitForMoreAsync(_reader.Sequence, cancellation);
        if (NextExpiry() is not null)
        {
            try
            {
                await more.WaitAsync(_expiry.TimeToNext > TimeSpan.Zero ? _expiry.TimeToNext : TimeSpan.Zero, _time, cancellation);
            }
            catch (TimeoutException)
            {
                return false;
            }
        }
        await more;
        return true;
    }

    /// <summary><c>null</c>: the table keeps everything for ever.</summary>
    RowExpiry? NextExpiry() => _batch is null ? null : RowExpiry.Of(_batch.Schema, _time.GetUtcNow(), _options.MaxExpiredRows);

    /// <summary>One step, so that a load never waits for more than one; a store that fails only delays the next.</summary>
    async Task ExpireWhenDueAsync(CancellationToken cancellation)
    {
        if (_expiry.TimeToNext > TimeSpan.Zero || NextExpiry() is not { } expiry) return;
        try
        {
            var step = await _store.ExpireAsync(expiry, cancellation);
            var rows = step.ExpiredRows - _expiredRows;
            Volatile.Write(ref _expiredRows, step.ExpiredRows);
            if (rows > 0) _logger.RowsExpired(_tableId, rows);
            if (step.HasMore) _expiry.Now();
            else _expiry.Later();
        }
        catch (StoreException e)
        {
            _logger.ExpiryDelayed(e, _tableId);
            _expiry.TryAgain();
        }
    }

    /// <summary>Lets records gather that the store can write at once, where they come within a moment; small requests, unless somebody waits for them.</summary>
    async Task GatherAsync(CancellationToken cancellation)
    {
        if (_lastLoad == 0) return;
        var whole = _wholeInterval - _time.GetElapsedTime(_lastLoad);
        if (whole > TimeSpan.Zero) await Task.Delay(whole, _time, cancellation);
        var rest = _options.MinInterval - _time.GetElapsedTime(_lastLoad);
        if (rest > TimeSpan.Zero) await _progress.DelayUnlessUrgentAsync(rest, _time, cancellation);
    }

    async Task LoadNextAsync(CancellationToken cancellation)
    {
        var interval = _time.GetElapsedTime(_lastLoad);
        _lastLoad = _time.GetTimestamp();
        if (_isInDoubt) await CatchUpAsync(cancellation);
        if (!HasFrames)
        {
            if (await TryApplyBarrierAsync(cancellation)) return;
            Gather();
        }
        _wholeInterval = _batch is { } batch && IsFull(batch) ? TimeSpan.Zero : WholeInterval(interval, _batch?.Rows.RowCount ?? 0); // of a backlog the rest is there
        if (HasFrames) await LoadBatchAsync(_batch!, cancellation);
        else if (_reader.PassedBytes >= _options.MaxBytes || _reader.HasPassedTorn) await PassPartsAsync(cancellation);
        else return;
        OnLoaded?.Invoke(Loaded);
    }

    /// <param name="interval">From the load before to this one, in which the records came.</param>
    TimeSpan WholeInterval(TimeSpan interval, int recordCount)
    {
        var seconds = interval.TotalSeconds * _options.WholeRecords / recordCount; // of no records, and of the first load, anything
        return seconds <= _options.MaxWholeInterval.TotalSeconds ? TimeSpan.FromSeconds(seconds) : TimeSpan.Zero;
    }

    async Task LoadBatchAsync(FrameBatch batch, CancellationToken cancellation)
    {
        _replayedBefore = batch.IsReplay ? await FindReplayedAsync(batch, cancellation) : [];
        await LoadFramesAsync(batch, 0, batch.Frames.Count, cancellation);
        var isIdle = !_moreWaited;
        if (!isIdle) DrainRate.Note(batch.FrameBytes, _time.GetElapsedTime(_began));
        if (isIdle && batch.FrameBytes > _options.MaxBytes / 4) _batch = new FrameBatch(batch.Schema); // gives the memory of a burst back
        else batch.Clear();
    }

    /// <summary>
    /// Moves the position past parts that wait for their last one, or will never get it, and past requests that are lost: otherwise the log could not be
    /// trimmed while nothing else comes.
    /// </summary>
    async Task PassPartsAsync(CancellationToken cancellation)
    {
        await _store.LoadAsync(new LoadBatch(_batch!.Schema, _batch.Rows, _reader.Passed, NoCounts, []), cancellation);
        MoveTo(_reader.Passed);
        _reader.TakePassed();
    }

    void MoveTo(LogPosition position)
    {
        _position = position;
        _ledger.MoveTo(position.Sequence);
        _progress.MoveTo(position.Sequence);
    }

    /// <summary>
    /// Learns from the store how far it is. A load that took effect and reported a failure must not be folded again, against the state that it made.
    /// </summary>
    async Task CatchUpAsync(CancellationToken cancellation)
    {
        if (await _store.ReadStateAsync(cancellation) is { } stored && stored.Position.IsAfter(_position))
        {
            _ledger.SetLoaded(stored.Counts);
            Watches.Note(_tried); // they are stored, whatever the store said
            MoveTo(stored.Position);
            if (!HasFrames && stored.Position == _reader.Passed) _reader.TakePassed(); // else the parts of the request would count as loaded
        }
        _isInDoubt = false;
    }

    /// <summary>True: the next frame was a barrier; what it changes and its position are in the store together.</summary>
    async Task<bool> TryApplyBarrierAsync(CancellationToken cancellation)
    {
        if (!_reader.TryPeek(out var frame)) return false;
        if (_batch is null && frame.Header.Kind != FrameKind.Barrier)
            throw new SluiceException(ErrorCode.Corrupt, $"the log of table {_tableId} begins with frame {frame.Header.Position.Sequence}, which is no schema");
        if (!IsBarrier(frame)) return false;
        if (frame.Header.Kind == FrameKind.Deletion) await DeleteAsync(frame, cancellation);
        else await ApplySchemaAsync(frame, cancellation);
        _reader.Take();
        return true;
    }

    static bool IsBarrier(in LoadableFrame frame) => frame.Header.Kind is FrameKind.Barrier or FrameKind.Deletion;

    /// <summary>Whatever comes of it, the loader goes on: a predicate that does not run deletes nothing, and whoever waits is told.</summary>
    async Task DeleteAsync(LoadableFrame frame, CancellationToken cancellation)
    {
        var deletion = DeletionFrame.Decode(frame.Payload.Span);
        var outcome = await _store.DeleteAsync(_batch!.Schema, deletion, frame.UpTo, cancellation);
        if (outcome.Error is not null) _logger.DeletionFailed(_tableId, outcome.Error);
        Deletions.Complete(deletion.Id, outcome);
        MoveTo(frame.UpTo);
    }

    async Task ApplySchemaAsync(LoadableFrame frame, CancellationToken cancellation)
    {
        var schema = BarrierFrame.Decode(frame.Payload.Span);
        if (_batch is null || schema.Version > _batch.Schema.Version)
        {
            await _store.ApplySchemaAsync(schema, frame.UpTo, cancellation);
            _batch = new FrameBatch(schema);
            _expiry.Now();
            _logger.SchemaApplied(_tableId, schema.Version);
        }
        else
        {
            // a barrier that was appended again after a crash
            await _store.LoadAsync(new LoadBatch(_batch.Schema, _batch.Rows, frame.UpTo, NoCounts, []), cancellation);
        }
        MoveTo(frame.UpTo);
    }

    static Dictionary<Guid, SinkCounts> NoCounts { get; } = [];

    /// <summary>Takes waiting frames up to the cap or the next barrier.</summary>
    void Gather()
    {
        var batch = _batch!;
        while (!IsFull(batch) && _reader.TryPeek(out var frame) && !IsBarrier(frame))
        {
            var isReplay = frame.Header.Kind == FrameKind.Replay;
            if (isReplay && batch.Frames.Count > 0) return;
            batch.Add(frame);
            batch.KeepKeyed(frame, _log);
            _reader.Take();
            if (isReplay) return; // what it does depends on what the quarantine has when all before it is loaded
        }
    }

    bool IsFull(FrameBatch batch) => batch.Rows.RowCount >= _options.MaxRecords || batch.FrameBytes >= _options.MaxBytes;

    /// <summary>Loads the frames, in halves if the store refuses them together; each part moves the position with it.</summary>
    async Task LoadFramesAsync(FrameBatch batch, int start, int end, CancellationToken cancellation)
    {
        while (start < end && !batch.Frames[start].UpTo.IsAfter(_position)) start++; // loaded before a later part failed
        if (start == end) return;
        try
        {
            await LoadPartAsync(batch, start, end, BadRecords.None, cancellation);
        }
        catch (StoreException e) when (!e.IsTransient && end - start > 1)
        {
            var middle = start + ((end - start) / 2);
            await LoadFramesAsync(batch, start, middle, cancellation);
            await LoadFramesAsync(batch, middle, end, cancellation);
        }
        catch (StoreException e) when (!e.IsTransient && batch.Frames[start].RowCount > 0)
        {
            await LoadWithoutBadAsync(batch, start, e, cancellation);
        }
    }

    /// <summary>Loads one frame without the records that the store refuses; those become late errors in the same transaction.</summary>
    async Task LoadWithoutBadAsync(FrameBatch batch, int index, StoreException refusal, CancellationToken cancellation)
    {
        var frame = batch.Frames[index];
        var bad = new BadRecords();
        if (frame.Header.SinkId == Sink.SqlSinkId)
        {
            for (var row = frame.FirstRow; row < frame.EndRow; row++) bad.Add(row, refusal.Message); // a statement is all or nothing
        }
        else
        {
            await FindBadAsync(batch, index, frame.FirstRow, frame.EndRow, refusal.Message, bad, cancellation);
        }
        try
        {
            await LoadPartAsync(batch, index, index + 1, bad, cancellation);
        }
        catch (StoreException e) when (!e.IsTransient && bad.Rows.Count < frame.RowCount)
        {
            // good one by one and not together: nothing of the frame can be loaded, and every record says so
            for (var row = frame.FirstRow; row < frame.EndRow; row++)
                if (!_replayedBefore.Contains(row)) bad.Add(row, e.Message);
            await LoadPartAsync(batch, index, index + 1, bad, cancellation);
        }
        _logger.RecordsRefused(_tableId, bad.Rows.Count, frame.RequestId);
    }

    /// <summary>Tries parts of a frame, undoing each, until every refused record is known.</summary>
    async Task FindBadAsync(FrameBatch batch, int index, int startRow, int endRow, string reason, BadRecords bad, CancellationToken cancellation)
    {
        if (endRow - startRow == 1)
        {
            if (!_replayedBefore.Contains(startRow)) bad.Add(startRow, reason);
            return;
        }
        var middle = startRow + ((endRow - startRow) / 2);
        foreach (var (from, to) in new[] { (startRow, middle), (middle, endRow) })
        {
            try
            {
                // what a record does may depend on those before it: they are taken along, without the bad ones, and known to be good together
                var start = batch.FoldsByKeyState ? batch.Frames[index].FirstRow : from;
                var folded = await FoldAsync(batch, start, to, bad, cancellation);
                await _store.CheckAsync(
                    new LoadBatch(batch.Schema, folded.Rows, batch.Frames[index].UpTo, NoCounts, []) { Operations = folded.Operations }, cancellation);
            }
            catch (StoreException e) when (!e.IsTransient)
            {
                await FindBadAsync(batch, index, from, to, e.Message, bad, cancellation);
            }
        }
    }

    /// <summary>The rows of a replay whose records were replayed by an earlier frame: twice is once.</summary>
    async Task<HashSet<int>> FindReplayedAsync(FrameBatch batch, CancellationToken cancellation)
    {
        var origins = Origins(batch, 0, batch.Rows.RowCount).ToList();
        var replayed = await _store.ReadReplayedAsync(origins, cancellation);
        var seen = new HashSet<ulong>(replayed);
        return [.. Enumerable.Range(0, origins.Count).Where(row => !seen.Add(origins[row]))];
    }

    static IEnumerable<ulong> Origins(FrameBatch batch, int start, int end) => Enumerable.Range(start, end - start).Select(row => (ulong)batch.ReplayOrigins.Int64s[row]);

    /// <summary>The records of the quarantine that a replay applies: whatever it could not apply goes on waiting.</summary>
    List<ulong> ReplayedNow(FrameBatch batch, BadRecords bad, FoldedBatch folded)
    {
        HashSet<int> left = [.. bad.Rows, .. _replayedBefore, .. folded.Failed.Select(failure => failure.Row)];
        return [.. Origins(batch, 0, batch.Rows.RowCount).Where((_, row) => !left.Contains(row))];
    }

    async Task LoadPartAsync(FrameBatch batch, int start, int end, BadRecords bad, CancellationToken cancellation)
    {
        var frames = batch.Frames.Skip(start).Take(end - start).ToList();
        var folded = await FoldAsync(batch, frames[0].FirstRow, frames[^1].EndRow, bad, cancellation);
        var counts = new Dictionary<Guid, SinkCounts>();
        var errors = new List<LateError>();
        var (nextUnmet, nextSuperseded) = (0, 0);
        var now = Now();
        foreach (var frame in frames)
        {
            if (frame.Header.IsLastPart && frame.Header.Flags.HasFlag(FrameFlags.Discarded)) errors.Add(LateErrors.Discarded(frame.Header, now));
            var (firstUnmet, firstSuperseded) = (nextUnmet, nextSuperseded);
            for (; nextUnmet < folded.Failed.Count && folded.Failed[nextUnmet].Row < frame.EndRow; nextUnmet++)
                errors.Add(_lateErrors.Unmet(batch, frame, folded.Failed[nextUnmet].Row, folded.Failed[nextUnmet].Code, now));
            while (nextSuperseded < folded.Superseded.Count && folded.Superseded[nextSuperseded] < frame.EndRow) nextSuperseded++;

            var failed = nextUnmet - firstUnmet + bad.Rows.Count(row => row >= frame.FirstRow && row < frame.EndRow);
            var count = counts.GetValueOrDefault(frame.Header.SinkId);
            counts[frame.Header.SinkId] = batch.IsReplay
                ? new SinkCounts { Replayed = frame.RowCount - failed - _replayedBefore.Count }
                : count with
                {
                    Loaded = count.Loaded + frame.RowCount - failed,
                    Failed = count.Failed + failed,
                    Superseded = count.Superseded + nextSuperseded - firstSuperseded,
                };
        }
        errors.AddRange(bad.Rows.Order().Select(row => _lateErrors.Refused(batch, frames[0], row, bad.ReasonOf(row), now)));
        var quarantine = batch.IsReplay
            ? QuarantineChanges.OfReplay(ReplayedNow(batch, bad, folded), now)
            : QuarantineChanges.Of(batch, frames, errors, _quarantineOf, now);

        var started = _time.GetTimestamp();
        _tried = errors;
        await _store.LoadAsync(
            new LoadBatch(batch.Schema, folded.Rows, frames[^1].UpTo, counts, errors)
            {
                Operations = folded.Operations,
                Quarantine = quarantine,
                Idempotency = KeptOf(batch, frames),
                TimeMicroseconds = now,
            },
            cancellation);
        _ledger.CountLoaded(counts);
        Watches.Note(errors);
        _tried = [];
        _moreWaited = _reader.TryPeek(out _); // before those who wait for this load send more
        MoveTo(frames[^1].UpTo);
        _meters.BatchLoaded(
            counts.Values.Sum(count => count.Loaded), counts.Values.Sum(count => count.Failed), counts.Values.Sum(count => count.Superseded), _time.GetElapsedTime(started));
    }

    /// <summary>Folds to one row a key; where it depends on what the store has of a key, with that.</summary>
    async Task<FoldedBatch> FoldAsync(FrameBatch batch, int start, int end, BadRecords bad, CancellationToken cancellation)
    {
        var excluded = _replayedBefore.Count == 0 ? bad.Rows : [.. bad.Rows, .. _replayedBefore];
        if (!batch.FoldsByKeyState) return new FoldedBatch(_folder.Fold(batch, start, end, excluded), null, [], []);
        var now = Now();
        var operations = new RowOperations(batch.Schema.Key) { TimeMicroseconds = now, TombstonesCountFrom = now - (_options.TombstoneWindow.Ticks / TimeSpan.TicksPerMicrosecond) };
        _operations.Begin(batch, start, end, excluded);
        KeyState[] states = _operations.AskedKeys.RowCount == 0
            ? []
            : await _store.ReadKeysAsync(batch.Schema, _operations.AskedKeys, operations.TombstonesCountFrom, cancellation);
        return _operations.Fold(states, operations);
    }

    long Now() => _time.GetUtcNow().ToUnixTimeMilliseconds() * 1_000;

    IdempotencyBatch? KeptOf(FrameBatch batch, List<BatchedFrame> frames)
    {
        if (batch.Keyed.Count == 0) return null;
        var ends = frames.Where(frame => frame.Header.IsLastPart).Select(frame => frame.Header.Position.Sequence).ToHashSet(); // parts are not in the order of their sequences
        var kept = batch.Keyed.Where(request => ends.Contains(request.Sequence)).ToList();
        return kept.Count == 0 ? null : new IdempotencyBatch(kept, OldestKeptKey());
    }

    /// <summary>The rows of a batch that the store refuses, with its reasons.</summary>
    sealed class BadRecords
    {
        readonly Dictionary<int, string> _reasons = [];
        readonly HashSet<int> _rows = [];

        public static BadRecords None { get; } = new();

        public HashSet<int> Rows => _rows;

        public void Add(int row, string reason)
        {
            if (_rows.Add(row)) _reasons.Add(row, reason);
        }

        public string ReasonOf(int row) => _reasons[row];
    }
}
