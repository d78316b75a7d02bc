namespace Sluice;

/// <summary>
/// Decides whether a request may begin, before its body is read: the server is not stopping, the log works, the loader keeps up, the disk has
/// room. Any thread.
/// </summary>
sealed class Admission(EngineOptions options, TimeProvider time)
{
    static readonly TimeSpan DiskCheckInterval = TimeSpan.FromSeconds(1);
    static readonly TimeSpan ShortestRetry = TimeSpan.FromSeconds(1);
    static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(60);

    long _lastDiskCheck;
    bool _isDiskLow;
    bool _isDraining;
    bool _hasFailedLog;
    int _underWay;

    public bool IsDraining => Volatile.Read(ref _isDraining);

    /// <summary>Less free space on the data directory's disk than the reserve; looked up at most once a second.</summary>
    public bool IsDiskLow
    {
        get
        {
            var last = Volatile.Read(ref _lastDiskCheck);
            if (last == 0 || time.GetElapsedTime(last) >= DiskCheckInterval)
            {
                Volatile.Write(ref _lastDiskCheck, time.GetTimestamp());
                Volatile.Write(ref _isDiskLow, new DriveInfo(options.DataDirectory).AvailableFreeSpace < options.DiskReserveBytes);
            }
            return Volatile.Read(ref _isDiskLow);
        }
    }

    /// <summary>A disk that failed one log is believed for all of them: nothing more is taken until the process has recovered.</summary>
    public void FailLog() => Volatile.Write(ref _hasFailedLog, true);

    public void Drain() => Volatile.Write(ref _isDraining, true);

    /// <summary>Why nothing can be taken now; <c>null</c> when it can.</summary>
    /// <returns>To be answered or thrown: Draining, LogFailed, DiskLow, LogBacklog, LoaderStalled. Nothing was stored.</returns>
    public SluiceException? FindRefusal(Table table)
    {
        if (IsDraining) return new SluiceException(ErrorCode.Draining, "The server is stopping and takes no more records.");
        if (Volatile.Read(ref _hasFailedLog)) return new SluiceException(ErrorCode.LogFailed, "The log could not be written to disk; the server must restart and recover.");
        return FindLackOfRoom(table);
    }

    /// <summary>The part of it that holds for a body that is arriving too.</summary>
    /// <returns>DiskLow, LogBacklog, LoaderStalled.</returns>
    public SluiceException? FindLackOfRoom(Table table)
    {
        if (IsDiskLow) return new SluiceException(ErrorCode.DiskLow, $"The server's disk has less than {options.DiskReserveBytes} bytes free.");
        var backlog = table.BacklogBytes;
        if (backlog <= options.Log.MaxBacklogBytes) return null;
        var waiting = $"More than {options.Log.MaxBacklogBytes} bytes of records wait to be loaded";
        return table.LoadRetryDelay is { } delay
            ? new SluiceException(ErrorCode.LoaderStalled, waiting + ", and the table's database fails.") { RetryAfter = Bounded(delay) }
            : new SluiceException(ErrorCode.LogBacklog, waiting + ".") { RetryAfter = Bounded(table.TimeToDrain(backlog)) };
    }

    /// <exception cref="SluiceException">As <see cref="FindRefusal"/>.</exception>
    public void ThrowIfNotAdmitting(Table table)
    {
        if (FindRefusal(table) is { } refusal) throw refusal;
    }

    static TimeSpan? Bounded(TimeSpan? retry) => retry < ShortestRetry ? ShortestRetry : retry > LongestRetry ? LongestRetry : retry;

    public void Enter() => Interlocked.Increment(ref _underWay);

    public void Leave() => Interlocked.Decrement(ref _underWay);

    /// <summary>Requests between the start of decoding and their answer.</summary>
    public int UnderWay => Volatile.Read(ref _underWay);
}
