using System.Text.Json;
using DuckDB.NET.Native;

namespace Sluice.Stores.DuckDb;

/// <summary>A column of an answer.</summary>
/// <param name="Name">"" for an expression without alias.</param>
public sealed record ResultColumn(string Name, ResultType Type);

/// <summary>The answer of one query, read a chunk at a time as the store makes it. One caller at a time.</summary>
public sealed class QueryResult : IDisposable
{
    readonly ResultTypeReader[] _types;
    IdleThread? _thread;
    DuckDBResult _result;
    DuckDBDataChunk? _chunk;
    ResultVector[] _vectors = [];
    long _rowsRead;
    long _maxRows = long.MaxValue;

    QueryResult(DuckDBResult result, QueryProof? proof)
    {
        _result = result;
        var count = (int)NativeMethods.Query.DuckDBColumnCount(ref _result);
        var columns = new ResultColumn[count];
        _types = new ResultTypeReader[count];
        for (var i = 0; i < count; i++)
        {
            var name = NativeMethods.Query.DuckDBColumnName(ref _result, i);
            using var type = NativeMethods.Query.DuckDBColumnLogicalType(ref _result, i);
            _types[i] = ResultTypeReader.Read(type, $"column {i + 1} ({name})");
            columns[i] = new ResultColumn(proof is null || proof.IsNamed(i, count) ? name : "", ResultType.Of(_types[i], name));
        }
        Columns = columns;
    }

    public IReadOnlyList<ResultColumn> Columns { get; }

    /// <summary>Cancelled when the query's time is over or its client has gone: pass it to whatever the answer is written to.</summary>
    public CancellationToken Cancellation { get; private set; }

    /// <summary>Rows of the present chunk.</summary>
    public int RowCount { get; private set; }

    internal static QueryResult Execute(DuckDBPreparedStatement statement, QueryProof? proof)
    {
        var state = NativeMethods.PreparedStatements.DuckDBExecutePreparedStreaming(statement, out var result);
        try
        {
            if (state != DuckDBState.Success)
                throw QueryException.FromDuckDb(NativeMethods.Query.DuckDBResultError(ref result), "");
            return new QueryResult(result, proof);
        }
        catch
        {
            result.Close();
            throw;
        }
    }

    internal void Limit(long maxRows, IdleThread thread, CancellationToken cancellation)
    {
        _maxRows = maxRows;
        _thread = thread;
        Cancellation = cancellation;
    }

    /// <summary>Does work on the query's own thread, which makes room for requests: whatever takes time for each row belongs there.</summary>
    public Task<T> RunAsync<T>(Func<T> work)
    {
        Cancellation.ThrowIfCancellationRequested();
        return _thread!.RunAsync(work);
    }

    /// <summary>Goes to the next chunk; false: there is none.</summary>
    /// <exception cref="QueryException">The query failed, or the answer has too many rows.</exception>
    public async ValueTask<bool> ReadChunkAsync()
    {
        var isRow = await RunAsync(Fetch); // DuckDB computes while it is asked for a chunk
        _rowsRead += RowCount;
        if (_rowsRead > _maxRows)
            throw new QueryException($"the answer has more than {_maxRows} rows; add a LIMIT");
        return isRow;
    }

    /// <summary>Writes one cell of the present chunk as JSON.</summary>
    public void WriteCell(Utf8JsonWriter writer, int column, int row) => CellWriter.Write(writer, _vectors[column], row);

    bool Fetch()
    {
        _chunk?.Dispose();
        _chunk = NativeMethods.StreamingResult.DuckDBStreamFetchChunk(_result);
        RowCount = 0;
        if (_chunk.IsInvalid)
        {
            if (NativeMethods.Query.DuckDBResultError(ref _result) is { Length: > 0 } error)
                throw QueryException.FromDuckDb(error, "");
            return false;
        }
        RowCount = (int)NativeMethods.DataChunks.DuckDBDataChunkGetSize(_chunk);
        _vectors = new ResultVector[_types.Length];
        for (var i = 0; i < _vectors.Length; i++)
            _vectors[i] = ResultVector.Of(NativeMethods.DataChunks.DuckDBDataChunkGetVector(_chunk, i), _types[i]);
        return RowCount > 0;
    }

    public void Dispose()
    {
        _chunk?.Dispose();
        _result.Close();
    }
}
