using System.Security.Cryptography;
using Scalar.AspNetCore;

namespace Sluice.Server.Operations;

/// <summary>
/// <c>/docs</c>: the API's description as pages, on which calls can be tried. Anonymous, as the description is; a call that is tried needs the token
/// that is typed in, which is kept in the page alone.
/// </summary>
static class ApiReference
{
    public static void Map(IEndpointRouteBuilder routes) =>
        routes.MapScalarApiReference("/docs", (page, http) =>
        {
            // its scripts are in its package and served from here; everything it would ask others for is off
            page.WithTitle("Sluice API").WithFavicon("/favicon.svg").AddDocument("v2").WithOpenApiRoutePattern("/openapi/{documentName}.json");
            page.DisableDefaultFonts().DisableTelemetry().DisableAgent().DisableMcp().HideClientButton().HideDeveloperTools();

            var nonce = Convert.ToBase64String(RandomNumberGenerator.GetBytes(16));
            page.WithNonce(nonce);
            http.Response.Headers.ContentSecurityPolicy = ContentPolicy(nonce);
        }).AllowAnonymous();

    /// <summary>Scripts by nonce alone; the page sets styles inline, and asks this server only.</summary>
    static string ContentPolicy(string nonce) =>
        $"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}
