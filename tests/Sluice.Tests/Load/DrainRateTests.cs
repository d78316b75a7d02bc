using Sluice.Load;

namespace Sluice.Tests.Load;

public sealed class DrainRateTests
{
    readonly DrainRate _rate = new();

    [Fact]
    public void Nothing_is_known_before_a_load_took_time()
    {
        Assert.Null(_rate.TimeFor(1));
        _rate.Note(100, TimeSpan.Zero);
        Assert.Null(_rate.TimeFor(1));
    }

    [Fact]
    public void A_steady_rate_is_found()
    {
        for (var i = 0; i < 100; i++) _rate.Note(1_000, TimeSpan.FromMilliseconds(500));
        Assert.Equal(5, _rate.TimeFor(10_000)!.Value.TotalSeconds, 0.001);
    }

    [Fact]
    public void The_latest_loads_count_most()
    {
        for (var i = 0; i < 100; i++) _rate.Note(1_000, TimeSpan.FromSeconds(1));
        for (var i = 0; i < 30; i++) _rate.Note(100, TimeSpan.FromSeconds(1));
        Assert.InRange(_rate.TimeFor(1_000)!.Value.TotalSeconds, 6, 10); // all alike: 1.3
    }

    [Fact]
    public void A_load_that_took_for_ever_gives_a_finite_time()
    {
        _rate.Note(1, TimeSpan.FromDays(300));
        Assert.Equal(TimeSpan.FromDays(1), _rate.TimeFor(long.MaxValue));
    }
}
