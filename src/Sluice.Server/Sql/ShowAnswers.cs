using System.Globalization;
using System.Text;
using Sluice.Schema;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Sql;

/// <summary>What SHOW answers: columns and rows, in the original's order.</summary>
static class ShowAnswers
{
    /// <summary>The key first, then by name: the order of SHOW COLUMNS, of <c>*</c>, and of INSERT without a column list.</summary>
    public static IEnumerable<(string Name, ColumnType? Type)> ColumnsInOrder(TableSchema schema) =>
        schema.Columns.OrderBy(column => column.Name, StringComparer.Ordinal).Select(column => (column.Name, (ColumnType?)column.Type))
            .Prepend((TableSchema.KeyColumnName, null));

    public static void WriteTables(SqlAnswer answer, IEnumerable<SqlTable> tables) => answer.Write(
        Columns("_id string, name string, owner string, updated_by string, created_at timestamp, updated_at timestamp, keys bool, space_used int, description string"),
        tables.OrderBy(table => table.Schema.Name, StringComparer.Ordinal).Select(table => (object?[])
        [
            table.Schema.Name, table.Schema.Name, table.Owner, table.UpdatedBy, table.CreatedAt, table.UpdatedAt,
            table.Schema.Key == KeyKind.String, table.SpaceUsed, table.Description,
        ]));

    public static void WriteDatabases(SqlAnswer answer, IEnumerable<SqlDatabase> databases) => answer.Write(
        Columns("_id string, name string, owner string, updated_by string, created_at timestamp, updated_at timestamp, description string"),
        databases.OrderBy(database => database.Name, StringComparer.Ordinal).Select(database => (object?[])
        [
            database.Id.ToString(), database.Name, database.Owner, database.UpdatedBy, database.CreatedAt, database.UpdatedAt, database.Description,
        ]));

    public static void WriteColumns(SqlAnswer answer, SqlTable table) => answer.Write(
        Columns("""
            _id string, name string, type string, created_at timestamp, keys bool, cache_type string, cache_size int, scale int, min int, max int,
            timeunit string, epoch int, timequantum string, ttl string, required bool, default string
            """),
        ColumnsInOrder(table.Schema).Select(column => ColumnRow(table, column.Name, column.Type)));

    public static void WriteCreateTable(SqlAnswer answer, SqlTable table) =>
        answer.Write(Columns("ddl string"), [[Ddl(table.Schema, table.Description)]]);

    /// <summary>The statement that makes the table again.</summary>
    public static string Ddl(TableSchema schema, string description)
    {
        var columns = ColumnsInOrder(schema).Select(column => $"{column.Name} {TypeText(schema, column.Type)}{ConstraintText(schema, column.Name)}");
        var comment = description.Length == 0 ? "" : $" comment '{description.Replace("'", "''", StringComparison.Ordinal)}'";
        var retention = schema.Retention == TimeSpan.Zero ? "" : $" with retention '{TimeToLive.WriteWithDays(schema.Retention)}'";
        return $"create table {schema.Name} ({string.Join(", ", columns)}){comment}{retention};";
    }

    static string ConstraintText(TableSchema schema, string name)
    {
        if (schema.FindColumn(name) is not { } column)
            return schema.IsAutoId ? " auto" : "";
        return (column.IsRequired ? " not null" : "") + (column.Default is { } json ? $" default {SqlValue.FromDefault(json).ToSql()}" : "");
    }

    static object?[] ColumnRow(SqlTable table, string name, ColumnType? type) =>
    [
        name, name, TypeName(table.Schema, type), table.Schema.FindColumn(name) is { } added ? table.ColumnTimes.GetValueOrDefault(added.Id, table.CreatedAt) : table.CreatedAt,
        type is null ? table.Schema.Key == KeyKind.String : type.Physical is PhysicalKind.Text or PhysicalKind.TextList,
        "", 0L,
        type is { Kind: ColumnKind.Decimal } ? type.Scale : 0L,
        type is { Kind: ColumnKind.Int } ? type.Min : 0L,
        type is { Kind: ColumnKind.Int } ? type.Max : 0L,
        type is { Kind: ColumnKind.Timestamp } ? UnitName(type.Unit) : "",
        type?.Epoch?.ToUnixTimeSeconds() ?? 0L,
        type?.TimeQuantum ?? "",
        type is { IsQuantum: true } ? TimeToLive.Write(type.TimeToLive) : "",
        table.Schema.FindColumn(name)?.IsRequired ?? false,
        table.Schema.FindColumn(name)?.Default is { } json ? SqlValue.FromDefault(json).ToSql() : "",
    ];

    static string TypeName(TableSchema schema, ColumnType? type) => type?.ToString() ?? (schema.Key == KeyKind.Number ? "id" : "string");

    static string TypeText(TableSchema schema, ColumnType? type)
    {
        var text = new StringBuilder(TypeName(schema, type));
        if (type is { Kind: ColumnKind.Int } && type.Min != long.MinValue)
            text.Append(CultureInfo.InvariantCulture, $" min {type.Min}");
        if (type is { Kind: ColumnKind.Int } && type.Max != long.MaxValue)
            text.Append(CultureInfo.InvariantCulture, $" max {type.Max}");
        if (type is { Kind: ColumnKind.Timestamp })
            text.Append(CultureInfo.InvariantCulture, $" timeunit '{UnitName(type.Unit)}'");
        if (type?.Epoch is { } epoch)
            text.Append(CultureInfo.InvariantCulture, $" epoch '{epoch.UtcDateTime:yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'}'");
        if (type is { TimeQuantum.Length: > 0 })
            text.Append(CultureInfo.InvariantCulture, $" timequantum '{type.TimeQuantum}' ttl '{TimeToLive.Write(type.TimeToLive)}'");
        return text.ToString();
    }

    static string UnitName(TimeUnit unit) => unit switch
    {
        TimeUnit.Second => "s",
        TimeUnit.Millisecond => "ms",
        TimeUnit.Microsecond => "us",
        _ => "ns",
    };

    static ResultColumn[] Columns(string list) =>
        [.. list.Split(',', StringSplitOptions.TrimEntries).Select(item => item.Split(' ')).Select(words => new ResultColumn(words[0], new ResultType(words[1], words[1])))];
}
