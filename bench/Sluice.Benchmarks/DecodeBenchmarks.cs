using System.Text.Json;
using BenchmarkDotNet.Attributes;
using Sluice.Log;
using Sluice.Records;

namespace Sluice.Benchmarks;

/// <summary>From a request body to typed columns, and on to the frame of the log, against only looking at every token.</summary>
[MemoryDiagnoser]
[ShortRunJob]
public class DecodeBenchmarks
{
    byte[] _body = [];

    [Params(1, 100, 1000)]
    public int Records { get; set; }

    [GlobalSetup]
    public void MakeBody() => _body = SampleBatch.Body(Records);

    [Benchmark(Baseline = true)]
    public int Scan()
    {
        var reader = new Utf8JsonReader(_body);
        var tokens = 0;
        while (reader.Read()) tokens++;
        return tokens;
    }

    [Benchmark]
    public int Decode()
    {
        var rows = SampleBatch.Decoder.Rent();
        BatchReader.Read(_body, BodyFormat.Records, RecordOperation.Upsert, SampleBatch.Decoder, SampleBatch.Sink.MaxRecordsPerRequest, rows);
        var accepted = rows.AcceptedCount;
        SampleBatch.Decoder.Return(rows);
        return accepted;
    }

    [Benchmark]
    public int DecodeAndEncode()
    {
        var rows = SampleBatch.Decoder.Rent();
        BatchReader.Read(_body, BodyFormat.Records, RecordOperation.Upsert, SampleBatch.Decoder, SampleBatch.Sink.MaxRecordsPerRequest, rows);
        using var frame = RecordsFrame.Encode(SampleBatch.Decoder, SampleBatch.Sink.Id, 0, new RecordsFrame.Meta("caller", "", default), rows, _body);
        SampleBatch.Decoder.Return(rows);
        return frame.Length;
    }
}
