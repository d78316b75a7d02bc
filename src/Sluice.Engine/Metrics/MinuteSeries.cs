namespace Sluice.Metrics;

/// <summary>Per-minute history of one sink, oldest first; a minute without requests does not exist. One thread at a time.</summary>
sealed class MinuteSeries
{
    /// <summary>Most points kept, oldest go first: 31 days of a sink that is never idle.</summary>
    public const int MaxPoints = 31 * 24 * 60;

    readonly List<MinutePoint> _points = [];

    /// <summary>Counts one request.</summary>
    public void Add(long minute, long accepted, long rejected) => Add(new MinutePoint(minute, 1, accepted, rejected));

    /// <summary>Adds to the minute's point; the clock may have gone back, so that it need not be the last.</summary>
    public void Add(MinutePoint added)
    {
        var at = _points.Count;
        while (at > 0 && _points[at - 1].Minute > added.Minute) at--;
        if (at > 0 && _points[at - 1].Minute == added.Minute)
        {
            var point = _points[at - 1];
            _points[at - 1] = new MinutePoint(
                point.Minute, point.Requests + added.Requests, point.Accepted + added.Accepted, point.Rejected + added.Rejected);
            return;
        }
        _points.Insert(at, added);
        if (_points.Count > MaxPoints) _points.RemoveAt(0);
    }

    public MinutePoint[] ToArray() => [.. _points];
}
