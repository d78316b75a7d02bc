using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.Extensions.Options;
using MudBlazor.Services;
using Sluice.Server.Accounts;

namespace Sluice.Server.Components;

/// <summary>The console in the host: its services, its pages, and the rules browsers get with them.</summary>
static class ConsoleWiring
{
    // the longest text that a page's editor sends at once
    const int MaxMessageBytes = 2 * 1024 * 1024;

    /// <summary>
    /// Nothing comes from elsewhere, and no script stands in a page. Components and the editor set styles inline; the editor starts
    /// workers from its own files.
    /// </summary>
    const string ContentPolicy =
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
        + "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'";

    sealed record ConsoleMark;

    public static void Add(IServiceCollection services)
    {
        services.AddRazorComponents()
            .AddInteractiveServerComponents(circuits => circuits.DisconnectedCircuitMaxRetained = 100)
            .AddHubOptions(hub => hub.MaximumReceiveMessageSize = MaxMessageBytes);
        services.AddMudServices();
        services.AddCascadingAuthenticationState();
        services.AddScoped<ConsoleUser>();
        services.AddSingleton<SinkFeed>();
        services.AddHostedService(provider => provider.GetRequiredService<SinkFeed>());
        services.AddSingleton<QueryDesk>();
        services.AddSingleton<RecordDesk>();

        services.AddDataProtection().SetApplicationName("sluice");
        services.AddSingleton<IConfigureOptions<KeyManagementOptions>>(provider => new ConfigureOptions<KeyManagementOptions>(keys =>
            keys.XmlRepository = new ConsoleKeys(
                new DirectoryInfo(Path.Combine(provider.GetRequiredService<DataDirectory>().KeysDirectory, "console")), provider.GetRequiredService<ILoggerFactory>())));
        services.AddAntiforgery(forms =>
        {
            forms.Cookie.Name = "sluice.form";
            forms.Cookie.SameSite = SameSiteMode.Strict;
            forms.Cookie.SecurePolicy = CookieSecurePolicy.SameAsRequest;
            forms.SuppressXFrameOptionsHeader = true; // the server's own is stricter
        });
        services.Configure<CookieAuthenticationOptions>(ConsoleCookie.SchemeName, ConsoleCookie.Configure);
        services.AddAuthorization(ConsoleCookie.AddPolicy);
    }

    /// <summary>Before authorisation: what a browser may do with a page holds for the refusal of it too.</summary>
    public static void Use(WebApplication host)
    {
        host.Use((context, next) =>
        {
            if (context.GetEndpoint()?.Metadata.GetMetadata<ConsoleMark>() is not null)
                context.Response.Headers.ContentSecurityPolicy = ContentPolicy;
            return IsForeignSocket(context.Request)
                ? throw new SluiceException(ErrorCode.Forbidden, "A page of another site may not connect here.")
                : next(context);
        });
    }

    public static void Map(WebApplication host)
    {
        host.MapStaticAssets().AllowAnonymous().Add(endpoint => endpoint.Metadata.Add(new ConsoleMark()));
        host.MapRazorComponents<App>()
            .AddInteractiveServerRenderMode(server =>
            {
                server.ContentSecurityFrameAncestorsPolicy = null;
                server.DisableWebSocketCompression = true; // what pages are told is short: packing it costs more than sending it
            })
            .RequireAuthorization(ConsoleCookie.Policy)
            .ExcludeFromDescription()
            .Add(endpoint => endpoint.Metadata.Add(new ConsoleMark()));
        host.MapPost("/sign-out", SignOutAsync).RequireAuthorization(ConsoleCookie.Policy).ExcludeFromDescription();
    }

    static async Task<IResult> SignOutAsync(HttpContext http, IAntiforgery forms, Callers callers, Sessions sessions)
    {
        if (!await forms.IsRequestValidAsync(http))
            throw new SluiceException(ErrorCode.InvalidParameter, "The form does not come from a page of this server, or is too old: load the page again.");
        if (ConsoleCookie.LoginOf(http.User) is var (userId, sessionId) && (await callers.BySessionAsync(userId, sessionId, http.RequestAborted)).Principal is { } known)
            await sessions.EndAsync(known.Caller with { Origin = RequestOrigin.Of(http) with { IsConsole = true } }, http.RequestAborted);
        await http.SignOutAsync(ConsoleCookie.SchemeName);
        return Results.LocalRedirect(ConsoleCookie.SignInPath);
    }

    /// <summary>Browsers let any site open a web socket anywhere; the cookie's SameSite is one lock, this is the other.</summary>
    static bool IsForeignSocket(HttpRequest request) =>
        request.Path.StartsWithSegments("/_blazor")
        && request.Headers.Origin is [{ Length: > 0 } origin]
        && !(Uri.TryCreate(origin, UriKind.Absolute, out var from) && from.Authority.Equals(request.Host.Value, StringComparison.OrdinalIgnoreCase) && from.Scheme == request.Scheme);
}
