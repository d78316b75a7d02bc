using Microsoft.Extensions.Time.Testing;
using Sluice.Quotas;

namespace Sluice.Tests.Quotas;

public sealed class QuotaBucketTests
{
    readonly FakeTimeProvider _time = new();

    [Fact]
    public void What_was_not_used_may_be_used_at_once_up_to_the_burst()
    {
        var bucket = Open(records: 100, burst: 5);
        _time.Advance(TimeSpan.FromHours(1));
        for (var i = 0; i < 5; i++)
        {
            Assert.Equal(TimeSpan.Zero, bucket.TimeToAdmit());
            bucket.Charge(100, 0);
        }
        Assert.Equal(0.01, bucket.TimeToAdmit().TotalSeconds, 0.0001); // until there is a whole one
    }

    [Theory]
    [InlineData(500, 1, 4.01)] // the records are short
    [InlineData(1, 5_000, 4.001)] // the bytes are
    [InlineData(500, 7_000, 6.001)] // the longer of both
    [InlineData(1, 1, 0)]
    public void A_request_is_admitted_while_anything_is_left_and_the_next_when_it_is_made_up_for(int records, long bytes, double seconds)
    {
        var bucket = Open(records: 100, bytes: 1_000, burst: 1);
        Assert.Equal(TimeSpan.Zero, bucket.TimeToAdmit());
        bucket.Charge(records, bytes);
        var wait = bucket.TimeToAdmit();
        Assert.Equal(seconds, wait.TotalSeconds, 0.0001);
        if (wait == TimeSpan.Zero) return;

        _time.Advance(wait - TimeSpan.FromMilliseconds(1));
        Assert.NotEqual(TimeSpan.Zero, bucket.TimeToAdmit());
        _time.Advance(TimeSpan.FromMilliseconds(2));
        Assert.Equal(TimeSpan.Zero, bucket.TimeToAdmit());
    }

    [Fact]
    public void The_long_run_keeps_to_the_rate_whatever_the_size_of_requests()
    {
        var bucket = Open(records: 100, burst: 10);
        var sent = 0;
        var sizes = new Random(7);
        for (var tick = 0; tick < 100_000; tick++, _time.Advance(TimeSpan.FromMilliseconds(10)))
        {
            if (bucket.TimeToAdmit() > TimeSpan.Zero) continue;
            var size = sizes.Next(1, 900);
            bucket.Charge(size, 0);
            sent += size;
        }
        Assert.InRange(sent, 100_000 - 100, 100_000 + 1_000 + 900); // 1,000 s, the first burst, and what the last request is over
    }

    [Fact]
    public void What_would_be_left_with_another_quota_can_be_seen_without_changing_anything()
    {
        var bucket = Open(records: 100, burst: 10);
        bucket.Charge(1_200, 0);
        Assert.Equal((-200, 50), bucket.LeftOf(new Quota { RecordsPerSecond = 5, BytesPerSecond = 10, BurstSeconds = 5 }));
        Assert.Equal((-200, 0), bucket.LeftOf(bucket.Quota));
        _time.Advance(TimeSpan.FromSeconds(7));
        Assert.Equal((500, 0), bucket.LeftOf(bucket.Quota)); // at the old rate
        Assert.Equal((25, 0), bucket.LeftOf(new Quota { RecordsPerSecond = 5, BurstSeconds = 5 }));
    }

    [Fact]
    public void Another_quota_neither_refills_nor_forgives()
    {
        var bucket = Open(records: 100, burst: 1);
        bucket.Charge(1_100, 0);
        bucket.Use(new Quota { RecordsPerSecond = 100, BurstSeconds = 60 });
        Assert.Equal(10.01, bucket.TimeToAdmit().TotalSeconds, 0.0001);
        bucket.Use(new Quota { RecordsPerSecond = 1_000, BurstSeconds = 60 });
        Assert.Equal(1.001, bucket.TimeToAdmit().TotalSeconds, 0.0001);
        _time.Advance(TimeSpan.FromHours(1));
        bucket.Use(new Quota { RecordsPerSecond = 10, BurstSeconds = 1 });
        bucket.Charge(10, 0);
        Assert.NotEqual(TimeSpan.Zero, bucket.TimeToAdmit()); // no more than the new one holds
    }

    [Fact]
    public void A_limit_that_was_not_there_begins_full()
    {
        var bucket = new QuotaBucket(new Quota(), _time);
        bucket.Charge(1_000_000, 1_000_000);
        Assert.Equal((TimeSpan.Zero, 1), (bucket.TimeToAdmit(), bucket.FillLevel));
        bucket.Use(new Quota { BytesPerSecond = 10, BurstSeconds = 1 });
        Assert.Equal(TimeSpan.Zero, bucket.TimeToAdmit());
        bucket.Charge(1_000_000, 10);
        Assert.Equal((0.1, 0), (bucket.TimeToAdmit().TotalSeconds, bucket.FillLevel));
    }

    [Fact]
    public void Nobody_is_told_to_wait_for_longer_than_a_day()
    {
        var bucket = Open(bytes: 1, burst: 1);
        bucket.Charge(1, long.MaxValue);
        Assert.Equal(TimeSpan.FromDays(1), bucket.TimeToAdmit());
    }

    [Fact]
    public void A_request_costs_no_memory()
    {
        var bucket = Open(records: 1_000_000, bytes: 1_000_000, burst: 3_600);
        bucket.Charge(1, 1);
        _ = bucket.TimeToAdmit();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1_000; i++)
        {
            _ = bucket.TimeToAdmit();
            bucket.Charge(1, 1);
        }
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    QuotaBucket Open(long records = 0, long bytes = 0, int burst = 1) =>
        new(new Quota { RecordsPerSecond = records, BytesPerSecond = bytes, BurstSeconds = burst }, _time);
}
