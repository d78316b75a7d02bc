using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Xunit;

namespace Sluice.IntegrationTests.Crash;

/// <summary>A sender whose server is killed before the answer arrives sends the request again.</summary>
public sealed class RetryTests : IDisposable
{
    const int Records = 20;

    readonly string _directory = Directory.CreateTempSubdirectory("sluice-retry-").FullName;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task With_a_key_a_retry_after_a_kill_stores_nothing_twice(bool isAppend)
    {
        const int kills = 2;
        var (verdict, records, ledger, repeated) = await SendOverKillsAsync(kills, hasKey: true, isAppend);

        // killed behind the log and before the answer: the retry is the first again; in the table and in the counters of its transaction once
        Assert.True(verdict.IsClean && verdict.Acknowledged == kills, verdict.ToString());
        Assert.Equal((kills, kills * records), (Count(ledger, "requests"), Count(ledger, "received")));
        Assert.Equal((kills * records, 0), (Count(ledger, "loaded"), Count(ledger, "pending")));
        Assert.Equal(kills, repeated);
    }

    /// <summary>The control: without a key the same test sees every record twice.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Without_a_key_a_retry_after_a_kill_stores_all_twice(bool isAppend)
    {
        const int kills = 2;
        var (verdict, records, ledger, repeated) = await SendOverKillsAsync(kills, hasKey: false, isAppend);

        Assert.Equal((2 * kills, 2 * kills * records), (Count(ledger, "requests"), Count(ledger, "loaded")));
        Assert.Equal(0, repeated);
        Assert.Equal((isAppend ? kills * records : 0, 0, 0, 0), (verdict.Duplicated, verdict.Lost, verdict.Partial, verdict.Phantom)); // keys hide it in the rows
    }

    /// <param name="isAppend">To the table without keys.</param>
    async Task<(Verdict Verdict, int Records, JsonNode Ledger, int Repeated)> SendOverKillsAsync(int kills, bool hasKey, bool isAppend)
    {
        var oracle = new CrashOracle(recordsPerBatch: Records);
        var repeated = 0;
        for (var kill = 1; kill <= kills; kill++)
        {
            int batch;
            string body;
            await using (var server = await ServerProcess.StartAsync(_directory, "Sluice.Server", Cancellation))
            {
                using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
                if (kill == 1) await oracle.CreateAsync(api, Cancellation);
                (batch, body) = oracle.Begin(SinkOf(oracle));
                var before = await ReceivedAsync(api, SinkOf(oracle));
                var lost = SendAsync(api, server.HttpPort, SinkOf(oracle), batch, body, hasKey); // nobody looks at the answer
                while (await ReceivedAsync(api, SinkOf(oracle)) == before) Assert.False(Cancellation.IsCancellationRequested);
                await server.KillAsync();
                await lost.ContinueWith(answer => answer.Exception, TaskScheduler.Default);
            }
            await using (var server = await ServerProcess.StartAsync(_directory, "Sluice.Server", Cancellation))
            {
                using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
                using var answer = await SendAsync(api, server.HttpPort, SinkOf(oracle), batch, body, hasKey);
                Assert.True(answer.IsSuccessStatusCode);
                oracle.Acknowledge(SinkOf(oracle), batch);
                if (answer.Headers.Contains("Idempotency-Replayed")) repeated++;
                var records = oracle.RecordsOf(SinkOf(oracle));
                Assert.Equal(records, JsonNode.Parse(await answer.Content.ReadAsStringAsync(Cancellation))!["success_count"]!.GetValue<int>());
                var ledger = await api.WaitLoadedAsync(SinkOf(oracle), Cancellation);
                if (kill == kills) return (await oracle.JudgeAsync(api, Cancellation), records, ledger, repeated);
            }
        }
        throw new InvalidOperationException("no kill was asked for");

        string SinkOf(CrashOracle oracle) => isAppend ? oracle.AppendSinkId : oracle.SinkId;
    }

    static async Task<long> ReceivedAsync(ApiClient api, string sinkId) => Count((await api.GetAsync($"v2/sinks/{sinkId}/ledger", Cancellation)).Json, "received");

    static async Task<HttpResponseMessage> SendAsync(ApiClient api, int port, string sinkId, int number, string body, bool hasKey)
    {
        using var http = new HttpClient(new LostConnections()) { BaseAddress = new Uri($"http://127.0.0.1:{port}/") };
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri($"v2/sinks/{sinkId}?wait=loaded", UriKind.Relative)) { Content = new StringContent(body, Encoding.UTF8) };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", api.Token);
        if (hasKey) request.Headers.Add("Idempotency-Key", $"request {number}");
        return await http.SendAsync(request, Cancellation);
    }

    static long Count(JsonNode ledger, string name) => ledger[name]!.GetValue<long>();
}
