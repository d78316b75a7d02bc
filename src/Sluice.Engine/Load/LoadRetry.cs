namespace Sluice.Load;

/// <summary>How long to wait before a failed load is tried again. Pure.</summary>
static class LoadRetry
{
    /// <summary>The first delay, doubled with each failure, up to the longest.</summary>
    public static TimeSpan DelayAfter(int failures, LoadOptions options)
    {
        const int doublingsThatReachAnyLimit = 30;
        var delay = options.FirstRetryDelay * (1L << Math.Min(failures - 1, doublingsThatReachAnyLimit));
        return delay < options.MaxRetryDelay ? delay : options.MaxRetryDelay;
    }
}
