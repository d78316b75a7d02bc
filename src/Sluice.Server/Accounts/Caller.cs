using System.Security.Claims;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <summary>Who makes a request.</summary>
/// <param name="UserId">The user, or the user that the key belongs to.</param>
/// <param name="Email">Of the user.</param>
/// <param name="Role">What the caller may do; for a key, what both the key and its user may.</param>
/// <param name="KeyId"><c>null</c>: came with a login's token.</param>
public sealed record Caller(Guid UserId, string Email, Role Role, Guid? KeyId)
{
    /// <summary>Id of the key, else of the user: what the log of a table names as its writer.</summary>
    public string Id { get; } = (KeyId ?? UserId).ToString();

    public bool IsAdministrator => Role == Role.Administrator;

    /// <summary>The caller of an authenticated request.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.MissingToken"/>: the request is anonymous.</exception>
    public static Caller Of(HttpContext context) => Of(context.User) ?? throw new SluiceException(ErrorCode.MissingToken, "This call needs a token.");

    /// <returns><c>null</c>: not authenticated here.</returns>
    public static Caller? Of(ClaimsPrincipal principal) => (principal as CallerPrincipal)?.Caller;
}

/// <summary>A caller as ASP.NET sees it. Immutable, and shared by all requests of the caller.</summary>
sealed class CallerPrincipal(Caller caller) : ClaimsPrincipal(new ClaimsIdentity(
    [new Claim(ClaimTypes.NameIdentifier, caller.UserId.ToString()), new Claim(ClaimTypes.Name, caller.Email), new Claim(ClaimTypes.Role, caller.Role.ToString())],
    BearerTokens.SchemeName))
{
    public Caller Caller { get; } = caller;
}
