using Sluice.Load;
using Sluice.Log;

namespace Sluice.Tests.Load;

/// <summary>Who waits for a request to be loaded, and goes away.</summary>
public sealed class LoadWatchTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Nothing_stays_of_a_watch_that_has_ended_before_or_after_its_request_was_durable(bool isBefore)
    {
        var watches = new LoadWatches();
        var watch = new LoadWatch(watches);
        var position = default(LogPosition) with { Sequence = 7 };
        if (!isBefore) watch.Begin(position);
        Assert.Equal(isBefore, watches.IsEmpty);
        watch.Dispose();
        if (isBefore) watch.Begin(position);
        Assert.True(watches.IsEmpty);
    }
}
