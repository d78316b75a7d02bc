using System.Collections.Concurrent;
using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <summary>What presenting a token or key came to: a principal, or why not.</summary>
/// <param name="Fault">A sentence for the caller; <c>null</c> with a principal.</param>
readonly record struct Recognition(CallerPrincipal? Principal, string? Fault);

/// <summary>
/// Recognises callers by token or key. Verifying a signature costs a tenth of a millisecond and a look into the catalogue as much again,
/// too much for each request: both are remembered, what the catalogue says for 5 s at most.
/// </summary>
/// <remarks>
/// Whoever changes a user, session or key calls <see cref="ForgetUser"/>, <see cref="ForgetSession"/> or <see cref="ForgetKey"/>, and the
/// change holds from the next request. Any thread.
/// </remarks>
sealed class Callers(IDbContextFactory<CatalogContext> catalog, Tokens tokens, QuotaOptions quotas, KeyQuotas keyQuotas, TimeProvider time)
{
    // some 700 bytes each; when full, all are verified anew
    const int MaxRemembered = 10_000;

    const string BadToken = "The token is not valid or has expired.";
    const string BadKey = "The key is not valid.";

    static readonly TimeSpan Fresh = TimeSpan.FromSeconds(5);

    // a write to the catalogue is an fsync: one a minute and key is enough to find keys that nobody uses
    static readonly TimeSpan UseGrain = TimeSpan.FromMinutes(1);

    readonly ConcurrentDictionary<string, VerifiedToken> _tokens = new(StringComparer.Ordinal);
    readonly ConcurrentDictionary<Guid, KnownSession> _sessions = new();
    readonly ConcurrentDictionary<Guid, KnownKey> _keys = new();

    /// <param name="credential">What stands in the header <c>Authorization</c>, without its scheme: a token, or a key.</param>
    public ValueTask<Recognition> ByCredentialAsync(string credential, CancellationToken cancellation) =>
        KeySecret.TryReadId(credential, out _) ? ByKeyAsync(credential, cancellation) : ByTokenAsync(credential, cancellation);

    public async ValueTask<Recognition> ByTokenAsync(string token, CancellationToken cancellation)
    {
        if (!_tokens.TryGetValue(token, out var verified))
        {
            if (await tokens.VerifyAsync(token) is not { } proven)
                return new(null, BadToken);

            verified = proven;
            Remember(_tokens, token, proven);
        }

        if (verified.ExpiresAt < time.GetUtcNow())
        {
            _tokens.TryRemove(token, out _);
            return new(null, BadToken);
        }

        return await BySessionAsync(verified.UserId, verified.SessionId, cancellation);
    }

    /// <summary>For the console, whose cookie names a login and needs no token.</summary>
    public async ValueTask<Recognition> BySessionAsync(Guid userId, Guid sessionId, CancellationToken cancellation) =>
        _sessions.TryGetValue(sessionId, out var session) && session.Until > time.GetUtcNow() && session.UserId == userId
            ? session.Found
            : await ReadSessionAsync(userId, sessionId, cancellation);

    public async ValueTask<Recognition> ByKeyAsync(string secret, CancellationToken cancellation)
    {
        if (!KeySecret.TryReadId(secret, out var keyId))
            return new(null, BadKey);

        var now = time.GetUtcNow();
        if (!_keys.TryGetValue(keyId, out var key) || key.Until <= now)
        {
            if (await ReadKeyAsync(keyId, cancellation) is not { } read)
                return new(null, BadKey);

            key = read;
        }

        if (!KeySecret.Matches(secret, key.Hash))
            return new(null, BadKey);

        if (key.ExpiresAt <= now)
            return new(null, "The key has expired.");

        if (key.LastUsedAt is null || now - key.LastUsedAt >= UseGrain)
            await NoteUseAsync(keyId, key, now, cancellation);

        return key.Found;
    }

    public void ForgetUser(Guid userId)
    {
        foreach (var (sessionId, session) in _sessions)
        {
            if (session.UserId == userId)
                _sessions.TryRemove(sessionId, out _);
        }

        foreach (var (keyId, key) in _keys)
        {
            if (key.UserId == userId)
                _keys.TryRemove(keyId, out _);
        }
    }

    public void ForgetSession(Guid sessionId) => _sessions.TryRemove(sessionId, out _);

    /// <summary>The key has changed, and what it has used of its quota has not.</summary>
    public void ReadKeyAgain(Guid keyId) => _keys.TryRemove(keyId, out _);

    public void ForgetKey(Guid keyId)
    {
        _keys.TryRemove(keyId, out _);
        keyQuotas.Forget(keyId);
    }

    static void Remember<TKey, TValue>(ConcurrentDictionary<TKey, TValue> known, TKey key, TValue value)
        where TKey : notnull
    {
        if (known.Count >= MaxRemembered)
            known.Clear();

        known[key] = value;
    }

    async ValueTask<Recognition> ReadSessionAsync(Guid userId, Guid sessionId, CancellationToken cancellation)
    {
        var now = time.GetUtcNow();
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await context.Users.AsNoTracking().SingleOrDefaultAsync(it => it.Id == userId, cancellation);
        var isAlive = await RefreshTokens.IsAliveAsync(context, userId, sessionId, now, cancellation);
        var found = user is null ? new Recognition(null, "There is no such user.")
            : user.Status == UserStatus.Active && !isAlive ? new Recognition(null, "The login of this token has ended.")
            : Recognise(user, user.Role, keyId: null, caller => caller with { SessionId = sessionId });

        Remember(_sessions, sessionId, new KnownSession(userId, found, now + Fresh));
        return found;
    }

    async ValueTask<KnownKey?> ReadKeyAsync(Guid keyId, CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var key = await context.ApiKeys.AsNoTracking().SingleOrDefaultAsync(it => it.Id == keyId && it.RevokedAt == null, cancellation);
        if (key is null)
        {
            _keys.TryRemove(keyId, out _);
            return null;
        }

        var user = await context.Users.AsNoTracking().SingleAsync(it => it.Id == key.UserId, cancellation);
        var found = Recognise(user, Policies.Lesser(key.Role, user.Role), keyId, caller => caller with { SinkIds = key.SinkIds, Quota = keyQuotas.Find(keyId, key.Quota.Or(quotas.Key)) });
        var known = new KnownKey(user.Id, found, key.SecretHash, key.ExpiresAt, key.LastUsedAt, time.GetUtcNow() + Fresh);
        Remember(_keys, keyId, known);
        return known;
    }

    async ValueTask NoteUseAsync(Guid keyId, KnownKey key, DateTimeOffset now, CancellationToken cancellation)
    {
        // first in memory, so that requests at the same time do not all write
        if (!_keys.TryUpdate(keyId, key with { LastUsedAt = now }, key))
            return;

        try
        {
            await using var context = await catalog.CreateDbContextAsync(cancellation);
            await context.ApiKeys.Where(it => it.Id == keyId).ExecuteUpdateAsync(set => set.SetProperty(it => it.LastUsedAt, now), cancellation);
        }
        catch (DbException)
        {
            // the disk is full, say: a use that is not noted is no reason to refuse the request
        }
    }

    static Recognition Recognise(User user, Role? role, Guid? keyId, Func<Caller, Caller> complete) =>
        user.Status != UserStatus.Active ? new(null, $"The user is {user.Status.ToString().ToLowerInvariant()}.")
        : role is null ? new(null, "The key's user may no longer do what the key is for.")
        : new(new CallerPrincipal(complete(new Caller(user.Id, user.Email, role.Value, keyId))), null);

    sealed record KnownSession(Guid UserId, Recognition Found, DateTimeOffset Until);

    sealed record KnownKey(Guid UserId, Recognition Found, byte[] Hash, DateTimeOffset? ExpiresAt, DateTimeOffset? LastUsedAt, DateTimeOffset Until);
}
