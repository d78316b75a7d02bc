using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;

namespace Sluice.IntegrationTests.Overload;

/// <summary>What came of requests that were sent when they were due, whatever became of those before.</summary>
/// <param name="Refusals">By status and cause, as in <c>503 log_backlog</c>.</param>
/// <param name="Untruthful">Answers that are neither a 200 nor a refusal with everything that a refusal must say.</param>
/// <param name="Broken">Requests that got no answer.</param>
/// <param name="P99">Of the requests answered 200, from when they were due.</param>
/// <param name="MostBytes">Highest resident memory of the server.</param>
sealed record LoadReport(
    int Sent, int Admitted, IReadOnlyDictionary<string, int> Refusals, IReadOnlyList<string> Untruthful, IReadOnlyList<string> Broken, TimeSpan P50, TimeSpan P99, TimeSpan LongestRefusal, long MostBytes)
{
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Sent} sent, {Admitted} admitted (p50 {P50.TotalMilliseconds:0.0} ms, p99 {P99.TotalMilliseconds:0.0} ms), refused: {string.Join(", ", Refusals.Select(refusal => $"{refusal.Value} x {refusal.Key}"))} (slowest {LongestRefusal.TotalMilliseconds:0.0} ms), {Untruthful.Count} untruthful, {Broken.Count} broken, {MostBytes >> 20} MiB");
}

/// <summary>Sends records to one sink of a server. The bodies are made once: the sender shares the machine with the server.</summary>
sealed class OpenLoop : IDisposable
{
    const int Bodies = 64;
    static readonly TimeSpan s_tick = TimeSpan.FromMilliseconds(100);

    readonly HttpClient _http;
    readonly Uri _sink;
    readonly ServerProcess _server;
    readonly byte[][] _bodies;
    readonly int[] _admitted = new int[Bodies];
    int _next;

    public OpenLoop(ServerProcess server, string token, string sinkId, int recordsPerRequest)
    {
        _bodies = [.. Enumerable.Range(0, Bodies).Select(number => Body(number, recordsPerRequest))];
        _http = new HttpClient(new LostConnections(new SocketsHttpHandler { MaxConnectionsPerServer = 256 })) { Timeout = TimeSpan.FromMinutes(1) };
        _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        (_server, _sink) = (server, new Uri($"http://127.0.0.1:{server.HttpPort}/v2/sinks/{sinkId}?return=summary"));
    }

    /// <summary>How often each body was answered 200; body n has the ids from n times the records of a request.</summary>
    public IReadOnlyList<int> Admitted => _admitted;

    /// <summary>Sends at a rate, without looking at the answers.</summary>
    public Task<LoadReport> RunAsync(double requestsPerSecond, TimeSpan time, CancellationToken cancellation) => RunAsync(requestsPerSecond, due => due < time, cancellation);

    /// <summary>Sends at a rate until <paramref name="other"/> has ended.</summary>
    public Task<LoadReport> RunAsync(double requestsPerSecond, Task other, CancellationToken cancellation) => RunAsync(requestsPerSecond, _ => !other.IsCompleted, cancellation);

    async Task<LoadReport> RunAsync(double requestsPerSecond, Func<TimeSpan, bool> isGoingOn, CancellationToken cancellation)
    {
        var tally = new Tally();
        var clock = TimeProvider.System;
        var started = clock.GetTimestamp();
        var underWay = new List<Task>();
        var memory = WatchMemoryAsync(tally, cancellation);
        for (var due = TimeSpan.Zero; isGoingOn(due); due += TimeSpan.FromSeconds(1 / requestsPerSecond))
        {
            if (due - clock.GetElapsedTime(started) is var early && early > TimeSpan.Zero) await Task.Delay(early, clock, cancellation);
            var late = clock.GetElapsedTime(started) - due;
            underWay.Add(Task.Run(() => SendAsync(tally, late, cancellation), cancellation));
        }
        await Task.WhenAll(underWay);
        tally.IsOver = true;
        await memory;
        return tally.Report(underWay.Count);
    }

    /// <summary>Sends as much as is taken, from a few connections.</summary>
    public async Task<LoadReport> SaturateAsync(int connections, Func<bool> isOver, CancellationToken cancellation)
    {
        var tally = new Tally();
        var sent = 0;
        var memory = WatchMemoryAsync(tally, cancellation);
        await Task.WhenAll(Enumerable.Range(0, connections).Select(_ => Task.Run(
            async () =>
            {
                while (!isOver())
                {
                    Interlocked.Increment(ref sent);
                    if (!await SendAsync(tally, TimeSpan.Zero, cancellation)) await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, cancellation);
                }
            },
            cancellation)));
        tally.IsOver = true;
        await memory;
        return tally.Report(sent);
    }

    public void Dispose() => _http.Dispose();

    /// <returns>Whether the request was taken.</returns>
    async Task<bool> SendAsync(Tally tally, TimeSpan late, CancellationToken cancellation)
    {
        var started = TimeProvider.System.GetTimestamp();
        var body = (uint)Interlocked.Increment(ref _next) % Bodies;
        try
        {
            using var answer = await _http.PostAsync(_sink, new ByteArrayContent(_bodies[body]), cancellation);
            var text = await answer.Content.ReadAsStringAsync(cancellation);
            var took = TimeProvider.System.GetElapsedTime(started) + late;
            tally.Note(answer, text, took);
            if (answer.StatusCode != HttpStatusCode.OK) return false;
            Interlocked.Increment(ref _admitted[body]);
            return true;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
        {
            tally.Broken.Add(e.ToString());
            return false;
        }
    }

    async Task WatchMemoryAsync(Tally tally, CancellationToken cancellation)
    {
        while (!tally.IsOver)
        {
            var line = File.ReadLines($"/proc/{_server.Id}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
            tally.MostBytes = Math.Max(tally.MostBytes, 1024 * long.Parse(line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture));
            await Task.Delay(s_tick, TimeProvider.System, cancellation);
        }
    }

    static byte[] Body(int number, int records)
    {
        var text = new StringBuilder("{\"records\":[");
        for (var i = 0; i < records; i++)
            text.Append(CultureInfo.InvariantCulture, $"{(i == 0 ? "" : ",")}{{\"value\":{{\"id\":{((long)number * records) + i},\"price\":{i % 500}.25}}}}");
        return Encoding.ASCII.GetBytes(text.Append("]}").ToString());
    }

    /// <summary>Any thread.</summary>
    sealed class Tally
    {
        readonly ConcurrentBag<TimeSpan> _admitted = [];
        readonly ConcurrentDictionary<string, int> _refusals = [];
        readonly ConcurrentBag<TimeSpan> _refused = [];
        readonly ConcurrentBag<string> _untruthful = [];
        volatile bool _isOver;

        public ConcurrentBag<string> Broken { get; } = [];

        public long MostBytes { get; set; }

        public bool IsOver
        {
            get => _isOver;
            set => _isOver = value;
        }

        public void Note(HttpResponseMessage answer, string text, TimeSpan took)
        {
            if (answer.StatusCode == HttpStatusCode.OK)
            {
                _admitted.Add(took);
                return;
            }
            if (CauseOf(answer, text) is not { } cause)
            {
                _untruthful.Add($"{(int)answer.StatusCode} {text}");
                return;
            }
            _refused.Add(took);
            _refusals.AddOrUpdate($"{(int)answer.StatusCode} {cause}", 1, (_, count) => count + 1);
        }

        public LoadReport Report(int sent)
        {
            var latencies = _admitted.Order().ToList();
            return new LoadReport(
                sent, latencies.Count, _refusals, [.. _untruthful], [.. Broken], Percentile(latencies, 0.5), Percentile(latencies, 0.99), _refused.DefaultIfEmpty().Max(), MostBytes);
        }

        /// <summary>The cause of a refusal that says all it must: when to come back, why, and that nothing is stored.</summary>
        static string? CauseOf(HttpResponseMessage answer, string text) =>
            answer.StatusCode is HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable
            && answer.Headers.RetryAfter?.Delta >= TimeSpan.FromSeconds(1)
            && JsonElement.Parse(text) is var body
            && body.TryGetProperty("outcome", out var outcome) && outcome.GetString() == "not_stored"
            && body.TryGetProperty("cause", out var cause) ? cause.GetString() : null;

        static TimeSpan Percentile(List<TimeSpan> sorted, double part) => sorted.Count == 0 ? TimeSpan.Zero : sorted[Math.Min(sorted.Count - 1, (int)(sorted.Count * part))];
    }
}
