using System.Runtime.CompilerServices;
using DuckDB.NET.Data;
using DuckDB.NET.Native;
using static DuckDB.NET.Native.NativeMethods;
using NativeAppender = DuckDB.NET.Native.DuckDBAppender;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// Appends rows to one table as DuckDB data chunks, straight from column buffers: no row is materialised and nothing is allocated
/// for a row or a value. Part of the connection's transaction.
/// </summary>
/// <remarks>
/// DuckDB stores chunks as they are: the ranges of all values must have been checked before. Use, in this order: Open, Append,
/// Complete, Dispose. Without <see cref="Complete"/> the rows are dropped.
/// </remarks>
sealed class ChunkWriter : IDisposable
{
    /// <summary>DuckDB's vector size: what one chunk can hold.</summary>
    const int MaxRowsPerChunk = 2_048;

    // a chunk has room for 2,048 vectors of up to 65,535 doubles; filling fewer rows keeps the memory it touches at about 1 MiB a column
    const int MaxVectorElementsPerChunk = 131_072;

    readonly NativeAppender _appender;
    readonly DuckDBDataChunk _chunk;
    readonly ChunkSource[] _sources;
    readonly int _rowsPerChunk;
    bool _isCompleted;

    ChunkWriter(NativeAppender appender, DuckDBDataChunk chunk, ChunkSource[] sources)
    {
        _appender = appender;
        _chunk = chunk;
        _sources = sources;
        var widest = sources.Max(source => source.ElementsPerRow);
        _rowsPerChunk = Math.Clamp(MaxVectorElementsPerChunk / widest, 1, MaxRowsPerChunk);
    }

    /// <param name="sources">One for each column of the table, in its order. Disposed with the writer.</param>
    public static ChunkWriter Open(DuckDBConnection connection, string catalog, string table, ChunkSource[] sources)
    {
        var created = Appender.DuckDBAppenderCreateExt(connection.NativeConnection, catalog, "main", table, out var appender);
        try
        {
            if (created == DuckDBState.Error) throw ErrorOf(appender);
            if (Appender.DuckDBAppenderColumnCount(appender) != (ulong)sources.Length)
                throw new InvalidOperationException($"table {table} does not have {sources.Length} columns");
            return new ChunkWriter(appender, CreateChunk(appender, sources.Length), sources);
        }
        catch
        {
            appender.Dispose();
            foreach (var source in sources) source.Dispose();
            throw;
        }
    }

    public void Append(int rowCount)
    {
        for (var from = 0; from < rowCount; from += _rowsPerChunk)
        {
            var count = Math.Min(_rowsPerChunk, rowCount - from);
            DataChunks.DuckDBDataChunkReset(_chunk);
            for (var column = 0; column < _sources.Length; column++)
                _sources[column].Fill(DataChunks.DuckDBDataChunkGetVector(_chunk, column), from, count);
            DataChunks.DuckDBDataChunkSetSize(_chunk, (ulong)count);
            Check(Appender.DuckDBAppendDataChunk(_appender, _chunk));
        }
    }

    /// <summary>Hands the last rows to the table.</summary>
    public void Complete()
    {
        Check(Appender.DuckDBAppenderFlush(_appender));
        _isCompleted = true;
    }

    public void Dispose()
    {
        // destroying an appender flushes what it holds, which after an error must not reach the table
        if (!_isCompleted) Appender.DuckDBAppenderClear(_appender);
        _appender.Dispose();
        _chunk.Dispose();
        foreach (var source in _sources) source.Dispose();
    }

    static DuckDBDataChunk CreateChunk(NativeAppender appender, int columnCount)
    {
        var types = new DuckDBLogicalType[columnCount];
        for (var column = 0; column < columnCount; column++) types[column] = Appender.DuckDBAppenderColumnType(appender, (ulong)column);
        var handles = Array.ConvertAll(types, type => type.DangerousGetHandle());
        var chunk = DataChunks.DuckDBCreateDataChunk(handles, (ulong)columnCount);
        foreach (var type in types) type.Dispose();
        return chunk;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    void Check(DuckDBState state)
    {
        if (state == DuckDBState.Error) throw ErrorOf(_appender);
    }

    static DuckDbNativeException ErrorOf(NativeAppender appender)
    {
        using var error = Appender.DuckDBAppenderErrorData(appender);
        return new DuckDbNativeException(ErrorData.DuckDBErrorDataErrorType(error), error.Message ?? "the appender failed");
    }
}
