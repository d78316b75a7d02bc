using Deque.AxeCore.Commons;
using Microsoft.Playwright;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>Chromium before a real server on an empty data directory. One class of tests shares one.</summary>
public sealed class RealBrowser : IAsyncLifetime
{
    // a loaded machine is slow, and a page that never gets there fails all the same
    const float PatienceMilliseconds = 60_000;

    static readonly string[] Flags =
        ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

    static readonly string s_axe = new BundledAxeScriptProvider().GetScript();

    readonly TemporaryDirectory _data = new();
    ServerProcess _server = null!;
    IPlaywright _playwright = null!;
    IBrowser _browser = null!;

    public int HttpPort => _server.HttpPort;

    internal ServerProcess Server => _server;

    public async ValueTask InitializeAsync()
    {
        var chromium = FindChromium();
        Assert.SkipUnless(chromium is not null, "no Chromium is installed; scripts/test-tools.sh installs Debian's, SLUICE_TEST_CHROMIUM names another");
        _server = await ServerProcess.StartAsync(_data.Path, "Sluice.Server", TestContext.Current.CancellationToken, ("Sluice__ControlPlane__MaxDatabases", "50")); // each test makes its own
        _playwright = await Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new() { ExecutablePath = chromium, Args = Flags, Timeout = PatienceMilliseconds });
        Assertions.SetDefaultExpectTimeout(PatienceMilliseconds);
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

    /// <summary>A page of a browser that nobody has used; nobody is signed in.</summary>
    public async Task<IPage> OpenAsync(ColorScheme colors, int width, int height = 800)
    {
        var context = await _browser.NewContextAsync(new()
        {
            BaseURL = $"http://localhost:{_server.HttpPort}",
            ColorScheme = colors,
            ViewportSize = new() { Width = width, Height = height },
            ReducedMotion = ReducedMotion.Reduce,
        });
        var page = await context.NewPageAsync();
        page.SetDefaultTimeout(PatienceMilliseconds);
        return page;
    }

    /// <summary>What every open page shows, and the server's log.</summary>
    internal async Task TellAsync(ITestOutputHelper output)
    {
        foreach (var page in _browser.Contexts.SelectMany(context => context.Pages))
            output.WriteLine($"{page.Url} shows:\n{await page.Locator("body").InnerTextAsync()}");
        output.WriteLine($"The server wrote:\n{_server.Output}");
    }

    internal async Task ClosePagesAsync()
    {
        foreach (var context in _browser.Contexts.ToList())
            await context.CloseAsync();
    }

    /// <summary>The home page of the administrator.</summary>
    public async Task<IPage> SignInAsync(ColorScheme colors, int width, int height = 800)
    {
        var page = await OpenAsync(colors, width, height);
        await page.GotoAsync("/");
        await page.GetByLabel("E-mail").FillAsync(ServerProcess.Email);
        await page.GetByLabel("Password").FillAsync(ServerProcess.Password);
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await page.Locator("h1", new() { HasText = "Home" }).WaitForAsync();
        return page;
    }

    /// <summary>Everything the browser complains of: a script that failed, what the content policy refused, and a request to another server.</summary>
    internal static List<string> Watch(IPage page)
    {
        var faults = new List<string>();
        page.PageError += (_, error) => faults.Add(error);
        page.Console += (_, message) =>
        {
            if (message.Type == "error")
                faults.Add(message.Text);
        };
        page.Request += (_, request) =>
        {
            if (new Uri(request.Url) is { Scheme: not ("data" or "blob"), IsLoopback: false })
                faults.Add("asked another server: " + request.Url);
        };
        return faults;
    }

    /// <summary>Returns when the page has what it shows first.</summary>
    internal static async Task SettleAsync(IPage page)
    {
        await page.Locator("h1").First.WaitForAsync();
        await Assertions.Expect(page.GetByText("Loading…")).ToHaveCountAsync(0);
        if (await page.Locator(".editor").CountAsync() > 0)
            await page.Locator(".monaco-editor .view-lines").First.WaitForAsync(new() { State = WaitForSelectorState.Attached });
    }

    /// <summary>Puts a text in the place of what the editor has.</summary>
    internal static async Task TypeAsync(IPage page, string text)
    {
        await page.Locator(".monaco-editor").First.ClickAsync();
        await page.Keyboard.PressAsync("ControlOrMeta+A");
        await page.Keyboard.InsertTextAsync(text);
    }

    /// <summary>What shuts out those who cannot see, or use no mouse.</summary>
    internal static async Task<IEnumerable<string>> FindBarriersAsync(IPage page, string where)
    {
        Assert.Single(page.Frames); // only this one is looked at
        if (!await page.EvaluateAsync<bool>("'axe' in window")) await page.EvaluateAsync(s_axe);
        var found = await page.EvaluateAsync<string[]>("""
            async () => (await axe.run(document, { resultTypes: ['violations'] })).violations.filter(violation => ['serious', 'critical'].includes(violation.impact))
                .map(violation => `${violation.id} (${violation.impact}) at ${violation.nodes.slice(0, 3).map(node => node.html).join(' | ')}`)
            """);
        return found.Select(violation => $"{where}: {violation}");
    }

    static string? FindChromium() =>
        new[] { Environment.GetEnvironmentVariable("SLUICE_TEST_CHROMIUM"), "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome" }.FirstOrDefault(File.Exists);
}
