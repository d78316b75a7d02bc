using Sluice.IntegrationTests.Crash;
using Xunit;

namespace Sluice.IntegrationTests.Faults;

/// <summary>The power goes while records are being sent (F-05): what was answered 200 was flushed to the device.</summary>
public sealed class PowerCutTests(ITestOutputHelper output)
{
    const long VolumeBytes = 1L << 30;
    const string NoSync = "/usr/lib/x86_64-linux-gnu/libeatmydata.so"; // makes every fsync and fdatasync do nothing

    [Fact]
    public async Task Every_acknowledged_record_survives_power_cuts()
    {
        PowerCutVolume.Need();
        var verdict = await RunAsync(cycles: FaultTools.IsLong ? 50 : 5, []);

        Assert.True(verdict is { IsClean: true }, $"{verdict}");
        Assert.True(verdict.Acknowledged > 20, $"too little was sent to prove anything: {verdict}");
    }

    /// <summary>The control: without fsync the same test must see the loss, be it of rows, of the whole sink, or of what the server needs to start.</summary>
    [Fact]
    public async Task A_server_that_does_not_sync_is_found_out()
    {
        PowerCutVolume.Need();
        FaultTools.Need(root: true, NoSync);
        var verdict = await RunAsync(cycles: 1, [("LD_PRELOAD", NoSync)]);
        Assert.True(verdict is null or { Lost: > 0 }, $"records that never reached the device must be missed: {verdict}");
    }

    /// <returns><c>null</c>: the restarted server knows nothing of what it has acknowledged, or does not start.</returns>
    async Task<Verdict?> RunAsync(int cycles, (string, string)[] environment)
    {
        var cancellation = TestContext.Current.CancellationToken;
        var random = new Random();
        var oracle = new CrashOracle();
        await using var volume = await PowerCutVolume.CreateAsync(VolumeBytes);
        var directory = Path.Combine(volume.Path, "data");
        for (var cycle = 0; cycle < cycles; cycle++)
        {
            await using (var server = await ServerProcess.StartAsItIsAsync(directory, "Sluice.Server", cancellation, environment))
            {
                using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
                if (cycle == 0) await oracle.CreateAsync(api, cancellation);
                using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
                var senders = oracle.SendAllAsync(4, server.HttpPort, api.Token, stop.Token);
                await Task.Delay(TimeSpan.FromMilliseconds(random.Next(200, 1_500)), TimeProvider.System, cancellation);
                await volume.CutAsync();
                await server.KillAsync();
                await stop.CancelAsync();
                await senders;
            }
            await volume.RestoreAsync();
        }
        return await JudgeAsync(directory, oracle, cancellation);
    }

    async Task<Verdict?> JudgeAsync(string directory, CrashOracle oracle, CancellationToken cancellation)
    {
        await using var last = ServerProcess.Start(directory, "Sluice.Server");
        try
        {
            await last.WaitReadyAsync(cancellation);
        }
        catch (InvalidOperationException e)
        {
            output.WriteLine(e.Message);
            return null;
        }
        if (!await oracle.IsKnownAsync(last.HttpPort, cancellation)) return null;
        using var judge = await ApiClient.LoginAsync(last.HttpPort, cancellation);
        var verdict = await oracle.JudgeAsync(judge, cancellation);
        output.WriteLine(verdict.ToString());
        return verdict;
    }
}
