using Sluice.Metrics;

namespace Sluice.Server.Components;

/// <summary>One minute of loading.</summary>
/// <param name="Minute">Minutes since 1970-01-01 UTC.</param>
/// <param name="LagMedian">Half of the looks found no longer lag.</param>
/// <param name="LagHigh">99 of 100 looks found no longer lag.</param>
sealed record LoadMinute(long Minute, long Loaded, TimeSpan LagMedian, TimeSpan LagHigh);

/// <summary>What repeated looks at one sink's ledger say: rates, lag, and minutes. One thread at a time.</summary>
sealed class SinkTrace
{
    const int Seconds = 60;
    const int MaxMinutes = 24 * 60;
    const int MaxUnloaded = 4 * 60 * 15; // a lag of 15 minutes and more is told as what it was when it was 15

    readonly List<(DateTimeOffset At, SinkLedger Ledger)> _seconds = [];
    readonly Queue<(DateTimeOffset At, long Accepted)> _unloaded = new();
    readonly List<TimeSpan> _lags = [];
    readonly List<LoadMinute> _minutes = [];
    SinkLedger _last;
    SinkLedger _minuteStart;
    long _minute = -1;
    TimeSpan _lag;

    public void Add(DateTimeOffset at, SinkLedger ledger)
    {
        var isFirst = _minute < 0;
        if (isFirst)
            _minuteStart = _last = ledger;

        MeasureLag(at, ledger);
        KeepMinute(at.ToUnixTimeSeconds() / 60, ledger);
        if (isFirst || at - _seconds[^1].At >= TimeSpan.FromSeconds(0.95))
        {
            _seconds.Add((at, ledger));
            if (_seconds.Count > Seconds + 1)
                _seconds.RemoveAt(0);
        }
        _last = ledger;
    }

    public SinkPulse Pulse(DateTimeOffset now)
    {
        var earlier = _seconds.FindLast(second => now - second.At >= TimeSpan.FromSeconds(0.9));
        var span = (now - earlier.At).TotalSeconds;
        if (earlier.At == default || span <= 0)
            return new SinkPulse(_last, 0, 0, 0, 0, _lag, []);

        double Rate(Func<SinkLedger, long> counter) => Math.Max(0, counter(_last) - counter(earlier.Ledger)) / span;
        return new SinkPulse(
            _last, Rate(it => it.Requests), Rate(it => it.Accepted), Rate(it => it.Rejected), Rate(it => it.Loaded), _lag,
            [.. _seconds.Zip(_seconds.Skip(1), (from, to) => (to.Ledger.Accepted - from.Ledger.Accepted) / Math.Max(0.001, (to.At - from.At).TotalSeconds))]);
    }

    public IReadOnlyList<LoadMinute> ReadMinutes() => [.. _minutes];

    /// <summary>The oldest look that saw more accepted records than are settled by now tells how long the first of them has waited.</summary>
    void MeasureLag(DateTimeOffset at, SinkLedger ledger)
    {
        if (ledger.Accepted > _last.Accepted && _unloaded.Count < MaxUnloaded)
            _unloaded.Enqueue((at, ledger.Accepted));
        while (_unloaded.TryPeek(out var first) && first.Accepted <= ledger.Loaded + ledger.Failed)
            _unloaded.Dequeue();
        _lag = ledger.Pending > 0 && _unloaded.TryPeek(out var oldest) ? at - oldest.At : TimeSpan.Zero;
    }

    void KeepMinute(long minute, SinkLedger ledger)
    {
        if (_minute >= 0 && minute != _minute)
        {
            _lags.Sort();
            _minutes.Add(new LoadMinute(_minute, ledger.Loaded - _minuteStart.Loaded, Quantile(0.5), Quantile(0.99)));
            if (_minutes.Count > MaxMinutes)
                _minutes.RemoveAt(0);
            _lags.Clear();
            _minuteStart = ledger;
        }
        _minute = minute;
        _lags.Add(_lag);
    }

    TimeSpan Quantile(double share) => _lags.Count == 0 ? TimeSpan.Zero : _lags[Math.Min(_lags.Count - 1, (int)(share * _lags.Count))];
}
