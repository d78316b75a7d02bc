using System.Globalization;
using Sluice.Load;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>The versions of rows that were deleted, for as long as older data may come late.</summary>
static class Tombstones
{
    const string Table = "_sluice.tombstones";

    /// <summary>Replaces the tombstones of the keys, and forgets those that count no more. Part of the caller's transaction.</summary>
    public static void Write(DuckDbInstance db, Guid tableId, KeyKind kind, RowOperations operations)
    {
        if (operations.TombstoneKeys.RowCount == 0) return;
        var (number, text) = kind == KeyKind.Number ? ("_id", "NULL") : ("NULL", "_id");
        db.Execute($"CREATE OR REPLACE TEMP TABLE deleted (_id {SqlTypes.DuckDb(kind)}, version BIGINT)");
        db.Append("temp", "deleted", [ChunkSource.Cells(operations.TombstoneKeys), ChunkSource.Cells(operations.TombstoneVersions)], operations.TombstoneKeys.RowCount);
        db.Execute(string.Create(
            CultureInfo.InvariantCulture,
            $"""
             DELETE FROM {Table} AS old USING temp.deleted AS new WHERE old.table_id = '{tableId}' AND old.{KeyColumn(kind)} = new._id;
             DELETE FROM {Table} WHERE table_id = '{tableId}' AND deleted_at < make_timestamp({operations.TombstonesCountFrom});
             INSERT INTO {Table} SELECT '{tableId}', {number}, {text}, version, make_timestamp({operations.TimeMicroseconds}) FROM temp.deleted;
             DROP TABLE temp.deleted
             """));
    }

    /// <summary>Notes the tombstones of the keys that still count.</summary>
    public static void Read(KeyLookup lookup, Guid tableId, KeyKind kind, long fromMicroseconds, KeyState[] states)
    {
        var condition = string.Create(CultureInfo.InvariantCulture, $"old.table_id = '{tableId}' AND old.deleted_at >= make_timestamp({fromMicroseconds})");
        foreach (var (place, version) in lookup.ReadVersions(Table, KeyColumn(kind), condition))
            states[place] = states[place] with { DeletedVersion = version };
    }

    static string KeyColumn(KeyKind kind) => kind == KeyKind.Number ? "key_number" : "key_text";
}
