using System.Globalization;
using HdrHistogram;
using Sluice.Client;

namespace Sluice.Cli.Bench;

/// <summary>A database of its own with one table and one sink, and the load on it. Gone when disposed.</summary>
sealed class BenchStage : IAsyncDisposable
{
    const long MaxLatencyMicroseconds = 600_000_000;
    const int PrefillBatch = 50_000;
    static readonly TimeSpan ProbeInterval = TimeSpan.FromMilliseconds(100);
    static readonly TimeSpan DrainPatience = TimeSpan.FromMinutes(1);

    readonly SluiceClient _client;
    readonly BenchLoad _load;
    readonly Guid _database;
    readonly Guid _sink;
    readonly Lock _lock = new();
    readonly LongHistogram _durable = new(1, MaxLatencyMicroseconds, 3); // under _lock
    readonly LongHistogram _loaded = new(1, MaxLatencyMicroseconds, 3); // under _lock
    long _nextKey = BenchBody.FirstKey;
    long _nextDue;
    long _requests;
    long _rows;
    long _bytes;
    long _errors;
    long _rejected;

    BenchStage(SluiceClient client, BenchLoad load, Guid database, Guid sink) => (_client, _load, _database, _sink) = (client, load, database, sink);

    public static async Task<BenchStage> CreateAsync(SluiceClient client, BenchLoad load, CancellationToken cancellation)
    {
        var name = $"bench-{TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture)}";
        var database = (await client.CreateDatabaseAsync(new DatabaseRequest(name), cancellation)).Id;
        var made = await client.QueryAsync(database, $"CREATE TABLE load ({BenchBody.TableColumns(load.Shape)})", cancellation);
        if (made.Error is { } error) throw new CommandException(error);
        var fields = BenchBody.Columns(load.Shape).Select(column => new SinkField(column, [column == "_id" ? "id" : column])).ToList();
        var sink = await client.CreateSinkAsync(
            new SinkRequest("load", new SinkDetails(database, "load"), new SinkSchema("json", "_id", null, AllowMissingFields: true, fields)), cancellation);
        var stage = new BenchStage(client, load, database, sink.Id);
        await stage.PrefillAsync(cancellation);
        return stage;
    }

    public async Task<BenchReport> RunAsync(CancellationToken cancellation)
    {
        if (_load.Warmup > TimeSpan.Zero) await SendAsync(_load.Warmup, isMeasured: false, cancellation);
        var before = await _client.GetLedgerAsync(_sink, cancellation);
        var started = TimeProvider.System.GetTimestamp();
        await SendAsync(_load.Duration, isMeasured: true, cancellation);
        var seconds = TimeProvider.System.GetElapsedTime(started).TotalSeconds;
        var backlog = (await _client.GetLedgerAsync(_sink, cancellation)).Pending;
        var drain = await DrainAsync(cancellation);
        var total = TimeProvider.System.GetElapsedTime(started).TotalSeconds;
        var after = await _client.GetLedgerAsync(_sink, cancellation);
        return new BenchReport(
            _load, seconds, _rows / seconds, _requests / seconds, _bytes / seconds / 1e6, Report(_durable), _loaded.TotalCount == 0 ? null : Report(_loaded),
            (after.Loaded - before.Loaded) / total, backlog, drain?.TotalSeconds, _errors, _rejected);
    }

    public async ValueTask DisposeAsync() => await _client.DeleteDatabaseAsync(_database, force: true, CancellationToken.None);

    async Task PrefillAsync(CancellationToken cancellation)
    {
        for (var rows = 0L; rows < _load.Rows;)
        {
            var body = new BenchBody(_load.Shape, (int)Math.Min(PrefillBatch, _load.Rows - rows));
            for (var i = 0; i < body.RecordCount; i++) body.SetKey(i, _nextKey++);
            await _client.SendAsync(_sink, body.Utf8, new SendOptions { Return = "summary", WaitLoaded = true, Timeout = DrainPatience }, cancellation);
            rows += body.RecordCount;
        }
    }

    async Task SendAsync(TimeSpan duration, bool isMeasured, CancellationToken cancellation)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        _nextDue = TimeProvider.System.GetTimestamp();
        var until = _nextDue + (long)(duration.TotalSeconds * TimeProvider.System.TimestampFrequency);
        var senders = Enumerable.Range(0, _load.Connections).Select(_ => Task.Run(() => SendLoopAsync(until, isMeasured, cancellation), cancellation)).ToList();
        var probes = isMeasured && !_load.WaitLoaded ? ProbeLoopAsync(end.Token) : Task.CompletedTask;
        await Task.WhenAll(senders);
        await end.CancelAsync();
        await probes;
        cancellation.ThrowIfCancellationRequested();
    }

    async Task SendLoopAsync(long until, bool isMeasured, CancellationToken cancellation)
    {
        var body = new BenchBody(_load.Shape, _load.Batch);
        var random = new Random();
        var options = new SendOptions { Return = "summary", WaitLoaded = _load.WaitLoaded, Timeout = _load.WaitLoaded ? DrainPatience : null };
        var latencies = new LongHistogram(1, MaxLatencyMicroseconds, 3);
        while (TimeProvider.System.GetTimestamp() < until)
        {
            ChooseKeys(body, random);
            if (await DueAsync(until, cancellation) is not { } due) break;
            var isDone = await TrySendAsync(body, options, cancellation);
            latencies.RecordValue(Math.Clamp((long)TimeProvider.System.GetElapsedTime(due).TotalMicroseconds, 1, MaxLatencyMicroseconds));
            if (!isMeasured || !isDone) continue;
            Interlocked.Increment(ref _requests);
            Interlocked.Add(ref _rows, body.RecordCount);
            Interlocked.Add(ref _bytes, body.Utf8.Length);
        }
        if (!isMeasured) return;
        lock (_lock) _durable.Add(latencies);
    }

    /// <summary>When the next request counts from: now, or in an open loop when it is due, however late that is. <c>null</c>: after the end.</summary>
    async ValueTask<long?> DueAsync(long until, CancellationToken cancellation)
    {
        if (_load.Rate is not { } rate) return TimeProvider.System.GetTimestamp();
        var interval = TimeProvider.System.TimestampFrequency / rate;
        var due = Interlocked.Add(ref _nextDue, interval);
        if (due >= until) return null;
        var wait = TimeProvider.System.GetElapsedTime(TimeProvider.System.GetTimestamp(), due);
        if (wait > TimeSpan.Zero) await Task.Delay(wait, TimeProvider.System, cancellation);
        return due;
    }

    async ValueTask<bool> TrySendAsync(BenchBody body, SendOptions options, CancellationToken cancellation)
    {
        try
        {
            var answer = await _client.SendAsync(_sink, body.Utf8, options, cancellation);
            if (answer.ErrorCount > 0) Interlocked.Add(ref _rejected, answer.ErrorCount);
            return true;
        }
        catch (Exception e) when (e is SluiceApiException or HttpRequestException)
        {
            Interlocked.Increment(ref _errors);
            return false;
        }
    }

    void ChooseKeys(BenchBody body, Random random)
    {
        if (_load.Keys == KeyChoice.Same)
        {
            for (var i = 0; i < body.RecordCount; i++) body.SetKey(i, BenchBody.FirstKey + i);
            return;
        }
        var end = Interlocked.Add(ref _nextKey, body.RecordCount);
        var known = end - body.RecordCount - BenchBody.FirstKey;
        for (var i = 0; i < body.RecordCount; i++)
        {
            var isKnown = _load.Keys == KeyChoice.Half && i % 2 == 0 && known > 0;
            body.SetKey(i, isKnown ? BenchBody.FirstKey + random.NextInt64(known) : end - body.RecordCount + i);
        }
    }

    /// <summary>Single records, until each is visible: what a user of the table would wait.</summary>
    async Task ProbeLoopAsync(CancellationToken cancellation)
    {
        var body = new BenchBody(_load.Shape, 1);
        try
        {
            while (true)
            {
                body.SetKey(0, Interlocked.Increment(ref _nextKey) - 1);
                var started = TimeProvider.System.GetTimestamp();
                var answer = await _client.SendAsync(_sink, body.Utf8, new SendOptions { Return = "summary", WaitLoaded = true, Timeout = DrainPatience }, cancellation);
                if (answer.State is null)
                    lock (_lock) _loaded.RecordValue(Math.Max(1, (long)TimeProvider.System.GetElapsedTime(started).TotalMicroseconds));
                await Task.Delay(ProbeInterval, TimeProvider.System, cancellation);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SluiceApiException or HttpRequestException)
        {
            // the load is over, or its own requests tell of the same
        }
    }

    async Task<TimeSpan?> DrainAsync(CancellationToken cancellation)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (TimeProvider.System.GetElapsedTime(started) is var elapsed && elapsed < DrainPatience)
        {
            if ((await _client.GetLedgerAsync(_sink, cancellation)).Pending == 0) return elapsed;
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, cancellation);
        }
        return null;
    }

    static LatencyReport Report(LongHistogram latencies) => new(
        latencies.TotalCount, Milliseconds(latencies, 50), Milliseconds(latencies, 99), Milliseconds(latencies, 99.9), latencies.GetMaxValue() / 1000.0);

    static double Milliseconds(LongHistogram latencies, double percentile) => latencies.GetValueAtPercentile(percentile) / 1000.0;
}
