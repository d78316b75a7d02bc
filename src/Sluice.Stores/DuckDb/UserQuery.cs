using System.Runtime.InteropServices;
using System.Text;
using DuckDB.NET.Data;
using DuckDB.NET.Native;

namespace Sluice.Stores.DuckDb;

/// <summary>Runs queries written by users. Their text is hostile until proven otherwise.</summary>
/// <remarks>
/// A query is run only when (1) DuckDB's parser finds exactly one statement in it, (2) the parse tree reads only the tables given and
/// calls only allowed functions (<see cref="QueryProof"/>), (3) the prepared statement's native type is SELECT, (4) inside a read-only
/// transaction. The connection must come from an instance with external access off and its configuration locked.
///
/// Tables are seen through temporary views made for the one query: <c>_id</c> first, the other columns in alphabetical order,
/// <see cref="QueryProof.HiddenColumns"/> only when the query names them. So <c>*</c>, joins, NATURAL, USING, DISTINCT and UNION never
/// meet a hidden column by accident, and a change of a table needs no view to be kept in step.
///
/// What the limits cannot hold: DuckDB does not look at an interrupt while it computes one value or plans, and its memory limit does
/// not count values being made. <see cref="AllowedFunctions"/> refuses the plain ways to ask for a huge value.
///
/// Any thread.
/// </remarks>
public sealed partial class UserQuery(QueryLimits limits, TimeProvider time) : IDisposable
{
    // Raw value in DuckDB's C header. The binding's enum is shifted for the later members, so it is not used.
    const int SelectStatement = 1;

    // no table can be named so
    const string ExportView = "\"the exported query\"";

    static readonly TimeSpan _lookAtFile = TimeSpan.FromMilliseconds(100);

    readonly SemaphoreSlim _slots = new(limits.MaxConcurrent, limits.MaxConcurrent);

    readonly long[] _ends = new long[Enum.GetValues<QueryEnd>().Length];

    public QueryLimits Limits { get; } = limits;

    /// <summary>Queries that run at this moment.</summary>
    public int RunningCount => Limits.MaxConcurrent - _slots.CurrentCount;

    /// <summary>Queries that have ended so, since the start.</summary>
    public long CountEnded(QueryEnd end) => Volatile.Read(ref _ends[(int)end]);

    /// <summary>Runs a query and hands its answer over; returns when <paramref name="consume"/> has.</summary>
    /// <param name="open">Opens a connection to the database; it is closed when the query ends.</param>
    /// <param name="form">What is asked for.</param>
    /// <param name="tables">All tables the query may read.</param>
    /// <param name="consume">Reads the answer. The limits of time and rows hold until it returns.</param>
    /// <exception cref="QueryException">The query is refused, is wrong, or passed a limit; <paramref name="consume"/> may have begun.</exception>
    public Task RunAsync(
        Func<CancellationToken, ValueTask<DuckDbReadConnection>> open,
        string sql,
        QueryForm form,
        IReadOnlyCollection<QueryTable> tables,
        Func<QueryResult, ValueTask> consume,
        CancellationToken cancellation) =>
        InSlotAsync(
            open,
            sql,
            async (opened, thread, stop) =>
            {
                using var result = await thread.RunAsync(() => Execute(opened.Connection, sql, form, tables));
                result.Limit(Limits.MaxRows, thread, stop);
                await consume(result);
                return true;
            },
            cancellation);

    /// <summary>Runs a query and has DuckDB write its rows to a Parquet file, in their order.</summary>
    /// <returns>The file; it has no name any more, and is gone when this is disposed of.</returns>
    /// <exception cref="QueryException">As <see cref="RunAsync"/>; the file would be longer than <see cref="QueryLimits.MaxAnswerBytes"/>.</exception>
    public async Task<FileStream> ExportAsync(
        Func<CancellationToken, ValueTask<DuckDbReadConnection>> open, string sql, IReadOnlyCollection<QueryTable> tables, CancellationToken cancellation)
    {
        using var tooLong = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        try
        {
            return await InSlotAsync(open, sql, (opened, thread, _) => WriteFileAsync(opened, thread, sql, tables, tooLong), tooLong.Token);
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw TooLong(e);
        }
    }

    async Task<FileStream> WriteFileAsync(DuckDbReadConnection opened, IdleThread thread, string sql, IReadOnlyCollection<QueryTable> tables, CancellationTokenSource tooLong)
    {
        var path = Path.Combine(opened.ExportDirectory, $"{Guid.NewGuid():n}.parquet");
        try
        {
            await using var watch = time.CreateTimer(
                _ =>
                {
                    if (new FileInfo(path) is { Exists: true } file && file.Length > Limits.MaxAnswerBytes) tooLong.Cancel();
                },
                null, _lookAtFile, _lookAtFile);
            await thread.RunAsync(() => Export(opened.Connection, sql, tables, path));
            var written = File.OpenRead(path);
            if (written.Length <= Limits.MaxAnswerBytes)
                return written;
            await written.DisposeAsync();
            throw TooLong(inner: null);
        }
        finally
        {
            File.Delete(path); // an open file stays readable
        }
    }

    async Task<T> InSlotAsync<T>(
        Func<CancellationToken, ValueTask<DuckDbReadConnection>> open,
        string sql,
        Func<DuckDbReadConnection, IdleThread, CancellationToken, Task<T>> run,
        CancellationToken cancellation)
    {
        if (sql.Length > QueryLimits.MaxTextLength)
            throw new QueryException($"a query may have at most {QueryLimits.MaxTextLength} characters");
        // DuckDB takes zero-terminated text: what stands behind the zero would be neither seen nor checked.
        if (sql.Contains('\0'))
            throw new QueryException("a query must not contain U+0000");
        if (!await _slots.WaitAsync(Limits.Queue, cancellation))
        {
            Count(QueryEnd.NotBegun);
            throw new QueryException("too many queries are running; try again later");
        }
        try
        {
            return await RunInSlotAsync(open, run, cancellation);
        }
        finally
        {
            _slots.Release();
        }
    }

    void Count(QueryEnd end) => Interlocked.Increment(ref _ends[(int)end]);

    public void Dispose() => _slots.Dispose();

    async Task<T> RunInSlotAsync<T>(
        Func<CancellationToken, ValueTask<DuckDbReadConnection>> open, Func<DuckDbReadConnection, IdleThread, CancellationToken, Task<T>> run, CancellationToken cancellation)
    {
        using var deadline = new CancellationTokenSource(Limits.Time, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellation);
        var end = QueryEnd.Failed;
        try
        {
            using var opened = await open(either.Token);
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(either.Token, opened.Stopped);
            using var interrupts = new Interrupts(opened.Connection.NativeConnection, time, stop.Token);
            using var thread = IdleThread.Start();
            await using var hurry = stop.Token.Register(thread.Hurry);
            try
            {
                var answer = await run(opened, thread, stop.Token);
                end = QueryEnd.Completed;
                return answer;
            }
            catch (Exception e) when (e is QueryException or OperationCanceledException && opened.StopReason is not null && !either.IsCancellationRequested)
            {
                end = QueryEnd.Displaced;
                throw new QueryException($"the query was stopped: {opened.StopReason}; send it again", inner: e);
            }
        }
        catch (Exception e) when (e is QueryException or OperationCanceledException && deadline.IsCancellationRequested)
        {
            end = QueryEnd.TimedOut;
            throw new QueryException($"the query took longer than {Limits.Time.TotalSeconds:0.#} s and was stopped", inner: e);
        }
        catch (Exception e) when (e is QueryException or OperationCanceledException && cancellation.IsCancellationRequested)
        {
            end = QueryEnd.Cancelled;
            throw new OperationCanceledException("the client went away", e, cancellation);
        }
        finally
        {
            Count(end);
        }
    }

    static QueryResult Execute(DuckDBConnection connection, string sql, QueryForm form, IReadOnlyCollection<QueryTable> tables)
    {
        try
        {
            var proof = Admit(connection, sql, tables);
            if (form == QueryForm.Deletion)
                proof.ThrowUnlessPredicate();
            using (var proven = Begin(connection, sql, proof))
            {
                if (form is QueryForm.Rows or QueryForm.Deletion)
                    return QueryResult.Execute(proven, proof);
            }
            using var plan = Prepare(connection, (form == QueryForm.JsonPlan ? "EXPLAIN (FORMAT json) " : "EXPLAIN ") + sql);
            return QueryResult.Execute(plan, proof: null);
        }
        catch (DuckDBException e)
        {
            throw QueryException.FromDuckDb(e.Message, sql);
        }
    }

    /// <summary>
    /// The proven query becomes a view, by words that stand before it alone: nothing in its text, a comment at its end included, can
    /// reach what is run with it.
    /// </summary>
    long Export(DuckDBConnection connection, string sql, IReadOnlyCollection<QueryTable> tables, string path)
    {
        try
        {
            Begin(connection, sql, Admit(connection, sql, tables)).Dispose();
            Run(connection, $"CREATE TEMP VIEW {ExportView} AS {sql}");
            // DuckDB holds row groups in memory and writes each in one go: of its own 122,880 rows, long values took 10 GiB and more than a minute
            var count = Run(connection, $"COPY (SELECT * FROM temp.{ExportView} LIMIT {Limits.MaxRows + 1}) TO {Literal(path)} (FORMAT parquet, COMPRESSION zstd, PRESERVE_ORDER true, ROW_GROUP_SIZE 2048)");
            if (count > Limits.MaxRows)
                throw new QueryException($"the answer has more than {Limits.MaxRows} rows; add a LIMIT");
            return count;
        }
        catch (DuckDBException e)
        {
            throw QueryException.FromDuckDb(e.Message, sql);
        }
    }

    /// <summary>Begins the transaction that reads, with what the query needs in it.</summary>
    static DuckDBPreparedStatement Begin(DuckDBConnection connection, string sql, QueryProof proof)
    {
        Run(connection, "BEGIN TRANSACTION READ ONLY");
        foreach (var definition in Define(connection, proof))
            Run(connection, definition);
        var proven = Prepare(connection, sql);
        if (PreparedStatementType(proven) == SelectStatement)
            return proven;
        proven.Dispose();
        throw new QueryException("only SELECT is allowed here");
    }

    QueryException TooLong(Exception? inner) => new($"the file would be longer than {Limits.MaxAnswerBytes} bytes; add a LIMIT", inner: inner);

    /// <summary>Proves a query. Runs nothing of it.</summary>
    /// <exception cref="QueryException">It is refused.</exception>
    internal static QueryProof Admit(DuckDBConnection connection, string sql, IReadOnlyCollection<QueryTable> tables)
    {
        // The proof only parses, so it comes first: to extract, DuckDB expands PRAGMA and IMPORT.
        var proof = Prove(connection, sql, tables);
        ThrowUnlessOneStatement(connection, sql);
        return proof;
    }

    /// <summary>What must be there while the query runs: its macros, and the views that show it its tables.</summary>
    internal static IEnumerable<string> Define(DuckDBConnection connection, QueryProof proof)
    {
        foreach (var (_, macro) in Macros.Needed(proof.Functions))
            yield return macro;
        foreach (var table in proof.Tables)
            yield return ViewOf(connection, table, proof.NamedHiddenColumns);
    }

    static void ThrowUnlessOneStatement(DuckDBConnection connection, string sql)
    {
        var count = NativeMethods.ExtractStatements.DuckDBExtractStatements(connection.NativeConnection, sql, out var statements);
        using (statements)
        {
            if (count == 0 && NativeMethods.ExtractStatements.DuckDBExtractStatementsError(statements) is { Length: > 0 } error)
                throw QueryException.FromDuckDb(error, sql);
            if (count != 1)
                throw new QueryException("exactly one statement is allowed");
        }
    }

    static QueryProof Prove(DuckDBConnection connection, string sql, IReadOnlyCollection<QueryTable> tables)
    {
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT json_serialize_sql($1::VARCHAR)";
        command.Parameters.Add(new DuckDBParameter(sql));
        var tree = (string?)command.ExecuteScalar() ?? throw new QueryException("the query could not be parsed");
        try
        {
            return QueryProof.Of(tree, tables);
        }
        catch (QueryException e) when (e.Offset is { } bytes)
        {
            // The parser counts in UTF-8 bytes.
            var utf8 = Encoding.UTF8.GetBytes(sql);
            throw new QueryException(e.Message, Encoding.UTF8.GetCharCount(utf8.AsSpan(0, Math.Min(bytes, utf8.Length))), e);
        }
    }

    /// <summary>Reads the columns from the store, inside the transaction: they are those of the rows that the query will see.</summary>
    static string ViewOf(DuckDBConnection connection, QueryTable table, IReadOnlySet<string> namedHiddenColumns)
    {
        using var command = connection.CreateCommand();
        command.CommandText = $"SELECT * FROM {table.Source} LIMIT 0";
        using var reader = command.ExecuteReader();
        var names = Enumerable.Range(0, reader.FieldCount).Select(reader.GetName).ToList();
        var shown = names.Except(QueryProof.HiddenColumns)
            .OrderBy(name => name != "_id").ThenBy(name => name, StringComparer.Ordinal)
            .Concat(QueryProof.HiddenColumns.Where(hidden => names.Contains(hidden) && namedHiddenColumns.Contains(hidden)));
        return $"CREATE TEMP VIEW {Quote(table.Name)} AS SELECT {string.Join(", ", shown.Select(Quote))} FROM {table.Source}";
    }

    /// <summary>Any text as one SQL identifier.</summary>
    public static string Quote(string identifier) => $"\"{identifier.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    /// <summary>The query around the predicate of a DELETE, which has lines of its own: it may end with a comment.</summary>
    public static string Selection(string list, string table, string predicate) => $"SELECT {list} FROM {Quote(table)} WHERE (\n{predicate}\n)";

    /// <summary>Any text as one SQL string.</summary>
    public static string Literal(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";

    static long Run(DuckDBConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteNonQuery();
    }

    static DuckDBPreparedStatement Prepare(DuckDBConnection connection, string sql)
    {
        var state = NativeMethods.PreparedStatements.DuckDBPrepare(connection.NativeConnection, sql, out var statement);
        if (state == DuckDBState.Success)
            return statement;
        using (statement)
            throw QueryException.FromDuckDb(NativeMethods.PreparedStatements.DuckDBPrepareError(statement), sql);
    }

    static int PreparedStatementType(DuckDBPreparedStatement statement)
    {
        var held = false;
        try
        {
            statement.DangerousAddRef(ref held);
            return NativeStatementType(statement.DangerousGetHandle());
        }
        finally
        {
            if (held)
                statement.DangerousRelease();
        }
    }

    [LibraryImport("duckdb", EntryPoint = "duckdb_prepared_statement_type")]
    private static partial int NativeStatementType(nint statement);
}
