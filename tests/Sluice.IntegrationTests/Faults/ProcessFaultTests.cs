using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Sluice.IntegrationTests.Crash;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Faults;

/// <summary>What an operating system can do to a process: stop it for a while (F-04), give it few file handles (F-35), change its clock (F-14).</summary>
public sealed class ProcessFaultTests(ITestOutputHelper output)
{
    const string FakeTime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

    [Fact]
    public async Task A_pause_costs_nothing_and_the_server_goes_on()
    {
        FaultTools.Need(root: false, "kill");
        await RunAsync([], async server =>
        {
            foreach (var seconds in FaultTools.IsLong ? new[] { 5, 30, 120 } : [2])
            {
                await SignalAsync(server, "STOP");
                await Task.Delay(TimeSpan.FromSeconds(seconds), TimeProvider.System);
                await SignalAsync(server, "CONT");
                await Task.Delay(TimeSpan.FromSeconds(1), TimeProvider.System);
            }
        });
    }

    [Fact]
    public async Task More_connections_than_file_handles_cost_nothing_that_was_acknowledged()
    {
        FaultTools.Need(root: false, "prlimit");
        await RunAsync([], maxOpenFiles: 800, async server =>
        {
            var sockets = new List<TcpClient>();
            for (var i = 0; i < 1_000; i++)
            {
                var socket = new TcpClient();
                sockets.Add(socket);
                try
                {
                    await socket.ConnectAsync(IPAddress.Loopback, server.HttpPort);
                }
                catch (SocketException)
                {
                    // turned away
                }
            }
            await Task.Delay(TimeSpan.FromSeconds(1), TimeProvider.System);
            sockets.ForEach(socket => socket.Dispose());
        });
    }

    [Fact]
    public async Task A_server_that_may_open_too_few_files_says_so_and_does_not_start()
    {
        FaultTools.Need(root: false, "prlimit");
        using var data = new TemporaryDirectory();
        await using var server = ServerProcess.Start(data.Path, "Sluice.Server", maxOpenFiles: 600);
        Assert.Equal(2, await server.WaitForExitAsync(TestContext.Current.CancellationToken));
        Assert.Contains("may open 600 files", server.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_clock_that_jumps_neither_stops_the_server_nor_costs_a_record()
    {
        FaultTools.Need(root: false, FakeTime);
        var offset = Path.Combine(Directory.CreateTempSubdirectory("sluice-clock-").FullName, "offset");
        await File.WriteAllTextAsync(offset, "+0", TestContext.Current.CancellationToken);
        await RunAsync(
            [("LD_PRELOAD", FakeTime), ("FAKETIME_TIMESTAMP_FILE", offset), ("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")],
            JumpAsync("-2h"), JumpAsync("+2h"), JumpAsync("+400d"));
        Directory.Delete(Path.GetDirectoryName(offset)!, recursive: true);

        Func<ServerProcess, Task> JumpAsync(string jump) => async _ =>
        {
            await Task.Delay(TimeSpan.FromMilliseconds(500), TimeProvider.System);
            await File.WriteAllTextAsync(offset, jump);
            await Task.Delay(TimeSpan.FromSeconds(1), TimeProvider.System);
            await File.WriteAllTextAsync(offset, "+0");
        };
    }

    /// <summary>The control of all of these: a server that drops what it has acknowledged, and fails in nothing else.</summary>
    [Fact]
    public async Task A_server_that_forgets_rows_is_found_out()
    {
        var verdict = await JudgeAsync("Sluice.FaultyServer", [("SLUICE_FAULT_FORGETTING", "2")], null, _ => Task.CompletedTask);
        Assert.True(verdict is { Lost: > 0, Unbalanced: 0 }, verdict.ToString());
    }

    Task RunAsync((string, string)[] environment, params Func<ServerProcess, Task>[] faults) => RunAsync(environment, null, faults);

    async Task RunAsync((string, string)[] environment, int? maxOpenFiles, params Func<ServerProcess, Task>[] faults)
    {
        var verdict = await JudgeAsync("Sluice.Server", environment, maxOpenFiles, faults);
        Assert.True(verdict.IsClean, verdict.ToString());
    }

    /// <summary>Sends all the while, lets the faults happen one after the other, and holds the tables against the journal: the process must have lived through it.</summary>
    async Task<Verdict> JudgeAsync(string assembly, (string, string)[] environment, int? maxOpenFiles, params Func<ServerProcess, Task>[] faults)
    {
        var cancellation = TestContext.Current.CancellationToken;
        using var data = new TemporaryDirectory();
        var oracle = new CrashOracle();
        await FirstStart.CopyAsync(ServerProcess.Email, data.Path);
        await using var server = ServerProcess.Start(data.Path, assembly, maxOpenFiles, environment);
        await server.WaitReadyAsync(cancellation);
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        await oracle.CreateAsync(api, cancellation);
        var key = (await api.PostAsync("v2/users/current/keys", """{"description":"does not expire"}""", cancellation)).Json["secret"]!.GetValue<string>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var senders = oracle.SendAllAsync(4, server.HttpPort, key, stop.Token);
        await Task.Delay(TimeSpan.FromMilliseconds(300), TimeProvider.System, cancellation);
        var all = new List<Task> { senders };
        foreach (var fault in faults)
        {
            var before = oracle.AcknowledgedCount;
            try
            {
                await fault(server);
            }
            catch (Exception) when (server.HasExited)
            {
                Assert.Fail($"the server ended with {await server.WaitForExitAsync(cancellation)}:\n{server.Output}");
            }

            // somebody must get through again, be it on a new connection
            var during = oracle.AcknowledgedCount;
            var sender = 3 + all.Count;
            all.Add(Task.Run(() => oracle.SendAsync(sender, server.HttpPort, key, stop.Token), cancellation));
            var since = TimeProvider.System.GetTimestamp();
            while (oracle.AcknowledgedCount < during + 20)
            {
                Assert.True(TimeProvider.System.GetElapsedTime(since) < TimeSpan.FromSeconds(20), $"{before} batches before the fault, {during} with it, then {oracle.AcknowledgedCount - during} more:\n{server.Output}");
                await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, cancellation);
            }
        }
        await stop.CancelAsync();
        await Task.WhenAll(all);

        using var judge = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        var verdict = await oracle.JudgeAsync(judge, cancellation);
        output.WriteLine(verdict.ToString());
        oracle.LedgerFaults.Take(5).ToList().ForEach(output.WriteLine);
        Assert.Equal(0, await server.StopAsync(cancellation));
        return verdict;
    }

    static Task SignalAsync(ServerProcess server, string signal) => FaultTools.RunAsync("kill", $"-{signal}", Text(server.Id));

    static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
