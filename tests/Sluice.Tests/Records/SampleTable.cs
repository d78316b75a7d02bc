using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Tests.Records;

/// <summary>Makes schemas and sinks of a few words, and decodes request bodies with them.</summary>
static class SampleTable
{
    public static TableSchema TableOf(KeyKind key, params (string Name, ColumnType Type)[] columns) => new()
    {
        TableId = new Guid("11111111-1111-1111-1111-111111111111"),
        Name = "sample",
        Key = key,
        Version = 1,
        Columns = [.. columns.Select((column, i) => new Column(i + 1, column.Name, column.Type))],
        NextColumnId = columns.Length + 1,
    };

    /// <summary>A sink that maps <c>_id</c> and every column to the member of the same name.</summary>
    public static SinkDefinition SinkOf(TableSchema schema, bool allowMissing = true) =>
        SinkWith(schema, allowMissing, [(TableSchema.KeyColumnName, "/_id"), .. schema.Columns.Select(column => (column.Name, "/" + column.Name))]);

    /// <summary>A sink with a JSON pointer a column; a step of digits is an array index.</summary>
    public static SinkDefinition SinkWith(TableSchema schema, bool allowMissing, params (string Column, string Pointer)[] fields) => new()
    {
        Id = new Guid("22222222-2222-2222-2222-222222222222"),
        Name = "samples",
        TableId = schema.TableId,
        MappingVersion = 1,
        AllowMissingFields = allowMissing,
        Fields = [.. fields.Select(field => new FieldMapping(field.Column, Steps(field.Pointer)))],
    };

    /// <summary>The type that a test names as SQL does: <c>int(0,100)</c>, <c>decimal(2)</c>, <c>timestamp(ms)</c>, <c>idsetq(YMD)</c>.</summary>
    public static ColumnType Type(string text)
    {
        var arguments = text.Contains('(', StringComparison.Ordinal) ? text[(text.IndexOf('(', StringComparison.Ordinal) + 1)..^1].Split(',') : [];
        return text.Split('(')[0] switch
        {
            "id" => ColumnType.Id,
            "idset" => ColumnType.IdSet,
            "int" when arguments.Length == 2 => ColumnType.IntBetween(Number(arguments[0]), Number(arguments[1])),
            "int" => ColumnType.Int,
            "bool" => ColumnType.Bool,
            "string" => ColumnType.String,
            "stringset" => ColumnType.StringSet,
            "decimal" => ColumnType.Decimal((int)Number(arguments[0])),
            "vector" => ColumnType.Vector((int)Number(arguments[0])),
            "idsetq" => ColumnType.IdSetQ(arguments[0]),
            "stringsetq" => ColumnType.StringSetQ(arguments[0]),
            "timestamp" => ColumnType.Timestamp(arguments[0] switch { "s" => TimeUnit.Second, "ms" => TimeUnit.Millisecond, "us" => TimeUnit.Microsecond, _ => TimeUnit.Nanosecond }),
            _ => throw new ArgumentException(text),
        };
    }

    /// <summary>Decodes a whole body; the rows are the caller's.</summary>
    public static RecordRows Decode(SinkDefinition sink, TableSchema schema, ReadOnlySpan<byte> body)
    {
        var decoder = RecordDecoder.Compile(sink, schema);
        var rows = decoder.Rent();
        BatchReader.Read(body, BodyFormat.Records, RecordOperation.Upsert, decoder, sink.MaxRecordsPerRequest, rows);
        return rows;
    }

    public static RecordRows Decode(SinkDefinition sink, TableSchema schema, params string[] values) => Decode(sink, schema, Body(values));

    /// <summary>The request body of these values.</summary>
    public static byte[] Body(params string[] values) => Encoding.UTF8.GetBytes($"{{\"records\":[{string.Join(',', values.Select(value => $"{{\"value\":{value}}}"))}]}}");

    /// <summary>
    /// A cell for comparing: <c>absent</c>, <c>null</c>, a number, <c>true</c>, <c>'text'</c>, <c>[1,2]</c>, <c>['a','b']</c>, with <c>@time</c> after timed members.
    /// </summary>
    public static string Cell(ColumnBuffer column, int row)
    {
        switch (column.States[row])
        {
            case CellState.Absent: return "absent";
            case CellState.Null: return "null";
        }
        return column.Kind switch
        {
            PhysicalKind.Int64 => Text(column.Int64s[row]),
            PhysicalKind.Bool => column.Bytes[row] switch { 0 => "false", 1 => "true", var other => $"byte {other}" },
            PhysicalKind.Text => $"'{Encoding.UTF8.GetString(column.Text(row))}'",
            PhysicalKind.Float64Vector => $"<{string.Join(',', column.Float64s.Slice(row * column.VectorLength, column.VectorLength).ToArray().Select(element => element.ToString(CultureInfo.InvariantCulture)))}>",
            _ => $"[{string.Join(',', Enumerable.Range(column.Start(row), column.End(row) - column.Start(row)).Select(member => Member(column, member)))}]",
        };
    }

    /// <summary>All cells of a row, the key first.</summary>
    public static string Row(RecordRows rows, int row) => string.Join(" | ", rows.Columns.Select(column => Cell(column, row)));

    public static string[] Rows(RecordRows rows) => [.. Enumerable.Range(0, rows.AcceptedCount).Select(row => Row(rows, row))];

    /// <summary><c>column:Code</c> of every error of a record.</summary>
    public static string Errors(RejectedRecord record) => string.Join(' ', record.Errors.Select(error => $"{error.Column}:{error.Code}"));

    static string Member(ColumnBuffer column, int member)
    {
        var text = column.Kind == PhysicalKind.Int64List ? Text(column.Int64s[member]) : $"'{Encoding.UTF8.GetString(column.MemberText(member))}'";
        if (!column.HasTimes) return text;
        return column.MemberTimes[member] == ColumnBuffer.NoTime ? text : $"{text}@{DateTimeOffset.FromUnixTimeSeconds(column.MemberTimes[member]):yyyy-MM-ddTHH}";
    }

    static ImmutableArray<PathStep> Steps(string pointer) =>
        [.. pointer[1..].Split('/').Select(step => step.Length > 0 && step.All(char.IsAsciiDigit) ? PathStep.Element((int)Number(step)) : PathStep.Member(step))];

    static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);

    static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
