namespace Sluice.Load;

/// <summary>How fast a loader drains its log: bytes over the time it took, failed tries included, the latest loads counting most. Noted by one thread, read by any.</summary>
sealed class DrainRate
{
    /// <summary>After so much more time of loading a load counts 1/e: long enough to smooth checkpoints, short enough to follow the store.</summary>
    const double MemorySeconds = 10;

    double _bytes;
    double _seconds;
    double _bytesPerSecond;

    public void Note(long bytes, TimeSpan took)
    {
        var weight = Math.Exp(-took.TotalSeconds / MemorySeconds);
        _bytes = (_bytes * weight) + bytes;
        _seconds = (_seconds * weight) + took.TotalSeconds;
        if (_seconds > 0) Volatile.Write(ref _bytesPerSecond, _bytes / _seconds);
    }

    /// <summary><c>null</c>: nothing was loaded yet that would tell.</summary>
    public TimeSpan? TimeFor(long bytes)
    {
        var rate = Volatile.Read(ref _bytesPerSecond);
        return rate > 0 ? TimeSpan.FromSeconds(Math.Min(bytes / rate, TimeSpan.FromDays(1).TotalSeconds)) : null;
    }
}
