using Sluice.Schema;

namespace Sluice.Server.Catalog;

/// <summary>A column of a table. Type and constraints never change; a dropped column keeps its row, so its id is never used again.</summary>
public sealed class CatalogColumn
{
    public required Guid TableId { get; init; }

    /// <summary>The column's id in frames, unique in its table for ever.</summary>
    public required int ColumnId { get; init; }

    public required string Name { get; set; }
    public required ColumnKind Kind { get; init; }

    // what belongs to ColumnType, one row member each, with its defaults
    public long Min { get; init; } = long.MinValue;
    public long Max { get; init; } = long.MaxValue;
    public int Scale { get; init; }
    public TimeUnit Unit { get; init; }
    public DateTimeOffset? Epoch { get; init; }
    public string TimeQuantum { get; init; } = "";

    /// <summary>Seconds; 0: for ever.</summary>
    public long TimeToLiveSeconds { get; init; }

    public int VectorLength { get; init; }

    public bool IsRequired { get; init; }

    /// <summary>JSON; <c>null</c>: none.</summary>
    public string? Default { get; init; }

    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary><c>null</c>: the table has the column.</summary>
    public DateTimeOffset? DroppedAt { get; set; }

    public ColumnType ToType() => new()
    {
        Kind = Kind,
        Min = Min,
        Max = Max,
        Scale = Scale,
        Unit = Unit,
        Epoch = Epoch,
        TimeQuantum = TimeQuantum,
        TimeToLive = TimeSpan.FromSeconds(TimeToLiveSeconds),
        VectorLength = VectorLength,
    };

    public Column ToColumn() => new(ColumnId, Name, ToType()) { IsRequired = IsRequired, Default = Default };

    public static CatalogColumn From(Guid tableId, Column column, DateTimeOffset now) => new()
    {
        TableId = tableId,
        ColumnId = column.Id,
        Name = column.Name,
        Kind = column.Type.Kind,
        Min = column.Type.Min,
        Max = column.Type.Max,
        Scale = column.Type.Scale,
        Unit = column.Type.Unit,
        Epoch = column.Type.Epoch,
        TimeQuantum = column.Type.TimeQuantum,
        TimeToLiveSeconds = (long)column.Type.TimeToLive.TotalSeconds,
        VectorLength = column.Type.VectorLength,
        IsRequired = column.IsRequired,
        Default = column.Default,
        CreatedAt = now,
    };
}
