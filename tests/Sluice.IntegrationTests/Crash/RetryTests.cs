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
        const int kills = 4;
        var (sinkId, ledger, repeated) = await SendOverKillsAsync(kills, hasKey: true);

        // killed behind the log and before the answer: the retry is the first again; in the table and in the counters of its transaction once
        Assert.Equal((kills, kills * Records), (Count(ledger, "requests"), Count(ledger, "received")));
        Assert.Equal((kills * Records, 0), (Count(ledger, "loaded"), Count(ledger, "pending")));
        Assert.Equal(kills, repeated);
        Assert.NotEmpty(sinkId);
    }

    /// <summary>The control: without a key the same test sees every record twice.</summary>
    [Fact]
    public async Task Without_a_key_a_retry_after_a_kill_stores_all_twice()
    {
        const int kills = 2;
        var (_, ledger, repeated) = await SendOverKillsAsync(kills, hasKey: false);

        Assert.Equal((2 * kills, 2 * kills * Records), (Count(ledger, "requests"), Count(ledger, "loaded")));
        Assert.Equal(0, repeated);
    }

    async Task<(string SinkId, JsonNode Ledger, int Repeated)> SendOverKillsAsync(int kills, bool hasKey)
    {
        var sinkId = "";
        var repeated = 0;
        for (var kill = 1; kill <= kills; kill++)
        {
            await using (var server = await ServerProcess.StartAsync(_directory, "Sluice.Server", Cancellation))
            {
                using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
                if (kill == 1) sinkId = await CreateAsync(api);
                var before = await ReceivedAsync(api, sinkId);
                var lost = SendAsync(api, server.HttpPort, sinkId, kill, hasKey); // nobody looks at the answer
                while (await ReceivedAsync(api, sinkId) == before) Assert.False(Cancellation.IsCancellationRequested);
                await server.KillAsync();
                await lost.ContinueWith(answer => answer.Exception, TaskScheduler.Default);
            }
            await using (var server = await ServerProcess.StartAsync(_directory, "Sluice.Server", Cancellation))
            {
                using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
                using var answer = await SendAsync(api, server.HttpPort, sinkId, kill, hasKey);
                Assert.True(answer.IsSuccessStatusCode);
                if (answer.Headers.Contains("Idempotency-Replayed")) repeated++;
                Assert.Equal(Records, JsonNode.Parse(await answer.Content.ReadAsStringAsync(Cancellation))!["success_count"]!.GetValue<int>());
                await api.WaitLoadedAsync(sinkId, Cancellation);
                if (kill == kills) return (sinkId, await api.WaitLoadedAsync(sinkId, Cancellation), repeated);
            }
        }
        throw new InvalidOperationException("no kill was asked for");
    }

    static async Task<string> CreateAsync(ApiClient api)
    {
        var databaseId = await api.CreateAsync("v2/databases", """{"name":"retry"}""", Cancellation);
        await api.QueryAsync(databaseId, "CREATE TABLE events (_id ID, val INT)", Cancellation);
        return await api.CreateAsync("v2/sinks", $$"""
            {"name":"retry","sink_details":{"database_id":"{{databaseId}}","table":"events"},
             "schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"val","path":["val"]}] } }
            """, Cancellation);
    }

    static async Task<long> ReceivedAsync(ApiClient api, string sinkId) => Count((await api.GetAsync($"v2/sinks/{sinkId}/ledger", Cancellation)).Json, "received");

    static async Task<HttpResponseMessage> SendAsync(ApiClient api, int port, string sinkId, int number, bool hasKey)
    {
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}/") };
        var body = $$"""{"records":[{{string.Join(',', Enumerable.Range(0, Records).Select(i => $$"""{"value":{"id":{{(number * 1_000) + i}},"val":{{i}} } }"""))}}]}""";
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri($"v2/sinks/{sinkId}?wait=loaded", UriKind.Relative)) { Content = new StringContent(body, Encoding.UTF8) };
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", api.Token);
        if (hasKey) request.Headers.Add("Idempotency-Key", $"request {number}");
        return await http.SendAsync(request, Cancellation);
    }

    static long Count(JsonNode ledger, string name) => ledger[name]!.GetValue<long>();
}
