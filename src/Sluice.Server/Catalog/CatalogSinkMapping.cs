using System.Text.Json;
using Sluice.Client;
using Sluice.Schema;

namespace Sluice.Server.Catalog;

/// <summary>One version of a sink's mapping and limits. Never changes: an update adds a row, and frames name the version they were decoded with.</summary>
public sealed class CatalogSinkMapping
{
    public required Guid SinkId { get; init; }

    /// <summary>1 at creation, one more at each change.</summary>
    public required int Version { get; init; }

    /// <summary>The mapping as the API shows it: JSON of <see cref="SinkSchema"/>.</summary>
    public required string SchemaJson { get; init; }

    public required bool RejectTruncation { get; init; }

    /// <summary><c>null</c>: the default of <see cref="SinkDefinition"/>.</summary>
    public required int? MaxRecords { get; init; }

    /// <summary><c>null</c>: the default of <see cref="SinkDefinition"/>.</summary>
    public required long? MaxBytes { get; init; }

    /// <summary>Whether the text of records that fail is kept; <c>null</c>: the default of <see cref="QuarantinePolicy"/>, as below.</summary>
    public bool? QuarantineKeepRaw { get; init; }

    public int? QuarantineMaxBytes { get; init; }

    public int? QuarantineMaxAgeSeconds { get; init; }

    /// <summary>Whether the newest records are kept in memory; <c>null</c>: the default of <see cref="SinkDefinition"/>.</summary>
    public bool? KeepsSample { get; init; }

    /// <summary>Records a second; <c>null</c>: the server's default, and 0: no limit, as below.</summary>
    public long? QuotaRecordsPerSecond { get; init; }

    public long? QuotaBytesPerSecond { get; init; }

    public int? QuotaBurstSeconds { get; init; }

    internal QuotaBody Quota => new(QuotaRecordsPerSecond, QuotaBytesPerSecond, QuotaBurstSeconds);

    public required DateTimeOffset CreatedAt { get; init; }
    public required string CreatedBy { get; init; }

    public SinkSchema ReadSchema() =>
        JsonSerializer.Deserialize(SchemaJson, WireJson.Default.SinkSchema)
        ?? throw new InvalidDataException($"mapping {Version} of sink {SinkId} is JSON null");

    public QuarantinePolicy ReadQuarantine()
    {
        var defaults = new QuarantinePolicy();
        return new QuarantinePolicy
        {
            KeepRaw = QuarantineKeepRaw ?? defaults.KeepRaw,
            MaxBytes = QuarantineMaxBytes ?? defaults.MaxBytes,
            MaxAge = QuarantineMaxAgeSeconds is { } seconds ? TimeSpan.FromSeconds(seconds) : defaults.MaxAge,
        };
    }
}
