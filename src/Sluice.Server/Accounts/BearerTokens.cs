using System.Text.Encodings.Web;
using Microsoft.AspNetCore.Authentication;
using Microsoft.Extensions.Options;

namespace Sluice.Server.Accounts;

/// <summary>
/// Authenticates by <c>Authorization: Bearer TOKEN</c>, by the bare token in that header (clients of the first API do that), or by
/// <c>X-API-Key: SECRET</c>; a key's secret may stand in the place of the token. Neither is ever taken from addresses or bodies.
/// </summary>
sealed class BearerTokens(Callers callers, IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory loggers, UrlEncoder encoder)
    : AuthenticationHandler<AuthenticationSchemeOptions>(options, loggers, encoder)
{
    public const string SchemeName = "Sluice";

    const string Bearer = "Bearer ";

    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        Recognition found;

        if (Request.Headers["X-API-Key"] is [{ Length: > 0 } key])
            found = await callers.ByKeyAsync(key, Context.RequestAborted);
        else if (Request.Headers.Authorization is [{ Length: > 0 } authorization])
            found = await callers.ByCredentialAsync(Strip(authorization), Context.RequestAborted);
        else
            return AuthenticateResult.NoResult();

        return found.Principal is { } principal
            ? AuthenticateResult.Success(new AuthenticationTicket(principal, SchemeName))
            : AuthenticateResult.Fail(found.Fault!);
    }

    protected override async Task HandleChallengeAsync(AuthenticationProperties properties)
    {
        var result = await HandleAuthenticateOnceSafeAsync();
        Response.Headers.WWWAuthenticate = "Bearer";
        await Refusals.WriteAsync(Context, result.None
            ? new SluiceException(ErrorCode.MissingToken, "Send the IdToken of a login as \"Authorization: Bearer <IdToken>\", or a key as \"X-API-Key: <secret>\".")
            : new SluiceException(ErrorCode.Unauthorized, result.Failure?.Message ?? "The token is not valid or has expired."));
    }

    protected override Task HandleForbiddenAsync(AuthenticationProperties properties) =>
        Refusals.WriteAsync(Context, new SluiceException(ErrorCode.Forbidden, "Your role does not allow this action."));

    static string Strip(string authorization) =>
        authorization.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase) ? authorization[Bearer.Length..].Trim() : authorization.Trim();
}
