using System.Runtime.InteropServices;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>Where a row comes from: the frame it was written in.</summary>
/// <param name="SinkId">The sink, or <see cref="Sink.SqlSinkId"/> for SQL writes.</param>
/// <param name="ReceivedAtMicroseconds">When the request was received, microseconds since 1970-01-01 UTC.</param>
public readonly record struct RowOrigin(Guid SinkId, long ReceivedAtMicroseconds);

/// <summary>Rows of one table as columns: what the loader hands to the store. One thread at a time.</summary>
public sealed class RowBatch
{
    readonly List<ColumnBuffer> _columns = [];
    readonly List<ulong> _positions = [];
    readonly List<int> _origins = [];

    public RowBatch(KeyKind key) => Key = ColumnBuffer.ForKey(key);

    RowBatch(RowBatch rows, IEnumerable<ColumnBuffer> columns)
    {
        (Key, _positions, _origins, Origins, _columns) = (rows.Key, rows._positions, rows._origins, rows.Origins, [.. columns]);
    }

    public ColumnBuffer Key { get; }

    /// <summary>
    /// The columns that at least one row speaks of; a column of the table that is missing here is absent in all rows. Each has
    /// as many rows as <see cref="Key"/>.
    /// </summary>
    public IReadOnlyList<ColumnBuffer> Columns => _columns;

    public int RowCount => Key.RowCount;

    /// <summary>Per row: sequence x 2^17 + index of its last record.</summary>
    public ReadOnlySpan<ulong> Positions => CollectionsMarshal.AsSpan(_positions);

    /// <summary>Per row: index into <see cref="Origins"/> of its last record.</summary>
    public ReadOnlySpan<int> OriginOfRow => CollectionsMarshal.AsSpan(_origins);

    public List<RowOrigin> Origins { get; } = [];

    /// <summary>The same rows with other columns; everything else is shared.</summary>
    internal RowBatch With(IEnumerable<ColumnBuffer> columns) => new(this, columns);

    public void AddColumn(ColumnBuffer column) => _columns.Add(column);

    public ColumnBuffer? FindColumn(int columnId) => _columns.Find(column => column.ColumnId == columnId);

    /// <summary>Forgets all rows and columns' cells, and keeps the memory.</summary>
    public void Clear()
    {
        Key.Clear();
        foreach (var column in _columns) column.Clear();
        _positions.Clear();
        _origins.Clear();
        Origins.Clear();
    }

    /// <summary>Appends rows of a batch with the same columns and origins.</summary>
    internal void AddRows(RowBatch source, int start, int end)
    {
        Key.AddRows(source.Key, start, end);
        for (var i = 0; i < _columns.Count; i++) _columns[i].AddRows(source._columns[i], start, end);
        _positions.AddRange(source.Positions[start..end]);
        _origins.AddRange(source.OriginOfRow[start..end]);
    }

    public void AddRowOrigin(ulong position, int origin)
    {
        _positions.Add(position);
        _origins.Add(origin);
    }
}
