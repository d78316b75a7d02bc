using System.Globalization;
using Sluice.IntegrationTests.Crash;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Faults;

/// <summary>
/// The disk refuses the n-th write or fsync of the log (F-07): the requests it hits are answered 503, nothing is acknowledged from then on, the process
/// ends, and recovery finds all that was acknowledged.
/// </summary>
public sealed class FailedSyncTests(ITestOutputHelper output)
{
    const int LogFailed = 74;
    static readonly TimeSpan EndsWithin = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData("fdatasync", "EIO")]
    [InlineData("pwritev", "EIO")]
    [InlineData("pwritev", "ENOSPC")]
    public async Task After_a_failed_call_nothing_is_acknowledged_until_recovery(string call, string error)
    {
        FaultTools.Need(root: true, "strace");
        var cancellation = TestContext.Current.CancellationToken;
        using var data = new TemporaryDirectory();
        var oracle = new CrashOracle();
        var points = FaultTools.IsLong ? 70 : 8; // of each call: 210 in all, and 24
        for (var point = 1; point <= points; point++)
        {
            oracle.Forget();
            await FailOnceAsync(data.Path, oracle, isFirst: point == 1, call, error, FaultTools.IsLong ? point : point * 3, cancellation);
            Assert.True(oracle.HasRefusal, $"the fault at call {point} was not met");
            Assert.Equal(0, oracle.AcknowledgedAfterRefusal);
        }
        await using var server = await ServerProcess.StartAsync(data.Path, "Sluice.Server", cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        var verdict = await oracle.JudgeAsync(api, cancellation);
        output.WriteLine($"{points} points: {verdict}");
        Assert.True(verdict.IsClean, verdict.ToString());
    }

    /// <summary>The control: a kernel that hides the failed call. The server goes on, and it is this that the test above must not see.</summary>
    [Fact]
    public async Task A_failure_that_is_hidden_is_found_out()
    {
        FaultTools.Need(root: true, "strace");
        var cancellation = TestContext.Current.CancellationToken;
        using var data = new TemporaryDirectory();
        var oracle = new CrashOracle();
        await using var server = await ServerProcess.StartAsync(data.Path, "Sluice.Server", cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        await oracle.CreateAsync(api, cancellation);
        using var strace = Inject(server, "fdatasync:retval=0:when=1+", "fdatasync");
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var senders = oracle.SendAllAsync(4, server.HttpPort, api.Token, stop.Token);
        while (oracle.AcknowledgedCount < 50) await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, cancellation);
        Assert.False(oracle.HasRefusal || server.HasExited);
        await stop.CancelAsync();
        await senders;
        await server.KillAsync();
        await strace.WaitForExitAsync(cancellation);
    }

    static System.Diagnostics.Process Inject(ServerProcess server, string fault, string call) => FaultTools.Start(
        "strace", "-f", "-qq", "-o", "/dev/null", "-p", server.Id.ToString(CultureInfo.InvariantCulture), "-e", $"trace={call}", "-e", $"inject={fault}");

    static async Task FailOnceAsync(string directory, CrashOracle oracle, bool isFirst, string call, string error, int number, CancellationToken cancellation)
    {
        await using var server = await ServerProcess.StartAsync(directory, "Sluice.Server", cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        if (isFirst) await oracle.CreateAsync(api, cancellation);

        using var strace = Inject(server, string.Create(CultureInfo.InvariantCulture, $"{call}:error={error}:when={number}+"), call);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        stop.CancelAfter(EndsWithin);
        await oracle.SendAllAsync(4, server.HttpPort, api.Token, stop.Token);

        Assert.Equal(LogFailed, await server.WaitForExitAsync(stop.Token));
        await strace.WaitForExitAsync(cancellation);
    }
}
