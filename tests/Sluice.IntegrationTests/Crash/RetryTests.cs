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

    [Fact]
    public async Task With_a_key_a_retry_after_a_kill_stores_nothing_twice()
    {
        const int kills = 2;
        var (verdict, sinks, repeated) = await SendOverKillsAsync(kills, hasKey: true);

        // killed behind the log and before the answer: the retry is the first again; in the table and in the counters of its transaction once
        Assert.True(verdict.IsClean && verdict.Acknowledged == 2 * kills, verdict.ToString());
        Assert.All(sinks, sink =>
        {
            Assert.Equal((kills, kills * sink.Records), (Count(sink.Ledger, "requests"), Count(sink.Ledger, "received")));
            Assert.Equal((kills * sink.Records, 0), (Count(sink.Ledger, "loaded"), Count(sink.Ledger, "pending")));
        });
        Assert.Equal(2 * kills, repeated);
    }

    /// <summary>The control: without a key the same test sees every record twice.</summary>
    [Fact]
    public async Task Without_a_key_a_retry_after_a_kill_stores_all_twice()
    {
        const int kills = 2;
        var (verdict, sinks, repeated) = await SendOverKillsAsync(kills, hasKey: false);

        Assert.All(sinks, sink => Assert.Equal((2 * kills, 2 * kills * sink.Records), (Count(sink.Ledger, "requests"), Count(sink.Ledger, "loaded"))));
        Assert.Equal(0, repeated);
        Assert.Equal((kills * Records, 0, 0, 0), (verdict.Duplicated, verdict.Lost, verdict.Partial, verdict.Phantom)); // keys hide it in the rows of the other table
    }

    /// <summary>To each table a request whose answer is lost by a kill; it is sent again to the next server, which is then killed too.</summary>
    async Task<(Verdict Verdict, List<(int Records, JsonNode Ledger)> Sinks, int Repeated)> SendOverKillsAsync(int kills, bool hasKey)
    {
        var oracle = new CrashOracle(recordsPerBatch: Records);
        var lost = new List<(string Sink, int Batch, string Body)>();
        var repeated = 0;
        for (var kill = 0; ; kill++)
        {
            await using var server = await ServerProcess.StartAsync(_directory, "Sluice.Server", Cancellation);
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            if (kill == 0) await oracle.CreateAsync(api, Cancellation);
            string[] sinks = [oracle.SinkId, oracle.AppendSinkId];
            foreach (var (sink, batch, body) in lost)
            {
                using var answer = await SendAsync(api, server.HttpPort, sink, batch, body, hasKey);
                Assert.True(answer.IsSuccessStatusCode);
                oracle.Acknowledge(sink, batch);
                if (answer.Headers.Contains("Idempotency-Replayed")) repeated++;
                Assert.Equal(oracle.RecordsOf(sink), JsonNode.Parse(await answer.Content.ReadAsStringAsync(Cancellation))!["success_count"]!.GetValue<int>());
            }
            if (kill == kills)
            {
                var ledgers = new List<(int, JsonNode)>();
                foreach (var sink in sinks) ledgers.Add((oracle.RecordsOf(sink), await api.WaitLoadedAsync(sink, Cancellation)));
                return (await oracle.JudgeAsync(api, Cancellation), ledgers, repeated);
            }
            lost.Clear();
            foreach (var sink in sinks)
            {
                var (batch, body) = oracle.Begin(sink);
                lost.Add((sink, batch, body));
            }
            await KillUnansweredAsync(server, api, lost, hasKey);
        }
    }

    static async Task KillUnansweredAsync(ServerProcess server, ApiClient api, List<(string Sink, int Batch, string Body)> requests, bool hasKey)
    {
        var before = await Task.WhenAll(requests.Select(request => ReceivedAsync(api, request.Sink)));
        var sent = requests.ConvertAll(request => SendAsync(api, server.HttpPort, request.Sink, request.Batch, request.Body, hasKey)); // nobody looks at the answers
        for (var i = 0; i < requests.Count; i++)
        {
            while (await ReceivedAsync(api, requests[i].Sink) == before[i]) Assert.False(Cancellation.IsCancellationRequested);
        }
        await server.KillAsync();
        foreach (var answer in sent) await answer.ContinueWith(lost => lost.Exception, TaskScheduler.Default);
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
