using Sluice.Stores.DuckDb;

namespace Sluice.Server.Sql;

/// <summary>
/// DELETE: has its predicate run as the WHERE of a query first, within the limits of one, and only then written to the table's log; see
/// <see cref="Table.DeleteAsync"/>.
/// </summary>
sealed class DeleteStatement(SqlPlane plane, SqlContext context, SqlTable table, DeleteRows delete)
{
    /// <returns>How many rows were deleted; <c>null</c> when that is not known.</returns>
    /// <exception cref="SqlException">Nothing was deleted.</exception>
    public async Task<long?> RunAsync(CancellationToken cancellation)
    {
        var predicate = delete.Predicate is { } expression ? await CheckAsync(expression, cancellation) : null;
        try
        {
            return await plane.Delete(context, table, predicate, cancellation);
        }
        catch (SluiceException e) when (e.Code == ErrorCode.InvalidParameter)
        {
            throw new SqlException(e.Message, delete.Predicate?.Offset, e);
        }
    }

    /// <summary>The predicate as the store takes it. The present time becomes that of now: it must mean the same whenever the log is loaded.</summary>
    async Task<string> CheckAsync(SqlExpression expression, CancellationToken cancellation)
    {
        var rewrite = QueryRewrite.Of(expression.Text, QueryRewrite.NamesOf([table]), plane.Time.GetUtcNow(), QueryRewrite.TextSetsOf([table]), QueryRewrite.TimesOf([table]));
        var query = UserQuery.Selection("count(*)", table.Schema.Name, rewrite.Sql);
        try
        {
            await plane.Query(
                context.DatabaseId, query, QueryForm.Deletion, [new QueryTable(table.Schema.Name, table.Source) { Columns = [.. table.Schema.Columns.Select(column => column.Name)] }],
                async answer =>
                {
                    while (await answer.ReadChunkAsync())
                    {
                    }
                },
                cancellation);
            if (!SqlTokens.OpensWhatItCloses(expression.Text)) // true) or (true, which runs in the brackets it is put into
                throw new SqlException("the predicate must be one expression", expression.Offset);
            return rewrite.Sql;
        }
        catch (QueryException e)
        {
            var start = query.IndexOf('\n', StringComparison.Ordinal) + 1;
            throw new SqlException(e.Message, expression.Offset + (e.Offset is { } offset && offset > start ? rewrite.OriginalOffset(offset - start) : 0), e);
        }
    }
}
