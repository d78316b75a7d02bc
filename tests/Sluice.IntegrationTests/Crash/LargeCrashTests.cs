using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Xunit;

namespace Sluice.IntegrationTests.Crash;

/// <summary>kill -9 of the real server while large bodies arrive: each is in its table whole, once, or not at all.</summary>
public sealed class LargeCrashTests(ITestOutputHelper output)
{
    const int RecordsPerBody = 60_000; // of about 150 bytes: several parts

    static bool IsLong => Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1";

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_body_that_was_being_sent_is_there_as_a_whole_or_not_at_all()
    {
        var directory = Directory.CreateTempSubdirectory("sluice-crash-").FullName;
        var random = new Random(Environment.TickCount);
        var bodies = new ConcurrentDictionary<int, bool>(); // whether it was acknowledged
        var (database, sink, next) = ("", "", 0);
        try
        {
            for (var cycle = 0; cycle < (IsLong ? 60 : 6); cycle++)
            {
                await using var server = await ServerProcess.StartAsync(directory, "Sluice.Server", Cancellation);
                using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
                if (cycle == 0) (database, sink) = await CreateAsync(api);
                using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
                var senders = Enumerable.Range(0, 2).Select(_ => Task.Run(() => SendAsync(api.Token, server.HttpPort), Cancellation)).ToList();
                var acknowledgedBefore = bodies.Count(body => body.Value);
                while (bodies.Count(body => body.Value) == acknowledgedBefore && !senders.TrueForAll(sender => sender.IsCompleted))
                    await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, Cancellation);
                await Task.Delay(TimeSpan.FromMilliseconds(random.Next(10, 700)), TimeProvider.System, Cancellation);
                await server.KillAsync();
                await stop.CancelAsync();
                await Task.WhenAll(senders);

                async Task SendAsync(string token, int port)
                {
                    using var client = new ApiClient(port);
                    client.UseToken(token);
                    while (!stop.IsCancellationRequested)
                    {
                        var body = Interlocked.Increment(ref next);
                        bodies[body] = false;
                        try
                        {
                            var answer = await client.PostAsync($"v2/sinks/{sink}?format=ndjson&return=summary", Lines(body, RecordsPerBody), stop.Token);
                            if (answer.Status != HttpStatusCode.OK) return;
                            Assert.Equal(RecordsPerBody, answer.Json["success_count"]!.GetValue<int>());
                            bodies[body] = true;
                        }
                        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
                        {
                            return; // the answer is lost
                        }
                    }
                }
            }

            await using var last = await ServerProcess.StartAsync(directory, "Sluice.Server", Cancellation);
            using var judge = await ApiClient.LoginAsync(last.HttpPort, Cancellation);
            var found = await CountAsync(judge, database, sink);
            var (acknowledged, unknown) = (bodies.Count(body => body.Value), bodies.Count(body => !body.Value));
            output.WriteLine($"{acknowledged} acknowledged, {unknown} unknown, {found.Count} found");
            Assert.True(acknowledged > 2 && unknown > 2, $"too little was sent, or nothing was interrupted: {acknowledged}, {unknown}");
            Assert.DoesNotContain(bodies, body => body.Value && !found.ContainsKey(body.Key));
            AssertWhole(found);
            var ledger = await judge.WaitLoadedAsync(sink, Cancellation);
            Assert.Equal(
                (found.Count, (long)found.Count * RecordsPerBody, 0L),
                (ledger["requests"]!.GetValue<int>(), ledger["loaded"]!.GetValue<long>(), ledger["pending"]!.GetValue<long>()));

            // the control: half a body must be seen
            var half = await judge.PostAsync($"v2/sinks/{sink}?format=ndjson&wait=loaded&timeout=60", Lines(++next, RecordsPerBody / 2), Cancellation);
            Assert.Equal(HttpStatusCode.OK, half.Status);
            Assert.ThrowsAny<Xunit.Sdk.XunitException>(() => AssertWhole(CountAsync(judge, database, sink).GetAwaiter().GetResult()));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    static async Task<(string Database, string Sink)> CreateAsync(ApiClient api)
    {
        var database = await api.CreateAsync("v2/databases", """{"name":"crash"}""", Cancellation);
        await api.CreateAsync($"v2/tables/{database}", """{"name":"events","options":{"keys":false,"trackExistence":true}}""", Cancellation);
        await api.CreateAsync($"v2/tables/{database}/events/fields/body", """{"options":{"type":"int"}}""", Cancellation);
        var sink = await api.CreateAsync("v2/sinks", $$"""
            {"name":"crash","sink_details":{"database_id":"{{database}}","table":"events"},
             "schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"body","path":["body"]}] } }
            """, Cancellation);
        return (database, sink);
    }

    /// <summary>The records of each body that are in the table.</summary>
    static async Task<Dictionary<int, int>> CountAsync(ApiClient api, string database, string sink)
    {
        await api.WaitLoadedAsync(sink, Cancellation);
        var rows = await api.QueryAsync(database, "SELECT body, COUNT(*) AS n FROM events GROUP BY body", Cancellation);
        return rows.ToDictionary(row => Int(row![0]), row => Int(row![1]));

        static int Int(JsonNode? node) => (int)node!.GetValue<long>();
    }

    static void AssertWhole(Dictionary<int, int> found) => Assert.All(found, body => Assert.Equal(RecordsPerBody, body.Value));

    static string Lines(int body, int count)
    {
        var lines = new StringBuilder();
        for (var i = 0; i < count; i++)
            lines.Append(CultureInfo.InvariantCulture, $"{{\"id\":{((long)body * 1_000_000) + i},\"body\":{body},\"pad\":\"{new string('x', 100)}\"}}\n");
        return lines.ToString();
    }
}
