using System.Runtime.InteropServices;
using Sluice.Records;
using Sluice.Schema;
using static DuckDB.NET.Native.NativeMethods;

namespace Sluice.Stores.DuckDb;

/// <summary>Sets: lists of members, or of (member, time) pairs, each once.</summary>
sealed unsafe class ListSource(ColumnBuffer column) : ChunkSource
{
    [StructLayout(LayoutKind.Sequential)]
    readonly record struct ListEntry(ulong Offset, ulong Length);

    readonly DistinctMembers _distinct = new(column);
    int[] _members = [];
    ChunkText _text;

    public override void Fill(nint vector, int from, int count)
    {
        var members = FillEntries(Data<ListEntry>(vector, count), from, count);
        Vectors.DuckDBListVectorReserve(vector, (ulong)members.Length);
        Vectors.DuckDBListVectorSetSize(vector, (ulong)members.Length);
        var child = Vectors.DuckDBListVectorGetChild(vector);
        if (column.HasTimes)
        {
            FillTimes(Vectors.DuckDBStructVectorGetChild(child, 1), members);
            child = Vectors.DuckDBStructVectorGetChild(child, 0);
        }
        if (column.Kind == PhysicalKind.Int64List) FillNumbers(child, members);
        else FillTexts(child, members);
        FillValidity(vector, column, from, count);
    }

    protected override void Free() => _text.Free();

    /// <returns>The members to write, by their place in the column.</returns>
    ReadOnlySpan<int> FillEntries(Span<ListEntry> entries, int from, int count)
    {
        var most = column.End(from + count - 1) - column.Start(from);
        if (_members.Length < most) _members = new int[Math.Max(most, _members.Length * 2)];
        var total = 0;
        for (var row = 0; row < count; row++)
        {
            var kept = _distinct.Select(column.Start(from + row), column.End(from + row), _members.AsSpan(total));
            entries[row] = new((ulong)total, (ulong)kept);
            total += kept;
        }
        return _members.AsSpan(0, total);
    }

    void FillNumbers(nint child, ReadOnlySpan<int> members)
    {
        var data = Data<long>(child, members.Length);
        var numbers = column.Int64s;
        for (var i = 0; i < members.Length; i++) data[i] = numbers[members[i]];
    }

    void FillTexts(nint child, ReadOnlySpan<int> members)
    {
        if (members.IsEmpty) return;
        var ends = column.MemberEnds;
        var start = StartOf(members[0], ends);
        var text = _text.Hold(column.Bytes[start..ends[members[^1]]]);
        fixed (DuckDbString* strings = Data<DuckDbString>(child, members.Length))
        {
            for (var i = 0; i < members.Length; i++)
            {
                var at = StartOf(members[i], ends);
                DuckDbString.Write(strings + i, text + (at - start), ends[members[i]] - at);
            }
        }
    }

    void FillTimes(nint child, ReadOnlySpan<int> members)
    {
        var data = Data<long>(child, members.Length);
        var times = column.MemberTimes;
        var mask = WritableValidity(child);
        for (var i = 0; i < members.Length; i++)
        {
            var time = times[members[i]];
            data[i] = time;
            if (time == ColumnBuffer.NoTime) SetNull(mask, i);
        }
    }

    static int StartOf(int member, ReadOnlySpan<int> ends) => member == 0 ? 0 : ends[member - 1];
}

/// <summary>Finds the members of a set that stand in it more than once.</summary>
sealed class DistinctMembers(ColumnBuffer column)
{
    // below this many members comparing each with each is faster than hashing
    const int MaxComparedMembers = 16;

    int[] _slots = [];

    /// <summary>Writes the members from <paramref name="start"/> to <paramref name="end"/> to <paramref name="kept"/>, the first of equal ones only.</summary>
    /// <returns>How many were written.</returns>
    public int Select(int start, int end, Span<int> kept) =>
        end - start <= MaxComparedMembers ? SelectByComparing(start, end, kept) : SelectByHashing(start, end, kept);

    int SelectByComparing(int start, int end, Span<int> kept)
    {
        var count = 0;
        for (var member = start; member < end; member++)
        {
            var other = 0;
            while (other < count && !AreEqual(kept[other], member)) other++;
            if (other == count) kept[count++] = member;
        }
        return count;
    }

    int SelectByHashing(int start, int end, Span<int> kept)
    {
        var slots = EmptySlots(end - start);
        var count = 0;
        for (var member = start; member < end; member++)
        {
            var slot = HashOf(member) & (slots.Length - 1);
            while (slots[slot] >= 0 && !AreEqual(slots[slot], member)) slot = (slot + 1) & (slots.Length - 1);
            if (slots[slot] >= 0) continue;
            slots[slot] = member;
            kept[count++] = member;
        }
        return count;
    }

    Span<int> EmptySlots(int members)
    {
        var size = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)members * 2);
        if (_slots.Length < size) _slots = new int[size];
        var slots = _slots.AsSpan(0, size);
        slots.Fill(-1);
        return slots;
    }

    bool AreEqual(int a, int b)
    {
        if (column.HasTimes && column.MemberTimes[a] != column.MemberTimes[b]) return false;
        return column.Kind == PhysicalKind.Int64List
            ? column.Int64s[a] == column.Int64s[b]
            : column.MemberText(a).SequenceEqual(column.MemberText(b));
    }

    // HashCode is seeded per process: members cannot be chosen to collide
    int HashOf(int member)
    {
        var hash = new HashCode();
        if (column.HasTimes) hash.Add(column.MemberTimes[member]);
        if (column.Kind == PhysicalKind.Int64List) hash.Add(column.Int64s[member]);
        else hash.AddBytes(column.MemberText(member));
        return hash.ToHashCode();
    }
}
