using System.Net;
using System.Text.RegularExpressions;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>As much of a browser as forms and cookies need. Follows nothing by itself.</summary>
sealed partial class ConsoleBrowser : IDisposable
{
    readonly HttpClient _http;

    public ConsoleBrowser(ServerUnderTest server, bool isSecure)
    {
        var handler = server.TrustingHandler();
        Cookies = new CookieContainer();
        (handler.AllowAutoRedirect, handler.UseCookies, handler.CookieContainer) = (false, true, Cookies);
        _http = new HttpClient(handler) { BaseAddress = isSecure ? server.HttpsAddress : server.Http.BaseAddress };
    }

    /// <summary>Over plain HTTP, with the cookies that another one was given.</summary>
    public ConsoleBrowser(ServerUnderTest server, CookieContainer cookies)
    {
        Cookies = cookies;
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, CookieContainer = cookies }) { BaseAddress = server.Http.BaseAddress };
    }

    public CookieContainer Cookies { get; }

    public Task<HttpResponseMessage> GetAsync(string path) => _http.GetAsync(path, TestContext.Current.CancellationToken);

    public async Task<HttpResponseMessage> PostAsync(string path, Dictionary<string, string> form, string? origin = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new FormUrlEncodedContent(form) };
        if (origin is not null)
            request.Headers.TryAddWithoutValidation("Origin", origin);
        return await _http.SendAsync(request, TestContext.Current.CancellationToken);
    }

    public async Task<HttpResponseMessage> SignInAsync(string email, string password, string? returnTo = null)
    {
        var path = "/sign-in" + (returnTo is null ? "" : "?return=" + Uri.EscapeDataString(returnTo));
        using var page = await GetAsync(path);
        var token = FormToken().Match(await ReadAsync(page)).Groups[1].Value;
        return await PostAsync(path, new() { ["_handler"] = "sign-in", ["__RequestVerificationToken"] = token, ["Form.Email"] = email, ["Form.Password"] = password });
    }

    public static Task<string> ReadAsync(HttpResponseMessage answer) => answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);

    public void Dispose() => _http.Dispose();

    [GeneratedRegex("name=\"__RequestVerificationToken\" value=\"([^\"]+)\"")]
    private static partial Regex FormToken();
}
