using Sluice.Load;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>Keys in a temporary table, to find what is stored of them. One at a time; what a failure leaves of it, the next one replaces.</summary>
sealed class KeyLookup
{
    /// <summary>
    /// From this many keys on DuckDB is made to filter the scan of the table's keys by a Bloom filter of those of the batch, which
    /// halves the time to delete 100,000 of 10 million rows, and costs more than it saves for 10,000.
    /// </summary>
    const int MinKeysForBloomFilter = 32_768;

    const string Asked = "temp.asked";

    readonly DuckDbInstance _db;
    readonly int _count;

    KeyLookup(DuckDbInstance db, int count) => (_db, _count) = (db, count);

    /// <summary>Puts the keys in, each with its place.</summary>
    public static KeyLookup Stage(DuckDbInstance db, KeyKind kind, ColumnBuffer keys)
    {
        db.Execute($"CREATE OR REPLACE TEMP TABLE asked (place BIGINT, _id {SqlTypes.DuckDb(kind)})");
        var places = new ColumnBuffer(0, PhysicalKind.Int64, hasTimes: false, vectorLength: 0);
        for (var place = 0; place < keys.RowCount; place++) places.AddInt64(place);
        db.Append("temp", "asked", [ChunkSource.Cells(places), ChunkSource.Cells(keys)], keys.RowCount);
        return new KeyLookup(db, keys.RowCount);
    }

    /// <summary>Deletes the rows of these keys.</summary>
    public static void Delete(DuckDbInstance db, TableSchema schema, ColumnBuffer keys)
    {
        if (keys.RowCount == 0) return;
        var lookup = Stage(db, schema.Key, keys);
        db.Execute($"DELETE FROM main.{SqlTypes.Quote(schema.Name)} AS old USING {KeysOf(Asked, keys.RowCount)} AS new WHERE old._id = new._id");
        lookup.Drop();
    }

    /// <summary>The keys of a temporary table, to join the table's with.</summary>
    // DuckDB gives a join's scan a Bloom filter when its other side is filtered; this one passes all keys and is not optimised away
    public static string KeysOf(string table, int count) => count < MinKeysForBloomFilter ? table : $"(SELECT * FROM {table} WHERE hash(_id) IS NOT NULL)";

    /// <summary>Notes the keys that have a row, and its version.</summary>
    public void ReadRows(TableSchema schema, KeyState[] states)
    {
        var found = _db.Query(
            $"SELECT new.place, coalesce(old.{SqlTypes.VersionColumn}, -1) FROM main.{SqlTypes.Quote(schema.Name)} AS old JOIN {KeysOf(Asked, _count)} AS new ON old._id = new._id",
            row => (Place: row.GetInt64(0), Version: row.GetInt64(1)));
        foreach (var (place, version) in found) states[place] = states[place] with { IsPresent = true, RowVersion = version };
    }

    /// <summary>Notes the versions of those keys that a table has which is not the schema's own.</summary>
    /// <param name="keyColumn">Its column with keys.</param>
    public List<(long Place, long Version)> ReadVersions(string table, string keyColumn, string condition) => _db.Query(
        $"SELECT new.place, old.version FROM {table} AS old JOIN {Asked} AS new ON old.{keyColumn} = new._id WHERE {condition}",
        row => (row.GetInt64(0), row.GetInt64(1)));

    public void Drop() => _db.Execute($"DROP TABLE IF EXISTS {Asked}");
}
