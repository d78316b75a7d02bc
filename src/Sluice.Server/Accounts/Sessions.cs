using System.Net;
using Microsoft.EntityFrameworkCore;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <summary>The tokens a login or refresh gives.</summary>
/// <param name="Id">Of the login: stays over refreshes, ends with <see cref="Sessions.EndAsync"/>.</param>
sealed record Session(Guid Id, string AccessToken, string IdToken, string RefreshToken);

/// <summary>Logs users in and out, renews their tokens, and changes their passwords. Any thread.</summary>
sealed class Sessions(
    IDbContextFactory<CatalogContext> catalog, Passwords passwords, LoginThrottle throttle, Tokens tokens, RefreshTokens refreshTokens, Callers callers, AuditLog audit, TimeProvider time)
    : IDisposable
{
    // a flood of logins may not take the processors from records
    readonly SemaphoreSlim _slots = new(Math.Max(1, Environment.ProcessorCount / 2));

    /// <param name="address">Where the login comes from.</param>
    /// <exception cref="RefusedException">Wrong name or password (nothing says which), a user who may not log in, or too many failures.</exception>
    public async Task<Session> LogInAsync(string userName, string password, IPAddress? address, RequestOrigin origin, CancellationToken cancellation)
    {
        var email = userName.Trim().ToLowerInvariant();
        try
        {
            await using var context = await catalog.CreateDbContextAsync(cancellation);
            var user = await context.Users.AsNoTracking().SingleOrDefaultAsync(it => it.Email == email, cancellation);
            await VerifyAsync(email, user?.PasswordHash, password, address, cancellation);
            ThrowIfNotActive(user!);

            await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
            user = await FindVerifiedAsync(context, user!, cancellation);
            var (id, refreshToken) = await RefreshTokens.IssueAsync(context, user.Id, time.GetUtcNow(), cancellation);
            await transaction.CommitAsync(cancellation);
            audit.Write(new AuditEvent(AuditAction.Login, AuditResult.Ok) { UserId = user.Id, Email = email, Origin = origin });
            return Begin(user, id, refreshToken);
        }
        catch (RefusedException e)
        {
            audit.Write(new AuditEvent(AuditAction.Login, AuditResult.Failed) { Email = email, Origin = origin, Detail = e.Message });
            throw;
        }
    }

    /// <exception cref="RefusedException">The token is unknown, expired, revoked, or was used before; or its user may not log in.</exception>
    public async Task<Session> RefreshAsync(string refreshToken, RequestOrigin origin, CancellationToken cancellation)
    {
        try
        {
            if (await refreshTokens.UseAsync(refreshToken, cancellation) is not var (userId, id, next))
                throw new RefusedException(Refusals.LoginFailed, "The refresh token is not valid, has expired or was used before; log in again.");

            await using var context = await catalog.CreateDbContextAsync(cancellation);
            var user = await context.Users.AsNoTracking().SingleAsync(it => it.Id == userId, cancellation);
            ThrowIfNotActive(user);
            return Begin(user, id, next);
        }
        catch (RefusedException e)
        {
            audit.Write(new AuditEvent(AuditAction.Refresh, AuditResult.Failed) { Origin = origin, Detail = e.Message });
            throw;
        }
    }

    /// <summary>Ends the caller's own login: its tokens and refresh tokens are refused from the next request on. Does nothing for a key.</summary>
    public async Task EndAsync(Caller caller, CancellationToken cancellation)
    {
        if (caller.SessionId is not { } id)
            return;

        await using var context = await catalog.CreateDbContextAsync(cancellation);
        await RefreshTokens.RevokeFamilyAsync(context, id, time.GetUtcNow(), cancellation);
        callers.ForgetSession(id);
        audit.Write(AuditEvent.By(caller, AuditAction.Logout));
    }

    /// <summary>Changes the caller's own password, and ends every login of the user but this one.</summary>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.Forbidden"/>: a key. <see cref="ErrorCode.InvalidParameter"/>: the new password breaks a rule.
    /// </exception>
    /// <exception cref="RefusedException">The present password is wrong, or was wrong too often.</exception>
    public async Task ChangePasswordAsync(Caller caller, string current, string password, IPAddress? address, CancellationToken cancellation)
    {
        caller.RequireLogin();
        Passwords.Check(password);
        try
        {
            await ReplacePasswordAsync(caller, current, password, address, cancellation);
        }
        catch (RefusedException e)
        {
            audit.Write(AuditEvent.By(caller, AuditAction.ChangePassword) with { Result = AuditResult.Failed, Detail = e.Message });
            throw e.Refusal == Refusals.LoginFailed ? new RefusedException(Refusals.WrongPassword, "The present password is wrong.") : e;
        }

        callers.ForgetUser(caller.UserId);
        audit.Write(AuditEvent.By(caller, AuditAction.ChangePassword));
    }

    /// <summary>Hashes in a slot, as logins do.</summary>
    public async Task<string> HashAsync(string password, CancellationToken cancellation)
    {
        await _slots.WaitAsync(cancellation);
        try
        {
            return passwords.Hash(password);
        }
        finally
        {
            _slots.Release();
        }
    }

    public void Dispose() => _slots.Dispose();

    async Task ReplacePasswordAsync(Caller caller, string current, string password, IPAddress? address, CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var verified = await context.Users.AsNoTracking().SingleAsync(it => it.Id == caller.UserId, cancellation);
        await VerifyAsync(verified.Email, verified.PasswordHash, current, address, cancellation);

        // before the transaction, which holds the catalogue's write lock
        var hash = await HashAsync(password, cancellation);
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var user = await FindVerifiedAsync(context, verified, cancellation);
        var now = time.GetUtcNow();
        user.PasswordHash = hash;
        user.UpdatedAt = now;
        await context.SaveChangesAsync(cancellation);
        await RefreshTokens.RevokeAllAsync(context, user.Id, except: caller.SessionId, now, cancellation);
        await transaction.CommitAsync(cancellation);
    }

    /// <summary>The user again, in the transaction of the context: while the password was verified it may have been changed, or the user deactivated.</summary>
    /// <exception cref="RefusedException">It was so; told as a wrong password is.</exception>
    static async Task<User> FindVerifiedAsync(CatalogContext context, User verified, CancellationToken cancellation) =>
        await context.Users.SingleOrDefaultAsync(it => it.Id == verified.Id && it.PasswordHash == verified.PasswordHash && it.Status == UserStatus.Active, cancellation)
        ?? throw WrongPassword();

    async Task VerifyAsync(string email, string? hash, string password, IPAddress? address, CancellationToken cancellation)
    {
        // inside the slot, so that many guesses sent at once do not all pass the throttle before the first has failed
        await _slots.WaitAsync(cancellation);
        try
        {
            if (throttle.Remaining(email, address) is var remaining && remaining > TimeSpan.Zero)
                throw new RefusedException(Refusals.LoginHeldBack(remaining), "Too many logins have failed; try again later.");

            if (!passwords.Verify(hash, password))
            {
                throttle.Failed(email, address);
                throw WrongPassword();
            }

            throttle.Succeeded(email, address);
        }
        finally
        {
            _slots.Release();
        }
    }

    Session Begin(User user, Guid id, string refreshToken) =>
        new(id, tokens.Issue(user.Id, id, user.Email, Tokens.AccessUse), tokens.Issue(user.Id, id, user.Email, Tokens.IdUse), refreshToken);

    static RefusedException WrongPassword() => new(Refusals.LoginFailed, "Incorrect username or password.");

    static void ThrowIfNotActive(User user)
    {
        if (user.Status != UserStatus.Active)
            throw new RefusedException(Refusals.LoginFailed, $"The user is {user.Status.ToString().ToLowerInvariant()}.");
    }
}
