using System.Net;
using Microsoft.Playwright;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary><c>/docs</c> in a real browser: everything comes from this server, and its content policy lets it work and nothing else.</summary>
public sealed class ApiReferenceTests(RealBrowser browser) : BrowserTests(browser)
{
    [Fact]
    public async Task The_api_is_shown_with_what_this_server_has_alone()
    {
        var page = await Browser.OpenAsync(ColorScheme.Light, 1280);
        var faults = RealBrowser.Watch(page);

        await page.GotoAsync("/docs");
        await page.GetByRole(AriaRole.Heading, new() { Name = "Sluice", Exact = true }).First.WaitForAsync();
        await page.GotoAsync("/docs/#tag/operations");
        await page.GetByText("All counters and gauges, for Prometheus.").First.WaitForAsync();

        // what "Test request" does, and what it may not do
        Assert.Equal((int)HttpStatusCode.OK, await page.EvaluateAsync<int>("fetch('/health/live').then(answer => answer.status)"));
        Assert.Empty(faults);
    }

    [Fact]
    public async Task Its_policy_refuses_what_the_page_does_not_need()
    {
        var page = await Browser.OpenAsync(ColorScheme.Light, 1280);
        await page.GotoAsync("/docs/");
        var faults = RealBrowser.Watch(page);

        var hit = await page.EvaluateAsync<bool>("() => { const script = document.createElement('script'); script.textContent = 'window.hit = true'; document.body.append(script); return window.hit === true; }");
        var fetched = await page.EvaluateAsync<bool>("fetch('https://192.0.2.1/').then(() => true, () => false)");

        Assert.Equal((false, false), (hit, fetched));
        Assert.Contains(faults, fault => fault.Contains("script-src", StringComparison.Ordinal));
        Assert.Contains(faults, fault => fault.Contains("connect-src", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Each_answer_has_a_nonce_of_its_own_and_other_answers_keep_their_policy()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var first = await server.SendAsync(HttpMethod.Get, "/docs/");
        using var second = await server.SendAsync(HttpMethod.Get, "/docs/");
        using var script = await server.SendAsync(HttpMethod.Get, "/docs/scalar.js");

        Assert.NotEqual(PolicyOf(first), PolicyOf(second));
        Assert.All([first, second], answer => Assert.Matches("script-src 'nonce-[A-Za-z0-9+/=]{24}';", PolicyOf(answer)));
        Assert.Equal("default-src 'none'; frame-ancestors 'none'", PolicyOf(script));

        static string PolicyOf(HttpResponseMessage answer) => answer.Headers.GetValues("Content-Security-Policy").Single();
    }
}
