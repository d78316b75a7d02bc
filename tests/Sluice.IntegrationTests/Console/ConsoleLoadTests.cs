using System.Globalization;
using Microsoft.Playwright;
using Sluice.IntegrationTests.Overload;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>What open pages cost the server, beside a thousand records a second. The browser shares the machine, so the server's own processor time is counted.</summary>
public sealed class ConsoleLoadTests(RealBrowser browser, ITestOutputHelper output) : BrowserTests(browser)
{
    const int Pages = 50;
    const int RecordsPerSecond = 1_000;
    const double MostAdded = 0.10;

    static readonly TimeSpan s_run = TimeSpan.FromSeconds(40);
    static readonly TimeSpan s_settling = TimeSpan.FromSeconds(10);

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact(Explicit = true)] // with --long
    public async Task Fifty_open_pages_add_less_than_a_tenth_to_what_a_thousand_records_a_second_cost()
    {
        var stage = await ConsoleStage.MakeAsync(Browser.HttpPort, "loaded", "a note");
        using var api = await ApiClient.LoginAsync(Browser.HttpPort, Cancellation);
        var load = new OpenLoop(Browser.Server, api.Token, stage.SinkId, recordsPerRequest: 1);
        await MeasureAsync(load, s_settling); // warm

        var before = await MeasureAsync(load, s_run);
        await using var opened = await OpenAsync(stage);
        await MeasureAsync(load, s_settling);
        var open = await MeasureAsync(load, s_run);
        await opened.DisposeAsync();
        await MeasureAsync(load, s_settling);
        var after = await MeasureAsync(load, s_run);

        var closed = (before + after) / 2;
        output.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"of one core, {RecordsPerSecond} requests of one record a second: without pages {before:P2} and {after:P2}, with {Pages} pages {open:P2}: {open / closed - 1:P1} more"));
        Assert.InRange(open, 0, (1 + MostAdded) * closed);
    }

    /// <returns>Processor time of the server, as a share of one core.</returns>
    async Task<double> MeasureAsync(OpenLoop load, TimeSpan time)
    {
        var (started, spent) = (TimeProvider.System.GetTimestamp(), Browser.Server.ProcessorTime);
        var report = await load.RunAsync(RecordsPerSecond, time, Cancellation);
        Assert.Equal(report.Sent, report.Admitted);
        return (Browser.Server.ProcessorTime - spent) / TimeProvider.System.GetElapsedTime(started);
    }

    /// <summary>What a team has open: every page that tells of the stream, as often as the others.</summary>
    async Task<IAsyncDisposable> OpenAsync(ConsoleStage stage)
    {
        string[] paths = ["/", "/sinks", $"/sinks/{stage.SinkId}?tab=metrics", $"/sinks/{stage.SinkId}?tab=errors", $"/sinks/{stage.SinkId}"];
        var first = await Browser.SignInAsync(ColorScheme.Light, 1280);
        for (var i = 0; i < Pages; i++)
        {
            var page = i == 0 ? first : await first.Context.NewPageAsync();
            await page.GotoAsync(paths[i % paths.Length]);
            await RealBrowser.SettleAsync(page);
        }
        return first.Context;
    }
}
