namespace Sluice.Load;

/// <summary>When a table is searched for what it keeps no longer: at the start, after each change of its schema, and then every hour.</summary>
sealed class ExpirySchedule(LoadOptions options, TimeProvider time)
{
    long _since = time.GetTimestamp();
    TimeSpan _wait = TimeSpan.Zero;

    /// <summary>Not above zero: now.</summary>
    public TimeSpan TimeToNext => _wait - time.GetElapsedTime(_since);

    public void Now() => Wait(TimeSpan.Zero);

    /// <summary>After a step that found nothing more to do.</summary>
    public void Later() => Wait(options.ExpiryInterval);

    /// <summary>After a step that the store refused.</summary>
    public void TryAgain() => Wait(options.MaxRetryDelay);

    void Wait(TimeSpan wait) => (_since, _wait) = (time.GetTimestamp(), wait);
}
