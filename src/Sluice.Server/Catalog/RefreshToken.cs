namespace Sluice.Server.Catalog;

/// <summary>One refresh token. A login begins a family; each use of a token makes the next one of its family.</summary>
public sealed class RefreshToken
{
    public Guid Id { get; init; }
    public Guid FamilyId { get; init; }
    public Guid UserId { get; init; }

    /// <summary>SHA-256 of the token, which has 256 random bits and is nowhere.</summary>
    public required byte[] Hash { get; init; }

    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset ExpiresAt { get; init; }

    /// <summary><c>null</c>: not used yet. Set once, by the first use.</summary>
    public DateTimeOffset? UsedAt { get; init; }

    public DateTimeOffset? RevokedAt { get; init; }
}
