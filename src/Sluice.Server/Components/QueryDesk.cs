using System.IO.Pipelines;
using System.Text.Json;
using Sluice.Server.Accounts;
using Sluice.Server.Sql;

namespace Sluice.Server.Components;

/// <summary>One column of an answer, as the API names its type.</summary>
sealed record AnswerColumn(string Name, string Type);

/// <summary>The answer of one statement, held in memory.</summary>
/// <param name="Rows">Arrays, one element a column.</param>
/// <param name="HasMore">There are more rows than were asked for.</param>
/// <param name="Error">A sentence; rows may have come before it. <c>null</c>: it went well.</param>
sealed record QueryAnswer(
    IReadOnlyList<AnswerColumn> Columns, IReadOnlyList<JsonElement> Rows, string? Error, IReadOnlyList<string> Warnings, long? RowsAffected, TimeSpan Elapsed, bool HasMore = false);

/// <summary>Runs SQL for the console: the statements of the API, with answers small enough for a page. Authorises inside. Any thread.</summary>
sealed class QueryDesk(SqlPlane plane)
{
    /// <summary>Bytes of one answer; what is longer ends with an error that says so, and the rows up to there.</summary>
    public const long MaxAnswerBytes = 8 * 1024 * 1024;

    readonly SqlStatements _statements = new(plane with { MaxAnswerBytes = Math.Min(MaxAnswerBytes, plane.MaxAnswerBytes) });

    /// <param name="firstRows">Most rows that are wanted; <c>null</c>: as many as fit.</param>
    /// <exception cref="SluiceException">No such database, or not allowed.</exception>
    public async Task<QueryAnswer> RunAsync(Caller caller, Guid databaseId, string sql, int? firstRows, CancellationToken cancellation)
    {
        RequireRead(caller);

        using var body = new MemoryStream();
        var pipe = PipeWriter.Create(body, new StreamPipeWriterOptions(leaveOpen: true));
        await _statements.RunAsync(new SqlContext(databaseId, caller) { FirstRows = firstRows + 1 }, sql, pipe, cancellation); // one more tells that there are more
        await pipe.CompleteAsync();
        var answer = Read(JsonElement.Parse(body.GetBuffer().AsSpan(0, (int)body.Length)));
        return answer.Rows.Count > firstRows ? answer with { Rows = [.. answer.Rows.Take(firstRows.Value)], HasMore = true } : answer;
    }

    /// <summary>Runs a SELECT and makes a Parquet file of all its rows.</summary>
    /// <exception cref="SluiceException">As <see cref="RunAsync"/>; <see cref="ErrorCode.InvalidParameter"/>: the statement is wrong, or no SELECT.</exception>
    public Task<FileStream> ExportAsync(Caller caller, Guid databaseId, string sql, CancellationToken cancellation)
    {
        RequireRead(caller);
        return _statements.ExportAsync(new SqlContext(databaseId, caller), sql, cancellation);
    }

    static void RequireRead(Caller caller)
    {
        if (!Policies.Allows(caller.Role, Policies.Read))
            throw new SluiceException(ErrorCode.Forbidden, $"The role {caller.Role} may not read.");
    }

    static QueryAnswer Read(JsonElement answer)
    {
        var columns = answer.TryGetProperty("schema", out var schema)
            ? schema.GetProperty("fields").EnumerateArray().Select(field => new AnswerColumn(field.GetProperty("name").GetString()!, field.GetProperty("type").GetString()!)).ToList()
            : [];
        return new QueryAnswer(
            columns,
            answer.TryGetProperty("data", out var data) ? [.. data.EnumerateArray()] : [],
            answer.TryGetProperty("error", out var error) ? FaultText.Sentence(error.GetString()!) : null,
            answer.TryGetProperty("warnings", out var warnings) ? [.. warnings.EnumerateArray().Select(warning => warning.GetString()!)] : [],
            answer.TryGetProperty("rows-affected", out var affected) ? affected.GetInt64() : null,
            TimeSpan.FromMicroseconds(answer.GetProperty("execution-time").GetInt64()));
    }
}
