using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Sluice.IntegrationTests.Crash;
using Sluice.IntegrationTests.Server;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.Recovery;

/// <summary>Repair and rebuild of a log that holds large requests in parts: whole ones, one that never ended, and one of which a part is damaged.</summary>
public sealed class PartRecoveryTests(ITestOutputHelper output) : IDisposable
{
    const int LargeBatches = 3;

    readonly TemporaryDirectory _directory = new();
    readonly CrashOracle _oracle = new(hasAppends: false, recordsPerBatch: 60_000, asLines: true); // more than one part of 8 MiB

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    static (string, string)[] Small => [("Sluice__Storage__SegmentBytes", "50000")];

    string Data => Path.Combine(_directory.Path, "data");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Requests_in_parts_are_there_whole_or_are_told_to_be_lost()
    {
        var requests = await FillAsync();
        var table = Path.GetFileName(Assert.Single(Directory.GetDirectories(Path.Combine(Data, "logs"))));

        // the log is complete: everything is loaded again, and the request that never ended is not
        await RebuildAsync("is complete");
        Assert.Equal(["loaded", "loaded", "loaded"], await JudgeAsync(requests, lost: 0));

        // a first part is damaged, whose records the database has: that of the first request, which found an idle disk; later parts may share a segment with their last, and go with it
        var segment = Directory.GetFiles(Path.Combine(Data, "logs", table), "segment-*").Order(StringComparer.Ordinal).First(path => new FileInfo(path).Length > 500_000);
        await FlipAsync(segment, (int)new FileInfo(segment).Length / 2);
        await using (var refused = ServerProcess.Start(Data, "Sluice.Server")) Assert.Equal(4, await refused.WaitForExitAsync(Cancellation));
        var repair = await MaintenanceRun.RunAsync("repair", "--data", Data, "--apply");
        Assert.True(repair.Code == ExitCode.Stopped, repair.Output);
        Assert.Contains("known to be lost: 0 accepted records", repair.Output, StringComparison.Ordinal);
        Assert.Equal(["loaded", "loaded", "loaded"], await JudgeAsync(requests, lost: 0));

        // and now the database has them no more
        await RebuildAsync($"{_oracle.RecordsOf(_oracle.SinkId)} that a repair took out are not in it any more");
        Assert.Equal(["loaded", "loaded", "lost"], (await JudgeAsync(requests, lost: 1)).Order(StringComparer.Ordinal));
        Assert.Equal(["loaded", "loaded", "lost"], (await JudgeAsync(requests, lost: 1)).Order(StringComparer.Ordinal)); // also after another start
    }

    /// <returns>The ids of the requests that were answered.</returns>
    async Task<List<string>> FillAsync()
    {
        var requests = new List<string>();
        await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation, Small);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        await _oracle.CreateAsync(api, Cancellation);
        for (var n = 0; n < LargeBatches; n++)
        {
            var (batch, body) = _oracle.Begin(_oracle.SinkId);
            if (n == 1) await SendHalfAsync(server, api, body); // its parts are between those of others
            var answer = await api.PostAsync($"v2/sinks/{_oracle.SinkId}?format=ndjson&return=summary&wait=loaded&timeout=60", body, Cancellation);
            Assert.True(answer.Status == HttpStatusCode.OK, answer.Text);
            _oracle.Acknowledge(_oracle.SinkId, batch);
            requests.Add(answer.Json["request_id"]!.GetValue<string>());
        }
        await server.StopAsync(Cancellation);
        return requests;
    }

    /// <summary>A request in parts whose sender goes after the first ones are in the log.</summary>
    async Task SendHalfAsync(ServerProcess server, ApiClient api, string body)
    {
        long LogBytes() => Directory.EnumerateFiles(Path.Combine(Data, "logs"), "segment-*", SearchOption.AllDirectories).Sum(path => new FileInfo(path).Length);
        var before = LogBytes();
        using var http = new HttpClient();
        using var content = new HalfContent(Encoding.UTF8.GetBytes(body + body), () => LogBytes() > before + 50_000);
        using var request = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{server.HttpPort}/v2/sinks/{_oracle.SinkId}?format=ndjson") { Content = content };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", api.Token);
        await Assert.ThrowsAnyAsync<Exception>(() => http.SendAsync(request, Cancellation));
        Assert.True(content.HasSeen, "no part of the request came into the log");
    }

    async Task RebuildAsync(string expected)
    {
        var file = Assert.Single(Directory.GetFiles(Path.Combine(Data, "databases"), "*.duckdb"));
        await File.WriteAllBytesAsync(file, new byte[20_000], Cancellation);
        var rebuild = await MaintenanceRun.RunAsync("rebuild", "--data", Data, "--database", Path.GetFileNameWithoutExtension(file), "--apply");
        Assert.True(rebuild.Code == ExitCode.Stopped, rebuild.Output);
        Assert.Contains(expected, rebuild.Output, StringComparison.Ordinal);
    }

    /// <returns>What the server says of each request.</returns>
    async Task<List<string>> JudgeAsync(List<string> requests, int lost)
    {
        await using var server = await ServerProcess.StartAsync(Data, "Sluice.Server", Cancellation, Small);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var verdict = await _oracle.JudgeAsync(api, Cancellation);
        output.WriteLine(verdict.ToString());
        Assert.True((verdict with { Lost = 0, Stale = 0, Unbalanced = 0 }).IsClean && verdict.Lost == lost && verdict.Stale <= lost, verdict.ToString());
        Assert.All(_oracle.LedgerFaults, fault => Assert.True(lost > 0 && fault.StartsWith("loaded was ", StringComparison.Ordinal), fault)); // what is lost is loaded no more
        var ledger = await api.WaitLoadedAsync(_oracle.SinkId, Cancellation);
        var records = _oracle.RecordsOf(_oracle.SinkId);
        Assert.Equal(
            (LargeBatches * records, (LargeBatches - lost) * records, lost * records, lost * records),
            (ledger["accepted"]!.GetValue<int>(), ledger["loaded"]!.GetValue<int>(), ledger["failed"]!.GetValue<int>(), ledger["lost"]!.GetValue<int>()));
        var states = new List<string>();
        foreach (var request in requests)
        {
            var fate = await api.GetAsync($"v2/sinks/{_oracle.SinkId}/requests/{request}", Cancellation);
            Assert.True(fate.Status == HttpStatusCode.OK, fate.Text);
            states.Add(fate.Json["state"]!.GetValue<string>());
            if (states[^1] == "lost") Assert.Equal((0, records), (fate.Json["loaded"]!.GetValue<int>(), fate.Json["failed"]!.GetValue<int>()));
        }
        await server.StopAsync(Cancellation);
        return states;
    }

    static async Task FlipAsync(string path, int at)
    {
        var bytes = await File.ReadAllBytesAsync(path, Cancellation);
        bytes[at] ^= 1;
        await File.WriteAllBytesAsync(path, bytes, Cancellation);
    }

    /// <summary>Bytes that come until something has happened, and then break off.</summary>
    sealed class HalfContent(byte[] bytes, Func<bool> hasHappened) : HttpContent
    {
        public bool HasSeen { get; private set; }

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync(bytes);
            await stream.FlushAsync();
            for (var tries = 0; tries < 400 && !(HasSeen = hasHappened()); tries++) await Task.Delay(TimeSpan.FromMilliseconds(25), TimeProvider.System);
            throw new IOException("the sender is gone");
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
