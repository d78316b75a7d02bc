using System.Collections.Immutable;
using Sluice.Schema;

namespace Sluice.Server.Catalog;

public enum TableStatus
{
    /// <summary>The engine may or may not have it yet.</summary>
    Creating,
    Running,

    /// <summary>The engine may or may not have it still.</summary>
    Deleting,
    Deleted,
}

/// <summary>A table as the catalogue keeps it. The row outlives the table for the retention time.</summary>
public sealed class CatalogTable
{
    public required Guid Id { get; init; }
    public required Guid DatabaseId { get; init; }

    /// <summary>Unique among the database's tables that are not deleted; never changes.</summary>
    public required string Name { get; init; }

    public required string Description { get; init; }
    public required KeyKind Key { get; init; }

    /// <summary><see cref="TableSchema.IsAutoId"/>.</summary>
    public bool IsAutoId { get; init; }

    /// <summary><see cref="TableSchema.Retention"/> in seconds; 0: for ever.</summary>
    public long RetentionSeconds { get; set; }

    public required TableStatus Status { get; set; }

    /// <summary>The last version that the engine has confirmed; <see cref="Columns"/> is what it holds.</summary>
    public required int SchemaVersion { get; set; }

    /// <summary>Above the id of every column the table ever had.</summary>
    public required int NextColumnId { get; set; }

    /// <summary>
    /// The schema of a change that was handed to the engine and is not confirmed, as <see cref="TableSchema.ToJson"/> writes it;
    /// <c>null</c>: none. Written before the engine is asked, so a crash in between leaves something to finish.
    /// </summary>
    public string? PendingSchema { get; set; }

    public required string Owner { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; set; }
    public required string UpdatedBy { get; set; }

    /// <summary>When the deletion finished; <c>null</c> while the name is taken.</summary>
    public DateTimeOffset? DeletedAt { get; set; }

    /// <summary>The table's columns, dropped ones too where the query asked for them; without <c>_id</c>.</summary>
    public List<CatalogColumn> Columns { get; } = [];

    /// <summary>The confirmed schema.</summary>
    public TableSchema ToSchema() => new()
    {
        TableId = Id,
        Name = Name,
        Key = Key,
        IsAutoId = IsAutoId,
        Retention = TimeSpan.FromSeconds(RetentionSeconds),
        Version = SchemaVersion,
        Columns = [.. Columns.Where(column => column.DroppedAt is null).OrderBy(column => column.ColumnId).Select(column => column.ToColumn())],
        NextColumnId = NextColumnId,
    };

    /// <summary>Makes a schema that the engine has confirmed the table's own: adds, drops and renames column rows, by id.</summary>
    /// <remarks>Needs all rows of <see cref="Columns"/>, dropped ones too. Doing it twice changes nothing more.</remarks>
    public void Confirm(TableSchema schema, DateTimeOffset now)
    {
        foreach (var column in schema.Columns)
        {
            if (Columns.Find(row => row.ColumnId == column.Id) is { } known)
                known.Name = column.Name;
            else
                Columns.Add(CatalogColumn.From(Id, column, now));
        }
        var kept = schema.Columns.Select(column => column.Id).ToImmutableHashSet();
        foreach (var dropped in Columns.Where(row => row.DroppedAt is null && !kept.Contains(row.ColumnId)))
            dropped.DroppedAt = now;
        RetentionSeconds = (long)schema.Retention.TotalSeconds;
        SchemaVersion = schema.Version;
        NextColumnId = schema.NextColumnId;
        PendingSchema = null;
    }
}
