using System.IO.Hashing;
using System.Text;
using Sluice.Log;

namespace Sluice.Idempotency;

/// <summary>What an engine remembers of keys. <paramref name="Window"/>: a key received within it is known for certain.</summary>
public sealed record IdempotencyWindow(int Keys, TimeSpan Window);

/// <summary>
/// The keys of all sinks: which request each belongs to, and which are under way. What is answered is in the log or in the store; here is only where. Any
/// thread.
/// </summary>
sealed class IdempotencyKeys(IdempotencyOptions options, TimeProvider time)
{
    readonly Lock _lock = new();
    readonly IdempotencyIndex _index = new(); // under _lock
    readonly Dictionary<UInt128, TaskCompletionSource<KeptRequest?>> _underWay = []; // under _lock
    List<KeptKey>? _recovered = []; // under _lock; null: recovery is over
    uint _knownSince; // under _lock; requests received later are known, so far as age allows

    /// <summary>Names a key of a sink.</summary>
    public static UInt128 HashOf(Guid sinkId, ReadOnlySpan<byte> key)
    {
        Span<byte> bytes = stackalloc byte[16 + IdempotencyKey.MaxLength];
        sinkId.TryWriteBytes(bytes);
        key.CopyTo(bytes[16..]);
        return XxHash128.HashToUInt128(bytes[..(16 + key.Length)]);
    }

    /// <summary>Remembers the key of a request that is durable, if it has one.</summary>
    public void Note(in FrameHeader header, ReadOnlySpan<byte> payload)
    {
        if (header.Kind != FrameKind.Records || !header.IsLastPart) return;
        var key = RecordsFrame.ReadKey(payload);
        if (key.Length is 0 or > IdempotencyKey.MaxLength) return;
        Add(new KeptKey(HashOf(header.SinkId, key), header.Position.Sequence, header.ReceivedAtMicroseconds));
    }

    public void Add(in KeptKey key)
    {
        lock (_lock)
        {
            if (_recovered is not null) _recovered.Add(key);
            else Put(key);
        }
    }

    /// <summary>All tables are open: what they had is put in order of time, so that the oldest can go first.</summary>
    public void EndRecovery()
    {
        lock (_lock)
        {
            if (_recovered is null) return;
            _recovered.Sort((a, b) => a.ReceivedAtMicroseconds.CompareTo(b.ReceivedAtMicroseconds));
            foreach (var key in _recovered) Put(key);
            _recovered = null;
        }
    }

    /// <summary>The place of the request that a key was sent with; <c>null</c>: none, or too long ago.</summary>
    public ulong? Find(UInt128 key)
    {
        lock (_lock)
        {
            return _index.TryFind(key, out var sequence, out var seconds) && seconds >= OldestSeconds() ? sequence : null;
        }
    }

    /// <summary>Requests received earlier need not be kept.</summary>
    public long OldestMicroseconds()
    {
        lock (_lock) return Math.Max(OldestSeconds(), _knownSince) * 1_000_000L;
    }

    public IdempotencyWindow ReadWindow()
    {
        lock (_lock)
        {
            Trim();
            var known = TimeSpan.FromSeconds(Math.Max(0, NowSeconds() - (long)_knownSince));
            return new IdempotencyWindow(_index.Count, known < options.KeptFor ? known : options.KeptFor);
        }
    }

    /// <summary>Waits until no other request with the key is under way, unless that one is answered first.</summary>
    /// <returns>The turn, or the request that was answered meanwhile.</returns>
    public async ValueTask<(Turn? Turn, KeptRequest? Answered)> EnterAsync(UInt128 key, CancellationToken cancellation)
    {
        while (true)
        {
            Task<KeptRequest?> other;
            lock (_lock)
            {
                if (!_underWay.TryGetValue(key, out var underWay))
                {
                    _underWay.Add(key, new TaskCompletionSource<KeptRequest?>(TaskCreationOptions.RunContinuationsAsynchronously));
                    return (new Turn(this, key), null);
                }
                other = underWay.Task;
            }
            if (await other.WaitAsync(cancellation) is { } answered) return (null, answered);
        }
    }

    void Put(in KeptKey key)
    {
        _index.Add(key.Hash, key.Sequence, (uint)(key.ReceivedAtMicroseconds / 1_000_000));
        Trim();
    }

    void Trim()
    {
        var oldest = OldestSeconds();
        while (_index.Count > 0 && (_index.Count > options.MaxKeys || _index.OldestSeconds < oldest))
        {
            if (_index.Count > options.MaxKeys) _knownSince = Math.Max(_knownSince, _index.OldestSeconds + 1);
            _index.RemoveOldest();
        }
    }

    long NowSeconds() => time.GetUtcNow().ToUnixTimeSeconds();

    uint OldestSeconds() => (uint)Math.Max(0, NowSeconds() - (long)options.KeptFor.TotalSeconds);

    /// <summary>The right to send the one request with a key. Dispose it; without an answer the key is free again.</summary>
    public sealed class Turn(IdempotencyKeys keys, UInt128 key) : IDisposable
    {
        KeptRequest? _answered;

        public void Answer(KeptRequest request) => _answered = request;

        public void Dispose()
        {
            TaskCompletionSource<KeptRequest?>? underWay;
            lock (keys._lock) keys._underWay.Remove(key, out underWay);
            underWay?.TrySetResult(_answered);
        }
    }
}

/// <summary>The header by which a sender says that a request is the same as one before.</summary>
public static class IdempotencyKey
{
    public const int MaxLength = 255;

    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: not 1 to 255 printable ASCII characters.</exception>
    public static void Check(string key)
    {
        if (key.Length is 0 or > MaxLength || key.AsSpan().IndexOfAnyExceptInRange(' ', '~') >= 0)
            throw new SluiceException(ErrorCode.InvalidParameter, $"The header Idempotency-Key must have 1 to {MaxLength} printable ASCII characters.");
    }

    internal static byte[] Bytes(string key) => Encoding.ASCII.GetBytes(key);
}
