using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Sluice.Records;
using Sluice.Schema;
using static DuckDB.NET.Native.NativeMethods;

namespace Sluice.Stores.DuckDb;

/// <summary>Where the values of one column of a chunk come from. One thread at a time.</summary>
abstract unsafe class ChunkSource : IDisposable
{
    /// <summary>Elements a row takes in the chunk whether it has a value or not: more than 1 for vectors only.</summary>
    public virtual int ElementsPerRow => 1;

    /// <summary>Writes rows <paramref name="from"/> to <paramref name="from"/> + <paramref name="count"/> as rows 0 and up of an empty vector.</summary>
    public abstract void Fill(nint vector, int from, int count);

    /// <summary>Gives back memory outside the managed heap.</summary>
    public void Dispose() => Free();

    /// <summary>The values of a column of the batch; a set without repeated members.</summary>
    public static ChunkSource Cells(ColumnBuffer column) => column.Kind switch
    {
        PhysicalKind.Int64 => new Int64Source(column),
        PhysicalKind.Bool => new BoolSource(column),
        PhysicalKind.Text => new TextSource(column),
        PhysicalKind.Int64List or PhysicalKind.TextList => new ListSource(column),
        PhysicalKind.Float64Vector => new VectorSource(column),
        _ => throw new InvalidOperationException($"physical kind {column.Kind} has no DuckDB form"),
    };

    /// <summary>Null in every row.</summary>
    public static ChunkSource Nulls(int elementsPerRow) => new NullSource(elementsPerRow);

    /// <summary>BOOLEAN: whether the row says anything of the column, null included.</summary>
    public static ChunkSource IsPresent(ColumnBuffer column) => new PresenceSource(column);

    public static ChunkSource IngestedAt(RowBatch rows) => new IngestedAtSource(rows);

    public static ChunkSource SinkId(RowBatch rows) => new SinkIdSource(rows);

    public static ChunkSource Position(RowBatch rows) => new PositionSource(rows);

    protected virtual void Free() { }

    protected static Span<T> Data<T>(nint vector, int count) where T : unmanaged => new(Vectors.DuckDBVectorGetData(vector), count);

    /// <summary>The validity mask of a vector, all valid, one bit a row.</summary>
    protected static ulong* WritableValidity(nint vector)
    {
        Vectors.DuckDBVectorEnsureValidityWritable(vector);
        return Vectors.DuckDBVectorGetValidity(vector);
    }

    /// <summary>Marks every row null that is not a value.</summary>
    /// <returns>Whether there was one.</returns>
    protected static bool FillValidity(nint vector, ColumnBuffer column, int from, int count)
    {
        if (column.ValueCount == column.RowCount) return false;
        var states = column.States.Slice(from, count);
        if (!MemoryMarshal.AsBytes(states).ContainsAnyExcept((byte)CellState.Value)) return false;
        var mask = WritableValidity(vector);
        for (var row = 0; row < count; row += 64)
        {
            var bits = ulong.MaxValue;
            var word = states.Slice(row, Math.Min(64, count - row));
            for (var bit = 0; bit < word.Length; bit++)
                if (word[bit] != CellState.Value) bits &= ~(1UL << bit);
            mask[row / 64] = bits;
        }
        return true;
    }

    protected static void SetNull(ulong* mask, int row) => mask[row / 64] &= ~(1UL << (row % 64));
}

sealed unsafe class Int64Source(ColumnBuffer column) : ChunkSource
{
    public override void Fill(nint vector, int from, int count)
    {
        column.Int64s.Slice(from, count).CopyTo(Data<long>(vector, count));
        FillValidity(vector, column, from, count);
    }
}

sealed unsafe class BoolSource(ColumnBuffer column) : ChunkSource
{
    public override void Fill(nint vector, int from, int count)
    {
        column.Bytes.Slice(from, count).CopyTo(Data<byte>(vector, count));
        FillValidity(vector, column, from, count);
    }
}

sealed unsafe class VectorSource(ColumnBuffer column) : ChunkSource
{
    public override int ElementsPerRow => column.VectorLength;

    public override void Fill(nint vector, int from, int count)
    {
        var length = column.VectorLength;
        var child = Vectors.DuckDBArrayVectorGetChild(vector);
        column.Float64s.Slice(from * length, count * length).CopyTo(Data<double>(child, count * length));
        if (FillValidity(vector, column, from, count)) ClearElementsOfNulls(child, from, count);
    }

    // the elements of a null array are null too: so DuckDB builds them itself
    void ClearElementsOfNulls(nint child, int from, int count)
    {
        var mask = WritableValidity(child);
        for (var row = 0; row < count; row++)
        {
            if (column.States[from + row] == CellState.Value) continue;
            for (var element = 0; element < column.VectorLength; element++) SetNull(mask, row * column.VectorLength + element);
        }
    }
}

sealed unsafe class NullSource(int elementsPerRow) : ChunkSource
{
    public override int ElementsPerRow => elementsPerRow;

    public override void Fill(nint vector, int from, int count)
    {
        new Span<ulong>(WritableValidity(vector), (count + 63) / 64).Clear();
        if (elementsPerRow == 1) return;
        var child = Vectors.DuckDBArrayVectorGetChild(vector);
        new Span<ulong>(WritableValidity(child), (count * elementsPerRow + 63) / 64).Clear();
    }
}

sealed unsafe class PresenceSource(ColumnBuffer column) : ChunkSource
{
    public override void Fill(nint vector, int from, int count)
    {
        var states = column.States.Slice(from, count);
        var data = Data<bool>(vector, count);
        for (var row = 0; row < count; row++) data[row] = states[row] != CellState.Absent;
    }
}

sealed unsafe class IngestedAtSource(RowBatch rows) : ChunkSource
{
    readonly long[] _timeOfOrigin = [.. rows.Origins.Select(origin => origin.ReceivedAtMicroseconds)];

    public override void Fill(nint vector, int from, int count)
    {
        var origins = rows.OriginOfRow.Slice(from, count);
        var data = Data<long>(vector, count);
        for (var row = 0; row < count; row++) data[row] = _timeOfOrigin[origins[row]];
    }
}

sealed unsafe class SinkIdSource(RowBatch rows) : ChunkSource
{
    /// <summary>DuckDB keeps a UUID as a signed 128-bit integer with the first bit flipped, so that it sorts as its text does.</summary>
    [StructLayout(LayoutKind.Sequential)]
    readonly record struct Uuid(ulong Lower, ulong Upper);

    readonly Uuid[] _sinkOfOrigin = [.. rows.Origins.Select(origin => ToUuid(origin.SinkId))];

    public override void Fill(nint vector, int from, int count)
    {
        var origins = rows.OriginOfRow.Slice(from, count);
        var data = Data<Uuid>(vector, count);
        for (var row = 0; row < count; row++) data[row] = _sinkOfOrigin[origins[row]];
    }

    static Uuid ToUuid(Guid id)
    {
        Span<byte> bytes = stackalloc byte[16];
        id.TryWriteBytes(bytes, bigEndian: true, out _);
        return new(BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]), BinaryPrimitives.ReadUInt64BigEndian(bytes) ^ (1UL << 63));
    }
}

sealed unsafe class PositionSource(RowBatch rows) : ChunkSource
{
    public override void Fill(nint vector, int from, int count) =>
        rows.Positions.Slice(from, count).CopyTo(Data<ulong>(vector, count));
}
