using Sluice.Records;
using Sluice.Schema;

namespace Sluice.IntegrationTests.Stores;

/// <summary>Rows of all kinds, the same for the same seed.</summary>
public sealed class RandomRows(int seed)
{
    // lengths around 12 bytes matter: DuckDB keeps shorter texts in place
    static readonly string[] s_texts =
        ["", "a", "twelve bytes", "thirteen byte", "eleven byte", "Grüße, 世界", "🙂🙂🙂🙂", "it's \"quoted\" \\ ; --", "line\nbreak\ttab", "null", "a rather long text of which there are many in any table of this kind"];

    readonly Random _random = new(seed);

    public Random Random => _random;

    /// <summary>Batches of up to <paramref name="maxRows"/> rows, each key once; about half the keys stand in earlier batches too.</summary>
    public List<TestRow> Batch(TableSchema schema, int maxRows, double absentShare, double nullShare)
    {
        var keys = new HashSet<object>();
        var count = _random.Next(1, maxRows + 1);
        while (keys.Count < count) keys.Add(Key(schema.Key, maxRows));
        return [.. keys.Select(key => new TestRow(key, schema.Columns.ToDictionary(
            column => column.Id, column => RandomCell(column.Type, absentShare, nullShare))))];
    }

    /// <summary>A row with a value in every column.</summary>
    public TestRow Row(TableSchema schema, object key) => new(key, schema.Columns.ToDictionary(column => column.Id, column => Cell.Of(Value(column.Type))));

    public object Value(ColumnType type) => type.Kind switch
    {
        ColumnKind.Id => _random.NextInt64(0, long.MaxValue),
        ColumnKind.Int => _random.NextInt64(long.MinValue, long.MaxValue),
        ColumnKind.Decimal => _random.NextInt64(-999_999_999_999_999_999, 1_000_000_000_000_000_000),
        ColumnKind.Bool => _random.Next(2) == 0,
        ColumnKind.String => Text(),
        ColumnKind.Timestamp => _random.NextInt64(-1_000_000_000, 4_000_000_000),
        ColumnKind.Vector => Enumerable.Range(0, type.VectorLength).Select(_ => _random.NextDouble() * 2 - 1).ToArray(),
        _ => Enumerable.Range(0, _random.Next(_random.Next(10) == 0 ? 40 : 5)).Select(_ => Member(type)).ToArray(),
    };

    object Key(KeyKind kind, int range)
    {
        var number = _random.NextInt64(1, range * 4L);
        return kind == KeyKind.Number ? number : $"key {number} {(number % 3 == 0 ? "é" : "")}";
    }

    Cell RandomCell(ColumnType type, double absentShare, double nullShare)
    {
        var dice = _random.NextDouble();
        if (dice < absentShare) return Cell.Absent;
        return dice < absentShare + nullShare ? Cell.Null : Cell.Of(Value(type));
    }

    Member Member(ColumnType type)
    {
        object value = type.Kind is ColumnKind.IdSet or ColumnKind.IdSetQ ? _random.NextInt64(0, 30) : Text();
        var hasTime = type.IsQuantum && _random.Next(2) == 0;
        return new Member(value, hasTime ? _random.NextInt64(1_700_000_000, 1_700_000_005) : ColumnBuffer.NoTime);
    }

    string Text() => _random.Next(3) == 0 ? $"text {_random.Next(100)}" : s_texts[_random.Next(s_texts.Length)];
}
