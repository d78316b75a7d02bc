using System.Net;
using System.Text.RegularExpressions;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>The console as a browser's requests see it.</summary>
public sealed partial class ConsoleHttpTests
{
    [Fact]
    public async Task Who_is_not_signed_in_is_led_to_the_sign_in()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var browser = new ConsoleBrowser(server, isSecure: false);
        foreach (var path in new[] { "/", "/sinks", "/query?database=1", "/settings" })
        {
            using var answer = await browser.GetAsync(path);
            Assert.Equal(HttpStatusCode.Found, answer.StatusCode);
            Assert.StartsWith("/sign-in?return=", answer.Headers.Location!.PathAndQuery, StringComparison.Ordinal);
        }
        using var hub = await browser.PostAsync("/_blazor/negotiate?negotiateVersion=1", []);
        Assert.NotEqual(HttpStatusCode.OK, hub.StatusCode);
    }

    [Theory]
    [InlineData(false, "sluice")]
    [InlineData(true, "__Host-sluice")]
    public async Task The_cookie_of_a_login_is_closed_to_scripts_and_other_sites(bool isSecure, string name)
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var browser = new ConsoleBrowser(server, isSecure);
        using var answer = await browser.SignInAsync(ServerUnderTest.Email, ServerUnderTest.Password);
        Assert.Equal(HttpStatusCode.Found, answer.StatusCode);
        var cookie = answer.Headers.GetValues("Set-Cookie").Single(text => text.StartsWith(name + "=", StringComparison.Ordinal));
        Assert.Contains("httponly", cookie, StringComparison.Ordinal);
        Assert.Contains("samesite=strict", cookie, StringComparison.Ordinal);
        Assert.Contains("path=/", cookie, StringComparison.Ordinal);
        Assert.Equal(isSecure, cookie.Contains("secure", StringComparison.Ordinal));
        Assert.DoesNotContain("domain", cookie, StringComparison.Ordinal);
        using var home = await browser.GetAsync("/");
        Assert.Equal(HttpStatusCode.OK, home.StatusCode);
    }

    [Fact]
    public async Task The_cookie_opens_the_console_and_not_the_api()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var browser = new ConsoleBrowser(server, isSecure: false);
        using var signedIn = await browser.SignInAsync(ServerUnderTest.Email, ServerUnderTest.Password);
        using var answer = await browser.GetAsync("/v2/databases");
        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
    }

    [Fact]
    public async Task A_wrong_password_is_told_in_a_sentence_that_does_not_say_which_was_wrong()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var browser = new ConsoleBrowser(server, isSecure: false);
        using var wrong = await browser.SignInAsync(ServerUnderTest.Email, "wrong");
        using var unknown = await browser.SignInAsync("nobody@localhost", "wrong");
        Assert.Contains("E-mail or password is wrong.", await ConsoleBrowser.ReadAsync(wrong), StringComparison.Ordinal);
        Assert.Contains("E-mail or password is wrong.", await ConsoleBrowser.ReadAsync(unknown), StringComparison.Ordinal);
        using var home = await browser.GetAsync("/");
        Assert.Equal(HttpStatusCode.Found, home.StatusCode);
    }

    [Fact]
    public async Task A_form_without_its_token_is_refused()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var browser = new ConsoleBrowser(server, isSecure: false);
        using var answer = await browser.PostAsync("/sign-in", new() { ["_handler"] = "sign-in", ["Form.Email"] = ServerUnderTest.Email, ["Form.Password"] = ServerUnderTest.Password });
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        using var signedIn = await browser.SignInAsync(ServerUnderTest.Email, ServerUnderTest.Password);
        using var out1 = await browser.PostAsync("/sign-out", []);
        Assert.Equal(HttpStatusCode.BadRequest, out1.StatusCode);
        using var home = await browser.GetAsync("/");
        Assert.Equal(HttpStatusCode.OK, home.StatusCode);
    }

    [Fact]
    public async Task After_the_sign_in_one_stays_on_this_server()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var browser = new ConsoleBrowser(server, isSecure: false);
        using var away = await browser.SignInAsync(ServerUnderTest.Email, ServerUnderTest.Password, "//evil.example/");
        Assert.Equal("/", away.Headers.Location!.IsAbsoluteUri ? away.Headers.Location.PathAndQuery : away.Headers.Location.OriginalString);
        using var back = await browser.SignInAsync(ServerUnderTest.Email, ServerUnderTest.Password, "/sinks?q=a");
        Assert.EndsWith("/sinks?q=a", back.Headers.Location!.OriginalString, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_login_that_was_ended_elsewhere_ends_here_too()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var browser = new ConsoleBrowser(server, isSecure: false);
        using var signedIn = await browser.SignInAsync(ServerUnderTest.Email, ServerUnderTest.Password);
        var token = await server.IdTokenAsync();
        using var changed = await server.SendAsync(HttpMethod.Put, "/v2/users/current/password", "Bearer " + token, body: $$"""{"current_password":"{{ServerUnderTest.Password}}","password":"Another-Horse-9"}""");
        Assert.Equal(HttpStatusCode.OK, changed.StatusCode);
        using var home = await browser.GetAsync("/");
        Assert.Equal(HttpStatusCode.Found, home.StatusCode);
    }

    [Fact]
    public async Task Every_page_and_file_has_the_policy_and_files_come_from_here()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var browser = new ConsoleBrowser(server, isSecure: false);
        using var answer = await browser.GetAsync("/sign-in");
        var page = await ConsoleBrowser.ReadAsync(answer);
        var files = Reference().Matches(page).Select(match => match.Groups[1].Value).Where(path => path.Length > 0 && path is not "/").ToList();
        Assert.True(files.Count >= 5);
        Assert.All(files, file => Assert.DoesNotContain("//", file, StringComparison.Ordinal));
        foreach (var path in files.Append("_content/BlazorMonaco/jsInterop.js").Append("_content/BlazorMonaco/lib/monaco-editor/min/vs/editor/editor.main.js"))
        {
            using var file = await browser.GetAsync("/" + path.TrimStart('/'));
            Assert.Equal(HttpStatusCode.OK, file.StatusCode);
            Assert.Contains("script-src 'self';", Policy(file), StringComparison.Ordinal);
            Assert.Contains("frame-ancestors 'none'", Policy(file), StringComparison.Ordinal);
            Assert.Equal("nosniff", file.Headers.GetValues("X-Content-Type-Options").Single());
        }
        Assert.DoesNotMatch("<script(?![^>]*src=)", page);

        static string Policy(HttpResponseMessage file) => string.Join(' ', file.Headers.GetValues("Content-Security-Policy"));
    }

    [Fact]
    public async Task A_page_of_another_site_cannot_connect()
    {
        await using var server = await ServerUnderTest.StartAsync();
        using var browser = new ConsoleBrowser(server, isSecure: false);
        using var signedIn = await browser.SignInAsync(ServerUnderTest.Email, ServerUnderTest.Password);
        using var foreign = await browser.PostAsync("/_blazor/negotiate?negotiateVersion=1", [], "https://evil.example");
        Assert.Equal(HttpStatusCode.Forbidden, foreign.StatusCode);
        using var own = await browser.PostAsync("/_blazor/negotiate?negotiateVersion=1", [], server.Http.BaseAddress!.GetLeftPart(UriPartial.Authority));
        Assert.Equal(HttpStatusCode.OK, own.StatusCode);
    }

    [Fact]
    public async Task The_login_of_the_api_stays_where_it_was()
    {
        await using var server = await ServerUnderTest.StartAsync();
        Assert.Equal("Bearer", (await server.LogInAsync()).GetProperty("TokenType").GetString());
    }

    [GeneratedRegex("(?:src|href)=\"([^\"#]*)\"")]
    private static partial Regex Reference();
}
