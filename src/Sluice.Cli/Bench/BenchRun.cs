using System.Text.Json;
using HdrHistogram;

namespace Sluice.Cli.Bench;

/// <summary>
/// Puts a load on a target and measures it. Every connection has a thread that blocks for its answers; one more probes how long rows take to
/// become visible, and one task watches the target's progress. Runs once.
/// </summary>
/// <param name="server">The target's process, when it is on this machine and is to be watched.</param>
sealed class BenchRun(BenchTarget target, BenchLoad load, ServerUsage? server) : IDisposable
{
    const long MaxLatencyMicroseconds = 600_000_000;
    const int PrefillBatch = 50_000;
    const int PrefillConnections = 4;
    const long PrefillBacklog = 4_000_000;
    static readonly TimeSpan PrefillPatience = TimeSpan.FromMinutes(10);
    static readonly TimeSpan WatchInterval = TimeSpan.FromMilliseconds(50);
    static readonly TimeSpan IdleWatchInterval = TimeSpan.FromMilliseconds(500); // where nothing depends on it, watching is not to disturb
    static readonly TimeSpan RefusalPause = TimeSpan.FromMilliseconds(100);
    static readonly TimeSpan LongestRefusalPause = TimeSpan.FromSeconds(10); // a quota may ask for a day

    readonly TimeProvider _time = TimeProvider.System;
    readonly ManualResetEventSlim _mayCatchUp = new(initialState: true); // closed while the backlog is over its bound
    readonly Lock _lock = new();
    readonly LongHistogram _durable = new(1, MaxLatencyMicroseconds, 3); // under _lock
    readonly LongHistogram _loaded = new(1, MaxLatencyMicroseconds, 3); // of the probing thread, read after it
    readonly List<(long Timestamp, long Loaded)> _loads = []; // of the watching task, read after it
    string? _firstError; // under _lock
    long _nextKey = load.Keys == KeyChoice.Same ? BenchRequest.FirstKey + load.Batch : BenchRequest.FirstKey;
    long _nextDue;
    long _distinctKeys; // acknowledged
    long _allRows; // acknowledged, with warm-up, probes and what was there before
    long _requests; // this and what follows: measured ones
    long _rows;
    long _bytes;
    long _errors;
    long _rejected;
    volatile bool _isUncertain; // an answer was lost: nobody can say how many rows there should be

    public async Task<BenchReport> RunAsync(CancellationToken cancellation)
    {
        await target.CreateAsync(load, cancellation);
        await PrefillAsync(cancellation);
        var connections = Connect(load.Connections, load.Batch);
        if (load.Warmup > TimeSpan.Zero) await SendAsync(connections, load.Warmup, isMeasured: false, cancellation);

        var backlogAtStart = (await target.ReadProgressAsync(cancellation))?.Pending ?? 0;
        server?.Start();
        var (started, generatorCpu) = (_time.GetTimestamp(), Environment.CpuUsage.TotalTime);
        using var endOfProbes = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var probing = load.ProbesPerSecond > 0 && !load.WaitLoaded && target.LoadsLater ? OnThread(() => ProbeLoop(endOfProbes.Token)) : Task.CompletedTask;
        await SendAsync(connections, load.Duration, isMeasured: true, cancellation);
        server?.Sample();
        var ended = _time.GetTimestamp();
        var seconds = _time.GetElapsedTime(started, ended).TotalSeconds;
        generatorCpu = Environment.CpuUsage.TotalTime - generatorCpu;
        var backlog = (await target.ReadProgressAsync(cancellation))?.Pending ?? 0;
        await endOfProbes.CancelAsync();
        await probing; // the last waits for all the backlog, which is no time of sending
        foreach (var connection in connections) connection.Dispose();

        var drain = await DrainAsync(ended, load.DrainPatience, cancellation);
        if (load.Keys == KeyChoice.Same && _rows > 0) _distinctKeys += load.Batch;
        var isCountable = drain is not null && !_isUncertain;
        return new BenchReport(
            target.Name, load, seconds, _rows / seconds, _requests / seconds, _bytes / seconds / 1e6, _rows == 0 ? 0 : (double)_bytes / _rows,
            Report(_durable), _loaded.TotalCount == 0 ? null : Report(_loaded), LoadedRowsPerSecond(seconds), backlogAtStart, backlog, drain?.TotalSeconds,
            _errors, _firstError, _rejected, isCountable ? await target.CountRowsAsync(cancellation) : null, target.ReplacesRows ? _distinctKeys : _allRows,
            generatorCpu.TotalSeconds, server?.Report());
    }

    public void Dispose() => _mayCatchUp.Dispose();

    List<Connection> Connect(int connections, int batch)
    {
        var (form, head) = (target.FormOf(load), target.RequestHead(target.FormOf(load), load.WaitLoaded));
        return [.. Enumerable.Range(0, connections).Select(_ => new Connection(new BenchConnection(target.Origin, target.Tls), new BenchRequest(head, load.Shape, form, target.TimeFormat, batch)))];
    }

    async Task PrefillAsync(CancellationToken cancellation)
    {
        if (load.Rows == 0) return;
        var batch = (int)Math.Min(PrefillBatch, load.Rows);
        var requests = load.Rows / batch;
        var filling = new SendPhase(long.MaxValue, () => Interlocked.Decrement(ref requests) >= 0, KeyChoice.New, Rate: null, IsMeasured: false);
        await SendAsync(Connect(PrefillConnections, batch), filling, PrefillBacklog, cancellation);
        if (load.Rows % batch is var rest && rest > 0)
        {
            requests = 1;
            await SendAsync(Connect(1, (int)rest), filling, PrefillBacklog, cancellation);
        }
        if (_errors > 0) throw new CommandException($"The table could not be filled: {_firstError}");
        if (await DrainAsync(_time.GetTimestamp(), PrefillPatience, cancellation) is null) throw new CommandException("The rows that were to be in the table were not loaded in time.");
    }

    async Task SendAsync(List<Connection> connections, TimeSpan duration, bool isMeasured, CancellationToken cancellation)
    {
        _nextDue = _time.GetTimestamp();
        var until = _nextDue + (long)(duration.TotalSeconds * _time.TimestampFrequency);
        await SendAsync(connections, new SendPhase(until, () => true, load.Keys, load.Rate, isMeasured), load.MaxBacklog, cancellation);
    }

    async Task SendAsync(List<Connection> connections, SendPhase phase, long? maxBacklog, CancellationToken cancellation)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var watch = WatchAsync(maxBacklog, phase.IsMeasured, end.Token);
        await Task.WhenAll(connections.Select(connection => OnThread(() => SendLoop(connection, phase, cancellation))));
        await end.CancelAsync();
        await watch;
        cancellation.ThrowIfCancellationRequested();
    }

    static Task OnThread(Action loop) => Task.Factory.StartNew(loop, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    void SendLoop(Connection connection, SendPhase phase, CancellationToken cancellation)
    {
        using var abort = cancellation.Register(connection.Http.Abort);
        var latencies = new LongHistogram(1, MaxLatencyMicroseconds, 3);
        while (WaitForTurn(phase, cancellation) is { } due)
        {
            var newKeys = ChooseKeys(connection.Request, phase.Keys);
            if (TrySend(connection, phase, cancellation) is not { } rows) continue;
            Interlocked.Add(ref _distinctKeys, newKeys);
            Interlocked.Add(ref _allRows, rows);
            if (!phase.IsMeasured) continue;
            latencies.RecordValue(Math.Clamp((long)_time.GetElapsedTime(due).TotalMicroseconds, 1, MaxLatencyMicroseconds));
            Interlocked.Increment(ref _requests);
            Interlocked.Add(ref _rows, rows);
            Interlocked.Add(ref _bytes, connection.Request.BodyBytes);
        }
        lock (_lock) _durable.Add(latencies);
    }

    /// <summary>When the next request counts from: now, or in an open loop when it is due, however late that is. <c>null</c>: there is none.</summary>
    long? WaitForTurn(SendPhase phase, CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested && _time.GetTimestamp() < phase.Until)
        {
            if (!_mayCatchUp.IsSet && !_mayCatchUp.Wait(WatchInterval, CancellationToken.None)) continue;
            if (!phase.TakeTurn()) return null;
            if (phase.Rate is not { } rate) return _time.GetTimestamp();
            var due = Interlocked.Add(ref _nextDue, _time.TimestampFrequency / rate);
            if (due >= phase.Until) return null;
            // a wait is of whole milliseconds: up to one is counted too much, none too little
            if (_time.GetElapsedTime(_time.GetTimestamp(), due) is var wait && wait > TimeSpan.Zero)
                cancellation.WaitHandle.WaitOne((int)Math.Ceiling(wait.TotalMilliseconds));
            return cancellation.IsCancellationRequested ? null : due;
        }
        return null;
    }

    /// <returns>The rows that were acknowledged; <c>null</c>: the request was refused, or its answer was lost.</returns>
    int? TrySend(Connection connection, SendPhase? phase, CancellationToken cancellation)
    {
        BenchAnswer answer;
        try
        {
            answer = connection.Http.Send(connection.Request.Utf8);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            if (!cancellation.IsCancellationRequested) Fail(e.Message);
            return null;
        }
        if (answer.RejectedRecords > 0) Interlocked.Add(ref _rejected, answer.RejectedRecords);
        if (answer.Status is 200) return connection.Request.RecordCount - answer.RejectedRecords;
        Fail($"{answer.Status} {MessageOf(answer.Text)}");
        cancellation.WaitHandle.WaitOne(PauseAfter(answer, phase));
        return null;
    }

    /// <summary>In a closed loop as long as the server asks, within bounds, but not beyond the end; an open loop sends what is due.</summary>
    TimeSpan PauseAfter(BenchAnswer refusal, SendPhase? phase)
    {
        if (phase is not { Rate: null } || refusal is not { Status: 429 or 503, RetryAfter: { } asked } || asked < RefusalPause) return RefusalPause;
        var left = phase.Until == long.MaxValue ? LongestRefusalPause : _time.GetElapsedTime(_time.GetTimestamp(), phase.Until);
        return new[] { asked, LongestRefusalPause, left }.Min() is var pause && pause > TimeSpan.Zero ? pause : TimeSpan.Zero;
    }

    /// <summary>A refusal of Sluice has a message; what is none is shown whole.</summary>
    static string? MessageOf(string? text)
    {
        try
        {
            return text is null ? null : JsonElement.Parse(text).GetProperty("message").GetString();
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            return text?.ReplaceLineEndings(" ");
        }
    }

    void Fail(string error)
    {
        _isUncertain = true;
        Interlocked.Increment(ref _errors);
        lock (_lock) _firstError ??= error;
    }

    /// <returns>How many of the keys no request has had before.</returns>
    int ChooseKeys(BenchRequest request, KeyChoice choice)
    {
        if (choice == KeyChoice.Same)
        {
            request.SetKeys(BenchRequest.FirstKey);
            return 0;
        }
        var newKeys = choice switch
        {
            KeyChoice.New => request.RecordCount,
            KeyChoice.Half => (request.RecordCount + Random.Shared.Next(2)) / 2,
            _ => 0,
        };
        var firstNew = Interlocked.Add(ref _nextKey, newKeys) - newKeys;
        request.SetKeys(firstNew + newKeys - request.RecordCount); // the last ones are new, those before are replaced by known ones
        var known = Math.Max(1, firstNew - BenchRequest.FirstKey);
        for (var i = 0; i < request.RecordCount - newKeys; i++) request.SetKey(i, BenchRequest.FirstKey + Random.Shared.NextInt64(known));
        return newKeys;
    }

    /// <summary>Single records, until each is visible: what a user of the table would wait.</summary>
    void ProbeLoop(CancellationToken cancellation)
    {
        var probe = new Connection(
            new BenchConnection(target.Origin, target.Tls),
            new BenchRequest(target.RequestHead(target.FormOf(load), waitLoaded: true), load.Shape, target.FormOf(load), target.TimeFormat, records: 1));
        while (!cancellation.IsCancellationRequested)
        {
            ChooseKeys(probe.Request, KeyChoice.New);
            var started = _time.GetTimestamp();
            if (TrySend(probe, phase: null, CancellationToken.None) is { } rows)
            {
                Interlocked.Add(ref _distinctKeys, rows);
                Interlocked.Add(ref _allRows, rows);
                _loaded.RecordValue(Math.Clamp((long)_time.GetElapsedTime(started).TotalMicroseconds, 1, MaxLatencyMicroseconds));
            }
            cancellation.WaitHandle.WaitOne(TimeSpan.FromSeconds(1.0 / load.ProbesPerSecond));
        }
        probe.Dispose();
    }

    /// <summary>Holds the senders back while too much waits to be loaded, and notes what is loaded when.</summary>
    async Task WatchAsync(long? maxBacklog, bool isMeasured, CancellationToken cancellation)
    {
        try
        {
            while (true)
            {
                if (await target.ReadProgressAsync(cancellation) is { } progress)
                {
                    if (progress.Pending > maxBacklog) _mayCatchUp.Reset();
                    else _mayCatchUp.Set();
                    if (isMeasured && (_loads.Count == 0 || _loads[^1].Loaded != progress.Loaded)) _loads.Add((_time.GetTimestamp(), progress.Loaded));
                }
                if (isMeasured) server?.Sample();
                await Task.Delay(maxBacklog is null ? IdleWatchInterval : WatchInterval, _time, cancellation);
            }
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            _mayCatchUp.Set();
        }
    }

    async Task<TimeSpan?> DrainAsync(long started, TimeSpan patience, CancellationToken cancellation)
    {
        while (true)
        {
            var elapsed = _time.GetElapsedTime(started);
            if (await target.ReadProgressAsync(cancellation) is not { Pending: > 0 }) return elapsed;
            if (elapsed >= patience) return null;
            await Task.Delay(WatchInterval, _time, cancellation);
        }
    }

    double? LoadedRowsPerSecond(double seconds)
    {
        if (!target.LoadsLater) return _rows / seconds;
        if (_loads.Count < 4) return null;
        var (first, last) = (_loads[1], _loads[^1]); // the very first is where the watch began, between two loads
        return (last.Loaded - first.Loaded) / _time.GetElapsedTime(first.Timestamp, last.Timestamp).TotalSeconds;
    }

    static LatencyReport Report(LongHistogram latencies) => new(
        latencies.TotalCount, Milliseconds(latencies, 50), Milliseconds(latencies, 99), Milliseconds(latencies, 99.9), latencies.GetMaxValue() / 1000.0);

    static double Milliseconds(LongHistogram latencies, double percentile) => latencies.TotalCount == 0 ? 0 : latencies.GetValueAtPercentile(percentile) / 1000.0;

    sealed record Connection(BenchConnection Http, BenchRequest Request) : IDisposable
    {
        public void Dispose() => Http.Dispose();
    }

    /// <param name="Until">Timestamp after which nothing more is sent.</param>
    /// <param name="TakeTurn">Whether one more request is to be sent.</param>
    sealed record SendPhase(long Until, Func<bool> TakeTurn, KeyChoice Keys, int? Rate, bool IsMeasured);
}
