namespace Sluice.Server.Catalog;

/// <summary>A secret that stands for its user until it is revoked. The secret itself is nowhere: only its hash is kept.</summary>
public sealed class ApiKey
{
    /// <summary>Part of the secret, so that a key is found without searching by its hash.</summary>
    public Guid Id { get; init; }

    public Guid UserId { get; init; }
    public string Description { get; set; } = "";

    /// <summary>SHA-256 of the whole secret. Fast on purpose: the secret has 256 random bits, so there is nothing to guess.</summary>
    public required byte[] SecretHash { get; init; }

    /// <summary>What the key may do; never more than its user. <see cref="Role.IngestKey"/>: sends records only.</summary>
    public Role Role { get; init; }

    /// <summary>The sinks that a <see cref="Role.IngestKey"/> may send to, by id, so that names may change. <c>null</c> with every other role.</summary>
    public List<Guid>? SinkIds { get; init; }

    /// <summary>Records a second; <c>null</c>: the server's default, and 0: no limit, as below.</summary>
    public long? QuotaRecordsPerSecond { get; set; }

    public long? QuotaBytesPerSecond { get; set; }

    public int? QuotaBurstSeconds { get; set; }

    internal QuotaBody Quota => new(QuotaRecordsPerSecond, QuotaBytesPerSecond, QuotaBurstSeconds);

    public DateTimeOffset CreatedAt { get; init; }

    /// <summary><c>null</c>: never.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>To the minute; <c>null</c>: never used.</summary>
    public DateTimeOffset? LastUsedAt { get; set; }

    /// <summary><c>null</c>: valid. A revoked key is kept, so that its id in logs still has a name.</summary>
    public DateTimeOffset? RevokedAt { get; set; }
}
