using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Microsoft.Playwright;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Sluice.IntegrationTests.Console;

/// <summary>The pictures of docs/images, of the demo as it runs. They take minutes, so they are taken only where SLUICE_TEST_PICTURES names a directory for them.</summary>
static class ConsolePictures
{
    static readonly TimeSpan Streaming = TimeSpan.FromMinutes(4);

    public static async Task TakeAsync(RealBrowser browser)
    {
        if (Environment.GetEnvironmentVariable("SLUICE_TEST_PICTURES") is not { Length: > 0 } directory)
            return;
        Directory.CreateDirectory(directory);
        using var demo = StartDemo(browser.HttpPort);
        try
        {
            await TakeAsync(browser, directory);
        }
        finally
        {
            demo.Kill();
        }
    }

    static async Task TakeAsync(RealBrowser browser, string directory)
    {
        var page = await browser.SignInAsync(ColorScheme.Light, 1280);
        await page.GetByRole(AriaRole.Link, new() { Name = "earthquakes-stream" }).WaitForAsync();
        await Task.Delay(Streaming, TimeProvider.System, TestContext.Current.CancellationToken); // a chart by the minute needs minutes
        await ShootAsync(page, directory, "home");

        await page.GetByRole(AriaRole.Link, new() { Name = "earthquakes-stream" }).ClickAsync();
        await Expect(page.Locator("h1")).ToHaveTextAsync("earthquakes-stream");
        await page.GotoAsync(new Uri(page.Url).AbsolutePath + "?tab=metrics&range=15m");
        await Expect(page.Locator("path.line").First).ToHaveAttributeAsync("d", new System.Text.RegularExpressions.Regex("^M"));
        await ShootAsync(page, directory, "metrics");

        await page.GetByRole(AriaRole.Navigation, new() { Name = "Data source" }).GetByRole(AriaRole.Link, new() { Name = "Send records" }).ClickAsync();
        await RealBrowser.SettleAsync(page);
        await RealBrowser.TypeAsync(page, """
            {"id":"us7000rh2k","properties":{"mag":4.6,"place":"86 km SSE of Sand Point, Alaska","time":1790121600000,"net":"us","type":"earthquake"},"geometry":{"coordinates":[-160.0832,54.6021,28.5]}}
            {"id":"ak0262x7q1","properties":{"mag":"strong","place":"12 km N of Anchorage, Alaska","time":"yesterday","net":"ak","type":"earthquake"},"geometry":{"coordinates":[-149.9012,61.3277,41.2]}}
            {"id":"ci41018203","properties":{"mag":1.873,"place":"9 km NE of Ridgecrest, CA","time":1790121733410,"net":"ci","type":"earthquake"},"geometry":{"coordinates":[-117.5991,35.6912,7.9]}}
            """);
        await Expect(page.GetByText("2 of 3 records would be accepted")).ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Send", Exact = true }).ClickAsync();
        await Expect(page.GetByText("2 records accepted, 1 rejected")).ToBeVisibleAsync();
        await ShootAsync(page, directory, "send-records");

        await page.GetByRole(AriaRole.Link, new() { Name = "Errors" }).ClickAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "/properties/mag expected decimal(2), got string" }).First.ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { NameRegex = new("^Replay") }).WaitForAsync();
        await ShootAsync(page, directory, "errors");

        await page.GotoAsync($"/query?database={await DemoDatabaseAsync(browser.HttpPort)}&sql=");
        await RealBrowser.SettleAsync(page);
        await RealBrowser.TypeAsync(page, """
            -- how strong were they?
            SELECT round(mag, 1) AS magnitude, count(*) AS quakes
            FROM earthquakes
            WHERE mag >= 0
            GROUP BY magnitude
            ORDER BY magnitude
            """);
        await page.Keyboard.PressAsync("ControlOrMeta+Enter");
        await page.GetByRole(AriaRole.Button, new() { Name = "Chart", Exact = true }).ClickAsync();
        await page.Locator("rect.column").First.WaitForAsync();
        await ShootAsync(page, directory, "query");

        var dark = await browser.SignInAsync(ColorScheme.Dark, 1280);
        await dark.GetByRole(AriaRole.Link, new() { Name = "earthquakes-stream" }).ClickAsync();
        await dark.GetByRole(AriaRole.Link, new() { Name = "Live tail" }).ClickAsync();
        await Expect(dark.Locator("table.tail tbody tr")).ToHaveCountAsync(200);
        await ShootAsync(dark, directory, "live-tail-dark");

        var narrow = await browser.SignInAsync(ColorScheme.Dark, 390, 844);
        await narrow.GetByRole(AriaRole.Link, new() { Name = "earthquakes-stream" }).WaitForAsync();
        await ShootAsync(narrow, directory, "home-narrow-dark");
    }

    static async Task ShootAsync(IPage page, string directory, string name)
    {
        await page.EvaluateAsync("document.fonts.ready");
        await page.ScreenshotAsync(new() { Path = Path.Combine(directory, name + ".png") });
    }

    static Process StartDemo(int httpPort)
    {
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "Sluice.slnx"))) root = root.Parent!;
        var start = new ProcessStartInfo("dotnet")
        {
            ArgumentList =
            {
                Path.Combine(AppContext.BaseDirectory, "sluice.dll"), "demo",
                "--url", string.Create(CultureInfo.InvariantCulture, $"http://localhost:{httpPort}"), "--samples", Path.Combine(root.FullName, "demo"),
            },
            Environment = { ["SLUICE_ADMIN_EMAIL"] = ServerProcess.Email, ["SLUICE_ADMIN_PASSWORD"] = ServerProcess.Password },
            RedirectStandardOutput = true,
        };
        var demo = Process.Start(start)!;
        demo.BeginOutputReadLine();
        return demo;
    }

    static async Task<string> DemoDatabaseAsync(int httpPort)
    {
        var cancellation = TestContext.Current.CancellationToken;
        using var api = await ApiClient.LoginAsync(httpPort, cancellation);
        var databases = JsonElement.Parse((await api.GetAsync("v2/databases", cancellation)).Text).GetProperty("resources");
        return databases.EnumerateArray().Single(database => database.GetProperty("name").GetString() == "demo").GetProperty("id").GetString()!;
    }
}
