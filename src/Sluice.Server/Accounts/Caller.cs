using System.Security.Claims;
using Sluice.Quotas;
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

    /// <summary>The login that the token comes from; <c>null</c> with a key.</summary>
    public Guid? SessionId { get; init; }

    /// <summary>The sinks that an ingest key is bound to; <c>null</c>: all, as far as the role goes.</summary>
    public IReadOnlyList<Guid>? SinkIds { get; init; }

    /// <summary>What is left of the key's quota; <c>null</c>: it has none, as a login.</summary>
    public QuotaBucket? Quota { get; init; }

    /// <summary>The caller as one who sends records.</summary>
    public Sender Sender => new(Id, Quota);

    /// <summary>Where this one request comes from, for the audit log; <c>null</c>: no request is known.</summary>
    public RequestOrigin? Origin { get; init; }

    public bool IsAdministrator => Role == Role.Administrator;

    /// <summary>Keys may not do what outlives them: a stolen key must not be able to make itself permanent.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>: a key.</exception>
    public void RequireLogin()
    {
        if (KeyId is not null)
            throw new SluiceException(ErrorCode.Forbidden, "This is done with the token of a login, not with a key.");
    }

    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>: a key, or no administrator.</exception>
    public void RequireAdministratorLogin()
    {
        RequireLogin();
        if (!IsAdministrator)
            throw new SluiceException(ErrorCode.Forbidden, "Only an administrator may do this.");
    }

    /// <summary>What a caller may not send to does not exist for the caller.</summary>
    public bool MaySendTo(Guid sinkId) => SinkIds is null || SinkIds.Contains(sinkId);

    /// <summary>The caller of an authenticated request, with its origin.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.MissingToken"/>: the request is anonymous.</exception>
    public static Caller Of(HttpContext context) =>
        (Of(context.User) ?? throw new SluiceException(ErrorCode.MissingToken, "This call needs a token.")) with { Origin = RequestOrigin.Of(context) };

    /// <returns><c>null</c>: not authenticated here.</returns>
    public static Caller? Of(ClaimsPrincipal principal) => (principal as CallerPrincipal)?.Caller;
}

/// <param name="Address">Of the client, or of the proxy before the server.</param>
/// <param name="RequestId">As the answer's <c>request_id</c>; <c>null</c>: done in an open page of the console, where nothing is answered.</param>
public sealed record RequestOrigin(string Address, string? RequestId)
{
    /// <summary>By a page of the console, not by a program.</summary>
    public bool IsConsole { get; init; }

    public static RequestOrigin Of(HttpContext context) => new(context.Connection.RemoteIpAddress?.ToString() ?? "", context.TraceIdentifier);
}

/// <summary>A caller as ASP.NET sees it. Immutable, and shared by all requests of the caller.</summary>
sealed class CallerPrincipal(Caller caller) : ClaimsPrincipal(new ClaimsIdentity(
    [new Claim(ClaimTypes.NameIdentifier, caller.UserId.ToString()), new Claim(ClaimTypes.Name, caller.Email), new Claim(ClaimTypes.Role, caller.Role.ToString())],
    BearerTokens.SchemeName))
{
    public Caller Caller { get; } = caller;
}
