using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>The three states of a cell: a record says nothing of the column, says null, or gives a value.</summary>
public enum CellState : byte
{
    Absent = 0,
    Null = 1,
    Value = 2,
}

/// <summary>
/// The cells of one column, row after row, in the layout that decoder, log and store share. Every row takes a place in every
/// array: an absent or null cell is zero, or of length zero.
/// </summary>
/// <remarks>
/// One writer at a time. Arrays grow by doubling and are kept by <see cref="Clear"/>, so a reused buffer allocates nothing.
/// Which arrays are used depends on <see cref="Kind"/>:
/// <list type="bullet">
/// <item>Int64: <see cref="Int64s"/>.</item>
/// <item>Bool, and the operations of records: <see cref="Bytes"/>, one byte a row.</item>
/// <item>Text: <see cref="Ends"/> (end of each row in <see cref="Bytes"/>).</item>
/// <item>Int64List: <see cref="Ends"/> (end of each row in <see cref="Int64s"/>).</item>
/// <item>TextList: <see cref="Ends"/> (end of each row in <see cref="MemberEnds"/>), <see cref="MemberEnds"/> (end of each member in <see cref="Bytes"/>).</item>
/// <item>Float64Vector: <see cref="Float64s"/>, <see cref="VectorLength"/> a row.</item>
/// <item>Lists of quantum sets: <see cref="MemberTimes"/> too, one a member.</item>
/// </list>
/// </remarks>
public sealed class ColumnBuffer(int columnId, PhysicalKind kind, bool hasTimes, int vectorLength)
{
    /// <summary>The time of a member that belongs to no time view.</summary>
    public const long NoTime = long.MinValue;

    byte[] _states = [];
    long[] _int64s = [];
    double[] _float64s = [];
    int[] _ends = [];
    int[] _memberEnds = [];
    long[] _memberTimes = [];
    byte[] _bytes = [];
    int _int64Count;
    int _memberCount;
    int _byteCount;

    public int ColumnId { get; } = columnId;
    public PhysicalKind Kind { get; } = kind;

    /// <summary>Whether the members of a list carry times (seconds since 1970-01-01, or <see cref="NoTime"/>).</summary>
    public bool HasTimes { get; } = hasTimes;

    /// <summary>Elements a row of a vector; 0 for the other kinds.</summary>
    public int VectorLength { get; } = vectorLength;

    public int RowCount { get; private set; }

    /// <summary>Rows whose cell is a value. Equal to <see cref="RowCount"/>: the states need not be written.</summary>
    public int ValueCount { get; private set; }

    public ReadOnlySpan<CellState> States => MemoryMarshal.Cast<byte, CellState>(_states.AsSpan(0, RowCount));
    public ReadOnlySpan<long> Int64s => _int64s.AsSpan(0, _int64Count);
    public ReadOnlySpan<double> Float64s => _float64s.AsSpan(0, RowCount * VectorLength);
    public ReadOnlySpan<int> Ends => _ends.AsSpan(0, HasEnds ? RowCount : 0);
    public ReadOnlySpan<int> MemberEnds => _memberEnds.AsSpan(0, Kind == PhysicalKind.TextList ? _memberCount : 0);
    public ReadOnlySpan<long> MemberTimes => _memberTimes.AsSpan(0, HasTimes ? _memberCount : 0);
    public ReadOnlySpan<byte> Bytes => _bytes.AsSpan(0, _byteCount);

    bool HasEnds => Kind is PhysicalKind.Text or PhysicalKind.Int64List or PhysicalKind.TextList;

    /// <summary>A buffer for the key column of a table.</summary>
    public static ColumnBuffer ForKey(KeyKind key) =>
        new(TableSchema.KeyColumnId, key == KeyKind.Number ? PhysicalKind.Int64 : PhysicalKind.Text, hasTimes: false, vectorLength: 0);

    public static ColumnBuffer For(Column column) =>
        new(column.Id, column.Type.Physical, column.Type.IsQuantum, column.Type.VectorLength);

    /// <summary>Memory that <see cref="Clear"/> keeps.</summary>
    public long CapacityBytes => _states.Length + _bytes.Length + (sizeof(int) * ((long)_ends.Length + _memberEnds.Length))
        + (sizeof(long) * ((long)_int64s.Length + _float64s.Length + _memberTimes.Length));

    /// <summary>Forgets all rows and keeps the arrays.</summary>
    public void Clear()
    {
        RowCount = ValueCount = 0;
        _int64Count = _memberCount = _byteCount = 0;
    }

    /// <summary>First member of the row's list, in <see cref="Int64s"/> or <see cref="MemberEnds"/>, or first byte of its text.</summary>
    public int Start(int row) => row == 0 ? 0 : _ends[row - 1];

    public int End(int row) => _ends[row];

    /// <summary>The text of a row; empty when it is not a value.</summary>
    public ReadOnlySpan<byte> Text(int row) => _bytes.AsSpan(Start(row), End(row) - Start(row));

    /// <summary>The text of one member of a <see cref="PhysicalKind.TextList"/>, by its place among all members.</summary>
    public ReadOnlySpan<byte> MemberText(int member)
    {
        var start = member == 0 ? 0 : _memberEnds[member - 1];
        return _bytes.AsSpan(start, _memberEnds[member] - start);
    }

    public void AddAbsent() => AddEmpty(CellState.Absent);

    public void AddNull() => AddEmpty(CellState.Null);

    public void AddInt64(long value)
    {
        AddState(CellState.Value);
        Room(ref _int64s, _int64Count)[_int64Count++] = value;
    }

    public void AddBool(bool value) => AddByte(value ? (byte)1 : (byte)0);

    /// <summary>Adds a row to a buffer of one byte a row.</summary>
    public void AddByte(byte value)
    {
        AddState(CellState.Value);
        Room(ref _bytes, _byteCount)[_byteCount++] = value;
    }

    public void AddText(ReadOnlySpan<byte> utf8)
    {
        AddBytes(utf8);
        AddEndedRow(CellState.Value, _byteCount);
    }

    /// <summary>Adds to the text that the next <see cref="EndText"/> closes.</summary>
    public void AppendText(ReadOnlySpan<byte> utf8) => AddBytes(utf8);

    /// <summary>Closes the row's text.</summary>
    public void EndText() => AddEndedRow(CellState.Value, _byteCount);

    /// <summary>Adds a member to the list that the next <see cref="EndList"/> closes.</summary>
    public void AddMember(long value, long time = NoTime)
    {
        Room(ref _int64s, _int64Count)[_int64Count++] = value;
        AddTime(time);
    }

    /// <inheritdoc cref="AddMember(long, long)"/>
    public void AddMember(ReadOnlySpan<byte> utf8, long time = NoTime)
    {
        AddBytes(utf8);
        Room(ref _memberEnds, _memberCount)[_memberCount] = _byteCount;
        AddTime(time);
    }

    /// <summary>Members added since the last closed row.</summary>
    public int OpenMemberCount => _memberCount - (RowCount == 0 ? 0 : _ends[RowCount - 1]);

    /// <summary>Closes the row's list; without members it is an empty list, which is not null.</summary>
    public void EndList() => AddEndedRow(CellState.Value, _memberCount);

    /// <summary>Closes the row's list as a set: of equal members (with equal times, where members have times) the first stays.</summary>
    public void EndSet()
    {
        if (OpenMemberCount > 1) DropRepeated(_memberCount - OpenMemberCount);
        EndList();
    }

    /// <summary>Whether the row has members and they have no time yet: <see cref="SetTimes"/> gives all or none of a row one.</summary>
    public bool HasUntimedMembers(int row) => Start(row) < End(row) && _memberTimes[Start(row)] == NoTime;

    /// <summary>Gives all members of a row the same time.</summary>
    public void SetTimes(int row, long time) => _memberTimes.AsSpan(Start(row), End(row) - Start(row)).Fill(time);

    /// <summary>
    /// Appends the rows of a block as they lie in a frame. The spans are those of the members with the same names; <paramref name="states"/> is
    /// empty when every cell is a value.
    /// </summary>
    public void AddBlock(
        int rowCount, ReadOnlySpan<byte> states, ReadOnlySpan<byte> int64s, ReadOnlySpan<byte> float64s, ReadOnlySpan<byte> ends,
        ReadOnlySpan<byte> memberEnds, ReadOnlySpan<byte> memberTimes, ReadOnlySpan<byte> bytes)
    {
        var memberBase = Kind == PhysicalKind.Int64List ? _int64Count : _memberCount;
        AddEnds(ref _ends, RowCount, ends, Kind == PhysicalKind.Text ? _byteCount : memberBase);
        AddEnds(ref _memberEnds, _memberCount, memberEnds, _byteCount);
        AddRaw(ref _int64s, _int64Count, int64s);
        AddRaw(ref _float64s, RowCount * VectorLength, float64s);
        AddRaw(ref _memberTimes, _memberCount, memberTimes);
        AddBytes(bytes);
        _int64Count += int64s.Length / sizeof(long);
        if (Kind == PhysicalKind.Int64List) _memberCount = _int64Count;
        else _memberCount += memberEnds.Length / sizeof(int);

        Reserve(ref _states, RowCount + rowCount);
        if (states.IsEmpty) _states.AsSpan(RowCount, rowCount).Fill((byte)CellState.Value);
        else states.CopyTo(_states.AsSpan(RowCount));
        ValueCount += states.IsEmpty ? rowCount : states.Count((byte)CellState.Value);
        RowCount += rowCount;
    }

    /// <summary>Appends rows of another buffer of the same kind.</summary>
    public void AddRows(ColumnBuffer source, int start, int end)
    {
        var (first, behind) = HasEnds ? (source.Start(start), source.End(end - 1)) : (start, end);
        switch (Kind)
        {
            case PhysicalKind.Int64:
                AddInt64s(source, start, end);
                break;
            case PhysicalKind.Bool:
                AddBytes(source._bytes.AsSpan(start..end));
                break;
            case PhysicalKind.Float64Vector:
                AddAll(ref _float64s, RowCount * VectorLength, source._float64s.AsSpan((start * VectorLength)..(end * VectorLength)));
                break;
            case PhysicalKind.Text:
                AddShifted(ref _ends, RowCount, source._ends.AsSpan(start..end), _byteCount - first);
                AddBytes(source._bytes.AsSpan(first..behind));
                break;
            default:
                AddShifted(ref _ends, RowCount, source._ends.AsSpan(start..end), _memberCount - first);
                AddMembers(source, first, behind);
                break;
        }
        var states = source._states.AsSpan(start..end);
        AddAll(ref _states, RowCount, states);
        ValueCount += source.ValueCount == source.RowCount ? states.Length : states.Count((byte)CellState.Value);
        RowCount += states.Length;
    }

    void AddMembers(ColumnBuffer source, int first, int behind)
    {
        if (Kind == PhysicalKind.Int64List)
        {
            AddInt64s(source, first, behind);
        }
        else
        {
            var (firstByte, behindBytes) = (first == 0 ? 0 : source._memberEnds[first - 1], behind == 0 ? 0 : source._memberEnds[behind - 1]);
            AddShifted(ref _memberEnds, _memberCount, source._memberEnds.AsSpan(first..behind), _byteCount - firstByte);
            AddBytes(source._bytes.AsSpan(firstByte..behindBytes));
        }
        if (HasTimes) AddAll(ref _memberTimes, _memberCount, source._memberTimes.AsSpan(first..behind));
        _memberCount += behind - first;
    }

    void AddInt64s(ColumnBuffer source, int first, int behind)
    {
        AddAll(ref _int64s, _int64Count, source._int64s.AsSpan(first..behind));
        _int64Count += behind - first;
    }

    void DropRepeated(int start)
    {
        const int quadraticUpTo = 32;
        var isText = Kind == PhysicalKind.TextList;
        var count = _memberCount;
        var seen = count - start > quadraticUpTo ? new HashSet<(string Text, long Id, long Time)>() : null;
        var memberStart = isText && start > 0 ? _memberEnds[start - 1] : 0;
        if (isText) _byteCount = memberStart;
        _memberCount = start;
        for (var member = start; member < count; member++) // what stays moves toward the front only
        {
            var memberEnd = isText ? _memberEnds[member] : 0;
            var text = isText ? _bytes.AsSpan(memberStart, memberEnd - memberStart) : [];
            var id = isText ? 0 : _int64s[member];
            var time = HasTimes ? _memberTimes[member] : NoTime;
            memberStart = memberEnd;
            if (seen is null ? HasMember(start, text, id, time) : !seen.Add((Encoding.UTF8.GetString(text), id, time))) continue;
            if (isText)
            {
                text.CopyTo(_bytes.AsSpan(_byteCount));
                _byteCount += text.Length;
                _memberEnds[_memberCount] = _byteCount;
            }
            else
            {
                _int64s[_memberCount] = id;
            }
            AddTime(time);
        }
        if (!isText) _int64Count = _memberCount;
    }

    bool HasMember(int start, ReadOnlySpan<byte> text, long id, long time)
    {
        for (var member = start; member < _memberCount; member++)
        {
            var isEqual = Kind == PhysicalKind.TextList ? MemberText(member).SequenceEqual(text) : _int64s[member] == id;
            if (isEqual && (!HasTimes || _memberTimes[member] == time)) return true;
        }
        return false;
    }

    static void AddEnds(ref int[] array, int count, ReadOnlySpan<byte> ends, int start)
    {
        AddRaw(ref array, count, ends);
        if (start == 0) return;
        foreach (ref var end in array.AsSpan(count, ends.Length / sizeof(int))) end += start;
    }

    static void AddShifted(ref int[] array, int count, ReadOnlySpan<int> ends, int shift)
    {
        AddAll(ref array, count, ends);
        foreach (ref var end in array.AsSpan(count, ends.Length)) end += shift;
    }

    static void AddAll<T>(ref T[] array, int count, ReadOnlySpan<T> values)
    {
        Reserve(ref array, count + values.Length);
        values.CopyTo(array.AsSpan(count));
    }

    static void AddRaw<T>(ref T[] array, int count, ReadOnlySpan<byte> raw) where T : unmanaged
    {
        if (raw.IsEmpty) return;
        Reserve(ref array, count + (raw.Length / Unsafe.SizeOf<T>()));
        raw.CopyTo(MemoryMarshal.AsBytes(array.AsSpan(count)));
    }

    /// <summary>Adds absent cells until the column has this many rows.</summary>
    public void FillAbsent(int rowCount)
    {
        while (RowCount < rowCount) AddAbsent();
    }

    /// <summary>Drops members added since the last closed row, when the record turns out to be wrong.</summary>
    public void CancelList()
    {
        _memberCount = RowCount == 0 ? 0 : _ends[RowCount - 1];
        if (Kind == PhysicalKind.Int64List) _int64Count = _memberCount;
        else _byteCount = _memberCount == 0 ? 0 : _memberEnds[_memberCount - 1];
    }

    /// <summary>A place for a vector of <see cref="VectorLength"/> elements, to be filled by the caller.</summary>
    public Span<double> AddVector()
    {
        var at = RowCount * VectorLength;
        AddState(CellState.Value);
        Reserve(ref _float64s, at + VectorLength);
        return _float64s.AsSpan(at, VectorLength);
    }

    /// <summary>Drops all rows from <paramref name="rowCount"/> on.</summary>
    public void TruncateTo(int rowCount)
    {
        for (var row = rowCount; row < RowCount; row++)
            if (_states[row] == (byte)CellState.Value) ValueCount--;
        RowCount = rowCount;
        switch (Kind)
        {
            case PhysicalKind.Int64: _int64Count = rowCount; break;
            case PhysicalKind.Bool: _byteCount = rowCount; break;
            case PhysicalKind.Text: _byteCount = rowCount == 0 ? 0 : _ends[rowCount - 1]; break;
            case PhysicalKind.Int64List or PhysicalKind.TextList: CancelList(); break;
        }
    }

    /// <summary>Appends one cell of another buffer of the same kind.</summary>
    public void AddFrom(ColumnBuffer source, int row)
    {
        if (source.States[row] != CellState.Value)
        {
            AddEmpty(source.States[row]);
            return;
        }
        switch (Kind)
        {
            case PhysicalKind.Int64: AddInt64(source._int64s[row]); break;
            case PhysicalKind.Bool: AddByte(source._bytes[row]); break;
            case PhysicalKind.Text: AddText(source.Text(row)); break;
            case PhysicalKind.Float64Vector: source._float64s.AsSpan(row * VectorLength, VectorLength).CopyTo(AddVector()); break;
            default: AddMembersFrom(source, row); EndList(); break;
        }
    }

    /// <summary>Adds the members of another buffer's row to the list that the next <see cref="EndList"/> closes.</summary>
    public void AddMembersFrom(ColumnBuffer source, int row)
    {
        for (var member = source.Start(row); member < source.End(row); member++) AddMemberFrom(source, member);
    }

    /// <summary>Adds one member of another buffer, by its place among all members, to the list that the next <see cref="EndList"/> closes.</summary>
    public void AddMemberFrom(ColumnBuffer source, int member)
    {
        var time = HasTimes ? source._memberTimes[member] : NoTime;
        if (Kind == PhysicalKind.Int64List) AddMember(source._int64s[member], time);
        else AddMember(source.MemberText(member), time);
    }

    void AddEmpty(CellState state)
    {
        switch (Kind)
        {
            case PhysicalKind.Int64:
                Room(ref _int64s, _int64Count)[_int64Count++] = 0;
                AddState(state);
                break;
            case PhysicalKind.Bool:
                Room(ref _bytes, _byteCount)[_byteCount++] = 0;
                AddState(state);
                break;
            case PhysicalKind.Float64Vector:
                AddVector().Clear();
                ValueCount--;
                _states[RowCount - 1] = (byte)state;
                break;
            case PhysicalKind.Text:
                AddEndedRow(state, _byteCount);
                break;
            default:
                AddEndedRow(state, _memberCount);
                break;
        }
    }

    void AddEndedRow(CellState state, int end)
    {
        Room(ref _ends, RowCount)[RowCount] = end;
        AddState(state);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    void AddState(CellState state)
    {
        Room(ref _states, RowCount)[RowCount++] = (byte)state;
        if (state == CellState.Value) ValueCount++;
    }

    void AddTime(long time)
    {
        if (HasTimes) Room(ref _memberTimes, _memberCount)[_memberCount] = time;
        _memberCount++;
    }

    void AddBytes(ReadOnlySpan<byte> utf8)
    {
        Reserve(ref _bytes, _byteCount + utf8.Length);
        utf8.CopyTo(_bytes.AsSpan(_byteCount));
        _byteCount += utf8.Length;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static T[] Room<T>(ref T[] array, int count)
    {
        if ((uint)count >= (uint)array.Length) Reserve(ref array, count + 1);
        return array;
    }

    static void Reserve<T>(ref T[] array, int count)
    {
        if (count > array.Length) Array.Resize(ref array, Math.Max(count, Math.Max(64, array.Length * 2)));
    }
}
