using System.Buffers;
using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Server.Sql;

/// <summary>A column that a statement writes.</summary>
/// <param name="Type"><c>null</c>: the key.</param>
readonly record struct InsertTarget(string Name, ColumnType? Type);

/// <summary>
/// Rows that a statement writes to a table: checks their types, turns them into the JSON that the table's decoder takes, and writes them
/// through the table's log, all or nothing.
/// </summary>
/// <remarks>
/// The JSON is an array of objects whose members are the columns. Numbers keep their digits; a set is an array; members with a time
/// are <c>{"time": "2022-01-01" or seconds, "members": [..]}</c>, and a set for a quantum column without a time gets the present one.
/// </remarks>
/// <param name="operation">What each row does.</param>
/// <param name="written">What stands in the statement for the value of a row and a column.</param>
sealed class RowInsertion(
    SqlPlane plane, SqlContext context, SqlTable table, ImmutableArray<InsertTarget> targets, RecordOperation operation, Func<int, int, SqlExpression> written)
{
    /// <param name="names"><c>null</c>: all columns, as SHOW COLUMNS lists them.</param>
    /// <exception cref="SqlException">The list lacks what it must have, or names what is not there.</exception>
    public static ImmutableArray<InsertTarget> ResolveColumns(TableSchema schema, SqlName name, ImmutableArray<SqlName>? names)
    {
        if (names is not { } listed)
            return [.. ShowAnswers.ColumnsInOrder(schema).Skip(schema.IsAutoId ? 1 : 0).Select(column => new InsertTarget(column.Name, column.Type))];
        if (schema.IsAutoId && listed.FirstOrDefault(column => column.Text == TableSchema.KeyColumnName) is { Text: not null } key)
            throw new SqlException("insert column list must not have '_id': the server makes the ids of this table", key.Offset);
        if (!schema.IsAutoId && !listed.Any(column => column.Text == TableSchema.KeyColumnName))
            throw new SqlException("insert column list must have '_id' column specified", name.Offset);
        if (listed.Length < (schema.IsAutoId ? 1 : 2))
            throw new SqlException("insert column list must have at least one non '_id' column specified", name.Offset);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var column in listed.Where(column => !seen.Add(column.Text)))
            throw new SqlException($"duplicate column '{column}'", column.Offset);
        return [.. listed.Select(column => column.Text == TableSchema.KeyColumnName
            ? new InsertTarget(column.Text, null)
            : new InsertTarget(column.Text, (schema.FindColumn(column.Text) ?? throw new SqlException($"column '{column}' not found", column.Offset)).Type))];
    }

    /// <returns>A warning for each value that lost digits.</returns>
    /// <exception cref="SqlException">Nothing was stored.</exception>
    public async Task<IReadOnlyList<string>> RunAsync(IReadOnlyList<SqlValue[]> values, CancellationToken cancellation)
    {
        CheckTypes(values);
        var outcome = await plane.Insert(context, table.Schema.TableId, Encode(values), [.. targets.Select(target => target.Name)], operation, cancellation);
        if (outcome.RejectedCount > 0)
            throw Describe(outcome.Rejected.First(record => !record.IsDiscarded));
        return [.. outcome.Warnings.Select(Describe)];
    }

    void CheckTypes(IReadOnlyList<SqlValue[]> values)
    {
        for (var row = 0; row < values.Count; row++)
        {
            for (var i = 0; i < targets.Length; i++)
            {
                if (values[row][i].TypeName is { } type && !IsAssignable(type, targets[i].Type))
                {
                    throw new SqlException(
                        $"an expression of type '{type}' cannot be assigned to type '{TypeName(targets[i].Type)}'", written(row, i).Offset);
                }
            }
        }
    }

    string TypeName(ColumnType? type) => type?.ToString() ?? (table.Schema.Key == KeyKind.Number ? "id" : "string");

    bool IsAssignable(string from, ColumnType? to) => (to?.Kind ?? (table.Schema.Key == KeyKind.Number ? ColumnKind.Id : ColumnKind.String)) switch
    {
        ColumnKind.Id or ColumnKind.Int => from is "int",
        ColumnKind.Decimal => from is "int" || from.StartsWith("decimal", StringComparison.Ordinal),
        ColumnKind.Bool => from is "bool",
        ColumnKind.String => from is "string",
        ColumnKind.Timestamp => from is "string" or "int",
        ColumnKind.IdSet => from is "idset",
        ColumnKind.StringSet => from is "stringset",
        ColumnKind.IdSetQ => from is "idset" or "idsetq",
        ColumnKind.StringSetQ => from is "stringset" or "stringsetq",
        ColumnKind.Vector => from is "vector" or "idset",
        _ => false,
    };

    byte[] Encode(IReadOnlyList<SqlValue[]> values)
    {
        var now = new TextValue(plane.Time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartArray();
            foreach (var row in values)
                WriteRow(writer, row, now);
            writer.WriteEndArray();
        }
        return buffer.WrittenSpan.ToArray();
    }

    void WriteRow(Utf8JsonWriter writer, SqlValue[] row, TextValue now)
    {
        writer.WriteStartObject();
        for (var i = 0; i < row.Length; i++)
        {
            writer.WritePropertyName(targets[i].Name);
            var value = targets[i].Type is { IsQuantum: true } && row[i] is ListValue members ? new TimedValue(now, members) : row[i];
            value.Write(writer);
        }
        writer.WriteEndObject();
    }

    SqlException Describe(RejectedRecord record)
    {
        var row = record.Index;
        var field = record.Errors[0];
        var column = Array.FindIndex([.. targets], target => target.Name == field.Column);
        if (column < 0)
        {
            return field.Code == FieldErrorCode.MissingRequired
                ? new SqlException($"column '{field.Column}' is not null and has no value in row {row + 1}", written(row, 0).Offset)
                : new SqlException($"row {row + 1}: expected {field.Expected}, got {field.Got}", written(row, 0).Offset);
        }
        var expression = written(row, column);
        var text = SqlValue.TryReadLiteral(expression.Text) is TextValue literal ? literal.Text : expression.Text;
        var value = text.Length <= 64 ? text : text[..64];
        return new SqlException(field.Code switch
        {
            FieldErrorCode.OutOfRange => $"inserting value into column '{field.Column}', row {row + 1}, value '{value}' out of range",
            FieldErrorCode.NotATimestamp => $"unable to convert '{value}' to type 'timestamp'",
            FieldErrorCode.MissingRequired => $"column '{field.Column}' is not null and has no value in row {row + 1}",
            _ => $"inserting value into column '{field.Column}', row {row + 1}: expected {field.Expected}, got {field.Got}",
        }, expression.Offset);
    }

    string Describe(TruncationWarning warning) =>
        $"value of column '{warning.Column}', row {warning.RecordIndex + 1}, was truncated to {TypeName(table.Schema.FindColumn(warning.Column)?.Type)}";
}
