using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text.Encodings.Web;
using System.Text.Json;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Sql;

/// <summary>
/// The JSON answer of one statement, written as it comes. Members in the original's order: <c>schema</c>, <c>data</c>, <c>error</c>,
/// <c>warnings</c>, <c>query-plan</c>, <c>rows-affected</c>, <c>execution-time</c> (microseconds).
/// </summary>
/// <remarks>
/// <c>error</c> is there only when the statement failed: clients take its mere presence for failure. A query that fails after its first
/// rows has <c>schema</c>, the rows so far, and <c>error</c>. Rows are turned into bytes on the query's own thread, a piece at a time; the next piece is made when the client has room for it.
/// One caller at a time.
/// </remarks>
sealed class SqlAnswer : IDisposable
{
    // no smaller than what Kestrel buffers for a connection before it makes the sender wait
    const int PieceBytes = 64 * 1024;

    readonly PipeWriter _output;
    readonly Utf8JsonWriter _writer;
    readonly long _maxBytes;
    readonly TimeProvider _time;
    readonly long _started;
    long _rowCount;
    bool _inData;
    string? _plan;
    Task _sending = Task.CompletedTask;

    public SqlAnswer(PipeWriter output, long maxBytes, TimeProvider time)
    {
        _output = output;
        _maxBytes = maxBytes;
        _time = time;
        _started = time.GetTimestamp();
        // The answer is JSON in a body of its own, never part of a page: only what JSON itself demands is escaped.
        _writer = new Utf8JsonWriter(output, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        _writer.WriteStartObject();
    }

    /// <summary>Most rows of a query that are written; <c>null</c>: all.</summary>
    public long? FirstRows { get; init; }

    /// <summary>Writes the rows of a query.</summary>
    /// <exception cref="QueryException">The query failed or its answer is too long; finish with <see cref="FinishAsync"/>.</exception>
    public async ValueTask WriteAsync(QueryResult result)
    {
        // The first chunk comes before the schema, so that a query that fails at once answers with its error alone.
        var hasRows = await result.ReadChunkAsync();
        BeginData(result.Columns);
        while (hasRows)
        {
            for (var row = 0; row < result.RowCount && _rowCount != FirstRows;)
            {
                row = await result.RunAsync(() => WriteRows(result, row));
                await SendAsync(result.Cancellation);
            }
            hasRows = _rowCount != FirstRows && await result.ReadChunkAsync();
        }
        EndData();
    }

    /// <summary>Keeps the plan of the query, for the end of the answer.</summary>
    public async ValueTask ReadPlanAsync(QueryResult result)
    {
        var cells = new ArrayBufferWriter<byte>();
        while (await result.ReadChunkAsync())
        {
            using var writer = new Utf8JsonWriter(cells);
            result.WriteCell(writer, result.Columns.Count - 1, 0);
        }
        using var cell = JsonDocument.Parse(cells.WrittenMemory);
        using var plan = JsonDocument.Parse(cell.RootElement.GetString()!);
        _plan = (plan.RootElement.ValueKind == JsonValueKind.Array ? plan.RootElement[0] : plan.RootElement).GetRawText();
    }

    /// <summary>Writes rows made here: strings, numbers, booleans, times and nulls.</summary>
    public void Write(IReadOnlyList<ResultColumn> columns, IEnumerable<object?[]> rows)
    {
        BeginData(columns);
        foreach (var row in rows)
        {
            _writer.WriteStartArray();
            foreach (var cell in row)
                WriteCell(cell);
            _writer.WriteEndArray();
        }
        EndData();
    }

    /// <summary>Ends the answer.</summary>
    /// <param name="rowsAffected">Of a statement that writes; <c>null</c> for every other.</param>
    public async ValueTask FinishAsync(string? error, IReadOnlyList<string> warnings, long? rowsAffected, CancellationToken cancellation)
    {
        await _sending; // a client that takes nothing is cut off by the least rate of answers
        if (_inData)
            EndData();
        if (error is not null)
            _writer.WriteString("error", error);
        if (warnings.Count > 0)
        {
            _writer.WriteStartArray("warnings");
            foreach (var warning in warnings)
                _writer.WriteStringValue(warning);
            _writer.WriteEndArray();
        }
        if (_plan is not null)
        {
            _writer.WritePropertyName("query-plan");
            _writer.WriteRawValue(_plan);
        }
        if (rowsAffected is { } count)
            _writer.WriteNumber("rows-affected", count);
        _writer.WriteNumber("execution-time", _time.GetElapsedTime(_started).Ticks / TimeSpan.TicksPerMicrosecond);
        _writer.WriteEndObject();
        await _writer.FlushAsync(cancellation);
        await _output.FlushAsync(cancellation);
    }

    /// <summary>What was not sent yet is dropped when the answer was never finished: the host then answers with a refusal.</summary>
    public void Dispose()
    {
        _writer.Reset();
        _writer.Dispose();
    }

    /// <summary>
    /// Hands over what was written and waits until the client has room for more, no longer than the query may run. The sending itself goes on: Kestrel cuts the connection when it is cancelled, and
    /// then there is no way to say what became of the query.
    /// </summary>
    Task SendAsync(CancellationToken stop)
    {
        _sending = _output.FlushAsync(CancellationToken.None).AsTask();
        return _sending.WaitAsync(stop);
    }

    void BeginData(IReadOnlyList<ResultColumn> columns)
    {
        _writer.WriteStartObject("schema");
        _writer.WriteStartArray("fields");
        foreach (var column in columns)
        {
            _writer.WriteStartObject();
            _writer.WriteString("name", column.Name);
            _writer.WriteString("type", column.Type.Name);
            _writer.WriteString("base-type", column.Type.BaseName);
            WriteTypeInfo(column.Type);
            _writer.WriteEndObject();
        }
        _writer.WriteEndArray();
        _writer.WriteEndObject();
        _writer.WriteStartArray("data");
        _inData = true;
    }

    void WriteTypeInfo(ResultType type)
    {
        if (type.Scale is not { } scale)
        {
            _writer.WriteNull("type-info");
            return;
        }
        _writer.WriteStartObject("type-info");
        _writer.WriteNumber("scale", scale);
        _writer.WriteEndObject();
    }

    void EndData()
    {
        _writer.WriteEndArray();
        _inData = false;
    }

    /// <returns>The first row of the chunk that is not written.</returns>
    int WriteRows(QueryResult result, int row)
    {
        var end = _writer.BytesCommitted + _writer.BytesPending + PieceBytes;
        for (; row < result.RowCount && _rowCount != FirstRows && _writer.BytesCommitted + _writer.BytesPending < end; row++, _rowCount++)
            WriteRow(result, row);
        _writer.Flush();
        return row;
    }

    void WriteRow(QueryResult result, int row)
    {
        _writer.WriteStartArray();
        for (var column = 0; column < result.Columns.Count; column++)
            result.WriteCell(_writer, column, row);
        _writer.WriteEndArray();
        if (_writer.BytesCommitted + _writer.BytesPending > _maxBytes)
            throw new QueryException($"the answer is longer than {_maxBytes} bytes; add a LIMIT");
    }

    void WriteCell(object? cell)
    {
        switch (cell)
        {
            case null:
                _writer.WriteNullValue();
                break;
            case bool value:
                _writer.WriteBooleanValue(value);
                break;
            case long value:
                _writer.WriteNumberValue(value);
                break;
            case DateTimeOffset time:
                _writer.WriteStringValue(time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture));
                break;
            default:
                _writer.WriteStringValue((string)cell);
                break;
        }
    }
}
