namespace Sluice.Server.Catalog;

/// <summary>The states of a sink. Records are taken while it is Active or Restarting.</summary>
public enum SinkStatus
{
    Creating,
    Active,

    /// <summary>A new mapping is being put in place; records are taken with the old or the new one.</summary>
    Restarting,
    Deleting,
    Deleted,

    /// <summary>Its table is gone. It takes no records and can only be deleted.</summary>
    Failed,
}

/// <summary>A sink as the catalogue keeps it; its mapping is the newest of <see cref="Mappings"/>.</summary>
public sealed class CatalogSink
{
    public required Guid Id { get; init; }

    /// <summary>Unique among the database's sinks that are not deleted; never changes.</summary>
    public required string Name { get; init; }

    public required Guid DatabaseId { get; init; }
    public required Guid TableId { get; init; }

    /// <summary>The table, deleted or not.</summary>
    public CatalogTable? Table { get; init; }

    public required SinkStatus Status { get; set; }

    /// <summary>Why the sink is Failed; empty otherwise.</summary>
    public string StatusReason { get; set; } = "";

    /// <summary>The version of the newest row of <see cref="Mappings"/>.</summary>
    public required int MappingVersion { get; set; }

    public required string Owner { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; set; }
    public required string UpdatedBy { get; set; }

    /// <summary>When the deletion finished; <c>null</c> while the name is taken.</summary>
    public DateTimeOffset? DeletedAt { get; set; }

    /// <summary>The newest mapping, or all of them where the query asked for them.</summary>
    public List<CatalogSinkMapping> Mappings { get; } = [];

    public CatalogSinkMapping Mapping => Mappings.Single(mapping => mapping.Version == MappingVersion);
}
