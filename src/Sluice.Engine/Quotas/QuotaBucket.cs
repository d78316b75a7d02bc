namespace Sluice.Quotas;

/// <summary>
/// What is left of a quota: two token buckets, one of records and one of bytes. A request is admitted while both hold something and charged when it
/// is decoded, because nobody knows before what it holds: so a bucket may go below zero, and admits again when that is made up for. Any thread.
/// </summary>
/// <remarks>In memory only: after a restart the bucket is full. Allocates nothing.</remarks>
public sealed class QuotaBucket
{
    // what a refusal says is a number of seconds, and nobody waits longer
    static readonly TimeSpan s_longestWait = TimeSpan.FromDays(1);

    readonly TimeProvider _time;
    readonly Lock _lock = new();

    // under _lock
    Quota _quota;
    double _records;
    double _bytes;
    long _filledAt;

    /// <summary>A full bucket.</summary>
    public QuotaBucket(Quota quota, TimeProvider time)
    {
        (_quota, _time) = (quota, time);
        (_records, _bytes) = (Capacity(quota.RecordsPerSecond), Capacity(quota.BytesPerSecond));
        _filledAt = time.GetTimestamp();
    }

    public Quota Quota => Volatile.Read(ref _quota);

    /// <summary>The part of what it can hold that it holds: 1 when full, below 0 when overdrawn.</summary>
    public double FillLevel
    {
        get
        {
            lock (_lock)
            {
                Fill();
                return Math.Min(Level(_records, _quota.RecordsPerSecond), Level(_bytes, _quota.BytesPerSecond));
            }
        }
    }

    /// <summary>What would be left if it went on with this quota; below 0: it is owed. Changes nothing.</summary>
    public (double Records, double Bytes) LeftOf(Quota quota)
    {
        lock (_lock)
        {
            Fill();
            return (Carry(_records, _quota.RecordsPerSecond, quota.RecordsPerSecond, quota.BurstSeconds), Carry(_bytes, _quota.BytesPerSecond, quota.BytesPerSecond, quota.BurstSeconds));
        }
    }

    /// <summary>Goes on with another quota: what is left stays, and so does what is owed. A limit that was not there before begins full.</summary>
    public void Use(Quota quota)
    {
        if (quota == Quota) return;
        lock (_lock)
        {
            (_records, _bytes) = LeftOf(quota);
            Volatile.Write(ref _quota, quota);
        }
    }

    /// <summary>Zero: a request may begin. Else the time after which one may, if nothing is charged meanwhile; a day at most.</summary>
    public TimeSpan TimeToAdmit()
    {
        if (Quota.IsUnlimited) return TimeSpan.Zero;
        lock (_lock)
        {
            Fill();
            var seconds = Math.Max(Wait(_records, _quota.RecordsPerSecond), Wait(_bytes, _quota.BytesPerSecond));
            return seconds < s_longestWait.TotalSeconds ? TimeSpan.FromSeconds(seconds) : s_longestWait;
        }
    }

    public void Charge(int records, long bytes)
    {
        if (Quota.IsUnlimited) return;
        lock (_lock)
        {
            Fill();
            if (_quota.RecordsPerSecond > 0) _records -= records;
            if (_quota.BytesPerSecond > 0) _bytes -= bytes;
        }
    }

    void Fill()
    {
        var now = _time.GetTimestamp();
        var seconds = _time.GetElapsedTime(_filledAt, now).TotalSeconds;
        _filledAt = now;
        _records = Math.Min(_records + (_quota.RecordsPerSecond * seconds), Capacity(_quota.RecordsPerSecond));
        _bytes = Math.Min(_bytes + (_quota.BytesPerSecond * seconds), Capacity(_quota.BytesPerSecond));
    }

    double Capacity(long rate) => (double)rate * _quota.BurstSeconds;

    double Level(double left, long rate) => rate == 0 ? 1 : left / Capacity(rate);

    static double Carry(double left, long oldRate, long rate, int burstSeconds) => oldRate == 0 ? (double)rate * burstSeconds : Math.Min(left, (double)rate * burstSeconds);

    /// <summary>Seconds until there is a whole one.</summary>
    static double Wait(double left, long rate) => rate == 0 || left >= 1 ? 0 : (1 - left) / rate;
}
