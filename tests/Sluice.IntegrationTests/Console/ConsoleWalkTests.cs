using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Sluice.IntegrationTests.Console;

/// <summary>The way from an empty server to a chart, with one bad record on it, as a person goes it.</summary>
public sealed class ConsoleWalkTests(RealBrowser browser) : BrowserTests(browser)
{
    [Fact]
    public async Task From_first_run_to_a_chart_with_one_bad_record_on_the_way()
    {
        var page = await Browser.SignInAsync(ColorScheme.Light, 1280);
        var faults = RealBrowser.Watch(page);

        await CreateFromSampleAsync(page);
        await SendWithOneBadAsync(page);
        await FixAndReplayAsync(page);
        await DrawAsync(page);
        Assert.Equal(1, await page.EvaluateAsync<int>("blazorMonaco.editors.length")); // those of the pages that were left are closed

        await Button(page, "Sign out").ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex("/sign-in"));
        Assert.Empty(faults);
        await SeeWhoDidItAsync();

        await ConsolePictures.TakeAsync(Browser);
    }

    static async Task CreateFromSampleAsync(IPage page)
    {
        await page.GetByText("Begin with the example").ClickAsync();
        await RealBrowser.SettleAsync(page);
        await Button(page, "Propose columns").ClickAsync();
        await Expect(page.GetByLabel("Name of the new table")).ToHaveValueAsync("orders");
        await Expect(page.GetByLabel("Column for order.price")).ToHaveValueAsync("order_price");
        await Button(page, "Create source").ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex("/sinks/[^?]+[?]tab=send"));
    }

    /// <summary>The prices of the second system come under another name and as text.</summary>
    static async Task SendWithOneBadAsync(IPage page)
    {
        await Button(page, "Send").WaitForAsync();
        await RealBrowser.SettleAsync(page);
        await RealBrowser.TypeAsync(page, """
            {"order":{"id":1,"price":12.5,"currency":"EUR"},"placed":"2026-01-01T09:30:00Z","tags":["new"],"paid":true}
            {"order":{"id":2,"price":"n/a","amount":7.25,"currency":"USD"},"placed":"2026-01-01T09:31:00Z","tags":["web"],"paid":false}
            """);
        await Expect(page.GetByText("1 of 2 records would be accepted")).ToBeVisibleAsync();
        await Button(page, "Send").ClickAsync();
        await Expect(page.GetByText("1 record accepted, 1 rejected")).ToBeVisibleAsync();
        var fates = page.GetByRole(AriaRole.Region, new() { Name = "Records and their fate" });
        await Expect(fates.GetByRole(AriaRole.Row).Nth(1)).ToContainTextAsync("accepted");
        await Expect(fates.GetByRole(AriaRole.Row).Nth(2)).ToContainTextAsync("order_price: expected decimal(2), got string \"n/a\"");
    }

    static async Task FixAndReplayAsync(IPage page)
    {
        await page.GetByRole(AriaRole.Link, new() { Name = "Errors" }).ClickAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "/order/price expected decimal(2), got string" }).ClickAsync(); // comes by itself when it is listed
        await Button(page, "Replay 1 record").WaitForAsync();
        await Button(page, "Try another mapping").ClickAsync();
        await page.GetByLabel("Path of order_price").FillAsync("order.amount");
        await Button(page, "Try it on the group").ClickAsync();
        await Expect(page.GetByText("With this mapping 1 record would pass, 0 still fail")).ToBeVisibleAsync();
        await Button(page, "Save it and replay").ClickAsync();
        await Expect(page.GetByText("1 record passed, 0 still fail")).ToBeVisibleAsync();
        await Expect(Button(page, "Replay 0 records")).ToBeDisabledAsync();
    }

    static async Task DrawAsync(IPage page)
    {
        await page.GetByRole(AriaRole.Link, new() { Name = "Query", Exact = true }).ClickAsync();
        await Button(page, "Schema browser").WaitForAsync();
        await RealBrowser.SettleAsync(page);
        await RealBrowser.TypeAsync(page, "SELECT order_currency, sum(order_price) AS total FROM orders GROUP BY ALL ORDER BY 1");
        await page.Keyboard.PressAsync("ControlOrMeta+Enter");
        await Expect(page.GetByText("2 rows in")).ToBeVisibleAsync();
        await Expect(page.GetByRole(AriaRole.Cell, new() { Name = "12.50" })).ToBeVisibleAsync();
        await Expect(page.GetByRole(AriaRole.Cell, new() { Name = "7.25" })).ToBeVisibleAsync();
        await Button(page, "Chart").ClickAsync();
        await Expect(page.Locator("rect.column")).ToHaveCountAsync(2);
    }

    /// <summary>The audit log names the console, and where the browser was.</summary>
    async Task SeeWhoDidItAsync()
    {
        var cancellation = TestContext.Current.CancellationToken;
        using var api = await ApiClient.LoginAnewAsync(Browser.HttpPort, cancellation);
        var lines = (await api.GetAsync("v2/audit", cancellation)).Json["resources"]!.AsArray().Reverse().Select(line => line!).ToList();
        Assert.Equal(
            ["login", "database.create", "table.create", "sink.create", "sink.update", "sink.replay", "logout", "login"],
            lines.Select(line => line["action"]!.GetValue<string>()));
        Assert.All(lines.SkipLast(1), line => Assert.Equal("console", line["via"]?.GetValue<string>()));
        Assert.Null(lines[^1]["via"]);
        Assert.All(lines, line => Assert.Contains(line["address"]!.GetValue<string>(), new[] { "127.0.0.1", "::1" }));
    }

    static ILocator Button(IPage page, string name) => page.GetByRole(AriaRole.Button, new() { Name = name, Exact = true });
}
