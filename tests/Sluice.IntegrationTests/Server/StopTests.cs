using System.Net;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed class StopTests
{
    /// <summary>F-33 in small: nothing that was answered 200 is missing, nothing that was let in is answered 500, and the process ends with 0.</summary>
    [Fact]
    public async Task A_stop_under_load_loses_nothing_and_answers_everything_it_let_in()
    {
        var cancellation = TestContext.Current.CancellationToken;
        using var data = new TemporaryDirectory();
        var acknowledged = new HashSet<int>();
        var others = new List<HttpStatusCode>();
        string databaseId, sinkId;

        await using (var first = await ServerProcess.StartAsync(data.Path, "Sluice.Server", cancellation))
        {
            using var api = await ApiClient.LoginAsync(first.HttpPort, cancellation);
            databaseId = await api.CreateAsync("v2/databases", """{"name":"stop"}""", cancellation);
            await api.CreateAsync($"v2/tables/{databaseId}", """{"name":"t","options":{"keys":false}}""", cancellation);
            sinkId = await api.CreateAsync("v2/sinks", $$$"""
                {"name":"s","sink_details":{"database_id":"{{{databaseId}}}","table":"t"},
                 "schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]}]}}
                """, cancellation);

            var senders = Enumerable.Range(0, 4).Select(sender => SendUntilClosedAsync(api, sinkId, sender * 1_000_000, acknowledged, others, cancellation)).ToList();
            while (Count(acknowledged) < 200)
                await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, cancellation);

            Assert.Equal(0, await first.StopAsync(cancellation));
            await Task.WhenAll(senders);
            Assert.DoesNotContain("fail:", first.Output, StringComparison.Ordinal);
        }

        await using var second = await ServerProcess.StartAsync(data.Path, "Sluice.Server", cancellation);
        using var again = await ApiClient.LoginAsync(second.HttpPort, cancellation);
        var rows = (await again.QueryAsync(databaseId, "select _id from t", cancellation)).Select(row => row![0]!.GetValue<int>()).ToHashSet();

        Assert.Empty(acknowledged.Except(rows));
        Assert.All(others, status => Assert.Equal(HttpStatusCode.ServiceUnavailable, status));
        Assert.Equal(HttpStatusCode.OK, (await again.PostAsync($"v2/sinks/{sinkId}", """{"records":[]}""", cancellation)).Status); // what was refused for draining is taken again
    }

    static int Count(HashSet<int> acknowledged)
    {
        lock (acknowledged)
            return acknowledged.Count;
    }

    static async Task SendUntilClosedAsync(ApiClient api, string sinkId, int firstId, HashSet<int> acknowledged, List<HttpStatusCode> others, CancellationToken cancellation)
    {
        for (var id = firstId; ; id++)
        {
            try
            {
                var answer = await api.PostAsync($"v2/sinks/{sinkId}", $$$"""{"records":[{"value":{"id":{{{id}}}}}]}""", cancellation);
                lock (acknowledged)
                {
                    if (answer.Status == HttpStatusCode.OK)
                    {
                        acknowledged.Add(id);
                        continue;
                    }
                    others.Add(answer.Status);
                    Assert.Equal("draining", answer.Json["cause"]!.GetValue<string>());
                }
            }
            catch (HttpRequestException)
            {
                return; // no longer listening
            }
        }
    }
}
