using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Sluice.Idempotency;

/// <summary>
/// Where the request of each key stands in its log, oldest first: 28 bytes a key, in blocks that go as they came, and 5 to 11 bytes in a table that is
/// searched by the key. One thread at a time.
/// </summary>
sealed class IdempotencyIndex
{
    const int BlockEntries = 1 << 14;
    const int FirstSlots = 1 << 10;

    readonly List<Entry[]> _blocks = [];
    uint[] _slots = new uint[FirstSlots]; // low bits of the ordinal of an entry; 0 is empty
    ulong _blocksStart = BlockEntries; // ordinal of the first entry of the first block
    ulong _first = BlockEntries;
    ulong _next = BlockEntries;
    int _used;

    /// <summary>Entries, those included whose key was added again later.</summary>
    public int Count => (int)(_next - _first);

    /// <summary>What the blocks and the table take.</summary>
    public long MemoryBytes => ((long)_blocks.Count * BlockEntries * Unsafe.SizeOf<Entry>()) + ((long)_slots.Length * sizeof(uint));

    /// <summary>When the oldest was received, seconds since 1970. Only while there is one.</summary>
    public uint OldestSeconds => At(_first).Seconds;

    /// <summary>Adds a key, or gives it another place.</summary>
    public void Add(UInt128 key, ulong sequence, uint seconds)
    {
        if ((uint)_next == 0) AddEntry(default); // the number that means an empty slot
        if ((_used + 1) * 4L > _slots.Length * 3L) Grow();
        var slot = FindSlot(key);
        if (_slots[slot] == 0) _used++;
        _slots[slot] = (uint)_next;
        AddEntry(new Entry { High = (ulong)(key >> 64), Low = (ulong)key, Sequence = sequence, Seconds = seconds });
    }

    public bool TryFind(UInt128 key, out ulong sequence, out uint seconds)
    {
        var slot = FindSlot(key);
        (sequence, seconds) = (0, 0);
        if (_slots[slot] == 0) return false;
        ref readonly var entry = ref At(OrdinalOf(_slots[slot]));
        (sequence, seconds) = (entry.Sequence, entry.Seconds);
        return true;
    }

    /// <summary>Forgets the oldest. Only while there is one.</summary>
    public void RemoveOldest()
    {
        ref readonly var entry = ref At(_first);
        var slot = FindSlot(new UInt128(entry.High, entry.Low));
        if (_slots[slot] != 0 && OrdinalOf(_slots[slot]) == _first) Free(slot);
        if (++_first < _blocksStart + BlockEntries) return;
        _blocks.RemoveAt(0);
        _blocksStart += BlockEntries;
    }

    void AddEntry(in Entry entry)
    {
        var place = _next++ - _blocksStart;
        if (place / BlockEntries == (ulong)_blocks.Count) _blocks.Add(new Entry[BlockEntries]);
        _blocks[(int)(place / BlockEntries)][place % BlockEntries] = entry;
    }

    ref readonly Entry At(ulong ordinal)
    {
        var place = ordinal - _blocksStart;
        return ref _blocks[(int)(place / BlockEntries)][place % BlockEntries];
    }

    ulong OrdinalOf(uint low) => _first + (low - (uint)_first);

    int FindSlot(UInt128 key)
    {
        var (high, low) = ((ulong)(key >> 64), (ulong)key);
        var slot = (int)low & (_slots.Length - 1);
        for (; _slots[slot] != 0; slot = (slot + 1) & (_slots.Length - 1))
        {
            ref readonly var entry = ref At(OrdinalOf(_slots[slot]));
            if (entry.Low == low && entry.High == high) break;
        }
        return slot;
    }

    /// <summary>Empties a slot and closes the gap in the run of slots after it.</summary>
    void Free(int slot)
    {
        var mask = _slots.Length - 1;
        for (var next = (slot + 1) & mask; _slots[next] != 0; next = (next + 1) & mask)
        {
            var home = (int)At(OrdinalOf(_slots[next])).Low & mask;
            if (((next - home) & mask) < ((next - slot) & mask)) continue;
            _slots[slot] = _slots[next];
            slot = next;
        }
        _slots[slot] = 0;
        _used--;
    }

    void Grow()
    {
        var old = _slots;
        _slots = new uint[old.Length * 2];
        foreach (var low in old)
        {
            if (low == 0) continue;
            ref readonly var entry = ref At(OrdinalOf(low));
            _slots[FindSlot(new UInt128(entry.High, entry.Low))] = low;
        }
    }

    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    struct Entry
    {
        public ulong High;
        public ulong Low;
        public ulong Sequence;
        public uint Seconds;
    }
}
