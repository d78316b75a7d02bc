using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Records;

namespace Sluice.Tests.Load;

/// <summary>One request that goes to a log part by part, as a sink sends a large body. Disposed before it is complete, it is given up.</summary>
sealed class TestUpload : IAsyncDisposable
{
    readonly PartWriter _parts;
    readonly SinkDefinition _sink;
    readonly RecordDecoder _decoder;
    readonly RecordRows _rows;

    public TestUpload(TableLog log, SinkDefinition sink, TableSchema schema)
    {
        (_parts, _sink, _decoder) = (new PartWriter(log), sink, RecordDecoder.Compile(sink, schema));
        _rows = _decoder.Rent();
    }

    /// <summary>Appends a part that is not the last, and returns when it is handed to the log.</summary>
    public async Task AppendAsync(params string[] values)
    {
        var frame = await EncodeAsync(values, hasMore: true);
        _parts.Append(frame, _rows.AcceptedCount);
        _rows.BeginPart();
    }

    public async Task<LogPosition> CompleteAsync(params string[] values) => await _parts.CompleteAsync(await EncodeAsync(values, hasMore: false));

    public ValueTask DisposeAsync() => _parts.DisposeAsync();

    async Task<FrameBuffer> EncodeAsync(string[] values, bool hasMore)
    {
        var body = SampleTable.Body(values);
        BatchReader.Read(body, BodyFormat.Records, RecordOperation.Upsert, _decoder, _sink.MaxRecordsPerRequest, _rows);
        var part = await _parts.NextAsync(hasMore);
        return RecordsFrame.Encode(_decoder, _sink.Id, receivedAtMicroseconds: 60_000_000, new RecordsFrame.Meta("caller", "", default, 0), _rows, body, part);
    }
}
