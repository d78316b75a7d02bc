using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Load;

/// <summary>
/// What one load does beside uniting its rows with the stored ones. Every condition has been resolved before: a store applies it as it is.
/// </summary>
public sealed class RowOperations
{
    readonly List<ColumnBuffer> _removed = [];

    public RowOperations(KeyKind key)
    {
        DeletedKeys = ColumnBuffer.ForKey(key);
        TombstoneKeys = ColumnBuffer.ForKey(key);
    }

    /// <summary>Keys whose rows are removed, if there are any; each once, and none of them among the rows of the load.</summary>
    public ColumnBuffer DeletedKeys { get; }

    /// <summary>Per row of the load, a bool: whether nothing of the stored row is kept.</summary>
    public ColumnBuffer Resets { get; } = new(RecordOperations.OperationColumnId, PhysicalKind.Bool, hasTimes: false, vectorLength: 0);

    /// <summary>Per row of the load, its version from now on; absent: as stored.</summary>
    public ColumnBuffer Versions { get; } = new(RecordOperations.VersionColumnId, PhysicalKind.Int64, hasTimes: false, vectorLength: 0);

    /// <summary>
    /// The set columns that lose members: per row of the load the members to be taken out of the stored set, at whatever time they were added,
    /// before the row's own members are added.
    /// </summary>
    public IReadOnlyList<ColumnBuffer> Removed => _removed;

    /// <summary>Keys that a delete with a version went over, each once, whether or not a row of the load brings them back.</summary>
    public ColumnBuffer TombstoneKeys { get; }

    /// <summary>Per tombstone the version of the delete; it replaces the key's earlier one.</summary>
    public ColumnBuffer TombstoneVersions { get; } = new(RecordOperations.VersionColumnId, PhysicalKind.Int64, hasTimes: false, vectorLength: 0);

    /// <summary>When the tombstones are made, microseconds since 1970-01-01 UTC.</summary>
    public required long TimeMicroseconds { get; init; }

    /// <summary>Tombstones made before this time count no more, and may be forgotten.</summary>
    public required long TombstonesCountFrom { get; init; }

    /// <summary>Whether any row of the load has a version.</summary>
    public bool HasVersions => Versions.ValueCount > 0;

    public ColumnBuffer? FindRemoved(int columnId) => _removed.Find(column => column.ColumnId == columnId);

    /// <summary>The members to be removed of a column, without rows when there were none yet.</summary>
    public ColumnBuffer RemovedOf(int columnId, PhysicalKind kind)
    {
        if (FindRemoved(columnId) is { } present) return present;
        var made = new ColumnBuffer(columnId, kind, hasTimes: false, vectorLength: 0);
        _removed.Add(made);
        return made;
    }
}
