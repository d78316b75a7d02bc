namespace Sluice.Server.Catalog;

/// <summary>Lets a user choose a password, once: the first one, or a new one in place of a lost one.</summary>
public sealed class Invite
{
    public Guid Id { get; init; }
    public Guid UserId { get; init; }

    /// <summary>SHA-256 of the token, which has 256 random bits and is nowhere.</summary>
    public required byte[] TokenHash { get; init; }

    /// <summary>E-mail address of the administrator.</summary>
    public required string CreatedBy { get; init; }

    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset ExpiresAt { get; init; }

    /// <summary><c>null</c>: not accepted. Set once.</summary>
    public DateTimeOffset? AcceptedAt { get; set; }

    /// <summary>Withdrawn, or replaced by a later one.</summary>
    public DateTimeOffset? RevokedAt { get; set; }
}
