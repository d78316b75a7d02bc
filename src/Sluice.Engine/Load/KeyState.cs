using Sluice.Records;

namespace Sluice.Load;

/// <summary>What a store has of one key: all that decides whether a record applies.</summary>
/// <param name="IsPresent">Whether the table has a row of the key.</param>
/// <param name="RowVersion">The version of that row, or <see cref="RecordOperations.NoVersion"/>.</param>
/// <param name="DeletedVersion">The version of the delete that left a tombstone which still counts, or <see cref="RecordOperations.NoVersion"/>.</param>
public readonly record struct KeyState(bool IsPresent, long RowVersion, long DeletedVersion)
{
    /// <summary>Neither row nor tombstone.</summary>
    public static KeyState Unknown => new(IsPresent: false, RecordOperations.NoVersion, RecordOperations.NoVersion);

    /// <summary>Whether a record of the version comes too late: something newer was applied to the key.</summary>
    public bool Supersedes(long version) => version != RecordOperations.NoVersion && version < Math.Max(RowVersion, DeletedVersion);
}
