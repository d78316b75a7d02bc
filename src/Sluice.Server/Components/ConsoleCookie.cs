using System.Security.Claims;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Authorization;
using Sluice.Server.Accounts;

namespace Sluice.Server.Components;

/// <summary>
/// The login of a browser: a cookie that names user and login, and no more; what the user may do is asked of the accounts each time.
/// It is good for the console alone: the API never looks at it.
/// </summary>
static class ConsoleCookie
{
    public const string SchemeName = "Console";

    /// <summary>The policy of every page: signed in here, and allowed to read.</summary>
    public const string Policy = "console";

    /// <summary>The page that asks for name and password.</summary>
    public const string SignInPath = "/sign-in";

    public const string ReturnParameter = "return";

    const string SessionClaim = "sid";

    static readonly TimeSpan Lifetime = TimeSpan.FromHours(12);

    public static void Configure(CookieAuthenticationOptions options)
    {
        options.CookieManager = new SchemeCookies();
        options.Cookie.Name = "sluice";
        options.Cookie.HttpOnly = true;
        options.Cookie.IsEssential = true;
        options.Cookie.Path = "/";
        options.Cookie.SameSite = SameSiteMode.Strict;
        options.Cookie.SecurePolicy = CookieSecurePolicy.SameAsRequest;
        options.ExpireTimeSpan = Lifetime;
        options.SlidingExpiration = true;
        options.LoginPath = SignInPath;
        options.AccessDeniedPath = SignInPath;
        options.ReturnUrlParameter = ReturnParameter;
        options.Events.OnValidatePrincipal = ValidateAsync;
    }

    public static void AddPolicy(AuthorizationOptions options) => options.AddPolicy(Policy, policy => policy
        .AddAuthenticationSchemes(SchemeName)
        .RequireAuthenticatedUser());

    public static ClaimsPrincipal PrincipalOf(Guid userId, Guid sessionId) => new(new ClaimsIdentity(
        [new Claim(ClaimTypes.NameIdentifier, userId.ToString()), new Claim(SessionClaim, sessionId.ToString())], SchemeName));

    /// <returns><c>null</c>: not signed in at the console.</returns>
    public static (Guid UserId, Guid SessionId)? LoginOf(ClaimsPrincipal principal) =>
        Guid.TryParse(principal.FindFirstValue(ClaimTypes.NameIdentifier), out var user) && Guid.TryParse(principal.FindFirstValue(SessionClaim), out var session)
            ? (user, session)
            : null;

    static async Task ValidateAsync(CookieValidatePrincipalContext context)
    {
        var callers = context.HttpContext.RequestServices.GetRequiredService<Callers>();
        if (LoginOf(context.Principal!) is var (userId, sessionId)
            && (await callers.BySessionAsync(userId, sessionId, context.HttpContext.RequestAborted)).Principal is { } known
            && Policies.Allows(known.Caller.Role, Policies.Read))
        {
            return;
        }

        context.RejectPrincipal();
        await context.HttpContext.SignOutAsync(SchemeName);
    }

    /// <summary>
    /// Over HTTPS the cookie has the prefix that binds it to this host and to HTTPS; over plain HTTP, which is served on loopback only,
    /// browsers would refuse that name.
    /// </summary>
    sealed class SchemeCookies : ICookieManager
    {
        readonly ChunkingCookieManager _cookies = new();

        public string? GetRequestCookie(HttpContext context, string key) => _cookies.GetRequestCookie(context, NameOf(context, key));

        public void AppendResponseCookie(HttpContext context, string key, string? value, CookieOptions options) =>
            _cookies.AppendResponseCookie(context, NameOf(context, key), value, options);

        public void DeleteCookie(HttpContext context, string key, CookieOptions options) => _cookies.DeleteCookie(context, NameOf(context, key), options);

        static string NameOf(HttpContext context, string key) => context.Request.IsHttps ? "__Host-" + key : key;
    }
}
