using System.Diagnostics;
using System.Globalization;
using Sluice.IntegrationTests.Faults;
using Xunit;

namespace Sluice.IntegrationTests.Server;

/// <summary>What the server makes of a machine's network: each test has one of its own, in which the default ports are free.</summary>
public sealed class ListeningTests(ITestOutputHelper output) : IDisposable
{
    const string LoopbackUp = "ip link set lo up && ";

    static readonly string s_program = Path.Combine(AppContext.BaseDirectory, "Sluice.Server.dll");

    readonly TemporaryDirectory _data = new();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task A_machine_without_ipv6_is_served_on_ipv4()
    {
        FaultTools.Need(root: true, "unshare", "ip");
        using var server = FaultTools.Start("unshare", InNetwork(LoopbackUp + "ip address del ::1/128 dev lo && "));
        var errors = server.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);

        var isListening = false;
        while (!isListening && await server.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken) is { } line)
            isListening = line.Contains("listening on http://127.0.0.1:7480", StringComparison.Ordinal);
        var rest = server.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        if (isListening)
        {
            using var kill = Process.Start("kill", ["-TERM", server.Id.ToString(CultureInfo.InvariantCulture)]);
        }
        await server.WaitForExitAsync(TestContext.Current.CancellationToken);

        Assert.True(isListening, await rest + await errors);
        Assert.Equal(0, server.ExitCode);
    }

    [Theory]
    [InlineData(LoopbackUp, "--http-port 80", "Permission denied")]
    [InlineData(LoopbackUp + "ip address del 127.0.0.1/8 dev lo && ", "", "Cannot assign requested address")]
    public async Task An_address_that_may_not_be_had_or_is_not_there_ends_the_start_with_a_sentence(string network, string options, string why)
    {
        FaultTools.Need(root: true, "unshare", "ip", "setpriv", "timeout");

        var (code, text) = await FaultTools.TryAsync("unshare", InNetwork(network, "timeout 120 setpriv --bounding-set=-net_bind_service", options));

        output.WriteLine(text);
        Assert.Equal(5, code);
        Assert.Contains($"(HTTP): {why}; ", text, StringComparison.Ordinal);
    }

    string[] InNetwork(string network, string launcher = "", string options = "") =>
        ["-n", "sh", "-c", $"{network} exec {launcher} dotnet \"$@\" {options}", "sh", s_program, "--data", _data.Path];
}
