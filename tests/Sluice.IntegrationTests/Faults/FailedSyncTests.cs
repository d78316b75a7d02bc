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
        var points = FaultTools.IsLong ? 70 : 6;
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

    static async Task FailOnceAsync(string directory, CrashOracle oracle, bool isFirst, string call, string error, int number, CancellationToken cancellation)
    {
        await using var server = await ServerProcess.StartAsync(directory, "Sluice.Server", cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        if (isFirst) await oracle.CreateAsync(api, cancellation);

        using var strace = FaultTools.Start(
            "strace", "-f", "-qq", "-o", "/dev/null", "-p", server.Id.ToString(CultureInfo.InvariantCulture), "-e", $"trace={call}",
            "-e", string.Create(CultureInfo.InvariantCulture, $"inject={call}:error={error}:when={number}+"));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        stop.CancelAfter(EndsWithin);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(sender => Task.Run(() => oracle.SendAsync(sender, server.HttpPort, api.Token, stop.Token), cancellation)));

        Assert.Equal(LogFailed, await server.WaitForExitAsync(stop.Token));
        await strace.WaitForExitAsync(cancellation);
    }
}
