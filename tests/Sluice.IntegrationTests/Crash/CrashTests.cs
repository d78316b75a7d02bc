using Xunit;

namespace Sluice.IntegrationTests.Crash;

/// <summary>kill -9 of the real server while records are being sent, again and again on one data directory.</summary>
public sealed class CrashTests(ITestOutputHelper output)
{
    static bool IsLong => Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1";

    [Fact]
    public async Task Every_acknowledged_record_is_in_its_table_once_after_kills()
    {
        var verdict = await RunAsync("Sluice.Server", cycles: IsLong ? 300 : 30, [], TestContext.Current.CancellationToken);

        Assert.True(verdict.IsClean, verdict.ToString());
        Assert.True(verdict.Acknowledged > 100, $"too little was sent to prove anything: {verdict}");
    }

    /// <summary>The control: the same test must see the loss when the position is stored beside the store's transaction.</summary>
    [Theory]
    [InlineData("before")]
    [InlineData("after")]
    public async Task A_position_outside_the_transaction_is_found_out(string when)
    {
        Verdict? verdict = null;
        for (var attempt = 0; attempt < 3 && verdict is not { IsClean: false }; attempt++)
            verdict = await RunAsync("Sluice.FaultyServer", cycles: 6, [("SLUICE_FAULT_POSITION", when)], TestContext.Current.CancellationToken);

        if (when == "before") Assert.True(verdict!.Lost > 0, $"rows that are behind the position must be missed: {verdict}");
        else Assert.True(verdict!.Duplicated > 0, $"rows that are ahead of the position must be loaded twice: {verdict}");
    }

    async Task<Verdict> RunAsync(string assembly, int cycles, (string, string)[] environment, CancellationToken cancellation)
    {
        var directory = Directory.CreateTempSubdirectory("sluice-crash-").FullName;
        var seed = Environment.TickCount;
        output.WriteLine($"{assembly}, {cycles} cycles, seed {seed}");
        var random = new Random(seed);
        try
        {
            var oracle = new CrashOracle();
            for (var cycle = 0; cycle < cycles; cycle++)
                await KillOnceAsync(assembly, directory, oracle, isFirst: cycle == 0, TimeSpan.FromMilliseconds(random.Next(50, 900)), environment, cancellation);

            await using var server = await ServerProcess.StartAsync(directory, assembly, cancellation, environment);
            using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
            var verdict = await oracle.JudgeAsync(api, cancellation);
            output.WriteLine(verdict.ToString());
            return verdict;
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    static async Task KillOnceAsync(
        string assembly, string directory, CrashOracle oracle, bool isFirst, TimeSpan after, (string, string)[] environment, CancellationToken cancellation)
    {
        await using var server = await ServerProcess.StartAsync(directory, assembly, cancellation, environment);
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        if (isFirst) await oracle.CreateAsync(api, cancellation);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var senders = oracle.SendAllAsync(4, server.HttpPort, api.Token, stop.Token);
        await Task.Delay(after, TimeProvider.System, cancellation);
        await server.KillAsync();
        await stop.CancelAsync();
        await senders;
    }
}
