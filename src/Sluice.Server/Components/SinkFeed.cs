using Sluice.Metrics;
using Sluice.Server.Accounts;

namespace Sluice.Server.Components;

/// <summary>What one sink does at a moment. Rates are of the last second.</summary>
/// <param name="Lag">Age of the oldest record that is not loaded, to a quarter of a second. Zero: all is loaded.</param>
/// <param name="Recent">Accepted records a second over the last minute, oldest first.</param>
sealed record SinkPulse(SinkLedger Ledger, double RequestsPerSecond, double AcceptedPerSecond, double RejectedPerSecond, double LoadedPerSecond, TimeSpan Lag, IReadOnlyList<double> Recent)
{
    /// <summary>What the counters do not account for: always 0, or the server has lost track of records.</summary>
    public long Remainder => Ledger.Received - Ledger.Accepted - Ledger.Rejected + (Ledger.Accepted - Ledger.Loaded - Ledger.Failed - Ledger.Pending);
}

/// <summary>All sinks together in one second.</summary>
/// <param name="Lag">The longest of any sink.</param>
readonly record struct FeedSecond(double Accepted, double Loaded, double Requests, double Rejected, TimeSpan Lag)
{
    public static FeedSecond Of(IReadOnlyCollection<SinkPulse> sinks) => new(
        sinks.Sum(it => it.AcceptedPerSecond), sinks.Sum(it => it.LoadedPerSecond), sinks.Sum(it => it.RequestsPerSecond), sinks.Sum(it => it.RejectedPerSecond),
        sinks.Select(it => it.Lag).DefaultIfEmpty().Max());
}

/// <summary>All sinks at one moment. One object for all pages.</summary>
/// <param name="LastMinute">The whole server by the second, oldest first, the present one last.</param>
/// <param name="DiskFreeBytes">On the volume of the data directory.</param>
sealed record FeedMoment(DateTimeOffset At, IReadOnlyDictionary<Guid, SinkPulse> Sinks, IReadOnlyList<FeedSecond> LastMinute, long DiskFreeBytes, long DiskTotalBytes)
{
    public FeedSecond Now => LastMinute[^1];
}

/// <summary>
/// The console's only live source: looks at the ledgers four times a second, whoever watches, and tells every open page once a second,
/// or more rarely where many are open. So what pages cost depends neither on what is streamed nor, beyond a bound, on how many look. Any thread.
/// </summary>
sealed class SinkFeed(EngineSlot slot, DataDirectory data, TimeProvider time) : BackgroundService
{
    /// <summary>Seconds that a moment tells of.</summary>
    public const int Seconds = 60;

    const int LooksASecond = 4;

    // to render a page and send it takes half a millisecond: 50 pages at once a second would be a quarter of what 1,000 records a second cost
    const int PagesASecond = 15;
    const int MaxPace = 5;

    readonly Lock _lock = new();
    readonly List<Action<FeedMoment>> _watchers = []; // under _lock
    readonly Dictionary<Guid, SinkTrace> _traces = []; // under _lock

    readonly Queue<FeedSecond> _seconds = new(); // under _lock

    /// <summary>A page is told once in so many seconds.</summary>
    public int Pace { get; private set; } = 1;

    /// <summary>The last moment told; <c>null</c>: the server has just started.</summary>
    public FeedMoment? Latest { get; private set; }

    /// <summary>Tells <paramref name="watcher"/> once in <see cref="Pace"/> seconds, on a thread of the feed, until the result is disposed.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>.</exception>
    public IDisposable Watch(Caller caller, Action<FeedMoment> watcher)
    {
        RequireRead(caller);
        lock (_lock) _watchers.Add(watcher);
        return new Watching(this, watcher);
    }

    /// <summary>Loaded records and lag of a sink by the minute, since the server started, 24 hours at most; oldest first.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>.</exception>
    public IReadOnlyList<LoadMinute> ReadLoadMinutes(Caller caller, Guid sinkId)
    {
        RequireRead(caller);
        lock (_lock) return _traces.TryGetValue(sinkId, out var trace) ? trace.ReadMinutes() : [];
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / LooksASecond), time);
        for (var look = 1; await WaitAsync(timer, stoppingToken); look++)
        {
            if (!slot.IsUsable)
                continue;

            Look();
            if (look % LooksASecond == 0)
                Tell(look / LooksASecond);
        }
    }

    static async Task<bool> WaitAsync(PeriodicTimer timer, CancellationToken stop)
    {
        try
        {
            return await timer.WaitForNextTickAsync(stop);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    void Look()
    {
        var now = time.GetUtcNow();
        lock (_lock)
        {
            foreach (var sink in slot.Engine.Sinks)
            {
                var id = sink.Definition.Id;
                if (!_traces.TryGetValue(id, out var trace))
                    _traces[id] = trace = new SinkTrace();
                trace.Add(now, sink.ReadLedger());
            }
        }
    }

    void Tell(int second)
    {
        var now = time.GetUtcNow();
        Action<FeedMoment>[] watchers;
        lock (_lock)
        {
            foreach (var gone in _traces.Keys.Where(id => slot.Engine.FindSink(id) is null).ToList())
                _traces.Remove(gone);
            var disk = new DriveInfo(data.Path);
            var sinks = _traces.ToDictionary(trace => trace.Key, trace => trace.Value.Pulse(now));
            _seconds.Enqueue(FeedSecond.Of(sinks.Values));
            if (_seconds.Count > Seconds)
                _seconds.Dequeue();
            Latest = new FeedMoment(now, sinks, [.. _seconds], disk.AvailableFreeSpace, disk.TotalSize);
            Pace = PaceOf(_watchers.Count);
            watchers = [.. _watchers.Where((_, place) => place % Pace == second % Pace)];
        }
        foreach (var watcher in watchers)
            watcher(Latest);
    }

    /// <summary>How many seconds there are between two renders of a page.</summary>
    internal static int PaceOf(int pages) => Math.Clamp((pages + PagesASecond - 1) / PagesASecond, 1, MaxPace);

    void Leave(Action<FeedMoment> watcher)
    {
        lock (_lock) _watchers.Remove(watcher);
    }

    static void RequireRead(Caller caller)
    {
        if (!Policies.Allows(caller.Role, Policies.Read))
            throw new SluiceException(ErrorCode.Forbidden, $"The role {caller.Role} may not read.");
    }

    sealed class Watching(SinkFeed feed, Action<FeedMoment> watcher) : IDisposable
    {
        public void Dispose() => feed.Leave(watcher);
    }
}
