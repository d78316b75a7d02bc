using System.Security.Cryptography;
using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Log;
using Sluice.Records;

namespace Sluice;

/// <summary>Requests with a key: sent again, they are answered again and stored once.</summary>
public sealed partial class Sink
{
    /// <summary>As <see cref="IngestAsync"/>, but once for each key: a request with a key that was answered before is answered again from what was kept.</summary>
    /// <param name="key">1 to 255 printable ASCII characters; the sender's name for this request, unique within the sink.</param>
    /// <inheritdoc cref="IngestLargeAsync"/>
    /// <exception cref="SluiceException"><see cref="ErrorCode.KeyReused"/>: the key was sent with another body; nothing was appended.</exception>
    public async ValueTask<BatchOutcome> IngestOnceAsync(
        string key, BodyWindow body, BodyFormat format, RecordOperation operation, Sender sender, CancellationToken cancellation, LoadWatch? watch = null)
    {
        IdempotencyKey.Check(key);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData([(byte)format, (byte)operation]);
        var name = IdempotencyKeys.HashOf(Definition.Id, IdempotencyKey.Bytes(key));
        var (turn, answered) = await _context.Keys.EnterAsync(name, cancellation);
        if (answered is not null) return Repeat(answered, key, await HashRestAsync(body, hash, cancellation));
        using (turn)
        {
            if (_context.Keys.Find(name) is { } sequence && await FindKeptAsync(sequence, cancellation) is { } kept && kept.Key == key)
            {
                turn!.Answer(kept);
                return Repeat(kept, key, await HashRestAsync(body, hash, cancellation));
            }
            var receivedAt = NowMicroseconds();
            var meta = new RecordsFrame.Meta(sender.Id, key, default, body.BodyBytes);
            BatchOutcome outcome;
            if (body.IsComplete)
            {
                hash.AppendData(body.Bytes.Span);
                // not cancelled while the frame may become durable: whoever sends the key next must find it
                outcome = await AppendAsync(body.Bytes, format, operation, sender, receivedAt, meta with { BodyHash = hash.GetCurrentHash() }, watch, CancellationToken.None);
            }
            else
            {
                outcome = await AppendPartsAsync(body, format, operation, sender, receivedAt, meta, hash, watch, cancellation);
            }
            turn!.Answer(new KeptRequest(Definition.Id, outcome.Sequence, key, hash.GetCurrentHash(), receivedAt, outcome));
            return outcome;
        }
    }

    static async ValueTask<byte[]> HashRestAsync(BodyWindow body, IncrementalHash hash, CancellationToken cancellation)
    {
        while (true)
        {
            await body.FillAsync(cancellation);
            hash.AppendData(body.Bytes.Span);
            if (body.IsComplete) return hash.GetCurrentHash();
            body.Take(body.Bytes.Length);
        }
    }

    /// <summary>How many keys the server remembers, and for how long.</summary>
    public IdempotencyWindow ReadIdempotencyWindow() => _context.Keys.ReadWindow();

    static BatchOutcome Repeat(KeptRequest kept, string key, ReadOnlySpan<byte> hash) => kept.BodyHash.Span.SequenceEqual(hash)
        ? kept.Outcome with { IsRepeated = true }
        : throw new SluiceException(ErrorCode.KeyReused, $"The Idempotency-Key '{key[..Math.Min(key.Length, 64)]}' was sent before with another body; nothing was stored.");

    /// <summary>What the store kept when the request was loaded, or what the log holds of it before. <c>null</c> too when its records are lost: they are stored when they come again.</summary>
    async ValueTask<KeptRequest?> FindKeptAsync(ulong sequence, CancellationToken cancellation)
    {
        if (_table.IsLost(sequence)) return null;
        if (sequence > _table.LoadedSequence && FindLogged(sequence) is { } pending) return pending;
        return await _table.Store.FindRequestAsync(sequence, cancellation) ?? FindLogged(sequence);
    }

    KeptRequest? FindLogged(ulong sequence) => LoggedRequest.Find(_table.Log, sequence) is { } found
        ? new KeptRequest(found.Header.SinkId, sequence, found.Meta.IdempotencyKey, found.Meta.BodyHash, found.Header.ReceivedAtMicroseconds, found.Outcome)
        : null;
}
