using System.IO.Hashing;
using System.Numerics;
using System.Security.Cryptography;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Load;

/// <summary>
/// Finds, for each row of a key column, the row before it with the same key. Open addressing over row numbers; the hash is seeded, so
/// that no sender can choose keys that collide. Reused; one thread at a time.
/// </summary>
sealed class KeyIndex
{
    readonly ulong _seed = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))) | 1;
    int[] _slots = []; // row + 1; 0: empty

    public void Reset(int rowCount)
    {
        var size = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(16, rowCount * 2));
        if (_slots.Length < size || _slots.Length > size * 16) _slots = new int[size];
        else Array.Clear(_slots);
    }

    /// <summary>Puts the row in; returns the last row put in with the same key, or -1.</summary>
    public int Put(ColumnBuffer key, int row)
    {
        var mask = _slots.Length - 1;
        for (var slot = (int)Hash(key, row) & mask; ; slot = (slot + 1) & mask)
        {
            var other = _slots[slot] - 1;
            if (other >= 0 && !AreEqual(key, row, other)) continue;
            _slots[slot] = row + 1;
            return other;
        }
    }

    ulong Hash(ColumnBuffer key, int row)
    {
        if (key.Kind == PhysicalKind.Text) return XxHash3.HashToUInt64(key.Text(row), (long)_seed);
        var mixed = Math.BigMul((ulong)key.Int64s[row] ^ _seed, 0x9E3779B97F4A7C15, out var low);
        return mixed ^ low;
    }

    static bool AreEqual(ColumnBuffer key, int a, int b) => key.Kind == PhysicalKind.Text
        ? key.Text(a).SequenceEqual(key.Text(b))
        : key.Int64s[a] == key.Int64s[b];
}
