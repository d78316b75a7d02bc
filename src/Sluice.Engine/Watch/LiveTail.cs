using System.Text;
using System.Threading.Channels;
using Sluice.Records;

namespace Sluice.Watch;

/// <summary>A record as it came, with its fate at the door.</summary>
/// <param name="Key">Its <c>_id</c>; <c>null</c>: unknown, because the record was rejected or the server makes the ids.</param>
/// <param name="IsAccepted">Durable; else <paramref name="Errors"/> says why not, and an empty list that its request was discarded.</param>
/// <param name="Raw">Its text, at most 1,024 bytes of it.</param>
/// <param name="Missed">Records that this subscriber did not get before this one, because it reads too slowly or a request brought too many at once.</param>
public sealed record TailRecord(
    string RequestId, int RecordIndex, string? Key, bool IsAccepted, IReadOnlyList<FieldError> Errors, string Raw, bool IsShortened, long TimeMicroseconds, long Missed);

/// <summary>What a subscriber wants to see.</summary>
/// <param name="OnlyErrors">Rejected records alone.</param>
/// <param name="Filter">Part of the text; empty: all.</param>
public sealed record TailFilter(bool OnlyErrors, string Filter);

/// <summary>One who watches a sink. Dispose to stop. One reader; any thread.</summary>
public sealed class TailSubscription : IDisposable
{
    const int Capacity = 1_000;

    readonly Channel<TailRecord> _channel = Channel.CreateBounded<TailRecord>(new BoundedChannelOptions(Capacity) { SingleReader = true });
    readonly Action<TailSubscription> _ended;
    readonly byte[] _filter;
    long _missed;

    internal TailSubscription(TailFilter filter, Action<TailSubscription> ended)
    {
        (OnlyErrors, _ended) = (filter.OnlyErrors, ended);
        _filter = Encoding.UTF8.GetBytes(filter.Filter);
    }

    /// <summary>Records in the order in which they became durable.</summary>
    public ChannelReader<TailRecord> Records => _channel.Reader;

    /// <summary>Records missed since the last one that was handed over.</summary>
    public long Missed => Interlocked.Read(ref _missed);

    internal bool OnlyErrors { get; }

    public void Dispose() => _ended(this);

    internal bool Wants(ReadOnlySpan<byte> raw) => _filter.Length == 0 || raw.IndexOf(_filter) >= 0;

    internal void Miss(long count) => Interlocked.Add(ref _missed, count);

    internal void Offer(TailRecord record)
    {
        var missed = Interlocked.Exchange(ref _missed, 0);
        if (!_channel.Writer.TryWrite(record with { Missed = missed })) Interlocked.Add(ref _missed, missed + 1);
    }
}

/// <summary>Those who watch a sink. Costs one read of a field while there are none. Any thread.</summary>
sealed class LiveTail
{
    /// <summary>Most who watch one sink.</summary>
    public const int MaxSubscriptions = 16;

    const int MaxOfRequest = 200;
    const int MaxRawBytes = 1_024;

    readonly Lock _lock = new();
    TailSubscription[]? _subscriptions; // written under _lock; null: nobody

    /// <exception cref="SluiceException"><see cref="ErrorCode.LimitExceeded"/>: too many watch already.</exception>
    public TailSubscription Subscribe(TailFilter filter)
    {
        var subscription = new TailSubscription(filter, Remove);
        lock (_lock)
        {
            if (_subscriptions is { Length: >= MaxSubscriptions })
                throw new SluiceException(ErrorCode.LimitExceeded, $"{MaxSubscriptions} clients watch this sink already.");
            Volatile.Write(ref _subscriptions, [.. _subscriptions ?? [], subscription]);
        }
        return subscription;
    }

    /// <summary>What the subscribers will be shown of a request, copied out of its body; <c>null</c>: nobody watches.</summary>
    public TailBatch? Look(RecordRows rows, ReadOnlySpan<byte> body, long receivedAtMicroseconds)
    {
        if (Volatile.Read(ref _subscriptions) is not { } subscriptions) return null;
        var batch = new TailBatch();
        foreach (var subscription in subscriptions) Look(subscription, rows, body, receivedAtMicroseconds, batch);
        return batch;
    }

    static void Look(TailSubscription subscription, RecordRows rows, ReadOnlySpan<byte> body, long receivedAtMicroseconds, TailBatch batch)
    {
        var (rejected, row, taken, missed) = (0, 0, 0, 0L);
        for (var i = 0; i < rows.RecordCount; i++)
        {
            var index = rows.FirstRecordIndex + i;
            var wrong = rejected < rows.Rejected.Count && rows.Rejected[rejected].Index == index ? rows.Rejected[rejected++] : null;
            var ofRow = wrong is null ? row++ : -1;
            var raw = body.Slice(rows.Records[i].Start, rows.Records[i].Length);
            if ((subscription.OnlyErrors && wrong is null) || !subscription.Wants(raw)) continue;
            if (taken++ >= MaxOfRequest)
            {
                missed++;
                continue;
            }
            var shown = raw[..Math.Min(raw.Length, MaxRawBytes)];
            batch.Records.Add((subscription, new TailRecord(
                "", index, KeyOf(rows.Columns[0], ofRow), wrong is null, wrong?.Errors ?? [], Encoding.UTF8.GetString(shown),
                shown.Length < raw.Length, receivedAtMicroseconds, 0)));
        }
        if (missed > 0) batch.Missed.Add((subscription, missed));
    }

    /// <summary><c>null</c> also where the server makes the ids, which it does later.</summary>
    static string? KeyOf(ColumnBuffer key, int row) => row < 0 || key.States[row] != CellState.Value ? null : CellText.OfKey(key, row);

    void Remove(TailSubscription subscription)
    {
        lock (_lock)
        {
            TailSubscription[] left = [.. (_subscriptions ?? []).Where(other => other != subscription)];
            Volatile.Write(ref _subscriptions, left.Length == 0 ? null : left);
        }
    }
}

/// <summary>What subscribers are shown of one request, once it is durable.</summary>
sealed class TailBatch
{
    public List<(TailSubscription To, TailRecord Record)> Records { get; } = [];

    public List<(TailSubscription To, long Count)> Missed { get; } = [];

    /// <summary>Keeps how many records there were, and not the records: a large request is shown by its first ones.</summary>
    public void CountOnly()
    {
        foreach (var to in Records.GroupBy(shown => shown.To)) Missed.Add((to.Key, to.Count()));
        Records.Clear();
    }

    public void Publish(string requestId)
    {
        foreach (var (to, record) in Records) to.Offer(record with { RequestId = requestId });
        foreach (var (to, count) in Missed) to.Miss(count);
    }
}
