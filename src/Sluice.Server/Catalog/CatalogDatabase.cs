namespace Sluice.Server.Catalog;

public enum DatabaseStatus
{
    Creating,
    Running,
    Deleting,
    Deleted,
}

/// <summary>A database as the catalogue keeps it. The row outlives the database, so that its id is never given out again.</summary>
public sealed class CatalogDatabase
{
    public required Guid Id { get; init; }

    /// <summary>Unique among the databases that are not deleted; never changes.</summary>
    public required string Name { get; init; }

    /// <summary>A size name of the original service: kept and shown, without effect.</summary>
    public required string Shape { get; init; }

    public required DatabaseStatus Status { get; set; }

    /// <summary>Name of the account that made it.</summary>
    public required string Owner { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; set; }
    public required string UpdatedBy { get; set; }

    /// <summary>When the deletion finished; <c>null</c> while the name is taken.</summary>
    public DateTimeOffset? DeletedAt { get; set; }
}
