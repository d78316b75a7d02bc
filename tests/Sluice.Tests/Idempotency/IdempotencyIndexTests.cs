using Sluice.Idempotency;

namespace Sluice.Tests.Idempotency;

public sealed class IdempotencyIndexTests
{
    [Fact]
    public void It_says_what_a_dictionary_and_a_queue_say()
    {
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        var index = new IdempotencyIndex();
        var model = new Dictionary<UInt128, (ulong Sequence, uint Seconds)>();
        var order = new Queue<(UInt128 Key, ulong Sequence, uint Seconds)>();
        for (var i = 1; i <= 200_000; i++)
        {
            // low bits that clash, and keys that come again
            var key = new UInt128((ulong)random.Next(3), (ulong)random.Next(40_000) * 8);
            index.Add(key, (ulong)i, (uint)i);
            model[key] = ((ulong)i, (uint)i);
            order.Enqueue((key, (ulong)i, (uint)i));
            while (order.Count > 50_000 || (order.Count > 0 && random.Next(4) == 0))
            {
                Assert.Equal(order.Peek().Seconds, index.OldestSeconds);
                index.RemoveOldest();
                var (oldest, sequence, _) = order.Dequeue();
                if (model[oldest].Sequence == sequence) model.Remove(oldest);
            }
            var asked = new UInt128((ulong)random.Next(3), (ulong)random.Next(40_000) * 8);
            var isFound = index.TryFind(asked, out var found, out var seconds);
            Assert.True(isFound == model.TryGetValue(asked, out var expected) && (found, seconds) == expected, $"seed {seed}, step {i}");
            Assert.Equal(order.Count, index.Count);
        }
        Assert.All(model, known => Assert.True(index.TryFind(known.Key, out var sequence, out _) && sequence == known.Value.Sequence, $"seed {seed}"));
    }

    [Fact]
    public void A_key_takes_at_most_forty_bytes()
    {
        var index = new IdempotencyIndex();
        var next = 500_000; // below, the last block is not full
        for (var i = 1; i <= 1_600_000; i++)
        {
            index.Add(new UInt128(1, (ulong)i * 0x9E3779B97F4A7C15), (ulong)i, 1);
            if (i != next) continue;
            Assert.InRange(index.MemoryBytes / (double)i, 28, 40);
            next += 100_000;
        }
    }
}
