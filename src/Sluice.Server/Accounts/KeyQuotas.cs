using System.Collections.Concurrent;
using Sluice.Quotas;

namespace Sluice.Server.Accounts;

/// <summary>
/// What is left of the quotas of keys. Apart from what is remembered of keys, which is read anew every few seconds: a bucket must not be full
/// again with each reading. Any thread.
/// </summary>
sealed class KeyQuotas(TimeProvider time)
{
    // some 200 bytes each
    internal const int MaxBuckets = 10_000;

    readonly ConcurrentDictionary<Guid, QuotaBucket> _buckets = new();

    public int Count => _buckets.Count;

    /// <returns><c>null</c>: the key has no limit.</returns>
    public QuotaBucket? Find(Guid keyId, Quota quota)
    {
        if (quota.IsUnlimited)
        {
            Forget(keyId);
            return null;
        }

        if (_buckets.Count >= MaxBuckets && !_buckets.ContainsKey(keyId))
            MakeRoom();

        var bucket = _buckets.GetOrAdd(keyId, static (_, it) => new QuotaBucket(it.quota, it.time), (quota, time));
        bucket.Use(quota);
        return bucket;
    }

    /// <summary>What is left of a key's quota; see <see cref="QuotaBucket.LeftOf"/>. A key that has sent nothing has all of it.</summary>
    public (double Records, double Bytes) LeftOf(Guid keyId, Quota quota) => _buckets.TryGetValue(keyId, out var bucket) ? bucket.LeftOf(quota) : quota.Burst;

    public void Forget(Guid keyId) => _buckets.TryRemove(keyId, out _);

    /// <summary>Forgets half, the fullest: a full bucket is what a key that is not known begins with, so nothing is lost with it.</summary>
    void MakeRoom()
    {
        foreach (var (keyId, _) in _buckets.OrderByDescending(entry => entry.Value.FillLevel).Take(MaxBuckets / 2))
            Forget(keyId);
    }
}
