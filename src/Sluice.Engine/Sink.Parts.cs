using System.Security.Cryptography;
using Sluice.Load;
using Sluice.Log;
using Sluice.Records;
using Sluice.Watch;

namespace Sluice;

public sealed partial class Sink
{
    /// <summary>Warnings of one large request that are answered.</summary>
    internal const int MaxWarnings = 10_000;

    /// <summary>Decodes, validates and durably appends the records of one request while its body arrives, in memory that does not grow with it.</summary>
    /// <inheritdoc cref="IngestAsync(ReadOnlyMemory{byte}, BodyFormat, RecordOperation, Sender, CancellationToken, LoadWatch)"/>
    /// <param name="body">The request body, UTF-8 JSON.</param>
    /// <exception cref="SluiceException">
    /// Whatever a body that is read whole is refused with, and what <paramref name="body"/> throws; <see cref="ErrorCode.RequestTimeout"/>: it takes longer than
    /// <see cref="LogOptions.MaxReceiveTime"/>. Nothing of the request is stored, unless the exception's outcome says that this is unknown.
    /// </exception>
    public ValueTask<BatchOutcome> IngestLargeAsync(BodyWindow body, BodyFormat format, RecordOperation operation, Sender sender, CancellationToken cancellation, LoadWatch? watch = null) =>
        AppendPartsAsync(body, format, operation, sender, NowMicroseconds(), new RecordsFrame.Meta(sender.Id, "", default, 0), hash: null, watch, cancellation);

    /// <param name="hash">Of a request with a key whose body is not known yet: takes the body as it passes.</param>
    async ValueTask<BatchOutcome> AppendPartsAsync(
        BodyWindow body, BodyFormat format, RecordOperation operation, Sender sender, long receivedAt, RecordsFrame.Meta meta, IncrementalHash? hash, LoadWatch? watch, CancellationToken cancellation)
    {
        var request = new LargeRequest(receivedAt, _context.Time.GetTimestamp(), meta);
        var (definition, decoder) = Volatile.Read(ref _mapping);
        var reader = new PartReader(format, operation, decoder, definition.MaxRecordsPerRequest);
        var rows = decoder.Rent();
        _context.Admission.Enter();
        try
        {
            await using var parts = new PartWriter(_table.Log);
            while (true)
            {
                await body.FillAsync(cancellation, () => ThrowIfLate(request));
                var taken = DecodePart(reader, body, rows, sender);
                request.Add(rows, Show(definition, rows, body.Bytes.Span, request.ReceivedAt));
                if (reader.IsDone) break;
                if (rows.RecordCount > 0)
                {
                    if (_context.Admission.FindLackOfRoom(_table) is { } lack) throw lack; // a body that arrives for hours may meet a full disk, or a loader that has fallen behind
                    parts.Append(Encode(await parts.NextAsync(hasMore: true)), rows.AcceptedCount);
                    rows.BeginPart();
                }
                hash?.AppendData(body.Bytes.Span[..taken]);
                body.Take(taken);
            }
            hash?.AppendData(body.Bytes.Span);
            // a request with a key is waited for, whoever is gone: whoever sends the key next must find it
            var last = Encode(await parts.NextAsync(hasMore: false));
            if (watch is not null) last.OnDurable = watch.Begin;
            var position = await parts.CompleteAsync(last).WaitAsync(meta.IdempotencyKey.Length > 0 ? CancellationToken.None : cancellation);

            NoteDrift(rows, request.ReceivedAt);
            var outcome = request.Complete(position, rows);
            _context.Meters.BatchIngested(definition.Id, outcome.AcceptedCount, outcome.RejectedCount, body.BodyBytes);
            return outcome;

            FrameBuffer Encode(RecordsFrame.Part part)
            {
                var partMeta = request.Meta with { BodyBytes = body.BodyBytes };
                if (hash is not null && !part.HasMore) partMeta = partMeta with { BodyHash = hash.GetCurrentHash() };
                return RecordsFrame.Encode(decoder, definition.Id, request.ReceivedAt, partMeta, rows, body.Bytes.Span, part);
            }
        }
        finally
        {
            _context.Admission.Leave();
            decoder.Return(rows);
        }
    }

    /// <summary>Charges for each part as it comes: a body of gigabytes is not free until its end.</summary>
    int DecodePart(PartReader reader, BodyWindow body, RecordRows rows, Sender sender)
    {
        var taken = body.Bytes.Length; // also when it is not to be decoded
        try
        {
            var read = reader.Read(body.Bytes.Span, body.IsComplete, rows);
            if (!reader.IsDone) taken = read;
            return read;
        }
        finally
        {
            Charge(sender, rows.RecordCount, taken);
        }
    }

    /// <summary>Its parts keep the log from being trimmed as long as a body arrives.</summary>
    void ThrowIfLate(LargeRequest request)
    {
        var longest = _context.Options.Log.MaxReceiveTime;
        if (_context.Time.GetElapsedTime(request.Started) > longest) throw new SluiceException(ErrorCode.RequestTimeout, $"The body did not arrive within {longest}.");
    }

    /// <summary>What is known of a request in parts before its end.</summary>
    sealed class LargeRequest(long receivedAt, long started, RecordsFrame.Meta meta)
    {
        const int MaxShownParts = 4;

        readonly RejectedList _rejected = new();
        readonly List<TruncationWarning> _warnings = [];
        readonly List<TailBatch> _shown = [];
        int _warningCount;

        public long ReceivedAt => receivedAt;

        /// <summary>Timestamp of the clock.</summary>
        public long Started => started;

        public RecordsFrame.Meta Meta => meta;

        /// <summary>Adds what became of the records of the next part.</summary>
        /// <param name="shown">What those who watch will see of them.</param>
        public void Add(RecordRows rows, TailBatch? shown)
        {
            _rejected.Add(rows.Rejected);
            _warningCount += rows.Warnings.Count;
            _warnings.AddRange(rows.Warnings.Take(MaxWarnings - _warnings.Count));
            if (shown is null) return;
            if (_shown.Count >= MaxShownParts) shown.CountOnly();
            _shown.Add(shown);
        }

        /// <param name="last">The last part.</param>
        public BatchOutcome Complete(LogPosition position, RecordRows last)
        {
            var recordCount = last.FirstRecordIndex + last.RecordCount;
            if (last.IsDiscarded) _rejected.DiscardAll(recordCount);
            var requestId = FrameHeader.FormatRequestId(position);
            foreach (var shown in _shown) shown.Publish(requestId);
            return new BatchOutcome(requestId, position.Sequence, recordCount, _rejected, last.IsDiscarded ? [] : _warnings)
            {
                UndetailedCount = _rejected.UndetailedCount,
                OmittedWarningCount = last.IsDiscarded ? 0 : _warningCount - _warnings.Count,
            };
        }
    }
}
