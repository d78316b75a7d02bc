using Xunit;

namespace Sluice.IntegrationTests.Crash;

/// <summary>kill -9 of the real server while records are being sent, again and again on one data directory.</summary>
public sealed class CrashTests(ITestOutputHelper output)
{
    static bool IsLong => Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1";

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_acknowledged_record_is_in_its_table_once_after_kills()
    {
        var seed = Environment.TickCount;
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        var (verdict, _) = await RunAsync("Sluice.Server", cycles: IsLong ? 300 : 30, (_, _) => Task.Delay(TimeSpan.FromMilliseconds(random.Next(50, 900)), TimeProvider.System, Cancellation));

        Assert.True(verdict.IsClean, verdict.ToString());
        Assert.True(verdict.Acknowledged > 100, $"too little was sent to prove anything: {verdict}");
    }

    /// <summary>The control: the same test must see the loss when the position is stored beside the store's transaction. Each kill falls between the two writes, in both tables.</summary>
    [Theory]
    [InlineData("before")]
    [InlineData("after")]
    public async Task A_position_outside_the_transaction_is_found_out(string when)
    {
        var (verdict, pending) = await RunAsync("Sluice.FaultyServer", cycles: 2, AreBetweenAsync, ("SLUICE_FAULT_POSITION", when));

        if (when == "before") Assert.True(verdict is { Lost: > 0, Duplicated: 0, Pending: > 0 }, $"rows that are behind the position must be missed: {verdict}");
        else Assert.True(verdict.Duplicated > 0 && pending.All(count => count < 0) && verdict.Duplicated == -pending.Sum(), $"rows of both tables that are ahead of the position must be loaded twice: {verdict}");

        static async Task AreBetweenAsync(string directory, CrashOracle oracle)
        {
            await UntilAsync(() => Directory.GetFiles(directory, "position-*.between").Length == 2);
            var acknowledged = oracle.AcknowledgedCount;
            await UntilAsync(() => oracle.AcknowledgedCount > acknowledged + 20); // so are the requests whose rows are being loaded
        }
    }

    static async Task UntilAsync(Func<bool> isSo)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (!isSo())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(60), "the server does not come to the point where it is to be killed");
            await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, Cancellation);
        }
    }

    /// <param name="untilKill">Of the data directory and the sender's side: returns when the server is to be killed.</param>
    /// <returns>Also what the ledgers say is pending.</returns>
    async Task<(Verdict Verdict, List<long> Pending)> RunAsync(string assembly, int cycles, Func<string, CrashOracle, Task> untilKill, params (string, string)[] environment)
    {
        var directory = Directory.CreateTempSubdirectory("sluice-crash-").FullName;
        try
        {
            var oracle = new CrashOracle();
            for (var cycle = 0; cycle < cycles; cycle++) await KillOnceAsync(assembly, directory, oracle, isFirst: cycle == 0, untilKill, [.. environment, ("SLUICE_FAULT_STAYS", "1")]);

            await using var server = await ServerProcess.StartAsync(directory, assembly, Cancellation, environment);
            using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
            var verdict = await oracle.JudgeAsync(api, Cancellation);
            output.WriteLine($"{assembly}, {cycles} cycles: {verdict}");
            var pending = new List<long>();
            foreach (var sink in new[] { oracle.SinkId, oracle.AppendSinkId }) pending.Add((await api.WaitLoadedAsync(sink, Cancellation))["pending"]!.GetValue<long>());
            return (verdict, pending);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    static async Task KillOnceAsync(string assembly, string directory, CrashOracle oracle, bool isFirst, Func<string, CrashOracle, Task> untilKill, (string, string)[] environment)
    {
        foreach (var mark in Directory.GetFiles(directory, "*.between")) File.Delete(mark);
        await using var server = await ServerProcess.StartAsync(directory, assembly, Cancellation, environment);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        if (isFirst) await oracle.CreateAsync(api, Cancellation);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var senders = oracle.SendAllAsync(4, server.HttpPort, api.Token, stop.Token);
        await untilKill(directory, oracle);
        await server.KillAsync();
        await stop.CancelAsync();
        await senders;
    }
}
