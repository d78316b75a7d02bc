using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// The largest key a table has, or more: what proves without reading the table that a batch has new keys only. Immutable.
/// </summary>
/// <remarks>Texts compare by their UTF-8 bytes, here as in DuckDB.</remarks>
sealed class LargestKey
{
    readonly bool _isEmpty;
    readonly long _number;
    readonly byte[] _text = [];

    LargestKey(bool isEmpty, long number, byte[] text)
    {
        _isEmpty = isEmpty;
        _number = number;
        _text = text;
    }

    /// <summary>Reads it from the table.</summary>
    public static LargestKey Read(DuckDbInstance db, TableSchema schema)
    {
        var sql = $"SELECT max(_id) FROM main.{SqlTypes.Quote(schema.Name)}";
        return schema.Key == KeyKind.Number
            ? db.Query(sql, row => row.IsDBNull(0) ? new LargestKey(true, 0, []) : new LargestKey(false, checked((long)row.GetFieldValue<ulong>(0)), []))[0]
            : db.Query(sql, row => row.IsDBNull(0) ? new LargestKey(true, 0, []) : new LargestKey(false, 0, System.Text.Encoding.UTF8.GetBytes(row.GetString(0))))[0];
    }

    /// <summary>Whether each key of the batch is larger.</summary>
    public bool IsBelowAll(ColumnBuffer keys)
    {
        if (_isEmpty) return true;
        if (keys.Kind == PhysicalKind.Int64)
        {
            foreach (var key in keys.Int64s)
                if (key <= _number) return false;
            return true;
        }
        for (var row = 0; row < keys.RowCount; row++)
            if (keys.Text(row).SequenceCompareTo(_text) <= 0) return false;
        return true;
    }

    /// <summary>The largest of this and the keys of a batch.</summary>
    public LargestKey With(ColumnBuffer keys)
    {
        if (keys.RowCount == 0) return this;
        if (keys.Kind == PhysicalKind.Int64)
        {
            var largest = _isEmpty ? long.MinValue : _number;
            foreach (var key in keys.Int64s) largest = Math.Max(largest, key);
            return new(false, largest, []);
        }
        var at = -1;
        for (var row = 0; row < keys.RowCount; row++)
        {
            var text = at < 0 ? _text : keys.Text(at);
            if ((_isEmpty && at < 0) || keys.Text(row).SequenceCompareTo(text) > 0) at = row;
        }
        return at < 0 ? this : new(false, 0, keys.Text(at).ToArray());
    }
}
