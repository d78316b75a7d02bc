using System.Text;
using Sluice.Server.Accounts;

namespace Sluice.Server.Sql;

/// <summary><c>POST /v2/databases/{id}/query/sql</c>: one statement as text, its answer as JSON; and the older call of <see cref="LegacyQuery"/>.</summary>
static class SqlEndpoint
{
    /// <summary>Longest statement in bytes. INSERT carries its rows; 8 MiB is about 100,000 short rows.</summary>
    const int MaxStatementBytes = 8 * 1024 * 1024;

    public static void Map(IEndpointRouteBuilder app)
    {
        var sql = app.MapGroup("/v2/databases/{id:guid}").RequireAuthorization(Policies.Read).WithTags("Query");
        sql.MapPost("/query/sql", RunAsync).WithName("querySqlDatabase").WithSummary("Runs one SQL statement, sent as text.")
            .WithDescription("Query: format=json|parquet, plan=true, after=REQUEST_ID[,REQUEST_ID...] (also as header X-Sluice-After) runs the statement when the rows of these requests are visible, timeout=SECONDS (10 without it) says how long it waits for them, then 408.");
        sql.MapPost("/query", RunLegacyAsync).WithName("queryDatabase").WithSummary("Runs one SQL statement and answers in the first version's shape.");
        sql.MapPost("/", RunLegacyAsync).ExcludeFromDescription(); // one client leaves /query out

        // the first version's addresses, with and without its word for a database
        foreach (var path in new[] { "/v1/deployments/{id:guid}/query", "/v1/deployments/{id:guid}", "/v1/{id:guid}/query" })
            app.MapPost(path, RunLegacyAsync).RequireAuthorization(Policies.Read).ExcludeFromDescription();
        app.MapPost("/v1/deployments/{id:guid}/query/sql", RunAsync).RequireAuthorization(Policies.Read).ExcludeFromDescription();

        // what clients of other years send; before the console's pages, which would take POST too
        var older = app.MapGroup("").RequireAuthorization(Policies.Read).ExcludeFromDescription().WithOrder(-1);
        older.MapPost("/databases/{database}/sql", (string database, HttpContext http, SqlStatements statements) => RunNamedAsync(database, http, statements));
        older.MapPost("/v2/sql", (HttpContext http, SqlStatements statements) => RunNamedAsync(null, http, statements));
        older.MapPost("/sql", (HttpContext http, SqlStatements statements) => RunNamedAsync(null, http, statements));
    }

    /// <param name="database">Name or id; <c>null</c>: the only one.</param>
    static async Task RunNamedAsync(string? database, HttpContext http, SqlStatements statements) =>
        await RunAsync(await statements.FindDatabaseAsync(Caller.Of(http), database, http.RequestAborted), http, statements);

    /// <remarks>
    /// The status is 200 also when the statement is wrong: then the answer has a member <c>error</c>. A file has no such member, so there
    /// a wrong statement is 400.
    /// </remarks>
    static async Task RunAsync(Guid id, HttpContext http, SqlStatements statements)
    {
        var context = ContextOf(id, http) with { WithPlan = http.Request.Query["plan"] == "true" };
        var isFile = http.Request.Query["format"].ToString() switch
        {
            "" or "json" => false,
            "parquet" => true,
            _ => throw new SluiceException(ErrorCode.InvalidParameter, "The parameter format must be json or parquet."),
        };
        var sql = await ReadStatementAsync(http.Request, http.RequestAborted);
        if (isFile)
        {
            await SendFileAsync(await statements.ExportAsync(context, sql, http.RequestAborted), http);
            return;
        }
        http.Response.ContentType = "application/json";
        await statements.RunAsync(context, sql, http.Response.BodyWriter, http.RequestAborted);
    }

    static async Task SendFileAsync(FileStream file, HttpContext http)
    {
        await using (file)
        {
            http.Response.ContentType = "application/vnd.apache.parquet";
            http.Response.ContentLength = file.Length;
            http.Response.Headers.ContentDisposition = "attachment; filename=\"result.parquet\"";
            await file.CopyToAsync(http.Response.Body, http.RequestAborted);
        }
    }

    static async Task RunLegacyAsync(Guid id, HttpContext http, SqlStatements statements)
    {
        var context = ContextOf(id, http);
        var body = await ReadStatementAsync(http.Request, http.RequestAborted);
        await LegacyQuery.RunAsync(statements, context, body, http);
    }

    static SqlContext ContextOf(Guid id, HttpContext http) => new(id, Caller.Of(http)) { After = QueryAfter.Of(http.Request) };

    /// <summary>Reads UTF-8 whatever the content type says: clients send text/plain, JSON's type, or none.</summary>
    static async Task<string> ReadStatementAsync(HttpRequest request, CancellationToken cancellation)
    {
        using var body = new MemoryStream();
        var reader = request.BodyReader;
        while (true)
        {
            var read = await reader.ReadAsync(cancellation);
            foreach (var segment in read.Buffer)
                body.Write(segment.Span);
            reader.AdvanceTo(read.Buffer.End);
            if (body.Length > MaxStatementBytes)
                throw new SluiceException(ErrorCode.RequestTooLarge, $"a statement may have at most {MaxStatementBytes} bytes");
            if (read.IsCompleted)
                break;
        }
        try
        {
            return new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true).GetString(body.GetBuffer(), 0, (int)body.Length);
        }
        catch (DecoderFallbackException e)
        {
            throw new SluiceException(ErrorCode.InvalidBody, "the statement is not UTF-8", e);
        }
    }
}
