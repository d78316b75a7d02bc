using System.Net;
using Microsoft.EntityFrameworkCore;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <summary>The tokens a login or refresh gives.</summary>
sealed record Session(string AccessToken, string IdToken, string RefreshToken);

/// <summary>Logs users in and renews their tokens. Any thread.</summary>
sealed class Sessions(IDbContextFactory<CatalogContext> catalog, Passwords passwords, LoginThrottle throttle, Tokens tokens, RefreshTokens refreshTokens) : IDisposable
{
    // a flood of logins may not take the processors from records
    readonly SemaphoreSlim _slots = new(Math.Max(1, Environment.ProcessorCount / 2));

    /// <param name="address">Where the login comes from.</param>
    /// <exception cref="RefusedException">Wrong name or password (nothing says which), a user who may not log in, or too many failures.</exception>
    public async Task<Session> LogInAsync(string userName, string password, IPAddress? address, CancellationToken cancellation)
    {
        var email = userName.Trim().ToLowerInvariant();
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await context.Users.AsNoTracking().SingleOrDefaultAsync(it => it.Email == email, cancellation);

        await _slots.WaitAsync(cancellation);
        try
        {
            Verify(email, user?.PasswordHash, password, address);
        }
        finally
        {
            _slots.Release();
        }

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

    public void Dispose() => _slots.Dispose();

    /// <summary>Called in a slot, so that many guesses sent at once do not all pass the throttle before the first has failed.</summary>
    void Verify(string email, string? hash, string password, IPAddress? address)
    {
        if (throttle.Remaining(email, address) is var remaining && remaining > TimeSpan.Zero)
            throw new RefusedException(Refusals.LoginHeldBack(remaining), "Too many logins have failed; try again later.");

        if (!passwords.Verify(hash, password))
        {
            throttle.Failed(email, address);
            throw new RefusedException(Refusals.LoginFailed, "Incorrect username or password.");
        }

        throttle.Succeeded(email, address);
    }

    Session Begin(User user, string refreshToken) =>
        new(tokens.Issue(user.Id, user.Email, Tokens.AccessUse), tokens.Issue(user.Id, user.Email, Tokens.IdUse), refreshToken);

    static void ThrowIfNotActive(User user)
    {
        if (user.Status != UserStatus.Active)
            throw new RefusedException(Refusals.LoginFailed, $"The user is {user.Status.ToString().ToLowerInvariant()}.");
    }
}
