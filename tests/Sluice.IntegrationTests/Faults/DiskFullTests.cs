using System.Net;
using Sluice.IntegrationTests.Crash;
using Xunit;

namespace Sluice.IntegrationTests.Faults;

/// <summary>The data directory's disk runs full (F-06, F-06c).</summary>
public sealed class DiskFullTests(ITestOutputHelper output)
{
    const long VolumeBytes = 192L << 20;
    const long ReserveBytes = 32L << 20;
    const int LogFailed = 74;
    const int DamagedData = 4;
    static readonly TimeSpan HealsWithin = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task A_server_refuses_before_its_disk_is_full_and_goes_on_by_itself_when_there_is_room()
    {
        SmallVolume.Need();
        var cancellation = TestContext.Current.CancellationToken;
        await using var volume = await SmallVolume.CreateAsync(VolumeBytes);
        var oracle = new CrashOracle();
        await using var server = await ServerProcess.StartAsItIsAsync(Path.Combine(volume.Path, "data"), "Sluice.Server", cancellation, Reserve(ReserveBytes));
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        await oracle.CreateAsync(api, cancellation);

        volume.FillBut(ReserveBytes + (2L << 20));
        await SendUntilRefusedAsync(oracle, server, api, cancellation);
        Assert.True(oracle.HasRefusal);
        var refusal = await api.PostAsync($"v2/sinks/{oracle.SinkId}", """{"records":[]}""", cancellation);
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "disk_low", "not_stored"), (refusal.Status, refusal.Json["cause"]!.GetValue<string>(), refusal.Json["outcome"]!.GetValue<string>()));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await api.GetAsync("health/ready", cancellation)).Status);
        await api.QueryAsync(oracle.DatabaseId, "SELECT COUNT(*) FROM events", cancellation);

        volume.Empty();
        var emptied = TimeProvider.System.GetTimestamp();
        while ((await api.PostAsync($"v2/sinks/{oracle.SinkId}", """{"records":[]}""", cancellation)).Status != HttpStatusCode.OK)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(emptied) < HealsWithin, "there is room again, and records are still refused");
            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, cancellation);
        }
        var verdict = await oracle.JudgeAsync(api, cancellation);
        output.WriteLine(verdict.ToString());
        Assert.True(verdict.IsClean, verdict.ToString());
        Assert.True(verdict.Acknowledged > 5, verdict.ToString());
    }

    [Fact]
    public async Task A_disk_that_is_full_all_the_same_costs_nothing_that_was_acknowledged()
    {
        SmallVolume.Need();
        var cancellation = TestContext.Current.CancellationToken;
        await using var volume = await SmallVolume.CreateAsync(VolumeBytes);
        var data = Path.Combine(volume.Path, "data");
        var oracle = new CrashOracle();
        for (var cycle = 0; cycle < (FaultTools.IsLong ? 10 : 3); cycle++)
        {
            oracle.Forget();
            await using var full = await ServerProcess.StartAsync(data, "Sluice.Server", cancellation, Reserve(0));
            using var sender = await ApiClient.LoginAsync(full.HttpPort, cancellation);
            if (cycle == 0) await oracle.CreateAsync(sender, cancellation);
            volume.FillBut(1L << 20);
            await SendUntilRefusedAsync(oracle, full, sender, cancellation);
            Assert.True(oracle.HasRefusal);
            Assert.Equal(0, oracle.AcknowledgedAfterRefusal);
            Assert.Equal(LogFailed, await full.WaitForExitAsync(cancellation));
            volume.Empty();
        }
        await using var server = await ServerProcess.StartAsync(data, "Sluice.Server", cancellation, Reserve(0));
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        var verdict = await oracle.JudgeAsync(api, cancellation);
        output.WriteLine(verdict.ToString());
        Assert.True(verdict.IsClean, verdict.ToString());
        Assert.True(verdict.Acknowledged > 5, verdict.ToString());
    }

    [Fact]
    public async Task A_first_start_without_room_for_the_catalogue_says_so_and_the_next_one_is_well()
    {
        SmallVolume.Need();
        var cancellation = TestContext.Current.CancellationToken;
        await using var volume = await SmallVolume.CreateAsync(VolumeBytes);
        var data = Path.Combine(volume.Path, "data");
        volume.FillBut(96 << 10);

        await using var full = ServerProcess.Start(data, "Sluice.Server");
        var code = await full.WaitForExitAsync(cancellation);
        output.WriteLine(full.Output);
        Assert.Equal(DamagedData, code);
        Assert.Contains($"the catalogue {Path.Combine(data, "catalog.sqlite")} cannot be written: its disk is full", full.Output, StringComparison.Ordinal);

        volume.Empty();
        await using var server = await ServerProcess.StartAsItIsAsync(data, "Sluice.Server", cancellation, Reserve(ReserveBytes));
    }

    static async Task SendUntilRefusedAsync(CrashOracle oracle, ServerProcess server, ApiClient api, CancellationToken cancellation)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        stop.CancelAfter(TimeSpan.FromMinutes(1));
        await oracle.SendAllAsync(4, server.HttpPort, api.Token, stop.Token);
    }

    static (string, string) Reserve(long bytes) => ("Sluice__Storage__DiskReserveBytes", bytes.ToString(System.Globalization.CultureInfo.InvariantCulture));
}
