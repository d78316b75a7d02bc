using Microsoft.Playwright;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>A real browser on a real server.</summary>
public sealed class ConsoleWalkTests : IAsyncLifetime
{
    readonly TemporaryDirectory _data = new();
    ServerProcess _server = null!;
    IPlaywright _playwright = null!;
    IBrowser _browser = null!;

    public async ValueTask InitializeAsync()
    {
        var chromium = FindChromium();
        Assert.SkipUnless(chromium is not null, "no Chromium is installed; scripts/test-tools.sh installs Debian's, SLUICE_TEST_CHROMIUM names another");
        _server = await ServerProcess.StartAsync(_data.Path, "Sluice.Server", TestContext.Current.CancellationToken);
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new() { ExecutablePath = chromium, Args = ["--no-sandbox", "--disable-dev-shm-usage"] });
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
            await _browser.DisposeAsync();
        _playwright?.Dispose();
        if (_server is not null)
            await _server.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Texts_of_others_are_inert_wherever_they_are_shown()
    {
        const string hostile = "\"><img src=x onerror=\"window.hit=1\"><script>window.hit=1</script>";
        var (_, _, sinkId) = await FillAsync(hostile);
        var page = await OpenAsync(ColorScheme.Light, 1280);
        foreach (var path in new[] { "/tables", $"/sinks/{sinkId}?tab=errors&view=single", $"/sinks/{sinkId}?tab=tail", $"/tables?q={Uri.EscapeDataString(hostile)}", $"/query?sql={Uri.EscapeDataString(hostile)}" })
        {
            await page.GotoAsync(path);
            await SettleAsync(page);
            Assert.Null(await page.EvaluateAsync<int?>("window.hit ?? null"));
            Assert.Equal(0, await page.Locator("img[src=x]").CountAsync());
        }
    }

    async Task<IPage> OpenAsync(ColorScheme colors, int width)
    {
        var context = await _browser.NewContextAsync(new()
        {
            BaseURL = $"http://localhost:{_server.HttpPort}",
            ColorScheme = colors,
            ViewportSize = new() { Width = width, Height = 860 },
            ReducedMotion = ReducedMotion.Reduce,
        });
        var page = await context.NewPageAsync();
        page.SetDefaultTimeout(30_000);
        await page.GotoAsync("/");
        await page.GetByLabel("E-mail").FillAsync(ServerProcess.Email);
        await page.GetByLabel("Password").FillAsync(ServerProcess.Password);
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await page.Locator("h1", new() { HasText = "Home" }).WaitForAsync();
        return page;
    }

    static async Task SettleAsync(IPage page)
    {
        await page.Locator("h1").First.WaitForAsync();
        await page.WaitForFunctionAsync("!document.body.innerText.includes('Loading…')");
        if (await page.Locator(".editor").CountAsync() > 0)
            await page.Locator(".monaco-editor .view-lines").First.WaitForAsync(new() { State = WaitForSelectorState.Attached });
    }

    /// <summary>A source with right and wrong records.</summary>
    async Task<(string DatabaseId, string TableId, string SinkId)> FillAsync(string text = "plain")
    {
        var cancellation = TestContext.Current.CancellationToken;
        using var api = await ApiClient.LoginAsync(_server.HttpPort, cancellation);
        var databaseId = await api.CreateAsync("v2/databases", """{"name":"shop"}""", cancellation);
        var description = System.Text.Json.JsonSerializer.Serialize(text);
        var tableId = await api.CreateAsync($"v2/tables/{databaseId}", $$$"""
            {"name":"orders","description":{{{description}}},"options":{"keys":false,"trackExistence":true},
             "fields":[{"name":"price","options":{"type":"decimal","scale":2}},{"name":"note","options":{"type":"string"}},{"name":"tags","options":{"type":"stringset"}}]}
            """, cancellation);
        var sinkId = await api.CreateAsync("v2/sinks", $$$"""
            {"name":"orders-stream","sink_details":{"database_id":"{{{databaseId}}}","table":"orders"},
             "schema":{"type":"json","id_field":"_id","allow_missing_fields":true,
              "definition":[{"name":"_id","path":["id"]},{"name":"price","path":["price"]},{"name":"note","path":["note"]},{"name":"tags","path":["tags"]}]}}
            """, cancellation);
        await api.PostAsync($"v2/sinks/{sinkId}?wait=loaded", $$$"""
            {"records":[{"value":{"id":1,"price":1.5,"note":{{{description}}},"tags":[{{{description}}},"b"],"extra":{{{description}}}}},{"value":{"id":2,"price":{{{description}}}}}]}
            """, cancellation);
        return (databaseId, tableId, sinkId);
    }

    static string? FindChromium() =>
        new[] { Environment.GetEnvironmentVariable("SLUICE_TEST_CHROMIUM"), "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome" }.FirstOrDefault(File.Exists);
}
