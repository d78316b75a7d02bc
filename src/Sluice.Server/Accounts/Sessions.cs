using System.Net;
using Microsoft.EntityFrameworkCore;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <summary>The tokens a login or refresh gives.</summary>
sealed record Session(string AccessToken, string IdToken, string RefreshToken);

/// <summary>Logs users in and renews their tokens. Any thread.</summary>
sealed class Sessions(IDbContextFactory<CatalogContext> catalog, Passwords passwords, LoginThrottle throttle, Tokens tokens, RefreshTokens refreshTokens)
{
    /// <param name="address">Where the login comes from.</param>
    /// <exception cref="RefusedException">Wrong name or password (nothing says which), a user who may not log in, or too many failures.</exception>
    public async Task<Session> LogInAsync(string userName, string password, IPAddress? address, CancellationToken cancellation)
    {
        if (throttle.Remaining(userName, address) is var remaining && remaining > TimeSpan.Zero)
            throw new RefusedException(Refusals.LoginHeldBack(remaining), "Too many logins have failed; try again later.");

        var email = userName.Trim().ToLowerInvariant();
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await context.Users.AsNoTracking().SingleOrDefaultAsync(it => it.Email == email, cancellation);

        if (!await passwords.VerifyAsync(user?.PasswordHash, password, cancellation))
        {
            throttle.Failed(userName, address);
            throw new RefusedException(Refusals.LoginFailed, "Incorrect username or password.");
        }

        throttle.Succeeded(userName, address);
        ThrowIfNotActive(user!);
        return Begin(user!, await refreshTokens.IssueAsync(user!.Id, cancellation));
    }

    /// <exception cref="RefusedException">The token is unknown, expired, revoked, or was used before; or its user may not log in.</exception>
    public async Task<Session> RefreshAsync(string refreshToken, CancellationToken cancellation)
    {
        if (await refreshTokens.UseAsync(refreshToken, cancellation) is not var (userId, next))
            throw new RefusedException(Refusals.LoginFailed, "The refresh token is not valid, has expired or was used before; log in again.");

        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await context.Users.AsNoTracking().SingleAsync(it => it.Id == userId, cancellation);
        ThrowIfNotActive(user);
        return Begin(user, next);
    }

    Session Begin(User user, string refreshToken) =>
        new(tokens.Issue(user.Id, user.Email, Tokens.AccessUse), tokens.Issue(user.Id, user.Email, Tokens.IdUse), refreshToken);

    static void ThrowIfNotActive(User user)
    {
        if (user.Status != UserStatus.Active)
            throw new RefusedException(Refusals.LoginFailed, $"The user is {user.Status.ToString().ToLowerInvariant()}.");
    }
}
