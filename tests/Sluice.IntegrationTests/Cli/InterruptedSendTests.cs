using System.Diagnostics;
using System.Globalization;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Cli;

/// <summary><c>sluice send</c> is told to end (SIGTERM, Ctrl+C): it ends at once, says how far it came, and the next run goes on.</summary>
public sealed class InterruptedSendTests(IngestServer server) : CommandLineTest(server)
{
    [Fact]
    public async Task What_waits_for_more_of_standard_input_is_not_sent()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        using var run = CommandLineRun.Start(Home, "send", sink, "-", "--batch", "2", "--max-delay", "3600000");
        await run.StandardInput.WriteAsync("{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n");
        await run.StandardInput.FlushAsync(Cancellation);
        while (await ReceivedAsync(sink) < 2) await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, Cancellation);

        Assert.Contains("Not all was sent.", await InterruptAsync(run), StringComparison.Ordinal);
        Assert.Equal(130, run.ExitCode);
        Assert.Equal(2, await ReceivedAsync(sink));
    }

    [Fact]
    public async Task A_file_is_sent_to_its_end_by_the_next_run()
    {
        await LoginAsync();
        var sink = await Server.MakeSinkAsync();
        const int records = 50_000;
        await WriteAsync("many.ndjson", string.Join('\n', Enumerable.Range(0, records).Select(id => $$"""{"id":{{id}}}""")));
        string[] command = ["send", sink, "many.ndjson", "--batch", "150", "--connections", "3"];
        using (var run = CommandLineRun.Start(Home, command))
        {
            while (await ReceivedAsync(sink) < records / 20) await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, Cancellation);
            Assert.Contains("Not all was sent.", await InterruptAsync(run), StringComparison.Ordinal);
            Assert.Equal(130, run.ExitCode);
        }

        Assert.Contains("50,000 accepted, 0 rejected", (await DoneAsync(command)).Output, StringComparison.Ordinal);
        Assert.Equal(records, await ReceivedAsync(sink));
    }

    /// <summary>Ends a run; returns what it printed.</summary>
    static async Task<string> InterruptAsync(Process run)
    {
        using (var kill = Process.Start("kill", ["-TERM", run.Id.ToString(CultureInfo.InvariantCulture)])) await kill.WaitForExitAsync(Cancellation);
        var output = await run.StandardOutput.ReadToEndAsync(Cancellation);
        await run.WaitForExitAsync(Cancellation);
        return output;
    }

    async Task<int> ReceivedAsync(string sink) => (await Server.Api.GetAsync($"v2/sinks/{sink}/ledger", Cancellation)).Json["received"]!.GetValue<int>();
}
