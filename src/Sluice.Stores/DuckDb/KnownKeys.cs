using System.Text;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// What is known of a table without reading it: the largest key, or one above it, about how many there are, and whether rows have versions. Immutable.
/// </summary>
/// <remarks>Texts compare by their UTF-8 bytes, here as in DuckDB.</remarks>
sealed class KnownKeys
{
    // the largest key, as the table's kind has it; of an empty table below every key
    readonly long _largestNumber = -1;
    readonly byte[] _largestText = [];

    KnownKeys(long estimatedRows, bool hasVersions, long largestNumber, byte[] largestText)
    {
        EstimatedRows = estimatedRows;
        HasVersions = hasVersions;
        _largestNumber = largestNumber;
        _largestText = largestText;
    }

    /// <summary>Too high by the keys that were loaded again; good for choosing a way, not for counting.</summary>
    public long EstimatedRows { get; }

    /// <summary>Whether some row may have a version, which rows without one must keep.</summary>
    public bool HasVersions { get; }

    public static KnownKeys OfNumbers(long estimatedRows, long largest, bool hasVersions = false) => new(estimatedRows, hasVersions, largest, []);

    /// <summary>Reads the whole key column.</summary>
    public static KnownKeys Read(DuckDbInstance db, TableSchema schema) => db.Query(
        $"SELECT count(*), count({SqlTypes.VersionColumn}) > 0, max(_id) FROM main.{SqlTypes.Quote(schema.Name)}",
        row => (row.IsDBNull(2), schema.Key) switch
        {
            (true, _) => OfNumbers(0, -1),
            (_, KeyKind.Number) => OfNumbers(row.GetInt64(0), (long)row.GetFieldValue<ulong>(2), row.GetBoolean(1)),
            _ => new KnownKeys(row.GetInt64(0), row.GetBoolean(1), -1, Encoding.UTF8.GetBytes(row.GetString(2))),
        })[0];

    /// <summary>Whether each key of the batch is above the largest, and so new.</summary>
    public bool AreAllBelow(ColumnBuffer keys)
    {
        if (keys.Kind == PhysicalKind.Int64)
        {
            foreach (var key in keys.Int64s)
                if (key <= _largestNumber) return false;
            return true;
        }
        for (var row = 0; row < keys.RowCount; row++)
            if (keys.Text(row).SequenceCompareTo(_largestText) <= 0) return false;
        return true;
    }

    /// <summary>With the keys of a batch that was loaded.</summary>
    public KnownKeys With(ColumnBuffer keys, bool hasVersions)
    {
        hasVersions |= HasVersions;
        var rows = EstimatedRows + keys.RowCount;
        if (keys.Kind == PhysicalKind.Int64)
        {
            var largest = _largestNumber;
            foreach (var key in keys.Int64s) largest = Math.Max(largest, key);
            return new(rows, hasVersions, largest, []);
        }
        var largestText = (ReadOnlySpan<byte>)_largestText;
        for (var row = 0; row < keys.RowCount; row++)
            if (keys.Text(row).SequenceCompareTo(largestText) > 0) largestText = keys.Text(row);
        return new(rows, hasVersions, -1, largestText.ToArray());
    }
}
