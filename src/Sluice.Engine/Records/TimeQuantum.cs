namespace Sluice.Records;

/// <summary>Cuts a time to the finest unit of a time quantum: the hour at the finest.</summary>
static class TimeQuantum
{
    public static long Truncate(long unixSeconds, string quantum)
    {
        var time = DateTimeOffset.FromUnixTimeSeconds(unixSeconds);
        var cut = quantum.Length == 0 ? time : quantum[^1] switch
        {
            'Y' => new DateTimeOffset(time.Year, 1, 1, 0, 0, 0, TimeSpan.Zero),
            'M' => new DateTimeOffset(time.Year, time.Month, 1, 0, 0, 0, TimeSpan.Zero),
            'D' => new DateTimeOffset(time.Year, time.Month, time.Day, 0, 0, 0, TimeSpan.Zero),
            _ => new DateTimeOffset(time.Year, time.Month, time.Day, time.Hour, 0, 0, TimeSpan.Zero),
        };
        return cut.ToUnixTimeSeconds();
    }
}
