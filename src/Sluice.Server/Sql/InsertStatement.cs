using System.Buffers;
using System.Text.Json;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Sql;

/// <summary>INSERT and REPLACE: reads or computes the values of VALUES, and writes them as <see cref="RowInsertion"/> does.</summary>
sealed class InsertStatement(SqlPlane plane, SqlContext context, SqlTable table, InsertRows rows)
{
    // A query of a thousand expressions is planned in a few milliseconds; one of all rows of a long statement would not be.
    const int ExpressionsAtOnce = 500;

    /// <returns>The rows written, and a warning for each value that lost digits.</returns>
    /// <exception cref="SqlException">Nothing was stored.</exception>
    public async Task<(int RowCount, IReadOnlyList<string> Warnings)> RunAsync(CancellationToken cancellation)
    {
        var targets = RowInsertion.ResolveColumns(table.Schema, rows.Table, rows.Columns);
        foreach (var row in rows.Rows.Where(row => row.Count != targets.Length))
            throw new SqlException("mismatch in the count of expressions and target columns", row[0].Offset);
        var values = await ReadValuesAsync(cancellation);
        var insertion = new RowInsertion(plane, context, table, targets, rows.Operation, (row, column) => rows.Rows[row][column]);
        return (rows.Rows.Count, await insertion.RunAsync(values, cancellation));
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

    async Task<SqlValue[]> ComputeAsync(SqlExpression[] expressions, CancellationToken cancellation)
    {
        // Each on lines of its own: it may end with a comment.
        var sql = "SELECT " + string.Join(", ", expressions.Select(expression => $"(\n{QueryRewrite.Of(expression.Text, []).Sql}\n)"));
        var rows = await ComputedRows.ReadAsync(plane, context, sql, expressions.Length, expressions[0].Offset, cancellation);
        return rows is [var row] ? row : throw new SqlException("an expression has no value", expressions[0].Offset);
    }
}

/// <summary>Values that the store computes, as a query that may read no table.</summary>
static class ComputedRows
{
    /// <exception cref="SqlException">The query failed; the place is <paramref name="offset"/>.</exception>
    public static async Task<List<SqlValue[]>> ReadAsync(
        SqlPlane plane, SqlContext context, string sql, int columnCount, int offset, CancellationToken cancellation)
    {
        var rows = new List<SqlValue[]>();
        try
        {
            await plane.Query(context.DatabaseId, sql, QueryForm.Rows, [], async answer =>
            {
                if (answer.Columns.Count != columnCount)
                    throw new QueryException("an expression has no value");
                while (await answer.ReadChunkAsync())
                {
                    for (var row = 0; row < answer.RowCount; row++)
                        rows.Add(ReadRow(answer, row));
                }
            }, cancellation);
        }
        catch (QueryException e)
        {
            throw new SqlException(e.Message, offset, e);
        }
        return rows;
    }

    static SqlValue[] ReadRow(QueryResult answer, int row)
    {
        var cells = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(cells))
        {
            writer.WriteStartArray();
            for (var i = 0; i < answer.Columns.Count; i++)
                answer.WriteCell(writer, i, row);
            writer.WriteEndArray();
        }
        using var document = JsonDocument.Parse(cells.WrittenMemory);
        return [.. document.RootElement.EnumerateArray().Select(SqlValue.FromJson)];
    }
}
