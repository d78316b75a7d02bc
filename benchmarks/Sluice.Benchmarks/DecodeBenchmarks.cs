using System.Text;
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
    byte[] _drifted = [];

    [Params(1, 100, 1000)]
    public int Records { get; set; }

    [GlobalSetup]
    public void MakeBody()
    {
        _body = SampleBatch.Body(Records);
        _drifted = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(_body).Replace("\"buy\":", "\"extra\":17,\"note\":\"new\",\"buy\":", StringComparison.Ordinal));
    }

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
        return Decode(SampleBatch.Decoder, _body);
    }

    /// <summary>As <see cref="Decode()"/>, by a decoder that counts what no path names. No record has such.</summary>
    [Benchmark]
    public int DecodeCountingDrift() => Decode(SampleBatch.CountingDecoder, _body);

    /// <summary>Every record has two members more, which no path names and which are known.</summary>
    [Benchmark]
    public int DecodeWithDrift() => Decode(SampleBatch.CountingDecoder, _drifted);

    static int Decode(RecordDecoder decoder, byte[] body)
    {
        var rows = decoder.Rent();
        BatchReader.Read(body, BodyFormat.Records, RecordOperation.Upsert, decoder, SampleBatch.Sink.MaxRecordsPerRequest, rows);
        var accepted = rows.AcceptedCount;
        decoder.Return(rows);
        return accepted;
    }

    [Benchmark]
    public int DecodeAndEncode()
    {
        var rows = SampleBatch.Decoder.Rent();
        BatchReader.Read(_body, BodyFormat.Records, RecordOperation.Upsert, SampleBatch.Decoder, SampleBatch.Sink.MaxRecordsPerRequest, rows);
        using var frame = RecordsFrame.Encode(SampleBatch.Decoder, SampleBatch.Sink.Id, 0, new RecordsFrame.Meta("caller", "", default, 0), rows, _body);
        SampleBatch.Decoder.Return(rows);
        return frame.Length;
    }
}
