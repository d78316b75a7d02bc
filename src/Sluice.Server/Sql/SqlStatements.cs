using System.IO.Pipelines;
using Sluice.Schema;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Sql;

/// <summary>Runs one statement: reads it, hands it to whoever does it, and writes the answer. Any thread.</summary>
sealed class SqlStatements(SqlPlane plane)
{
    /// <summary>Writes the whole answer of a statement, also when the statement is wrong.</summary>
    /// <exception cref="SluiceException">The request as a whole is refused: no such database, not allowed, not now. Nothing was written.</exception>
    public async Task RunAsync(SqlContext context, string sql, PipeWriter output, CancellationToken cancellation)
    {
        var tables = await ReadTablesAsync(context, cancellation);
        using var answer = new SqlAnswer(output, plane.MaxAnswerBytes, plane.Time) { FirstRows = context.FirstRows };
        var (error, warnings, rowsAffected) = await TryRunAsync(context, sql, tables, answer, cancellation);
        await answer.FinishAsync(error, warnings, rowsAffected, cancellation);
    }

    /// <summary>Runs one SELECT and makes a Parquet file of its rows.</summary>
    /// <exception cref="SluiceException">As <see cref="RunAsync"/>; <see cref="ErrorCode.InvalidParameter"/>: the statement is wrong, or no SELECT.</exception>
    public async Task<FileStream> ExportAsync(SqlContext context, string sql, CancellationToken cancellation)
    {
        var tables = await ReadTablesAsync(context, cancellation);
        try
        {
            if (SqlParser.Parse(sql) is not Query { IsExplain: false } query)
                throw new SqlException("only the rows of a SELECT can be exported", 0);
            var (rewrite, known) = Prepare(query, tables);
            return await AskAsync(rewrite, () => plane.Export(context.DatabaseId, rewrite.Sql, known, cancellation));
        }
        catch (SqlException e)
        {
            throw new SluiceException(ErrorCode.InvalidParameter, e.Describe(sql), e);
        }
    }

    /// <summary>The database of this name or id; the only one there is when none is given.</summary>
    /// <exception cref="SluiceException">There is no such database, or more than one.</exception>
    public async Task<Guid> FindDatabaseAsync(Caller caller, string? name, CancellationToken cancellation)
    {
        var databases = await plane.ListDatabases(new SqlContext(Guid.Empty, caller), cancellation);
        if (name is null)
            return databases is [var only] ? only.Id : throw new SluiceException(ErrorCode.InvalidParameter, $"the path names no database, and there are {databases.Count}");
        var found = databases.FirstOrDefault(database => database.Name == name || database.Id.ToString().Equals(name, StringComparison.OrdinalIgnoreCase));
        return found?.Id ?? throw new SluiceException(ErrorCode.NotFound, "There is no such database.");
    }

    async Task<(string? Error, IReadOnlyList<string> Warnings, long? RowsAffected)> TryRunAsync(
        SqlContext context, string sql, IReadOnlyList<SqlTable> tables, SqlAnswer answer, CancellationToken cancellation)
    {
        SqlStatement? statement = null;
        var result = AuditResult.Unknown; // what is in the log is applied, also when the caller leaves or waits for too long
        try
        {
            statement = SqlParser.Parse(sql);
            var (warnings, count) = await PerformAsync(context, statement, tables, answer, cancellation);
            result = AuditResult.Ok;
            return (null, warnings, count);
        }
        catch (SqlException e)
        {
            result = AuditResult.Failed;
            return (e.Describe(sql), [], null);
        }
        catch (SluiceException e) when (e.Outcome == RefusalOutcome.NotStored)
        {
            // who is denied has a line of that action, and must not use up those of the writes
            result = e.Code == ErrorCode.Forbidden ? AuditResult.Denied : AuditResult.Failed;
            throw;
        }
        finally
        {
            if (statement is { IsWrite: true } && result != AuditResult.Denied)
                plane.NoteWrite(context, sql, result);
        }
    }

    async Task<(IReadOnlyList<string> Warnings, long? RowsAffected)> PerformAsync(
        SqlContext context, SqlStatement statement, IReadOnlyList<SqlTable> tables, SqlAnswer answer, CancellationToken cancellation)
    {
        if (statement.IsWrite)
            ControlPlane.RequireWrite(context.Caller); // before its rows are read: they may be many
        if (statement is InsertRows insert)
        {
            var (count, warnings) = await new InsertStatement(plane, context, Find(tables, insert.Table), insert).RunAsync(cancellation);
            answer.Write([], []);
            return (warnings, count);
        }
        if (statement is BulkInsert bulk)
        {
            var (count, warnings) = await new BulkInsertStatement(plane, context, Find(tables, bulk.Table), bulk).RunAsync(cancellation);
            answer.Write([], []);
            return (warnings, count);
        }
        if (statement is DeleteRows delete)
        {
            var count = await new DeleteStatement(plane, context, Find(tables, delete.Table), delete).RunAsync(cancellation);
            answer.Write([], []);
            return ([], count);
        }
        await DispatchAsync(context, statement, tables, answer, cancellation);
        return (statement.Warnings, null);
    }

    async Task DispatchAsync(SqlContext context, SqlStatement statement, IReadOnlyList<SqlTable> tables, SqlAnswer answer, CancellationToken cancellation)
    {
        switch (statement)
        {
            case Query query:
                await QueryAsync(context, query, tables, answer, cancellation);
                break;
            case ShowTables:
                ShowAnswers.WriteTables(answer, tables);
                break;
            case ShowDatabases:
                ShowAnswers.WriteDatabases(answer, await plane.ListDatabases(context, cancellation));
                break;
            case ShowColumns show:
                ShowAnswers.WriteColumns(answer, Find(tables, show.Table));
                break;
            case ShowCreateTable show:
                ShowAnswers.WriteCreateTable(answer, Find(tables, show.Table));
                break;
            default:
                await ChangeAsync(context, statement, tables, cancellation);
                answer.Write([], []);
                break;
        }
    }

    async Task QueryAsync(SqlContext context, Query query, IReadOnlyList<SqlTable> tables, SqlAnswer answer, CancellationToken cancellation)
    {
        var (rewrite, known) = Prepare(query, tables);
        await AskAsync(rewrite, async () =>
        {
            await plane.Query(context.DatabaseId, rewrite.Sql, query.IsExplain ? QueryForm.Plan : QueryForm.Rows, known, answer.WriteAsync, cancellation);
            if (context.WithPlan && !query.IsExplain)
                await plane.Query(context.DatabaseId, rewrite.Sql, QueryForm.JsonPlan, known, answer.ReadPlanAsync, cancellation);
            return true;
        });
    }

    async Task<IReadOnlyList<SqlTable>> ReadTablesAsync(SqlContext context, CancellationToken cancellation)
    {
        // Also for a statement that cannot be read: a database that is not there is told first.
        var tables = await plane.ListTables(context, cancellation);
        if (context.After is not { } after)
            return tables;
        await plane.WaitLoaded(context, after, cancellation);
        return await plane.ListTables(context, cancellation); // they may have changed meanwhile
    }

    static (QueryRewrite Rewrite, QueryTable[] Known) Prepare(Query query, IReadOnlyList<SqlTable> tables)
    {
        var rewrite = QueryRewrite.Of(query.Text, QueryRewrite.NamesOf(tables), textSets: QueryRewrite.TextSetsOf(tables), times: QueryRewrite.TimesOf(tables));
        return (rewrite, [.. tables.Select(table => new QueryTable(table.Schema.Name, table.Source)), .. SystemTables.In(rewrite.Sql, tables)]);
    }

    static async Task<T> AskAsync<T>(QueryRewrite rewrite, Func<Task<T>> ask)
    {
        try
        {
            return await ask();
        }
        catch (QueryException e)
        {
            throw new SqlException(e.Message, e.Offset is { } offset ? rewrite.OriginalOffset(offset) : null, e);
        }
    }

    async Task ChangeAsync(SqlContext context, SqlStatement statement, IReadOnlyList<SqlTable> tables, CancellationToken cancellation)
    {
        try
        {
            switch (statement)
            {
                case CreateTable create:
                    await CreateAsync(context, create, tables, cancellation);
                    break;
                case DropTable drop:
                    if (TryFind(tables, drop.Table) is { } dropped)
                        await plane.DropTable(context, dropped, cancellation);
                    else if (!drop.IfExists)
                        throw NotFound("table or view", drop.Table);
                    break;
                case SetRetention set:
                    await plane.SetRetention(context, TryFind(tables, set.Table) ?? throw NotFound("table", set.Table), set.Retention, cancellation);
                    break;
                case AddColumn add:
                    await plane.AddColumn(context, FindAltered(tables, add.Table, add.Column.Name), add.Column, cancellation);
                    break;
                case DropColumn drop:
                    await plane.DropColumn(context, FindAltered(tables, drop.Table, missing: null, drop.Column), drop.Column.Text, cancellation);
                    break;
                case RenameColumn rename:
                    await plane.RenameColumn(context, FindAltered(tables, rename.Table, rename.To, rename.From), rename.From.Text, rename.To.Text, cancellation);
                    break;
            }
        }
        // What the statement asks for is wrong; every other code is about the request, and is the host's to answer.
        catch (SluiceException e) when (e.Code is ErrorCode.InvalidParameter or ErrorCode.MissingParameter or ErrorCode.AlreadyExists
            or ErrorCode.RelatedNotFound or ErrorCode.LimitExceeded)
        {
            throw new SqlException(e.Message, inner: e);
        }
    }

    async Task CreateAsync(SqlContext context, CreateTable create, IReadOnlyList<SqlTable> tables, CancellationToken cancellation)
    {
        if (TryFind(tables, create.Table) is null)
            await plane.CreateTable(context, create, cancellation);
        else if (!create.IfNotExists)
            throw new SqlException($"table or view '{create.Table}' already exists", create.Table.Offset);
    }

    /// <param name="missing">A column that must not be there yet.</param>
    /// <param name="present">A column that must.</param>
    static SqlTable FindAltered(IReadOnlyList<SqlTable> tables, SqlName name, SqlName? missing, SqlName? present = null)
    {
        var table = TryFind(tables, name) ?? throw NotFound("table", name);
        if (present is { } old && table.Schema.FindColumn(old.Text) is null)
        {
            throw old.Text == TableSchema.KeyColumnName
                ? new SqlException("column '_id' cannot be changed", old.Offset)
                : NotFound("column", old);
        }
        if (missing is { } added && (added.Text == TableSchema.KeyColumnName || table.Schema.FindColumn(added.Text) is not null))
            throw new SqlException($"duplicate column '{added}'", added.Offset);
        return table;
    }

    static SqlTable Find(IReadOnlyList<SqlTable> tables, SqlName name) => TryFind(tables, name) ?? throw NotFound("table or view", name);

    static SqlTable? TryFind(IReadOnlyList<SqlTable> tables, SqlName name) => tables.FirstOrDefault(table => table.Schema.Name == name.Text);

    static SqlException NotFound(string what, SqlName name) => new($"{what} '{name}' not found", name.Offset);
}
