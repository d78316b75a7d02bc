using System.Globalization;
using Sluice.IntegrationTests.Crash;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Faults;

/// <summary>
/// The process dies at the n-th call of a kind (F-02, F-03): strace kills it as it enters the call, so every step between two calls that change the disk is met, of the
/// unmodified server. Segments are small and nothing is retained, so that logs are trimmed all the while.
/// </summary>
public sealed class KillPointTests(ITestOutputHelper output)
{
    // Which steps the calls are: docs/reliability.md
    static readonly string[] s_calls = ["pwritev", "fdatasync", "pwrite64", "fsync", "rename", "unlink"];

    static readonly (string, string)[] s_trimming = [("Sluice__Storage__SegmentBytes", "16384"), ("Sluice__Storage__RetainedBytes", "0")];

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_kill_at_any_call_of_load_checkpoint_and_trim_loses_and_doubles_nothing()
    {
        FaultTools.Need(root: true, "strace");
        using var data = new TemporaryDirectory();
        var oracle = new CrashOracle();
        var points = s_calls.SelectMany(call => Enumerable.Range(1, FaultTools.IsLong ? 40 : 1).Select(n => (Call: call, Number: FaultTools.IsLong ? n : n + 1))).ToList();
        var met = 0;
        foreach (var (call, number) in points)
        {
            if (await KillAtAsync(data.Path, oracle, call, number)) met++;
        }
        var verdict = await JudgeAsync(data.Path, oracle);
        output.WriteLine($"{met} of {points.Count} points met: {verdict}");
        Assert.True(met > points.Count / 2, $"only {met} of {points.Count} points were met");
        Assert.True(verdict.IsClean, verdict.ToString());
    }

    [Fact]
    public async Task A_kill_at_any_call_of_recovery_loses_and_doubles_nothing()
    {
        FaultTools.Need(root: true, "strace");
        using var data = new TemporaryDirectory();
        var oracle = new CrashOracle();
        var met = 0;
        var points = s_calls.SelectMany(call => Enumerable.Range(1, FaultTools.IsLong ? 25 : 1).Select(n => (Call: call, Number: n))).ToList();
        foreach (var (call, number) in points)
        {
            await LoadAndKillAsync(data.Path, oracle);
            await using var starting = ServerProcess.StartTraced(data.Path, "Sluice.Server", ["-e", $"trace={call}", "-e", string.Create(CultureInfo.InvariantCulture, $"inject={call}:signal=KILL:when={number}")], s_trimming);
            if (await starting.IsReadyAsync(Cancellation)) await starting.KillAsync();
            else met++;
        }
        var verdict = await JudgeAsync(data.Path, oracle);
        output.WriteLine($"{met} of {points.Count} points met: {verdict}");
        Assert.True(met > 0, "no start met its point");
        Assert.True(verdict.IsClean, verdict.ToString());
    }

    [Fact]
    public async Task Kills_in_a_row_while_starting_lose_and_double_nothing()
    {
        using var data = new TemporaryDirectory();
        var oracle = new CrashOracle();
        var random = new Random();
        for (var round = 0; round < (FaultTools.IsLong ? 20 : 2); round++)
        {
            await LoadAndKillAsync(data.Path, oracle);
            for (var kill = 0; kill < 5; kill++)
            {
                await using var starting = ServerProcess.Start(data.Path, "Sluice.Server", s_trimming);
                await Task.Delay(TimeSpan.FromMilliseconds(random.Next(50, 1_500)), TimeProvider.System, Cancellation);
                await starting.KillAsync();
            }
        }
        var verdict = await JudgeAsync(data.Path, oracle);
        output.WriteLine(verdict.ToString());
        Assert.True(verdict.IsClean, verdict.ToString());
    }

    /// <returns>False: the call did not come so often within a few seconds.</returns>
    static async Task<bool> KillAtAsync(string directory, CrashOracle oracle, string call, int number)
    {
        await using var server = await ServerProcess.StartAsync(directory, "Sluice.Server", Cancellation, s_trimming);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        if (oracle.SinkId.Length == 0) await oracle.CreateAsync(api, Cancellation);
        using var strace = FaultTools.Start(
            "strace", "-f", "-qq", "-o", "/dev/null", "-p", server.Id.ToString(CultureInfo.InvariantCulture), "-e", $"trace={call}",
            "-e", string.Create(CultureInfo.InvariantCulture, $"inject={call}:signal=KILL:when={number}"));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        stop.CancelAfter(TimeSpan.FromSeconds(4));
        await oracle.SendAllAsync(4, server.HttpPort, api.Token, stop.Token);
        var isMet = !stop.IsCancellationRequested; // the senders ended because the server was gone
        if (isMet) await server.WaitForExitAsync(Cancellation);
        else await server.KillAsync();
        await strace.WaitForExitAsync(Cancellation);
        return isMet;
    }

    static async Task LoadAndKillAsync(string directory, CrashOracle oracle)
    {
        await using var server = await ServerProcess.StartAsync(directory, "Sluice.Server", Cancellation, s_trimming);
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        if (oracle.SinkId.Length == 0) await oracle.CreateAsync(api, Cancellation);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        var senders = oracle.SendAllAsync(4, server.HttpPort, api.Token, stop.Token);
        await Task.Delay(TimeSpan.FromMilliseconds(500), TimeProvider.System, Cancellation);
        await server.KillAsync();
        await stop.CancelAsync();
        await senders;
    }

    static async Task<Verdict> JudgeAsync(string directory, CrashOracle oracle)
    {
        await using var last = await ServerProcess.StartAsync(directory, "Sluice.Server", Cancellation, s_trimming);
        using var api = await ApiClient.LoginAsync(last.HttpPort, Cancellation);
        return await oracle.JudgeAsync(api, Cancellation);
    }
}
