using Sluice.Client;
using Sluice.Quotas;
using Sluice.Schema;
using Sluice.Server.Catalog;

namespace Sluice.Server;

/// <summary>Rows of the catalogue as the API shows them.</summary>
static class Resources
{
    /// <param name="isFirstVersion">Adds the members of <c>/v1</c>, where a database is a deployment.</param>
    public static DatabaseResource ToResource(this CatalogDatabase row, bool isFirstVersion) => new(
        row.Id,
        row.Name,
        row.Status.ToWire(),
        row.Status.ToWire(),
        new DatabaseOptions(row.Shape),
        row.Owner,
        row.CreatedAt.UtcDateTime,
        row.UpdatedAt.UtcDateTime,
        row.UpdatedBy)
    {
        DeploymentStatus = isFirstVersion ? row.Status.ToWire() : null,
        DeploymentOptions = isFirstVersion ? new DatabaseOptions(row.Shape) : null,
    };

    /// <summary>The table with <c>_id</c> first and its other columns by name, as the original showed them.</summary>
    /// <param name="expiredRows">From <see cref="ControlPlane.FindExpiredRows"/>.</param>
    public static TableResource ToResource(this CatalogTable row, long expiredRows)
    {
        var columns = row.Columns.Where(column => column.DroppedAt is null).OrderBy(column => column.Name, StringComparer.Ordinal);
        return new TableResource(
            row.Id,
            row.Name,
            row.DatabaseId,
            row.Description,
            row.Status.ToWire(),
            row.Status.ToWire(),
            new TableOptions(row.Key == KeyKind.String)
            {
                AutoId = row.IsAutoId ? true : null,
                Retention = row.RetentionSeconds == 0 ? null : TimeToLive.WriteWithDays(TimeSpan.FromSeconds(row.RetentionSeconds)),
            },
            [KeyResource(row), .. columns.Select(ToResource)],
            row.SchemaVersion,
            row.Owner,
            row.CreatedAt.UtcDateTime,
            row.UpdatedAt.UtcDateTime,
            row.UpdatedBy)
        {
            ExpiredRows = row.RetentionSeconds == 0 && expiredRows == 0 ? null : expiredRows,
        };
    }

    public static ColumnResource ToResource(this CatalogColumn row)
    {
        var column = row.ToColumn();
        return new ColumnResource(row.Name, column.Type.ToString(), column.Type.BaseName, ColumnOptions.Write(column), row.CreatedAt.UtcDateTime);
    }

    /// <param name="quota">From <see cref="ControlPlane.QuotaOf"/>.</param>
    /// <param name="origin">Scheme and host that the caller reached this server under, as in <c>https://localhost:7443</c>.</param>
    /// <param name="isFirstVersion">Adds the members of <c>/v1</c>.</param>
    public static SinkResource ToResource(this CatalogSink row, Quota quota, string origin, bool isFirstVersion)
    {
        var mapping = row.Mapping;
        return new SinkResource(
            row.Id,
            row.Name,
            new SinkDetails(row.DatabaseId, row.Table!.Name) { DeploymentId = isFirstVersion ? row.DatabaseId : null },
            mapping.ReadSchema(),
            mapping.RejectTruncation ? "error" : "warn",
            mapping.MaxRecords ?? SinkDefaults.MaxRecordsPerRequest,
            mapping.MaxBytes ?? SinkDefaults.MaxRequestBytes,
            row.MappingVersion,
            row.Status.ToWire(),
            row.Status.ToWire(),
            $"{origin}/{(isFirstVersion ? "v1" : "v2")}/sinks/{row.Id}",
            row.Owner,
            row.CreatedAt.UtcDateTime,
            row.UpdatedAt.UtcDateTime,
            row.UpdatedBy)
        {
            StatusReason = row.StatusReason.Length == 0 ? null : row.StatusReason,
            Quarantine = ToResource(mapping.ReadQuarantine()),
            Sample = mapping.KeepsSample ?? SinkDefaults.KeepsSample,
            Quota = quota.ToResource(),
        };
    }

    public static QuotaRates ToResource(this Quota quota) => new(quota.RecordsPerSecond, quota.BytesPerSecond, quota.BurstSeconds);

    static SinkQuarantine ToResource(QuarantinePolicy policy) => new(policy.KeepRaw, policy.MaxBytes, TimeToLive.Write(policy.MaxAge));

    // the defaults stand in the engine's record; an instance shows them
    static SinkDefinition SinkDefaults { get; } = new()
    {
        Id = Guid.Empty,
        Name = "",
        TableId = Guid.Empty,
        MappingVersion = 0,
        AllowMissingFields = false,
        Fields = [],
    };

    static ColumnResource KeyResource(CatalogTable row)
    {
        var type = row.Key == KeyKind.String ? ColumnType.String : ColumnType.Id;
        return new ColumnResource(TableSchema.KeyColumnName, type.ToString(), type.BaseName, ColumnOptions.Write(type), row.CreatedAt.UtcDateTime);
    }
}
