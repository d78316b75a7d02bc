using System.Globalization;
using System.Text;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Benchmarks;

/// <summary>The records all benchmarks use: 7 mapped columns and about 116 bytes each, with the envelope.</summary>
static class SampleBatch
{
    public static TableSchema Schema { get; } = new()
    {
        TableId = new Guid("11111111-1111-1111-1111-111111111111"),
        Name = "trades",
        Key = KeyKind.Number,
        Version = 1,
        Columns =
        [
            new Column(1, "symbol", ColumnType.String),
            new Column(2, "price", ColumnType.Decimal(2)),
            new Column(3, "amount", ColumnType.Int),
            new Column(4, "at", ColumnType.Timestamp(TimeUnit.Millisecond)),
            new Column(5, "buy", ColumnType.Bool),
            new Column(6, "tags", ColumnType.StringSet),
        ],
        NextColumnId = 7,
    };

    public static SinkDefinition Sink { get; } = new()
    {
        Id = new Guid("22222222-2222-2222-2222-222222222222"),
        Name = "trades",
        TableId = Schema.TableId,
        MappingVersion = 1,
        AllowMissingFields = false,
        Fields =
        [
            Field("_id"), Field("symbol"), Field("price"), Field("amount"), Field("at"), Field("buy"), Field("tags"),
        ],
    };

    public static RecordDecoder Decoder { get; } = RecordDecoder.Compile(Sink, Schema);

    /// <summary>As a sink has it that has met the members <c>extra</c> and <c>note</c>.</summary>
    public static RecordDecoder CountingDecoder { get; } = RecordDecoder.Compile(Sink, Schema, [["extra"], ["note"]]);

    /// <summary>One request body.</summary>
    public static byte[] Body(int records)
    {
        var random = new Random(1);
        var body = new StringBuilder("{\"records\":[");
        for (var i = 0; i < records; i++)
        {
            if (i > 0) body.Append(',');
            body.Append(
                CultureInfo.InvariantCulture,
                $"{{\"value\":{{\"_id\":{1_000_000 + i},\"symbol\":\"SYM{random.Next(900) + 100}\",\"price\":{random.Next(100_000) / 100m:F2},\"amount\":{random.Next(1_000)},\"at\":{1_767_323_045_000 + i},\"buy\":{(i % 2 == 0 ? "true" : "false")},\"tags\":[\"a{i % 7}\",\"b\"]}}}}");
        }
        return Encoding.UTF8.GetBytes(body.Append("]}").ToString());
    }

    static FieldMapping Field(string name) => new(name, [PathStep.Member(name)]);
}
