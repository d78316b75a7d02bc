using System.Globalization;
using System.Text;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.IntegrationTests.Stores;

/// <summary>A member of a set; <see cref="Time"/> counts for quantum sets only.</summary>
public readonly record struct Member(object Value, long Time = ColumnBuffer.NoTime);

/// <summary>One cell of a test row. The value is a long, bool, string, Member[] or double[], as the column's kind has it.</summary>
public readonly record struct Cell(CellState State, object? Value)
{
    public static Cell Absent => new(CellState.Absent, null);
    public static Cell Null => new(CellState.Null, null);

    public static Cell Of(object value) => new(CellState.Value, value);

    public static Cell Set(params object[] members) => new(CellState.Value, members.Select(member => new Member(member)).ToArray());

    public static Cell Times(params (object Member, long Time)[] members) =>
        new(CellState.Value, members.Select(member => new Member(member.Member, member.Time)).ToArray());
}

/// <summary>One row of a test batch: a key, a long or a string, and cells by column id; a column not named is absent.</summary>
public sealed record TestRow(object Key, IReadOnlyDictionary<int, Cell> Cells);

/// <summary>Rows as a loader would hand them over.</summary>
public static class TestRows
{
    public static readonly Guid Sink = Guid.Parse("0a0b0c0d-0e0f-4a0b-8c0d-0123456789ab");

    /// <param name="leaveOutAbsentColumns">Whether a column that is absent in all rows stays out of the batch.</param>
    public static RowBatch ToBatch(TableSchema schema, IReadOnlyList<TestRow> rows, ulong sequence, bool leaveOutAbsentColumns)
    {
        var batch = new RowBatch(schema.Key);
        batch.Origins.Add(OriginOf(sequence));
        for (var i = 0; i < rows.Count; i++)
        {
            AddValue(batch.Key, rows[i].Key);
            batch.AddRowOrigin(LogPosition.OfRecord(sequence, i), 0);
        }
        foreach (var column in schema.Columns)
        {
            if (leaveOutAbsentColumns && rows.All(row => CellOf(row, column).State == CellState.Absent)) continue;
            var buffer = ColumnBuffer.For(column);
            foreach (var row in rows) Add(buffer, CellOf(row, column));
            batch.AddColumn(buffer);
        }
        return batch;
    }

    public static RowOrigin OriginOf(ulong sequence) => new(Sink, 1_700_000_000_000_000 + (long)sequence);

    public static Cell CellOf(TestRow row, Column column) => row.Cells.GetValueOrDefault(column.Id, Cell.Absent);

    /// <summary>A default for a column of the type: as JSON, and as the value that it is.</summary>
    public static (string Json, object Value) DefaultOf(ColumnType type) => type.Kind switch
    {
        ColumnKind.Id => ("5", 5L),
        ColumnKind.IdSet => ("[1,2]", Cell.Set(1L, 2L).Value!),
        ColumnKind.IdSetQ => ("""{"time":"1970-01-02T03:00:00Z","members":[9]}""", Cell.Times((9L, 86_400)).Value!),
        ColumnKind.Int => ("-3", -3L),
        ColumnKind.Decimal => (type.Scale == 0 ? "7" : "0.5", type.Scale switch { 0 => 7L, 2 => 50L, _ => 500_000_000_000_000_000L }),
        ColumnKind.Bool => ("true", true),
        ColumnKind.String => ("\"a default\"", "a default"),
        ColumnKind.StringSet => ("[\"x\"]", Cell.Set("x").Value!),
        ColumnKind.StringSetQ => ("[\"q\"]", Cell.Set("q").Value!),
        ColumnKind.Timestamp => ("\"1970-01-01T00:00:01Z\"", type.Unit switch { TimeUnit.Second => 1L, TimeUnit.Millisecond => 1_000L, TimeUnit.Microsecond => 1_000_000L, _ => 1_000_000_000L }),
        _ => ("[1,2.5,3]", new[] { 1, 2.5, 3 }),
    };

    /// <summary>A value as one text, the same for equal values: members of sets are sorted, each once.</summary>
    public static string? Canonical(ColumnType type, object? value) => value switch
    {
        null => null,
        long number when type.Kind == ColumnKind.Id => ((ulong)number).ToString(CultureInfo.InvariantCulture),
        long number => number.ToString(CultureInfo.InvariantCulture),
        bool flag => flag ? "true" : "false",
        string text => text,
        double[] vector => string.Join(',', vector.Select(element => element.ToString("R", CultureInfo.InvariantCulture))),
        Member[] members => Canonical(members),
        _ => throw new ArgumentException($"no canonical form of {value.GetType()}"),
    };

    public static string Canonical(IEnumerable<Member> members) => "{" + string.Join(
        ';', members.Select(member => Canonical(member)).Distinct().Order(StringComparer.Ordinal)) + "}";

    static string Canonical(Member member)
    {
        var text = member.Value is long number ? ((ulong)number).ToString(CultureInfo.InvariantCulture) : member.Value.ToString();
        return member.Time == ColumnBuffer.NoTime ? text! : string.Create(CultureInfo.InvariantCulture, $"{text}@{member.Time}");
    }

    static void Add(ColumnBuffer buffer, Cell cell)
    {
        if (cell.State == CellState.Absent) buffer.AddAbsent();
        else if (cell.State == CellState.Null) buffer.AddNull();
        else AddValue(buffer, cell.Value!);
    }

    static void AddValue(ColumnBuffer buffer, object value)
    {
        switch (value)
        {
            case long number: buffer.AddInt64(number); break;
            case bool flag: buffer.AddBool(flag); break;
            case string text: buffer.AddText(Encoding.UTF8.GetBytes(text)); break;
            case double[] vector: vector.CopyTo(buffer.AddVector()); break;
            case Member[] members:
                foreach (var member in members)
                {
                    if (member.Value is long number) buffer.AddMember(number, member.Time);
                    else buffer.AddMember(Encoding.UTF8.GetBytes((string)member.Value), member.Time);
                }
                buffer.EndList();
                break;
            default: throw new ArgumentException($"no cell of {value.GetType()}");
        }
    }
}
