using System.Diagnostics;
using Sluice.IntegrationTests.Crash;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Faults;

/// <summary>SIGTERM while records are being sent (F-33): every request that reached the server is answered, and the process ends with 0 in time.</summary>
public sealed class DrainTests(ITestOutputHelper output)
{
    static readonly TimeSpan DrainTimeout = TimeSpan.FromSeconds(30); // the server's own limit

    [Fact]
    public async Task A_server_that_is_told_to_stop_answers_what_it_has_and_loses_nothing()
    {
        var (oracle, slowest) = await StopAgainAndAgainAsync(FaultTools.IsLong ? 100 : 4, (server, cancellation) => server.StopAsync(cancellation));
        output.WriteLine($"slowest stop {slowest.TotalSeconds:0.0} s");
        Assert.Equal(0, oracle.Unanswered);
    }

    /// <summary>The control: killed instead, requests get no answer.</summary>
    [Fact]
    public async Task A_server_that_is_killed_leaves_requests_without_an_answer()
    {
        var (oracle, _) = await StopAgainAndAgainAsync(2, async (server, _) =>
        {
            await server.KillAsync();
            return 0;
        });
        Assert.True(oracle.Unanswered > 0, "every request was answered by a server that was killed under load");
    }

    async Task<(CrashOracle Oracle, TimeSpan Slowest)> StopAgainAndAgainAsync(int cycles, Func<ServerProcess, CancellationToken, Task<int>> stopAsync)
    {
        var cancellation = TestContext.Current.CancellationToken;
        using var data = new TemporaryDirectory();
        var oracle = new CrashOracle();
        var random = new Random();
        var slowest = TimeSpan.Zero;
        for (var cycle = 0; cycle < cycles; cycle++)
        {
            await using var server = await ServerProcess.StartAsync(data.Path, "Sluice.Server", cancellation);
            using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
            if (cycle == 0) await oracle.CreateAsync(api, cancellation);
            using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            var senders = oracle.SendAllAsync(8, server.HttpPort, api.Token, end.Token);
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(100, 1_200)), TimeProvider.System, cancellation);
            var asked = Stopwatch.GetTimestamp();
            Assert.Equal(0, await stopAsync(server, cancellation));
            var took = Stopwatch.GetElapsedTime(asked);
            Assert.True(took < DrainTimeout, $"the server took {took} to stop");
            if (took > slowest) slowest = took;
            await senders; // they end by themselves, refused
        }
        await using var last = await ServerProcess.StartAsync(data.Path, "Sluice.Server", cancellation);
        using var judge = await ApiClient.LoginAsync(last.HttpPort, cancellation);
        var verdict = await oracle.JudgeAsync(judge, cancellation);
        output.WriteLine($"{cycles} times: {verdict}");
        Assert.True(verdict.IsClean, verdict.ToString());
        Assert.True(verdict.Acknowledged > 20, verdict.ToString());
        return (oracle, slowest);
    }
}
