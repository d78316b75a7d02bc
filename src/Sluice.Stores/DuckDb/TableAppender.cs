using DuckDB.NET.Data;
using DuckDB.NET.Native;
using static DuckDB.NET.Native.NativeMethods;
using NativeAppender = DuckDB.NET.Native.DuckDBAppender;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// Appends DuckDB data chunks to one table, as part of the connection's transaction. Chunks are filled straight from column
/// buffers: no row is materialised and nothing is allocated for a row or a value.
/// </summary>
/// <remarks>
/// DuckDB stores chunks as they are: the ranges of all values must have been checked before. Rows count when
/// <see cref="Complete"/> has returned; without it they are dropped.
/// </remarks>
sealed class TableAppender : IDisposable
{
    /// <summary>DuckDB's vector size: what one chunk can hold.</summary>
    const int MaxRowsPerChunk = 2_048;

    // a chunk has room for 2,048 vectors of up to 65,535 doubles; filling fewer rows keeps what it touches at about 1 MiB a column
    const int MaxElementsPerChunk = 131_072;

    readonly NativeAppender _appender;
    bool _isCompleted;

    TableAppender(NativeAppender appender) => _appender = appender;

    /// <param name="catalog">The database, or <c>temp</c>.</param>
    public static TableAppender Open(DuckDBConnection connection, string catalog, string table)
    {
        var state = Appender.DuckDBAppenderCreateExt(connection.NativeConnection, catalog, "main", table, out var native);
        var appender = new TableAppender(native);
        if (state == DuckDBState.Success) return appender;
        using (appender) throw appender.Error();
    }

    /// <param name="sources">One for each column of the table, in its order.</param>
    public void Append(ReadOnlySpan<ChunkSource> sources, int rowCount)
    {
        if (Appender.DuckDBAppenderColumnCount(_appender) != (ulong)sources.Length)
            throw new ArgumentException($"the table does not have {sources.Length} columns", nameof(sources));
        using var chunk = CreateChunk(sources.Length);
        var rowsPerChunk = RowsPerChunk(sources);
        for (var from = 0; from < rowCount; from += rowsPerChunk)
        {
            var count = Math.Min(rowsPerChunk, rowCount - from);
            DataChunks.DuckDBDataChunkReset(chunk);
            for (var column = 0; column < sources.Length; column++)
                sources[column].Fill(DataChunks.DuckDBDataChunkGetVector(chunk, column), from, count);
            DataChunks.DuckDBDataChunkSetSize(chunk, (ulong)count);
            Check(Appender.DuckDBAppendDataChunk(_appender, chunk));
        }
    }

    /// <summary>Appends what a statement returned.</summary>
    /// <returns>The number of rows.</returns>
    public long Append(DuckDBResult result)
    {
        var rowCount = 0L;
        while (true)
        {
            using var chunk = Query.DuckDBFetchChunk(result);
            if (chunk.IsInvalid) return rowCount;
            rowCount += (long)DataChunks.DuckDBDataChunkGetSize(chunk);
            Check(Appender.DuckDBAppendDataChunk(_appender, chunk));
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
    }

    DuckDBDataChunk CreateChunk(int columnCount)
    {
        var types = new DuckDBLogicalType[columnCount];
        for (var column = 0; column < columnCount; column++) types[column] = Appender.DuckDBAppenderColumnType(_appender, (ulong)column);
        var chunk = DataChunks.DuckDBCreateDataChunk(Array.ConvertAll(types, type => type.DangerousGetHandle()), (ulong)columnCount);
        foreach (var type in types) type.Dispose();
        return chunk;
    }

    static int RowsPerChunk(ReadOnlySpan<ChunkSource> sources)
    {
        var widest = 1;
        foreach (var source in sources) widest = Math.Max(widest, source.ElementsPerRow);
        return Math.Clamp(MaxElementsPerChunk / widest, 1, MaxRowsPerChunk);
    }

    void Check(DuckDBState state)
    {
        if (state == DuckDBState.Error) throw Error();
    }

    DuckDbNativeException Error()
    {
        using var error = Appender.DuckDBAppenderErrorData(_appender);
        return new DuckDbNativeException(ErrorData.DuckDBErrorDataErrorType(error), error.Message ?? "the appender failed");
    }
}
