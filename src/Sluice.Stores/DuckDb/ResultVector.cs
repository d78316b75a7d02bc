using DuckDB.NET.Native;

namespace Sluice.Stores.DuckDb;

/// <summary>The cells of one column of one chunk. Valid until the chunk is released.</summary>
sealed unsafe class ResultVector
{
    readonly ulong* _validity;
    readonly byte* _data;

    ResultVector(nint vector, ResultTypeReader type)
    {
        Type = type;
        _data = (byte*)NativeMethods.Vectors.DuckDBVectorGetData(vector);
        _validity = NativeMethods.Vectors.DuckDBVectorGetValidity(vector);
        Child = type.Id switch
        {
            DuckDBType.List => new(NativeMethods.Vectors.DuckDBListVectorGetChild(vector), type.Children[0]),
            DuckDBType.Array => new(NativeMethods.Vectors.DuckDBArrayVectorGetChild(vector), type.Children[0]),
            DuckDBType.Struct => new(NativeMethods.Vectors.DuckDBStructVectorGetChild(vector, 0), type.Children[0]),
            _ => null,
        };
    }

    internal static ResultVector Of(nint vector, ResultTypeReader type) => new(vector, type);

    internal ResultTypeReader Type { get; }

    /// <summary>The members of a list or array; the value of a quantum member.</summary>
    internal ResultVector? Child { get; }

    internal bool IsNull(long row) =>
        Type.Id == DuckDBType.SqlNull || (_validity is not null && (_validity[row >> 6] & (1UL << (int)(row & 63))) == 0);

    internal T Read<T>(long row) where T : unmanaged => ((T*)_data)[row];

    /// <summary>UTF-8. DuckDB keeps up to 12 bytes in place, longer text behind a pointer.</summary>
    internal ReadOnlySpan<byte> ReadText(long row)
    {
        var cell = _data + (row * 16);
        var length = *(int*)cell;
        return new ReadOnlySpan<byte>(length <= 12 ? cell + 4 : *(byte**)(cell + 8), length);
    }

    /// <summary>Where the members of a row's list stand in <see cref="Child"/>.</summary>
    internal (long Start, long Length) ReadRange(long row)
    {
        if (Type.Id == DuckDBType.Array)
            return (row * Type.ArrayLength, Type.ArrayLength);
        var entry = (ulong*)(_data + (row * 16));
        return ((long)entry[0], (long)entry[1]);
    }
}
