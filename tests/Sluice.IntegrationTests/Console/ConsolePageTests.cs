using System.Net;
using System.Reflection;
using System.Text.RegularExpressions;
using System.Web;
using Microsoft.AspNetCore.Components;
using Microsoft.Playwright;
using Sluice.IntegrationTests.Server;
using Sluice.IntegrationTests.Sql;
using Sluice.Server.Components;
using Xunit;
using static Microsoft.Playwright.Assertions;

namespace Sluice.IntegrationTests.Console;

/// <summary>Every page there is, in a real browser: usable by everybody, in both colours, on wide and narrow screens, and inert whatever it shows.</summary>
public sealed class ConsolePageTests(RealBrowser browser) : BrowserTests(browser)
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
        ($"/sinks/{stage.SinkId}", "Change quota"), ("/settings?tab=keys", "Change the quota of plain"),
    ];

    [Fact]
    public void Every_route_has_a_row()
    {
        var routes = typeof(ConsolePage).Assembly.GetTypes().SelectMany(type => type.GetCustomAttributes<RouteAttribute>()).Select(route => route.Template).Order(StringComparer.Ordinal).ToList();
        Assert.True(routes.Count >= 12);
        Assert.Equal(routes, AddressesOf(new ConsoleStage("", "", "", "")).Keys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Every_page_is_for_everybody_in_both_colours_and_fits()
    {
        var stage = await ConsoleStage.MakeAsync(Browser.HttpPort, "pages", "plain");
        var page = await Browser.SignInAsync(ColorScheme.Light, 1280);
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
            await JudgeAsync(page, $"{address}, light", found);
            await page.EvaluateAsync("sluice.setDark(true)");
            await page.SetViewportSizeAsync(390, 800);
            await JudgeAsync(page, $"{address}, dark and narrow", found);
            await page.EvaluateAsync("sluice.setDark(false)");
            await page.SetViewportSizeAsync(1280, 800);
            foreach (var tab in await page.Locator("nav.tabs a").EvaluateAllAsync<string[]>("tabs => tabs.map(tab => tab.pathname + new URL(tab.href).search)"))
                waiting.Enqueue(PageOf(tab));
        }
        Assert.True(seen.Count >= 22, $"only {seen.Count} pages: the tabs were not found");
        Assert.True(found.Count == 0, string.Join(Environment.NewLine, found));
        Assert.Empty(faults);
    }

    [Theory]
    [InlineData(ColorScheme.Light, 1280)]
    [InlineData(ColorScheme.Dark, 390)]
    public async Task What_opens_over_a_page_is_for_everybody_too(ColorScheme colors, int width)
    {
        var name = $"over-{colors}".ToLowerInvariant();
        var stage = await ConsoleStage.MakeAsync(Browser.HttpPort, name, "plain");
        var page = await Browser.SignInAsync(colors, width);
        await Expect(page.Locator("html")).ToHaveAttributeAsync("data-theme", $"{colors}".ToLowerInvariant());
        var found = new List<string>();
        foreach (var (address, button) in DialogsOf(stage, name))
        {
            await page.GotoAsync(address);
            await Button(page, button).First.ClickAsync();
            await page.GetByRole(AriaRole.Dialog).WaitForAsync();
            await JudgeAsync(page, $"{address}, {button}", found);
            await page.Keyboard.PressAsync("Escape");
            await Expect(page.GetByRole(AriaRole.Dialog)).ToHaveCountAsync(0);
        }
        Assert.True(found.Count == 0, string.Join(Environment.NewLine, found));
    }

    /// <summary>Each page once: a tab hands on all parameters, and only the errors look at others than its own.</summary>
    static string PageOf(string tab)
    {
        var parameters = HttpUtility.ParseQueryString(tab.Contains('?', StringComparison.Ordinal) ? tab[tab.IndexOf('?', StringComparison.Ordinal)..] : "");
        var own = parameters["tab"];
        foreach (var name in parameters.AllKeys.Where(name => own != "errors" || name == "tab")) parameters.Remove(name);
        return tab.Split('?')[0] + (own is null ? "" : $"?tab={own}") + (parameters.Count == 0 ? "" : $"&{parameters}");
    }

    /// <summary>Negative control: what is held against the pages can be broken.</summary>
    [Fact]
    public async Task A_page_that_shuts_people_out_or_is_too_wide_is_found()
    {
        var page = await Browser.OpenAsync(ColorScheme.Light, 390);
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
        var (_, _, sinkId, _) = await ConsoleStage.MakeAsync(Browser.HttpPort, "hostile", hostile);
        var page = await Browser.SignInAsync(ColorScheme.Light, 1280);
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
        using var api = await ApiClient.LoginAsync(Browser.HttpPort, cancellation);
        var invite = await api.PostAsync("v2/invites", """{"email":"new@example.com"}""", cancellation);
        var link = new Uri(invite.Json["invite_url"]!.GetValue<string>());
        var page = await Browser.OpenAsync(ColorScheme.Light, 1280);
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

    [Fact]
    public async Task A_key_made_here_sends_to_the_sources_it_names_until_its_day_is_over()
    {
        var cancellation = TestContext.Current.CancellationToken;
        var mine = await ConsoleStage.MakeAsync(Browser.HttpPort, "mine", "plain");
        var other = await ConsoleStage.MakeAsync(Browser.HttpPort, "other", "plain");
        var page = await Browser.SignInAsync(ColorScheme.Light, 1280);
        await page.GotoAsync("/settings?tab=keys");
        await page.GetByLabel("Description").FillAsync("plant 7");
        await Expect(Button(page, "Create key")).ToBeDisabledAsync(); // no source is chosen
        await page.GetByLabel("mine-stream").CheckAsync();
        await page.GetByLabel("Good until (optional)").FillAsync("2099-12-31");
        await Button(page, "Create key").ClickAsync();
        var secret = await page.Locator(".notice-good .copy code").InnerTextAsync();
        await Button(page, "I have saved the key").ClickAsync();
        var row = page.GetByRole(AriaRole.Row).Filter(new() { HasText = "plant 7" });
        await Expect(row).ToContainTextAsync("mine-stream");
        await Expect(row).ToContainTextAsync("2100-01-01 00:00");

        using var key = new ApiClient(Browser.HttpPort);
        key.UseToken(secret);
        Assert.Equal(HttpStatusCode.OK, (await key.PostAsync($"v2/sinks/{mine.SinkId}", """{"records":[]}""", cancellation)).Status);
        Assert.Equal(HttpStatusCode.NotFound, (await key.PostAsync($"v2/sinks/{other.SinkId}", """{"records":[]}""", cancellation)).Status);

        await Button(page, "Rename plant 7").ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByLabel("Description").FillAsync("plant 8");
        await Button(page, "Save").ClickAsync();
        await Button(page, "Revoke plant 8").ClickAsync();
        await Expect(Button(page, "Revoke")).ToBeDisabledAsync(); // its name was not typed
        await page.GetByLabel("Type plant 8 to confirm").FillAsync("plant 8");
        await Button(page, "Revoke").ClickAsync();
        await Expect(page.GetByRole(AriaRole.Row).Filter(new() { HasText = "plant 8" })).ToHaveCountAsync(0);
        Assert.Equal(HttpStatusCode.Unauthorized, (await key.PostAsync($"v2/sinks/{mine.SinkId}", """{"records":[]}""", cancellation)).Status);
    }

    [Fact]
    public async Task The_quota_of_a_source_is_changed_here_and_shown_with_what_is_used()
    {
        var cancellation = TestContext.Current.CancellationToken;
        var stage = await ConsoleStage.MakeAsync(Browser.HttpPort, "limited", "plain");
        using var api = await ApiClient.LoginAsync(Browser.HttpPort, cancellation);
        var page = await Browser.SignInAsync(ColorScheme.Light, 390);
        await page.GotoAsync($"/sinks/{stage.SinkId}");
        var card = page.Locator("section.card").Filter(new() { Has = page.GetByRole(AriaRole.Heading, new() { Name = "Quota" }) });
        await Expect(card.Locator("dd")).ToHaveTextAsync(["no limit", "no limit"]);

        await Button(page, "Change quota").ClickAsync();
        await page.GetByLabel("Records a second").FillAsync("a few");
        await page.GetByLabel("Burst, in seconds").FillAsync("0");
        await Button(page, "Save").ClickAsync();
        await Expect(page.GetByText("Must be a whole number from 0 (no limit) to 1,000,000,000,000, without separators.")).ToBeVisibleAsync();
        await Expect(page.GetByText("Must be a whole number of seconds from 1 to 3,600, without separators.")).ToBeVisibleAsync();
        var found = new List<string>();
        await JudgeAsync(page, "the dialog with faults", found);
        Assert.Empty(found);
        await page.GetByLabel("Records a second").FillAsync("2");
        await page.GetByLabel("Burst, in seconds").FillAsync("3000");
        await Button(page, "Save").ClickAsync();
        await Expect(card.Locator("dd")).ToHaveTextAsync(["2 a second", "no limit", "3,000 seconds", "0 % used"]);
        var quota = (await api.GetAsync($"v2/sinks/{stage.SinkId}", cancellation)).Json["quota"]!;
        Assert.Equal("""{"records_per_second":2,"bytes_per_second":0,"burst_seconds":3000}""", quota.ToJsonString());

        var records = string.Join(',', Enumerable.Range(0, 3_000).Select(id => $$$"""{"value":{"id":{{{id}}}}}"""));
        Assert.Equal(HttpStatusCode.OK, (await api.PostAsync($"v2/sinks/{stage.SinkId}?return=summary", $$"""{"records":[{{records}}]}""", cancellation)).Status);
        await Expect(card).ToContainTextAsync(new Regex("(49|50) % used")); // without a reload
        records = string.Join(',', Enumerable.Repeat(records, 2));
        Assert.Equal(HttpStatusCode.OK, (await api.PostAsync($"v2/sinks/{stage.SinkId}?return=summary", $$"""{"records":[{{records}}]}""", cancellation)).Status);
        await Expect(card).ToContainTextAsync("used up");
        Assert.Equal(HttpStatusCode.TooManyRequests, (await api.PostAsync($"v2/sinks/{stage.SinkId}", """{"records":[]}""", cancellation)).Status);

        await Button(page, "Change quota").ClickAsync();
        await Expect(page.GetByLabel("Records a second")).ToHaveValueAsync("2");
        await page.GetByLabel("Records a second").FillAsync("");
        await Button(page, "Save").ClickAsync();
        await Expect(card.Locator("dd")).ToHaveTextAsync(["no limit", "no limit"]);
        Assert.Equal(HttpStatusCode.OK, (await api.PostAsync($"v2/sinks/{stage.SinkId}", """{"records":[]}""", cancellation)).Status);
    }

    [Fact]
    public async Task Who_may_only_read_sees_the_quota_of_a_source_and_no_way_to_change_it()
    {
        var cancellation = TestContext.Current.CancellationToken;
        var stage = await ConsoleStage.MakeAsync(Browser.HttpPort, "readers", "plain");
        using var api = await ApiClient.LoginAsync(Browser.HttpPort, cancellation);
        var invite = await api.PostAsync("v2/invites", """{"email":"quota-reader@example.com","role":"Reader"}""", cancellation);
        var link = new Uri(invite.Json["invite_url"]!.GetValue<string>());
        var page = await Browser.OpenAsync(ColorScheme.Light, 1280);
        await page.GotoAsync(link.PathAndQuery + link.Fragment);
        await page.GetByLabel("Full name").FillAsync("Reader");
        await page.GetByLabel("Password").FillAsync("Correct-Horse-9");
        await Button(page, "Set password").ClickAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "Sign in" }).ClickAsync();
        await page.GetByLabel("E-mail").FillAsync("quota-reader@example.com");
        await page.GetByLabel("Password").FillAsync("Correct-Horse-9");
        await Button(page, "Sign in").ClickAsync();
        await Expect(page.Locator("h1")).ToHaveTextAsync("Home");
        await page.GotoAsync($"/sinks/{stage.SinkId}");
        await Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Quota" })).ToBeVisibleAsync();
        await Expect(page.GetByText("Mapping version")).ToBeVisibleAsync();
        await Expect(Button(page, "Change quota")).ToHaveCountAsync(0);
    }

    [Fact]
    public async Task A_key_has_the_quota_it_was_made_with_until_it_gets_another()
    {
        var cancellation = TestContext.Current.CancellationToken;
        var stage = await ConsoleStage.MakeAsync(Browser.HttpPort, "metered", "plain");
        var page = await Browser.SignInAsync(ColorScheme.Light, 1280);
        await page.GotoAsync("/settings?tab=keys");
        await page.GetByLabel("Description").FillAsync("meter 7");
        await page.GetByLabel("metered-stream").CheckAsync();
        await page.GetByLabel("Bytes a second").FillAsync("1 MB");
        await Button(page, "Create key").ClickAsync();
        await Expect(page.GetByText("Must be a whole number from 0 (no limit)")).ToBeVisibleAsync();
        await page.GetByLabel("Bytes a second").FillAsync("1048576");
        await Button(page, "Create key").ClickAsync();
        var secret = await page.Locator(".notice-good .copy code").InnerTextAsync();
        await Expect(page.GetByLabel("Bytes a second")).ToHaveValueAsync("");
        var quota = page.GetByRole(AriaRole.Row).Filter(new() { HasText = "meter 7" }).Locator("td.quota");
        await Expect(quota).ToHaveTextAsync(new Regex("^\\s*1.0 MiB/s\\s*0 % used\\s*$"));

        using var key = new ApiClient(Browser.HttpPort);
        key.UseToken(secret);
        await Button(page, "Change the quota of meter 7").ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByLabel("Records a second").FillAsync("1");
        await page.GetByRole(AriaRole.Dialog).GetByLabel("Burst, in seconds").FillAsync("3600");
        await Button(page, "Save").ClickAsync();
        await Expect(quota).ToContainTextAsync("1 records/s, 1.0 MiB/s");
        var records = string.Join(',', Enumerable.Range(0, 4_000).Select(id => $$$"""{"value":{"id":{{{id}}}}}"""));
        Assert.Equal(HttpStatusCode.OK, (await key.PostAsync($"v2/sinks/{stage.SinkId}?return=summary", $$"""{"records":[{{records}}]}""", cancellation)).Status);
        await Expect(quota).ToContainTextAsync("used up"); // without a reload
        Assert.Equal(HttpStatusCode.TooManyRequests, (await key.PostAsync($"v2/sinks/{stage.SinkId}", """{"records":[]}""", cancellation)).Status);
    }

    [Fact]
    public async Task The_organization_is_written_by_administrators_and_read_by_others()
    {
        var page = await Browser.SignInAsync(ColorScheme.Light, 1280);
        await page.GotoAsync("/settings?tab=organization");
        await page.GetByLabel("Name").FillAsync("Weir & Sons");
        await page.GetByLabel("Technical contact").FillAsync("ops@example.com");
        await Button(page, "Update").ClickAsync();
        await Expect(page.GetByText("The organization is saved.")).ToBeVisibleAsync();
        await page.ReloadAsync();
        await Expect(page.GetByLabel("Name")).ToHaveValueAsync("Weir & Sons");
        await Expect(page.GetByLabel("Technical contact")).ToHaveValueAsync("ops@example.com");
    }

    [Fact]
    public async Task A_table_with_ids_of_the_server_has_required_columns_defaults_and_an_end_for_its_rows()
    {
        var cancellation = TestContext.Current.CancellationToken;
        var stage = await ConsoleStage.MakeAsync(Browser.HttpPort, "events", "plain");
        var page = await Browser.SignInAsync(ColorScheme.Light, 1280);
        await page.GotoAsync($"/tables?database={stage.DatabaseId}");
        await Button(page, "New table").First.ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByLabel("Name").FillAsync("visits");
        await page.GetByLabel("A number that the server makes").CheckAsync();
        await page.GetByLabel("Keep rows for (optional)").FillAsync("soon");
        await Button(page, "Create table").ClickAsync();
        await Expect(page.GetByRole(AriaRole.Alert).First).ToContainTextAsync("such as 12h or 30d");
        await page.GetByLabel("Keep rows for (optional)").FillAsync("30d");
        await Button(page, "Create table").ClickAsync();
        await Expect(page).ToHaveURLAsync(new Regex($"/tables/{stage.DatabaseId}/.+"));
        await Button(page, "Add column").ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByLabel("Name").FillAsync("page");
        await page.GetByLabel("Required: a record without it is rejected").CheckAsync();
        await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "Add column" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Dialog)).ToHaveCountAsync(0);
        await Expect(page.GetByRole(AriaRole.Row).Filter(new() { HasText = "page" })).ToContainTextAsync("required");
        await Button(page, "Add column").ClickAsync();
        await page.GetByRole(AriaRole.Dialog).GetByLabel("Name").FillAsync("seconds");
        await page.GetByLabel("Type").SelectOptionAsync("int");
        await page.GetByLabel("Default (optional)").FillAsync("1");
        await page.GetByRole(AriaRole.Dialog).GetByRole(AriaRole.Button, new() { Name = "Add column" }).ClickAsync();
        await Expect(page.GetByRole(AriaRole.Dialog)).ToHaveCountAsync(0);
        await Expect(page.GetByRole(AriaRole.Row).Filter(new() { HasText = "seconds" })).ToContainTextAsync("default 1");

        using var api = await ApiClient.LoginAsync(Browser.HttpPort, cancellation);
        var table = (await api.GetAsync($"v2/tables/{stage.DatabaseId}/visits", cancellation)).Json;
        Assert.Equal(("30d", true), (table["options"]!["retention"]!.GetValue<string>(), table["options"]!["auto_id"]!.GetValue<bool>()));

        // a source of it, by the form: there is no path for _id
        await page.GotoAsync($"/sinks/new?mode=table&database={stage.DatabaseId}&table={table["id"]!.GetValue<string>()}");
        await RealBrowser.SettleAsync(page);
        await Expect(page.GetByLabel("Path of _id")).ToHaveCountAsync(0);
        await page.GetByLabel("Source name").FillAsync("visits-stream");
        await Button(page, "Create source").ClickAsync();
        await Expect(page.Locator("h1")).ToHaveTextAsync("visits-stream");
        var sinkId = new Uri(page.Url).Segments[^1];
        var sent = await api.PostAsync($"v2/sinks/{sinkId}?wait=loaded", """{"records":[{"value":{"page":"/"}},{"value":{"seconds":5}}]}""", cancellation);
        Assert.Equal((1, 1), (sent.Json["success_count"]!.GetValue<int>(), sent.Json["error_count"]!.GetValue<int>()));
        Assert.Equal("""[["/",1]]""", (await api.QueryAsync(stage.DatabaseId, "SELECT page, seconds FROM visits", cancellation)).ToJsonString());
    }

    [Fact]
    public async Task An_answer_is_shown_up_to_its_limit_and_exported_whole()
    {
        var stage = await ConsoleStage.MakeAsync(Browser.HttpPort, "numbers", "plain");
        var page = await Browser.SignInAsync(ColorScheme.Light, 1280);
        await page.GotoAsync($"/query?database={stage.DatabaseId}&sql={Uri.EscapeDataString("SELECT i FROM UNNEST(generate_series(1, 250)) AS t(i) ORDER BY i")}");
        await RealBrowser.SettleAsync(page);
        await Button(page, "Run").ClickAsync();
        await Expect(page.GetByText("First 100 rows in")).ToBeVisibleAsync();
        await page.GetByLabel("Limit").SelectOptionAsync("1000");
        await Expect(page).ToHaveURLAsync(new Regex("limit=1000"));
        await Button(page, "Run").ClickAsync();
        await Expect(page.GetByText("250 rows in")).ToBeVisibleAsync();
        await page.GetByLabel("Limit").SelectOptionAsync("10");
        await Expect(page).ToHaveURLAsync(new Regex("limit=10(&|$)"));
        await Button(page, "Run").ClickAsync();
        await Expect(page.GetByText("First 10 rows in")).ToBeVisibleAsync();

        var download = await page.RunAndWaitForDownloadAsync(() => Button(page, "Parquet").ClickAsync());
        Assert.Equal("result.parquet", download.SuggestedFilename);
        using var file = new TemporaryDirectory();
        var path = Path.Combine(file.Path, "result.parquet");
        await download.SaveAsAsync(path);
        Assert.Equal("250 1 250", ParquetFile.Scalar(path, "count(*) || ' ' || min(i) || ' ' || max(i)"));
    }

    static ILocator Button(IPage page, string name) => page.GetByRole(AriaRole.Button, new() { Name = name, Exact = true });

    static async Task JudgeAsync(IPage page, string where, List<string> found)
    {
        found.AddRange(await RealBrowser.FindBarriersAsync(page, where));
        var overflow = await page.EvaluateAsync<int>("document.documentElement.scrollWidth - innerWidth");
        if (overflow > 0)
            found.Add($"{where} is {overflow} pixels too wide");
    }
}
