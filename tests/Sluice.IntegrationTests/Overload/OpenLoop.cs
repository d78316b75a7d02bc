using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Sluice.IntegrationTests.Wire;

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

/// <summary>Sends records to one sink of a server. The requests are made once, and sent over bare sockets: the sender shares the machine with the server.</summary>
sealed class OpenLoop(ServerProcess server, string token, string sinkId, int recordsPerRequest)
{
    const int Bodies = 64;
    const int Connections = 256;
    static readonly TimeSpan s_tick = TimeSpan.FromMilliseconds(100);
    static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(20);

    readonly byte[][] _requests = [.. Enumerable.Range(0, Bodies).Select(number => Request(sinkId, token, Body(number, recordsPerRequest)))];
    readonly int[] _admitted = new int[Bodies];
    int _next;

    /// <summary>How often each body was answered 200; body n has the ids from n times the records of a request.</summary>
    public IReadOnlyList<int> Admitted => _admitted;

    /// <summary>Sends at a rate, without looking at the answers.</summary>
    public Task<LoadReport> RunAsync(double requestsPerSecond, TimeSpan time, CancellationToken cancellation) => RunAsync(requestsPerSecond, due => due < time, cancellation);

    /// <summary>Sends at a rate until <paramref name="other"/> has ended.</summary>
    public Task<LoadReport> RunAsync(double requestsPerSecond, Task other, CancellationToken cancellation) => RunAsync(requestsPerSecond, _ => !other.IsCompleted, cancellation);

    /// <summary>What is due goes to the next free connection; while all wait for an answer it waits too, and that counts as its latency.</summary>
    Task<LoadReport> RunAsync(double requestsPerSecond, Func<TimeSpan, bool> isGoingOn, CancellationToken cancellation)
    {
        var clock = TimeProvider.System;
        var started = clock.GetTimestamp();
        var count = -1L;
        return RunAsync(Connections, SendAsync, cancellation);

        async Task SendAsync(KeptConnection connection, Tally tally)
        {
            while (true)
            {
                var due = TimeSpan.FromSeconds(Interlocked.Increment(ref count) / requestsPerSecond);
                if (!isGoingOn(due)) return;
                if (due - clock.GetElapsedTime(started) is var early && early > TimeSpan.Zero) await Task.Delay(early, clock, cancellation);
                await SendOneAsync(connection, tally, () => clock.GetElapsedTime(started) - due, cancellation);
            }
        }
    }

    /// <summary>Sends as much as is taken, from a few connections.</summary>
    public Task<LoadReport> SaturateAsync(int connections, Func<bool> isOver, CancellationToken cancellation) => RunAsync(
        connections,
        async (connection, tally) =>
        {
            while (!isOver())
            {
                var started = TimeProvider.System.GetTimestamp();
                if (!await SendOneAsync(connection, tally, () => TimeProvider.System.GetElapsedTime(started), cancellation))
                    await Task.Delay(s_pause, TimeProvider.System, cancellation);
            }
        },
        cancellation);

    async Task<LoadReport> RunAsync(int connections, Func<KeptConnection, Tally, Task> sendAsync, CancellationToken cancellation)
    {
        var tally = new Tally();
        var memory = WatchMemoryAsync(tally, cancellation);
        await Task.WhenAll(Enumerable.Range(0, connections).Select(_ => Task.Run(
            async () =>
            {
                using var connection = new KeptConnection(server.HttpPort);
                await sendAsync(connection, tally);
            },
            cancellation)));
        tally.IsOver = true;
        await memory;
        return tally.Report();
    }

    /// <returns>Whether the request was taken.</returns>
    async Task<bool> SendOneAsync(KeptConnection connection, Tally tally, Func<TimeSpan> took, CancellationToken cancellation)
    {
        var body = (uint)Interlocked.Increment(ref _next) % Bodies;
        try
        {
            var answer = await connection.ExchangeAsync(_requests[body], cancellation);
            var isTaken = tally.Note(answer.Span, took());
            if (isTaken) Interlocked.Increment(ref _admitted[body]);
            return isTaken;
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            tally.Broken.Add(e.ToString());
            return false;
        }
    }

    async Task WatchMemoryAsync(Tally tally, CancellationToken cancellation)
    {
        while (!tally.IsOver)
        {
            var line = File.ReadLines($"/proc/{server.Id}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
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

    static byte[] Request(string sinkId, string token, byte[] body) =>
        [.. Encoding.ASCII.GetBytes($"POST /v2/sinks/{sinkId}?return=summary HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: {body.Length}\r\n\r\n"), .. body];

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

        /// <returns>Whether the request was taken.</returns>
        public bool Note(ReadOnlySpan<byte> answer, TimeSpan took)
        {
            if (answer.StartsWith("HTTP/1.1 200 "u8))
            {
                _admitted.Add(took);
                return true;
            }
            var refusal = RawHttp.Parse(answer);
            if (CauseOf(refusal) is { } cause)
            {
                _refused.Add(took);
                _refusals.AddOrUpdate($"{refusal.Status} {cause}", 1, (_, count) => count + 1);
            }
            else
            {
                _untruthful.Add($"{refusal.Status} {refusal.Body}");
            }
            return false;
        }

        public LoadReport Report()
        {
            var latencies = _admitted.Order().ToList();
            return new LoadReport(
                latencies.Count + _refused.Count + _untruthful.Count + Broken.Count, latencies.Count, _refusals, [.. _untruthful], [.. Broken],
                Percentile(latencies, 0.5), Percentile(latencies, 0.99), _refused.DefaultIfEmpty().Max(), MostBytes);
        }

        /// <summary>The cause of a refusal that says all it must: when to come back, why, and that nothing is stored.</summary>
        static string? CauseOf(RawAnswer answer) =>
            answer.Status is 429 or 503
            && answer.Headers.TryGetValue("Retry-After", out var seconds) && int.Parse(seconds, CultureInfo.InvariantCulture) >= 1
            && JsonElement.Parse(answer.Body) is var body
            && body.TryGetProperty("outcome", out var outcome) && outcome.GetString() == "not_stored"
            && body.TryGetProperty("cause", out var cause) ? cause.GetString() : null;

        static TimeSpan Percentile(List<TimeSpan> sorted, double part) => sorted.Count == 0 ? TimeSpan.Zero : sorted[Math.Min(sorted.Count - 1, (int)(sorted.Count * part))];
    }
}
