using System.Reflection;
using Microsoft.AspNetCore.Components;
using Microsoft.Playwright;
using Sluice.Server.Components;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Sluice.IntegrationTests.Console;

/// <summary>Every page there is, in a real browser: usable by everybody, in both colours, on wide and narrow screens, and inert whatever it shows.</summary>
public sealed class ConsolePageTests(RealBrowser browser) : IClassFixture<RealBrowser>
{
    /// <summary>A row for each route: the addresses under which it shows something. Tabs are found in the page.</summary>
    static Dictionary<string, string[]> AddressesOf(ConsoleStage stage) => new(StringComparer.Ordinal)
    {
        ["/"] = ["/"],
        ["/databases"] = ["/databases"],
        ["/tables"] = ["/tables"],
        ["/tables/{DatabaseId:guid}/{TableId:guid}"] = [$"/tables/{stage.DatabaseId}/{stage.TableId}"],
        ["/sinks"] = ["/sinks"],
        ["/sinks/new"] = ["/sinks/new?mode=sample&example=1", $"/sinks/new?mode=table&database={stage.DatabaseId}&table={stage.TableId}"],
        ["/sinks/{SinkId:guid}"] = [$"/sinks/{stage.SinkId}", $"/sinks/{stage.SinkId}?tab=errors&view=single", $"/sinks/{stage.SinkId}?tab=errors&group={stage.GroupId}"],
        ["/query"] = ["/query", $"/query?database={stage.DatabaseId}&sql=SELECT%201"],
        ["/settings"] = ["/settings"],
        ["/profile"] = ["/profile"],
        ["/sign-in"] = ["/sign-in"],
        ["/invite"] = ["/invite#token"],
    };

    /// <summary>Address and button of what opens over a page.</summary>
    static (string Address, string Button)[] DialogsOf(ConsoleStage stage, string name) =>
    [
        ("/databases", "New database"), ("/databases", $"Delete {name}"), ("/tables", "New table"), ($"/tables/{stage.DatabaseId}/{stage.TableId}", "Add column"),
    ];

    [Fact]
    public void Every_route_has_a_row()
    {
        var routes = typeof(ConsolePage).Assembly.GetTypes().SelectMany(type => type.GetCustomAttributes<RouteAttribute>()).Select(route => route.Template).Order(StringComparer.Ordinal).ToList();
        Assert.True(routes.Count >= 12);
        Assert.Equal(routes, AddressesOf(new ConsoleStage("", "", "", "")).Keys.Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData(ColorScheme.Light, 1280)]
    [InlineData(ColorScheme.Dark, 390)]
    public async Task Every_page_is_for_everybody_and_fits(ColorScheme colors, int width)
    {
        var name = $"{colors}".ToLowerInvariant();
        var stage = await ConsoleStage.MakeAsync(browser.HttpPort, name, "plain");
        var page = await browser.SignInAsync(colors, width);
        var faults = RealBrowser.Watch(page);
        var found = new List<string>();
        var waiting = new Queue<string>(AddressesOf(stage).Values.SelectMany(addresses => addresses));
        var seen = new HashSet<string>(StringComparer.Ordinal);
        while (waiting.TryDequeue(out var address))
        {
            if (!seen.Add(address))
                continue;
            await page.GotoAsync(address);
            await RealBrowser.SettleAsync(page);
            await Expect(page.Locator("html")).ToHaveAttributeAsync("data-theme", name);
            await JudgeAsync(page, address, found);
            foreach (var tab in await page.Locator("nav.tabs a").EvaluateAllAsync<string[]>("tabs => tabs.map(tab => tab.pathname + new URL(tab.href).search)"))
                waiting.Enqueue(tab);
        }
        foreach (var (address, button) in DialogsOf(stage, name))
        {
            await page.GotoAsync(address);
            await page.GetByRole(AriaRole.Button, new() { Name = button, Exact = true }).First.ClickAsync();
            await page.GetByRole(AriaRole.Dialog).WaitForAsync();
            await JudgeAsync(page, $"{address}, {button}", found);
            await page.Keyboard.PressAsync("Escape");
            await Expect(page.GetByRole(AriaRole.Dialog)).ToHaveCountAsync(0);
        }
        Assert.True(seen.Count >= 22, $"only {seen.Count} pages: the tabs were not found");
        Assert.True(found.Count == 0, string.Join(Environment.NewLine, found));
        Assert.Empty(faults);
    }

    /// <summary>Negative control: what is held against the pages can be broken.</summary>
    [Fact]
    public async Task A_page_that_shuts_people_out_or_is_too_wide_is_found()
    {
        var page = await browser.OpenAsync(ColorScheme.Light, 390);
        await page.SetContentAsync("""<html lang="en"><title>t</title><h1>t</h1><button></button><p style="color:#999;background:#aaa;width:500px">faint</p>""");
        var found = new List<string>();
        await JudgeAsync(page, "broken", found);
        Assert.Contains(found, fault => fault.Contains("button-name (critical)", StringComparison.Ordinal));
        Assert.Contains(found, fault => fault.Contains("color-contrast (serious)", StringComparison.Ordinal));
        Assert.Contains(found, fault => fault.Contains("pixels too wide", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Texts_of_others_are_inert_wherever_they_are_shown()
    {
        const string hostile = "\"><img src=x onerror=\"window.hit=1\"><script>window.hit=1</script>";
        var (_, _, sinkId, _) = await ConsoleStage.MakeAsync(browser.HttpPort, "hostile", hostile);
        var page = await browser.SignInAsync(ColorScheme.Light, 1280);
        var escaped = Uri.EscapeDataString(hostile);
        foreach (var path in new[] { "/tables", $"/sinks/{sinkId}?tab=errors&view=single", $"/sinks/{sinkId}?tab=tail", $"/sinks/{sinkId}?tab=mapping", $"/tables?q={escaped}", $"/query?sql={escaped}", "/settings?tab=keys" })
        {
            await page.GotoAsync(path);
            await RealBrowser.SettleAsync(page);
            Assert.Null(await page.EvaluateAsync<int?>("window.hit ?? null"));
            Assert.Equal(0, await page.Locator("img[src=x]").CountAsync());
        }
    }

    [Fact]
    public async Task An_invites_link_sets_a_password_without_telling_the_server_its_token_before()
    {
        var cancellation = TestContext.Current.CancellationToken;
        using var api = await ApiClient.LoginAsync(browser.HttpPort, cancellation);
        var invite = await api.PostAsync("v2/invites", """{"email":"new@example.com"}""", cancellation);
        var link = new Uri(invite.Json["invite_url"]!.GetValue<string>());
        var page = await browser.OpenAsync(ColorScheme.Light, 1280);
        var asked = new List<string>();
        page.Request += (_, request) => asked.Add(request.Url);

        await page.GotoAsync(link.PathAndQuery + link.Fragment);
        await Expect(page.GetByLabel("Invite")).ToHaveValueAsync(link.Fragment[1..]);
        Assert.All(asked, url => Assert.DoesNotContain(link.Fragment[1..], url.Split('#')[0], StringComparison.Ordinal));
        await page.GetByLabel("Full name").FillAsync("New Person");
        await page.GetByLabel("Password").FillAsync("Correct-Horse-9");
        await page.GetByRole(AriaRole.Button, new() { Name = "Set password" }).ClickAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "Sign in" }).ClickAsync();
        await page.GetByLabel("E-mail").FillAsync("new@example.com");
        await page.GetByLabel("Password").FillAsync("Correct-Horse-9");
        await page.GetByRole(AriaRole.Button, new() { Name = "Sign in" }).ClickAsync();
        await Expect(page.Locator("h1")).ToHaveTextAsync("Home");
    }

    static async Task JudgeAsync(IPage page, string where, List<string> found)
    {
        found.AddRange(await RealBrowser.FindBarriersAsync(page, where));
        var overflow = await page.EvaluateAsync<int>("document.documentElement.scrollWidth - innerWidth");
        if (overflow > 0)
            found.Add($"{where} is {overflow} pixels too wide");
    }
}
