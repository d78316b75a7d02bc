using System.Globalization;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Tests.Records;

/// <summary>The budget of the record path: it does not depend on the machine, so it can be a gate.</summary>
public sealed class AllocationTests
{
    const double MaxBytesPerRecord = 16;

    [Theory]
    [InlineData(1_000)]
    [InlineData(20_000)]
    public void A_good_record_allocates_next_to_nothing(int records)
    {
        var schema = SampleTable.TableOf(
            KeyKind.Number, ("symbol", ColumnType.String), ("price", ColumnType.Decimal(2)), ("amount", ColumnType.Int), ("at", ColumnType.Timestamp(TimeUnit.Millisecond)),
            ("buy", ColumnType.Bool), ("tags", ColumnType.StringSet));
        var sink = SampleTable.SinkOf(schema, allowMissing: false);
        var decoder = RecordDecoder.Compile(sink, schema);
        var body = SampleTable.Body([.. Enumerable.Range(0, records).Select(i => string.Create(
            CultureInfo.InvariantCulture, $"{{\"_id\":{1_000_000 + i},\"symbol\":\"S\\u00fcM{i % 900}\",\"price\":{i % 1_000}.25,\"amount\":{i},\"at\":{1_767_323_045_000 + i},\"buy\":true,\"tags\":[\"a\",\"b\",\"a\"]}}"))]);
        for (var warmUp = 0; warmUp < 20; warmUp++) Ingest();

        const int rounds = 10;
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var round = 0; round < rounds; round++) Ingest();
        var perRecord = (GC.GetAllocatedBytesForCurrentThread() - before) / (double)(rounds * records);
        Assert.InRange(perRecord, 0, MaxBytesPerRecord);

        void Ingest()
        {
            var rows = decoder.Rent();
            BatchReader.Read(body, BodyFormat.Records, RecordOperation.Upsert, decoder, sink.MaxRecordsPerRequest, rows);
            Assert.Equal(records, rows.AcceptedCount);
            RecordsFrame.Encode(decoder, sink.Id, 0, new RecordsFrame.Meta("caller", "", default, 0), rows, body).Dispose();
            decoder.Return(rows);
        }
    }
}
