using System.Globalization;
using System.Text;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Tests.Records;

public sealed class ColumnBufferTests
{
    [Theory]
    [InlineData(PhysicalKind.Int64, false)]
    [InlineData(PhysicalKind.Bool, false)]
    [InlineData(PhysicalKind.Text, false)]
    [InlineData(PhysicalKind.Float64Vector, false)]
    [InlineData(PhysicalKind.Int64List, false)]
    [InlineData(PhysicalKind.Int64List, true)]
    [InlineData(PhysicalKind.TextList, false)]
    [InlineData(PhysicalKind.TextList, true)]
    public void Rows_that_are_added_together_are_as_if_added_one_by_one(PhysicalKind kind, bool hasTimes)
    {
        var seed = Random.Shared.Next();
        for (var round = 0; round < 200; round++)
        {
            var random = new Random(seed + round);
            var source = Make(kind, hasTimes);
            for (var rows = random.Next(1, 40); rows > 0; rows--) AddRandom(source, random);
            var (together, oneByOne) = (Make(kind, hasTimes), Make(kind, hasTimes));
            for (var runs = random.Next(1, 6); runs > 0; runs--)
            {
                var start = random.Next(source.RowCount);
                var end = random.Next(start + 1, source.RowCount + 1);
                together.AddRows(source, start, end);
                for (var row = start; row < end; row++) oneByOne.AddFrom(source, row);
            }
            Assert.True(Show(together) == Show(oneByOne), $"seed {seed + round}: expected\n{Show(oneByOne)}\nfound\n{Show(together)}");
        }
    }

    static ColumnBuffer Make(PhysicalKind kind, bool hasTimes) => new(1, kind, hasTimes, vectorLength: kind == PhysicalKind.Float64Vector ? 3 : 0);

    static void AddRandom(ColumnBuffer column, Random random)
    {
        switch (random.Next(4))
        {
            case 0: column.AddAbsent(); return;
            case 1: column.AddNull(); return;
        }
        switch (column.Kind)
        {
            case PhysicalKind.Int64: column.AddInt64(random.NextInt64()); break;
            case PhysicalKind.Bool: column.AddBool(random.Next(2) == 0); break;
            case PhysicalKind.Text: column.AddText(Text(random)); break;
            case PhysicalKind.Float64Vector:
                foreach (ref var element in column.AddVector()) element = random.NextDouble();
                break;
            default:
                for (var members = random.Next(4); members > 0; members--)
                {
                    var time = column.HasTimes && random.Next(2) == 0 ? random.Next() : ColumnBuffer.NoTime;
                    if (column.Kind == PhysicalKind.Int64List) column.AddMember(random.NextInt64(), time);
                    else column.AddMember(Text(random), time);
                }
                column.EndList();
                break;
        }
    }

    static byte[] Text(Random random) => Encoding.UTF8.GetBytes(new string((char)random.Next('a', 'z'), random.Next(5)));

    static string Show(ColumnBuffer column) => string.Create(
        CultureInfo.InvariantCulture,
        $"""
        {column.RowCount} rows, {column.ValueCount} values: {Join(column.States)}
        {Join(column.Int64s)}; {Join(column.Float64s)}; {Join(column.Ends)}; {Join(column.MemberEnds)}; {Join(column.MemberTimes)}; {Join(column.Bytes)}
        """);

    static string Join<T>(ReadOnlySpan<T> items) => string.Join(',', items.ToArray());
}
