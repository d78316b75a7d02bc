using System.Collections.Concurrent;
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
/// <remarks>Whoever changes a user or key calls <see cref="ForgetUser"/> or <see cref="ForgetKey"/>, and the change holds from the next request. Any thread.</remarks>
sealed class Callers(IDbContextFactory<CatalogContext> catalog, Tokens tokens, TimeProvider time)
{
    // some 700 bytes each; when full, all are verified anew
    const int MaxTokens = 10_000;

    static readonly TimeSpan Fresh = TimeSpan.FromSeconds(5);

    readonly ConcurrentDictionary<string, VerifiedToken> _tokens = new(StringComparer.Ordinal);
    readonly ConcurrentDictionary<Guid, (Recognition Found, DateTimeOffset Until)> _users = new();
    readonly ConcurrentDictionary<Guid, (Recognition Found, byte[] Hash, DateTimeOffset Until)> _keys = new();

    public async ValueTask<Recognition> ByTokenAsync(string token, CancellationToken cancellation)
    {
        if (!_tokens.TryGetValue(token, out var verified))
        {
            if (await tokens.VerifyAsync(token) is not { } proven)
                return new(null, "The token is not valid or has expired.");

            verified = Remember(token, proven);
        }

        if (verified.ExpiresAt < time.GetUtcNow())
        {
            _tokens.TryRemove(token, out _);
            return new(null, "The token is not valid or has expired.");
        }

        return _users.TryGetValue(verified.UserId, out var user) && user.Until > time.GetUtcNow() ? user.Found : await ReadUserAsync(verified.UserId, cancellation);
    }

    public async ValueTask<Recognition> ByKeyAsync(string secret, CancellationToken cancellation)
    {
        if (!KeySecret.TryReadId(secret, out var keyId))
            return new(null, "The key is not valid.");

        if (!_keys.TryGetValue(keyId, out var key) || key.Until <= time.GetUtcNow())
        {
            if (await ReadKeyAsync(keyId, cancellation) is not { } read)
                return new(null, "The key is not valid.");

            key = read;
        }

        return KeySecret.Matches(secret, key.Hash) ? key.Found : new(null, "The key is not valid.");
    }

    public void ForgetUser(Guid userId)
    {
        _users.TryRemove(userId, out _);
        foreach (var (keyId, key) in _keys)
        {
            if (key.Found.Principal?.Caller.UserId == userId)
                _keys.TryRemove(keyId, out _);
        }
    }

    public void ForgetKey(Guid keyId) => _keys.TryRemove(keyId, out _);

    VerifiedToken Remember(string token, VerifiedToken verified)
    {
        if (_tokens.Count >= MaxTokens)
            _tokens.Clear();

        return _tokens[token] = verified;
    }

    async ValueTask<Recognition> ReadUserAsync(Guid userId, CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await context.Users.AsNoTracking().SingleOrDefaultAsync(it => it.Id == userId, cancellation);
        var found = user is null ? new Recognition(null, "There is no such user.") : Recognise(user, user.Role, keyId: null);

        _users[userId] = (found, time.GetUtcNow() + Fresh);
        return found;
    }

    async ValueTask<(Recognition, byte[], DateTimeOffset)?> ReadKeyAsync(Guid keyId, CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var key = await context.ApiKeys.AsNoTracking().SingleOrDefaultAsync(it => it.Id == keyId && it.RevokedAt == null, cancellation);
        if (key is null)
        {
            _keys.TryRemove(keyId, out _);
            return null;
        }

        var user = await context.Users.AsNoTracking().SingleAsync(it => it.Id == key.UserId, cancellation);
        return _keys[keyId] = (Recognise(user, Policies.Lesser(key.Role, user.Role), keyId), key.SecretHash, time.GetUtcNow() + Fresh);
    }

    static Recognition Recognise(User user, Role? role, Guid? keyId) =>
        user.Status != UserStatus.Active ? new(null, $"The user is {user.Status.ToString().ToLowerInvariant()}.")
        : role is null ? new(null, "The key's user may no longer do what the key is for.")
        : new(new CallerPrincipal(new Caller(user.Id, user.Email, role.Value, keyId)), null);
}
