using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sluice.Records;

namespace Sluice.Stores.DuckDb;

/// <summary>DuckDB's string: up to 12 bytes in place, a longer one as its first 4 bytes and a pointer.</summary>
/// <remarks>Mirrors <c>duckdb_string_t</c> of duckdb.h. The unused bytes of a short string must be zero: strings are compared as words.</remarks>
[StructLayout(LayoutKind.Sequential, Size = 16)]
unsafe struct DuckDbString
{
    const int MaxInlineBytes = 12;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Write(DuckDbString* at, byte* text, int length)
    {
        var words = (ulong*)at;
        if (length > MaxInlineBytes)
        {
            words[0] = (uint)length | (ulong)*(uint*)text << 32;
            words[1] = (ulong)text;
            return;
        }
        words[0] = (uint)length;
        words[1] = 0;
        Unsafe.CopyBlockUnaligned((byte*)at + sizeof(uint), text, (uint)length);
    }
}

/// <summary>Bytes outside the managed heap that the long strings of one chunk point into; DuckDB copies them when it takes the chunk.</summary>
unsafe struct ChunkText
{
    byte* _bytes;
    int _capacity;

    /// <summary>Copies the text; the result holds until the next call.</summary>
    public byte* Hold(ReadOnlySpan<byte> text)
    {
        if (text.Length > _capacity || _bytes is null)
        {
            _capacity = Math.Max(text.Length, Math.Max(4_096, _capacity * 2));
            _bytes = (byte*)NativeMemory.Realloc(_bytes, (nuint)_capacity);
        }
        text.CopyTo(new Span<byte>(_bytes, _capacity));
        return _bytes;
    }

    public void Free()
    {
        NativeMemory.Free(_bytes);
        _bytes = null;
        _capacity = 0;
    }
}

sealed unsafe class TextSource(ColumnBuffer column) : ChunkSource
{
    ChunkText _text;

    public override void Fill(nint vector, int from, int count)
    {
        var ends = column.Ends.Slice(from, count);
        var start = column.Start(from);
        var text = _text.Hold(column.Bytes[start..ends[^1]]);
        fixed (DuckDbString* strings = Data<DuckDbString>(vector, count))
        {
            var at = 0;
            for (var row = 0; row < count; row++)
            {
                var end = ends[row] - start;
                DuckDbString.Write(strings + row, text + at, end - at);
                at = end;
            }
        }
        FillValidity(vector, column, from, count);
    }

    protected override void Free() => _text.Free();
}
