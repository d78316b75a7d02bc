using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Quotas;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Watch;

namespace Sluice;

/// <summary>
/// One ingest endpoint: takes a request body, answers one outcome per record, and returns only when every accepted record is durable in the
/// table's log. Any thread.
/// </summary>
public sealed partial class Sink
{
    readonly Table _table;
    readonly TableContext _context;
    readonly Lock _change = new();
    Mapping _mapping; // written under _change

    internal Sink(SinkDefinition definition, Table table, TableContext context)
    {
        (_table, _context) = (table, context);
        _mapping = new Mapping(definition, Compile(definition, table.Schema));
        _sample = new RecordSample(context.Time);
        _quota = new QuotaBucket(definition.Quota, context.Time);
        if (definition.Id == SqlSinkId) return; // it maps each column by its name
        context.Mappings.Add(definition);
    }

    /// <summary>The pseudo-sink that SQL writes count under.</summary>
    public static Guid SqlSinkId { get; } = new("00000000-0000-0000-0000-000000000001");

    public SinkDefinition Definition => Volatile.Read(ref _mapping).Definition;

    public Table Table => _table;

    /// <summary>Decodes, validates and durably appends the records of one request.</summary>
    /// <param name="format">How the records stand in the body.</param>
    /// <param name="operation">What the records do that name no operation.</param>
    /// <param name="body">The whole request body, UTF-8 JSON, at most <see cref="SinkDefinition.MaxRequestBytes"/> long.</param>
    /// <param name="sender">Is charged for what was decoded.</param>
    /// <param name="cancellation">Stops waiting. Records already handed to the log may still be loaded.</param>
    /// <param name="watch">Of <see cref="WatchLoad"/>, when the caller will wait until the records are loaded.</param>
    /// <returns>One outcome per record, in request order. Accepted records survive a process or power loss.</returns>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.InvalidBody"/>, <see cref="ErrorCode.MissingParameter"/>, <see cref="ErrorCode.TooManyRecords"/>: not the JSON that is asked for, nothing was appended.
    /// <see cref="ErrorCode.LogBacklog"/>, <see cref="ErrorCode.Draining"/>: nothing was appended, retry later.
    /// <see cref="ErrorCode.LogFailed"/>: the disk refused; the exception's outcome tells whether the records may be found.
    /// </exception>
    public ValueTask<BatchOutcome> IngestAsync(ReadOnlyMemory<byte> body, BodyFormat format, RecordOperation operation, Sender sender, CancellationToken cancellation, LoadWatch? watch = null) =>
        AppendAsync(body, format, operation, sender, NowMicroseconds(), new RecordsFrame.Meta(sender.Id, "", default, body.Length), watch, cancellation);

    async ValueTask<BatchOutcome> AppendAsync(
        ReadOnlyMemory<byte> body, BodyFormat format, RecordOperation operation, Sender sender, long receivedAt, RecordsFrame.Meta meta, LoadWatch? watch, CancellationToken cancellation)
    {
        body = BatchReader.WithoutByteOrderMark(body);
        var (definition, decoder) = Volatile.Read(ref _mapping);
        if (MayNeedParts(body, definition)) return await AppendPartsAsync(new BodyWindow(body), format, operation, sender, receivedAt, meta, hash: null, watch, cancellation);

        var rows = decoder.Rent();
        _context.Admission.Enter();
        try
        {
            try
            {
                BatchReader.Read(body.Span, format, operation, decoder, definition.MaxRecordsPerRequest, rows);
            }
            finally
            {
                Charge(sender, rows.RecordCount, body.Length);
            }

            // encoding copies the rows; also when nothing was accepted, so that every answered request is counted
            var frame = RecordsFrame.Encode(decoder, definition.Id, receivedAt, meta, rows, body.Span);
            if (watch is not null) frame.OnDurable = watch.Begin;
            var shown = Show(definition, rows, body.Span, receivedAt);
            var position = await _table.Log.AppendAsync(frame).WaitAsync(cancellation);

            shown?.Publish(FrameHeader.FormatRequestId(position));
            NoteDrift(rows, receivedAt);
            _context.Meters.BatchIngested(definition.Id, rows.AcceptedCount, rows.Rejected.Count, body.Length);
            return Outcome(position, rows);
        }
        finally
        {
            _context.Admission.Leave();
            decoder.Return(rows);
        }
    }

    /// <summary>For one request that will be waited for with <see cref="WaitLoadedAsync"/>.</summary>
    public LoadWatch WatchLoad() => _table.WatchLoad();

    /// <summary>
    /// Waits until the records of a request are in the table, and so visible to queries: then the records that could not be loaded are among the
    /// rejected of the outcome, each with its <see cref="RejectedRecord.LateReason"/>.
    /// </summary>
    /// <param name="watch">
    /// The one that the request was appended with. When the request was answered before, its failures are looked for among those that the store keeps.
    /// </param>
    /// <returns><c>null</c>: not within <paramref name="timeout"/>. The records are durable all the same, and will be loaded.</returns>
    public async ValueTask<BatchOutcome?> WaitLoadedAsync(BatchOutcome outcome, LoadWatch watch, TimeSpan timeout, CancellationToken cancellation)
    {
        const int mostErrorsOfARequest = 1 << LogPosition.RecordIndexBits;
        IReadOnlyList<LateError> late;
        try
        {
            await _table.WaitLoadedAsync(outcome.Sequence, cancellation).WaitAsync(timeout, _context.Time, cancellation);
            late = watch.IsBegun ? watch.Failures : await ReadErrorsAsync(mostErrorsOfARequest, cancellation);
        }
        catch (Exception e) when (e is TimeoutException or StoreException or SluiceException { Code: ErrorCode.Unavailable })
        {
            return null; // too slow, or being closed: what is durable stays so
        }
        var failed = late.Where(error => error.RequestId == outcome.RequestId && error.RecordIndex >= 0).ToList();
        if (failed.Count == 0) return outcome;
        var rejected = outcome.Rejected.Concat(failed.Select(error => new RejectedRecord(error.RecordIndex, IsDiscarded: false, []) { LateReason = error.Message, LateCode = error.Code }));
        return outcome with { Rejected = [.. rejected.OrderBy(record => record.Index)] };
    }

    /// <summary>Whether a request can be taken now: asked before its body is read.</summary>
    /// <returns>
    /// Why not; <c>null</c> when it can. LogBacklog, LoaderStalled, DiskLow, LogFailed, Draining, QuotaExceeded: nothing was stored. Returned and not thrown: under
    /// overload most requests end here, and a throw costs more than all the rest of them.
    /// </returns>
    public SluiceException? FindRefusal(Sender sender) => _context.Admission.FindRefusal(_table) ?? FindSpentQuota(sender);

    /// <exception cref="SluiceException">LogBacklog, LoaderStalled, DiskLow, LogFailed, Draining: nothing was stored.</exception>
    public void ThrowIfNotAdmitting() => _context.Admission.ThrowIfNotAdmitting(_table);

    /// <summary>The newest errors found after acceptance, newest first.</summary>
    public async ValueTask<IReadOnlyList<LateError>> ReadErrorsAsync(int limit, CancellationToken cancellation)
    {
        var errors = await _table.Store.ReadErrorsAsync(Definition.Id, limit, cancellation);
        if (ReadLedger().Lost is not (> 0 and var lost)) return errors;
        // known from the log's summary alone: no store has a row for it
        var error = new LateError(
            Definition.Id, 0, "", -1, "", LateErrorCode.RecordsLost,
            $"{lost} accepted records are lost: the log was repaired or its database rebuilt, and the log has them no more. Restore a backup, or send them again.", null, _table.Ledger.ReadLostAt(Definition.Id));
        return [.. errors.Append(error).OrderByDescending(it => it.TimeMicroseconds).Take(limit)];
    }

    /// <summary>Minutes with requests, oldest first, 31 days of them at most.</summary>
    public IReadOnlyList<MinutePoint> ReadMinutes() => _table.Ledger.ReadMinutes(Definition.Id);

    public SinkLedger ReadLedger() => _table.Ledger.Read(Definition.Id);

    public SinkVolume ReadVolume() => _table.Ledger.ReadVolume(Definition.Id);

    /// <summary>Takes another mapping or schema in one step; requests under way finish with the one they began with.</summary>
    internal void Use(SinkDefinition definition)
    {
        lock (_change)
        {
            var mapping = new Mapping(definition, Compile(definition, _table.Schema));
            _context.Mappings.Add(definition);
            Volatile.Write(ref _mapping, mapping);
        }
        _quota.Use(definition.Quota);
        if (!definition.KeepsSample) _sample.Clear();
    }

    /// <inheritdoc cref="Use(SinkDefinition)"/>
    internal void Use(TableSchema schema)
    {
        lock (_change) Volatile.Write(ref _mapping, new Mapping(_mapping.Definition, Compile(_mapping.Definition, schema)));
    }

    /// <summary>The SQL door: values without envelope, and all or nothing.</summary>
    internal async ValueTask<BatchOutcome> InsertAsync(ReadOnlyMemory<byte> values, RecordOperation operation, string caller, LoadWatch watch, CancellationToken cancellation)
    {
        var (definition, decoder) = _mapping;
        var rows = decoder.Rent();
        BatchReader.Read(values.Span, BodyFormat.Values, operation, decoder, definition.MaxRecordsPerRequest, rows);
        if (rows.Rejected.Count > 0) return new BatchOutcome("", 0, rows.RecordCount, [.. rows.Rejected], []);
        _context.Admission.ThrowIfNotAdmitting(_table);
        var frame = RecordsFrame.Encode(decoder, definition.Id, NowMicroseconds(), new RecordsFrame.Meta(caller, "", default, values.Length), rows, values.Span);
        frame.OnDurable = watch.Begin;
        return Outcome(await _table.Log.AppendAsync(frame).WaitAsync(cancellation), rows);
    }

    /// <summary>More records than one frame holds: only a sink whose limit was raised takes them, and a record takes two bytes at least.</summary>
    static bool MayNeedParts(ReadOnlyMemory<byte> body, SinkDefinition definition) =>
        definition.MaxRecordsPerRequest > PartReader.MaxRecords && body.Length / 2 > PartReader.MaxRecords;

    static BatchOutcome Outcome(LogPosition position, RecordRows rows)
    {
        var outcome = new BatchOutcome(FrameHeader.FormatRequestId(position), position.Sequence, rows.RecordCount, [], rows.Warnings.Count == 0 ? [] : [.. rows.Warnings]);
        if (rows.Rejected.Count == 0) return outcome;
        var rejected = RejectedList.Of(rows.Rejected, rows.IsDiscarded, rows.RecordCount);
        return outcome with { Rejected = rejected, UndetailedCount = rejected.UndetailedCount };
    }

    long NowMicroseconds() => _context.Time.GetUtcNow().ToUnixTimeMilliseconds() * 1_000;

    sealed record Mapping(SinkDefinition Definition, RecordDecoder Decoder);
}
