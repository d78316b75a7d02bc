using System.Text;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Load;

/// <summary>What became of the records of a batch: one row a key, and the records that made none.</summary>
/// <param name="Rows">At most one row per key. Valid until the batch is folded again.</param>
/// <param name="Operations"><c>null</c>: every row is united with the stored one.</param>
/// <param name="Failed">Rows of the batch whose condition does not hold, ascending.</param>
/// <param name="Superseded">Rows of the batch with a version below that of their key, ascending.</param>
sealed record FoldedBatch(RowBatch Rows, RowOperations? Operations, IReadOnlyList<(int Row, LateErrorCode Code)> Failed, IReadOnlyList<int> Superseded);

/// <summary>
/// Folds the records of a batch in which some do more than upsert (design rule 8): applies them key by key, in log order, to the state that the
/// store has of the key. Reused; one thread at a time.
/// </summary>
/// <remarks>
/// First <see cref="Begin"/>, then the states of <see cref="AskedKeys"/> from the store, then <see cref="Fold"/>. A record that a fold leaves out
/// (refused by the store before) changes no state.
/// </remarks>
sealed class OperationFolder
{
    const int NoRow = -1;

    readonly KeyIndex _index = new();
    readonly List<int> _first = []; // of each key, its first row; by row number
    readonly List<int> _asked = []; // of each key, its place among the asked keys, or NoRow
    readonly List<int> _applied = []; // the rows of the present key that make up its row
    readonly HashSet<(string? Text, long Id)> _removed = []; // pairs hash with a seed: no sender can choose members that collide
    readonly Dictionary<int, ColumnBuffer> _setDefaults = []; // by column id, as the one row
    int[] _next = []; // per row: the row after it with the same key, or NoRow
    int[] _keyOf = []; // per row: its key
    FrameBatch _batch = null!;
    int _start;

    /// <summary>Keys whose state decides what their records do; each once.</summary>
    public ColumnBuffer AskedKeys { get; private set; } = null!;

    /// <summary>Finds the records of each key, and the keys to ask for.</summary>
    public void Begin(FrameBatch batch, int start, int end, IReadOnlySet<int> excluded)
    {
        (_batch, _start) = (batch, start);
        AskedKeys = ColumnBuffer.ForKey(batch.Schema.Key);
        _index.Reset(end - start);
        _first.Clear();
        _asked.Clear();
        ReadSetDefaults(batch.Schema);
        if (_next.Length < end - start) (_next, _keyOf) = (new int[end - start], new int[end - start]);
        for (var row = start; row < end; row++)
        {
            if (excluded.Count > 0 && excluded.Contains(row)) continue;
            var previous = _index.Put(batch.Rows.Key, row);
            _next[row - start] = NoRow;
            if (previous >= 0) _next[previous - start] = row;
            else Add(row);
            var key = _keyOf[row - start] = previous >= 0 ? _keyOf[previous - start] : _first.Count - 1;
            if (_asked[key] == NoRow && (IsConditional(row) || (previous >= 0 && MayJoinDefault(row)))) Ask(key);
        }
    }

    /// <param name="states">Of <see cref="AskedKeys"/>, in their order.</param>
    /// <param name="operations">Empty; is filled and part of the result.</param>
    public FoldedBatch Fold(ReadOnlySpan<KeyState> states, RowOperations operations)
    {
        var rows = _batch.BeginFolded();
        var failed = new List<(int, LateErrorCode)>();
        var superseded = new List<int>();
        for (var key = 0; key < _first.Count; key++)
        {
            // of a key that was not asked for, nothing depends on what is stored
            var stored = _asked[key] == NoRow ? KeyState.Unknown with { IsPresent = true } : states[_asked[key]];
            Apply(_first[key], stored, rows, operations, failed, superseded);
        }
        foreach (var column in operations.Removed) column.FillAbsent(rows.RowCount);
        failed.Sort();
        superseded.Sort();
        return new FoldedBatch(rows, operations, failed, superseded);
    }

    void Add(int row)
    {
        _first.Add(row);
        _asked.Add(NoRow);
    }

    void Ask(int key)
    {
        _asked[key] = AskedKeys.RowCount;
        AskedKeys.AddFrom(_batch.Rows.Key, _first[key]);
    }

    void ReadSetDefaults(TableSchema schema)
    {
        _setDefaults.Clear();
        foreach (var column in schema.Columns.Where(column => column is { Type.IsSet: true, Default: not null })) _setDefaults.Add(column.Id, ColumnDefault.Read(column));
    }

    /// <summary>Whether members of the row would come to those of a default, if the key's first record makes a row.</summary>
    bool MayJoinDefault(int row)
    {
        if (_setDefaults.Count == 0) return false;
        foreach (var cells in _batch.Rows.Columns)
        {
            if (_setDefaults.ContainsKey(cells.ColumnId) && cells.States[row] == CellState.Value) return true;
        }
        return false;
    }

    bool IsConditional(int row) =>
        _batch.OperationOf(row) is RecordOperation.Insert or RecordOperation.Patch or RecordOperation.Remove
            or RecordOperation.Replace // keeps the stored version, and nothing else
        || _batch.VersionOf(row) != RecordOperations.NoVersion;

    /// <summary>Applies the records of one key, one after the other.</summary>
    void Apply(
        int first, KeyState stored, RowBatch rows, RowOperations operations, List<(int, LateErrorCode)> failed, List<int> superseded)
    {
        var state = stored;
        var (isReset, isNew, tombstone) = (false, false, RecordOperations.NoVersion);
        _applied.Clear();
        for (var row = first; row != NoRow; row = _next[row - _start])
        {
            var (operation, version) = (_batch.OperationOf(row), _batch.VersionOf(row));
            if (state.Supersedes(version))
            {
                superseded.Add(row);
            }
            else if (operation == RecordOperation.Delete)
            {
                isReset = true;
                if (version != RecordOperations.NoVersion) tombstone = version;
                state = new KeyState(IsPresent: false, RecordOperations.NoVersion, Math.Max(state.DeletedVersion, version));
                _applied.Clear();
            }
            else if (operation == RecordOperation.Insert && state.IsPresent)
            {
                failed.Add((row, LateErrorCode.KeyExists));
            }
            else if (operation == RecordOperation.Patch && !state.IsPresent)
            {
                failed.Add((row, LateErrorCode.KeyMissing));
            }
            else if (operation != RecordOperation.Remove || state.IsPresent)
            {
                if (operation == RecordOperation.Replace)
                {
                    isReset = true;
                    _applied.Clear();
                }
                if (_applied.Count == 0) isNew = operation == RecordOperation.Replace || !state.IsPresent;
                state = state with { IsPresent = true, RowVersion = Math.Max(state.RowVersion, version) };
                _applied.Add(row);
            }
        }
        var key = _batch.Rows.Key;
        if (_applied.Count > 0) AddRow(rows, operations, state.RowVersion, isReset && stored.IsPresent, isNew);
        else if (isReset && stored.IsPresent) operations.DeletedKeys.AddFrom(key, first);
        if (tombstone == RecordOperations.NoVersion) return;
        operations.TombstoneKeys.AddFrom(key, first);
        operations.TombstoneVersions.AddInt64(tombstone);
    }

    /// <summary>Makes the row of the applied records.</summary>
    /// <param name="isNew">The first of them made it; false also where nothing depends on that.</param>
    void AddRow(RowBatch rows, RowOperations operations, long version, bool isReset, bool isNew)
    {
        var source = _batch.Rows;
        var last = _applied[^1];
        rows.Key.AddFrom(source.Key, last);
        rows.AddRowOrigin(source.Positions[last], source.OriginOfRow[last]);
        operations.Resets.AddBool(isReset);
        if (version == RecordOperations.NoVersion) operations.Versions.AddAbsent();
        else operations.Versions.AddInt64(version);
        for (var i = 0; i < source.Columns.Count; i++)
        {
            var (from, to) = (source.Columns[i], rows.Columns[i]);
            if (from.Kind is PhysicalKind.Int64List or PhysicalKind.TextList) FoldSet(from, to, operations, rows.RowCount - 1, isNew);
            else to.AddFrom(from, LastPresent(from));
        }
    }

    int LastPresent(ColumnBuffer column)
    {
        var i = _applied.Count - 1;
        while (i > 0 && column.States[_applied[i]] == CellState.Absent) i--;
        return _applied[i];
    }

    /// <summary>
    /// Members added and members removed, the newest record first: a member is added unless a later record removes it. What is removed is removed
    /// from what is stored, also where an earlier record of the batch added it.
    /// </summary>
    void FoldSet(ColumnBuffer source, ColumnBuffer target, RowOperations operations, int targetRow, bool isNew)
    {
        _removed.Clear();
        var isValue = false;
        for (var i = _applied.Count - 1; i >= 0; i--)
        {
            var row = _applied[i];
            if (source.States[row] != CellState.Value) continue;
            if (_batch.OperationOf(row) == RecordOperation.Remove)
            {
                NoteRemoved(source, row);
                continue;
            }
            isValue = true;
            AddMembers(source, target, row);
        }
        if (isNew && (isValue || _removed.Count > 0) && source.States[_applied[0]] == CellState.Absent && _setDefaults.TryGetValue(source.ColumnId, out var fresh))
        {
            isValue = true; // the first record gave the new row its default, and the others changed that
            AddMembers(fresh, target, 0);
        }
        if (_removed.Count > 0) AddRemoved(source, operations, targetRow);
        if (isValue) target.EndSet();
        else if (source.States[_applied[0]] == CellState.Null) target.AddNull(); // a new row gets no default
        else target.AddAbsent();
    }

    void AddMembers(ColumnBuffer source, ColumnBuffer target, int row)
    {
        if (_removed.Count == 0)
        {
            target.AddMembersFrom(source, row);
            return;
        }
        for (var member = source.Start(row); member < source.End(row); member++)
            if (!_removed.Contains(MemberOf(source, member))) target.AddMemberFrom(source, member);
    }

    void NoteRemoved(ColumnBuffer source, int row)
    {
        for (var member = source.Start(row); member < source.End(row); member++) _removed.Add(MemberOf(source, member));
    }

    void AddRemoved(ColumnBuffer source, RowOperations operations, int targetRow)
    {
        var removed = operations.RemovedOf(source.ColumnId, source.Kind);
        removed.FillAbsent(targetRow);
        foreach (var (text, id) in _removed)
        {
            if (text is null) removed.AddMember(id);
            else removed.AddMember(Encoding.UTF8.GetBytes(text));
        }
        removed.EndList();
    }

    static (string? Text, long Id) MemberOf(ColumnBuffer source, int member) => source.Kind == PhysicalKind.Int64List
        ? (null, source.Int64s[member])
        : (Encoding.UTF8.GetString(source.MemberText(member)), 0);
}
