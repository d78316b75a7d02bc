using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <summary>
/// Refresh tokens: each is good for one use and makes the next of its family. A used one works 30 s longer, for clients whose answer
/// got lost; after that its reuse means that two parties have it, and the whole family is revoked.
/// </summary>
/// <remarks>Only hashes are stored. Each use is one transaction of the catalogue. Any thread.</remarks>
sealed class RefreshTokens(IDbContextFactory<CatalogContext> catalog, TimeProvider time, ILogger<RefreshTokens> logger)
{
    public static TimeSpan Lifetime { get; } = TimeSpan.FromDays(30);

    public static TimeSpan GraceAfterUse { get; } = TimeSpan.FromSeconds(30);

    /// <summary>Begins a family, which is a login, in the transaction of the context: what it makes counts until the family is revoked.</summary>
    public static async Task<(Guid FamilyId, string Secret)> IssueAsync(CatalogContext context, Guid userId, DateTimeOffset now, CancellationToken cancellation)
    {
        await context.RefreshTokens.Where(token => token.ExpiresAt < now).ExecuteDeleteAsync(cancellation);

        var family = Guid.NewGuid();
        var secret = Add(context, userId, family, now);
        await context.SaveChangesAsync(cancellation);
        return (family, secret);
    }

    /// <summary>Whether the login still counts.</summary>
    public static Task<bool> IsAliveAsync(CatalogContext context, Guid userId, Guid familyId, DateTimeOffset now, CancellationToken cancellation) =>
        context.RefreshTokens.AnyAsync(token => token.FamilyId == familyId && token.UserId == userId && token.RevokedAt == null && token.ExpiresAt > now, cancellation);

    /// <summary>Ends the logins of a user, in the transaction of the context.</summary>
    /// <param name="except">The login that goes on; <c>null</c>: none.</param>
    public static Task<int> RevokeAllAsync(CatalogContext context, Guid userId, Guid? except, DateTimeOffset now, CancellationToken cancellation) =>
        context.RefreshTokens.Where(token => token.UserId == userId && token.FamilyId != except && token.RevokedAt == null)
            .ExecuteUpdateAsync(set => set.SetProperty(token => token.RevokedAt, now), cancellation);

    public static Task<int> RevokeFamilyAsync(CatalogContext context, Guid familyId, DateTimeOffset now, CancellationToken cancellation) =>
        context.RefreshTokens.Where(token => token.FamilyId == familyId && token.RevokedAt == null)
            .ExecuteUpdateAsync(set => set.SetProperty(token => token.RevokedAt, now), cancellation);

    /// <summary>Trades a token for the next of its family.</summary>
    /// <returns><c>null</c>: unknown, expired, revoked or reused too late.</returns>
    public async Task<(Guid UserId, Guid FamilyId, string Next)?> UseAsync(string secret, CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var now = time.GetUtcNow();
        var hash = Hash(secret);

        var token = await context.RefreshTokens.AsNoTracking().SingleOrDefaultAsync(it => it.Hash == hash, cancellation);
        if (token is null || token.RevokedAt is not null || token.ExpiresAt <= now)
            return null;

        if (token.UsedAt + GraceAfterUse < now)
        {
            await RevokeFamilyAsync(context, token.FamilyId, now, cancellation);
            await transaction.CommitAsync(cancellation);
            logger.RefreshTokenReused(token.UserId);
            return null;
        }

        if (token.UsedAt is null)
            await context.RefreshTokens.Where(it => it.Id == token.Id).ExecuteUpdateAsync(set => set.SetProperty(it => it.UsedAt, now), cancellation);

        var next = Add(context, token.UserId, token.FamilyId, now);
        await context.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        return (token.UserId, token.FamilyId, next);
    }

    static string Add(CatalogContext context, Guid userId, Guid familyId, DateTimeOffset now)
    {
        var secret = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        context.RefreshTokens.Add(new RefreshToken
        {
            Id = Guid.NewGuid(),
            FamilyId = familyId,
            UserId = userId,
            Hash = Hash(secret),
            CreatedAt = now,
            ExpiresAt = now + Lifetime,
        });
        return secret;
    }

    static byte[] Hash(string secret) => SHA256.HashData(Encoding.UTF8.GetBytes(secret));
}
