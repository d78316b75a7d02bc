using System.Buffers;
using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Sql;

/// <summary>
/// INSERT and REPLACE: turns the rows of VALUES into the JSON that the table's decoder takes, and writes them through the table's
/// log, all or nothing.
/// </summary>
/// <remarks>
/// The JSON is an array of objects whose members are the columns. Numbers keep their digits; a set is an array; members with a time
/// are <c>{"time": "2022-01-01" or seconds, "members": [..]}</c>, and a set for a quantum column without a time gets the present one.
/// </remarks>
sealed class InsertStatement(SqlPlane plane, SqlContext context, SqlTable table, InsertRows rows)
{
    // A query of a thousand expressions is planned in a few milliseconds; one of all rows of a long statement would not be.
    const int ExpressionsAtOnce = 500;

    readonly ImmutableArray<Target> _targets = ResolveColumns(table.Schema, rows);

    /// <param name="Type"><c>null</c>: the key.</param>
    readonly record struct Target(string Name, ColumnType? Type);

    /// <returns>The rows written, and a warning for each value that lost digits.</returns>
    /// <exception cref="SqlException">Nothing was stored.</exception>
    public async Task<(int RowCount, IReadOnlyList<string> Warnings)> RunAsync(CancellationToken cancellation)
    {
        foreach (var row in rows.Rows.Where(row => row.Count != _targets.Length))
            throw new SqlException("mismatch in the count of expressions and target columns", row[0].Offset);

        var values = await ReadValuesAsync(cancellation);
        CheckTypes(values);
        var outcome = await plane.Insert(context, table.Schema.TableId, Encode(values), [.. _targets.Select(target => target.Name)], cancellation);
        if (outcome.RejectedCount > 0)
            throw Describe(outcome.Rejected.First(record => !record.IsDiscarded));
        return (rows.Rows.Count, [.. outcome.Warnings.Select(Describe)]);
    }

    static ImmutableArray<Target> ResolveColumns(TableSchema schema, InsertRows rows)
    {
        if (rows.Columns is not { } names)
            return [.. ShowAnswers.ColumnsInOrder(schema).Skip(schema.IsAutoId ? 1 : 0).Select(column => new Target(column.Name, column.Type))];
        if (schema.IsAutoId && names.FirstOrDefault(name => name.Text == TableSchema.KeyColumnName) is { Text: not null } key)
            throw new SqlException("insert column list must not have '_id': the server makes the ids of this table", key.Offset);
        if (!schema.IsAutoId && !names.Any(name => name.Text == TableSchema.KeyColumnName))
            throw new SqlException("insert column list must have '_id' column specified", rows.Table.Offset);
        if (names.Length < (schema.IsAutoId ? 1 : 2))
            throw new SqlException("insert column list must have at least one non '_id' column specified", rows.Table.Offset);
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var name in names.Where(name => !seen.Add(name.Text)))
            throw new SqlException($"duplicate column '{name}'", name.Offset);
        return [.. names.Select(name => name.Text == TableSchema.KeyColumnName
            ? new Target(name.Text, null)
            : new Target(name.Text, (schema.FindColumn(name.Text) ?? throw new SqlException($"column '{name}' not found", name.Offset)).Type))];
    }

    async Task<SqlValue[][]> ReadValuesAsync(CancellationToken cancellation)
    {
        var values = rows.Rows.Select(row => row.Select(expression => SqlValue.TryReadLiteral(expression.Text)!).ToArray()).ToArray();
        var computed = new List<(int Row, int Column)>();
        for (var row = 0; row < values.Length; row++)
        {
            for (var column = 0; column < values[row].Length; column++)
            {
                if (values[row][column] is null)
                    computed.Add((row, column));
            }
        }
        foreach (var part in computed.Chunk(ExpressionsAtOnce))
        {
            var answer = await ComputeAsync([.. part.Select(cell => rows.Rows[cell.Row][cell.Column])], cancellation);
            for (var i = 0; i < part.Length; i++)
                values[part[i].Row][part[i].Column] = answer[i];
        }
        return values;
    }

    /// <summary>Has the store compute expressions, as a query that may read no table.</summary>
    async Task<SqlValue[]> ComputeAsync(SqlExpression[] expressions, CancellationToken cancellation)
    {
        // Each on lines of its own: it may end with a comment.
        var sql = "SELECT " + string.Join(", ", expressions.Select(expression => $"(\n{QueryRewrite.Of(expression.Text, []).Sql}\n)"));
        var cells = new ArrayBufferWriter<byte>();
        try
        {
            await plane.Query(context.DatabaseId, sql, QueryForm.Rows, [], async answer =>
            {
                if (answer.Columns.Count != expressions.Length || !await answer.ReadChunkAsync())
                    throw new QueryException("an expression has no value");
                using var writer = new Utf8JsonWriter(cells);
                writer.WriteStartArray();
                for (var i = 0; i < expressions.Length; i++)
                    answer.WriteCell(writer, i, 0);
                writer.WriteEndArray();
            }, cancellation);
        }
        catch (QueryException e)
        {
            throw new SqlException(e.Message, expressions[0].Offset, e);
        }
        using var document = JsonDocument.Parse(cells.WrittenMemory);
        return [.. document.RootElement.EnumerateArray().Select(SqlValue.FromJson)];
    }

    void CheckTypes(SqlValue[][] values)
    {
        for (var row = 0; row < values.Length; row++)
        {
            for (var i = 0; i < _targets.Length; i++)
            {
                if (values[row][i].TypeName is { } type && !IsAssignable(type, _targets[i].Type))
                {
                    throw new SqlException(
                        $"an expression of type '{type}' cannot be assigned to type '{TypeName(_targets[i].Type)}'", rows.Rows[row][i].Offset);
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

    byte[] Encode(SqlValue[][] values)
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
            writer.WritePropertyName(_targets[i].Name);
            var value = _targets[i].Type is { IsQuantum: true } && row[i] is ListValue members ? new TimedValue(now, members) : row[i];
            value.Write(writer);
        }
        writer.WriteEndObject();
    }

    SqlException Describe(RejectedRecord record)
    {
        var row = record.Index;
        var field = record.Errors[0];
        var column = Array.FindIndex([.. _targets], target => target.Name == field.Column);
        if (column < 0)
            return field.Code == FieldErrorCode.MissingRequired
                ? new SqlException($"column '{field.Column}' is not null and has no value in row {row + 1}", rows.Rows[row][0].Offset)
                : new SqlException($"row {row + 1}: expected {field.Expected}, got {field.Got}", rows.Rows[row][0].Offset);
        var expression = rows.Rows[row][column];
        var text = SqlValue.TryReadLiteral(expression.Text) is TextValue literal ? literal.Text : expression.Text;
        var value = text.Length <= 64 ? text : text[..64];
        return new SqlException(field.Code switch
        {
            FieldErrorCode.OutOfRange => $"inserting value into column '{field.Column}', row {row + 1}, value '{value}' out of range",
            FieldErrorCode.MissingRequired => $"column '{field.Column}' is not null and has no value in row {row + 1}",
            FieldErrorCode.NotATimestamp => $"unable to convert '{value}' to type 'timestamp'",
            _ => $"inserting value into column '{field.Column}', row {row + 1}: expected {field.Expected}, got {field.Got}",
        }, expression.Offset);
    }

    string Describe(TruncationWarning warning) =>
        $"value of column '{warning.Column}', row {warning.RecordIndex + 1}, was truncated to {TypeName(table.Schema.FindColumn(warning.Column)?.Type)}";
}
