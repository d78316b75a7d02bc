using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Load;

/// <summary>
/// Folds the records of a batch to one row per key, in log order (design rule 8): of a single-valued column the last cell that is not
/// absent stays, of a set all members. Reused; one thread at a time.
/// </summary>
sealed class RowFolder
{
    readonly KeyIndex _index = new();
    readonly List<int> _previous = []; // per row: the row before it with the same key, -1 for none
    bool[] _isLast = [];

    /// <summary>
    /// The rows from <paramref name="start"/> to before <paramref name="end"/> without the excluded ones. The batch itself when there is nothing to fold; else valid until
    /// the batch is folded again.
    /// </summary>
    public RowBatch Fold(FrameBatch batch, int start, int end, IReadOnlySet<int> excluded)
    {
        var source = batch.Rows;
        var isWhole = start == 0 && end == source.RowCount && excluded.Count == 0;
        if (isWhole && AreAscending(source.Key)) return source;
        var repeated = FindRepeatedKeys(source.Key, start, end, excluded);
        if (isWhole && !repeated) return source;

        var folded = batch.BeginFolded();
        for (var row = start; row < end;)
        {
            var endOfRun = row;
            while (endOfRun < end && IsAlone(endOfRun - start)) endOfRun++; // most of the rows: copied many at a time
            if (endOfRun > row)
            {
                folded.AddRows(source, row, endOfRun);
                row = endOfRun;
            }
            else
            {
                if (_isLast[row - start]) FoldRow(source, folded, row, start);
                row++;
            }
        }
        return folded;
    }

    /// <summary>No other row has its key.</summary>
    bool IsAlone(int index) => _isLast[index] && _previous[index] < 0;

    void FoldRow(RowBatch source, RowBatch folded, int row, int start)
    {
        folded.Key.AddFrom(source.Key, row);
        folded.AddRowOrigin(source.Positions[row], source.OriginOfRow[row]);
        for (var i = 0; i < source.Columns.Count; i++) FoldCell(source.Columns[i], folded.Columns[i], row, start);
    }

    /// <summary>Keys that only rise, as those that the server makes, need no index to be known as different.</summary>
    static bool AreAscending(ColumnBuffer key)
    {
        if (key.Kind != PhysicalKind.Int64) return false;
        var ids = key.Int64s;
        for (var row = 1; row < ids.Length; row++)
            if (ids[row] <= ids[row - 1]) return false;
        return true;
    }

    bool FindRepeatedKeys(ColumnBuffer key, int start, int end, IReadOnlySet<int> excluded)
    {
        _index.Reset(end - start);
        _previous.Clear();
        if (_isLast.Length < end - start) _isLast = new bool[end - start];
        var repeated = false;
        for (var row = start; row < end; row++)
        {
            if (excluded.Count > 0 && excluded.Contains(row))
            {
                _previous.Add(-1);
                _isLast[row - start] = false;
                continue;
            }
            var previous = _index.Put(key, row);
            _previous.Add(previous);
            _isLast[row - start] = true;
            if (previous < 0) continue;
            _isLast[previous - start] = false;
            repeated = true;
        }
        return repeated;
    }

    void FoldCell(ColumnBuffer source, ColumnBuffer target, int row, int start)
    {
        if (target.Kind is PhysicalKind.Int64List or PhysicalKind.TextList)
        {
            FoldSet(source, target, row, start);
        }
        else
        {
            while (source.States[row] == CellState.Absent && _previous[row - start] >= 0) row = _previous[row - start];
            target.AddFrom(source, row);
        }
    }

    void FoldSet(ColumnBuffer source, ColumnBuffer target, int row, int start)
    {
        var (isValue, first) = (false, row);
        for (; row >= 0; row = _previous[row - start])
        {
            first = row;
            if (source.States[row] != CellState.Value) continue;
            isValue = true;
            target.AddMembersFrom(source, row);
        }
        if (isValue) target.EndSet();
        else if (source.States[first] == CellState.Null) target.AddNull(); // a new row gets no default
        else target.AddAbsent();
    }
}
