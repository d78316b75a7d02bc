using System.Net;
using Sluice.IntegrationTests.Server;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Sql;

/// <summary>The rows of a query as a Parquet file.</summary>
public sealed class ParquetTests : IDisposable
{
    readonly QueryDatabase _database = new();

    public void Dispose() => _database.Dispose();

    [Theory]
    [InlineData("SELECT species, petal, tags, at_ns, v FROM iris ORDER BY _id", "concat_ws(' ', count(*), first(species), first(petal), array_to_string(first(tags), '|'), first(at_ns), first(v)[2])", "2 setosa 5.10 a|b'\" 2022-01-01 00:00:00.123456789 2.5")]
    [InlineData("SELECT 1 AS a; -- a comment at the end", "first(a)", "1")]
    [InlineData("WITH t AS (SELECT 2 AS a) SELECT a FROM t /* another", null, "error")]
    [InlineData("SELECT * FROM iris", "first(species)", "setosa")]
    [InlineData("SELECT i FROM UNNEST(generate_series(300000, 1, -1)) AS t(i) ORDER BY i", "count(*) || ' ' || bool_and(i = file_row_number + 1)", "300000 true")]
    public async Task A_file_has_the_rows_in_their_order(string sql, string? expression, string expected)
    {
        if (expression is null)
        {
            await Assert.ThrowsAsync<QueryException>(() => ExportAsync(sql));
            return;
        }
        await using var file = await ExportAsync(sql);
        Assert.Equal(expected, await ReadAsync(file, expression));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_database.ExportDirectory));
    }

    [Theory]
    [InlineData("SELECT * FROM read_csv('{secret}')")]
    [InlineData("SELECT * FROM '{secret}'")]
    [InlineData("SELECT * FROM _sluice.position")]
    [InlineData("SELECT 1; SELECT 2")]
    [InlineData("COPY iris TO '{export}/x.csv'")]
    [InlineData("INSERT INTO iris (_id) VALUES (9)")]
    [InlineData("SELECT 1) TO '{export}/x.parquet'; --")]
    [InlineData("SELECT error('boom')")]
    public async Task What_may_not_be_asked_may_not_be_exported_and_leaves_no_file(string sql)
    {
        var filled = sql.Replace("{secret}", _database.SecretFile, StringComparison.Ordinal).Replace("{export}", _database.ExportDirectory, StringComparison.Ordinal);
        await Assert.ThrowsAsync<QueryException>(() => ExportAsync(filled));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_database.ExportDirectory));
        Assert.Equal("2", _database.Scalar("SELECT count(*) FROM iris"));
    }

    [Fact]
    public async Task A_file_that_another_query_has_written_cannot_be_read()
    {
        var path = Path.Combine(_database.ExportDirectory, "x.parquet");
        _database.Execute($"COPY (SELECT 'secret' AS s) TO {UserQuery.Literal(path)} (FORMAT parquet)"); // the instance itself may
        Assert.StartsWith("error", await _database.RowsAsync($"SELECT * FROM '{path}'"), StringComparison.Ordinal);
        Assert.StartsWith("error", await _database.RowsAsync($"SELECT * FROM read_parquet('{path}')"), StringComparison.Ordinal);
        Assert.StartsWith("error", await _database.RowsAsync($"SELECT * FROM glob('{_database.ExportDirectory}/*')"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Too_many_rows_or_bytes_are_refused_and_leave_no_file()
    {
        const string thousand = "SELECT i, md5(i::VARCHAR) AS h FROM UNNEST(generate_series(1, 1000)) AS t(i)";
        _database.Queries = new UserQuery(new QueryLimits { MaxRows = 999 }, TimeProvider.System);
        Assert.Equal("the answer has more than 999 rows; add a LIMIT", (await Assert.ThrowsAsync<QueryException>(() => ExportAsync(thousand))).Message);
        _database.Queries = new UserQuery(new QueryLimits { MaxAnswerBytes = 1_000 }, TimeProvider.System);
        Assert.Equal("the file would be longer than 1000 bytes; add a LIMIT", (await Assert.ThrowsAsync<QueryException>(() => ExportAsync(thousand))).Message);
        _database.Queries = new UserQuery(new QueryLimits { MaxRows = 1_000 }, TimeProvider.System);
        await using var file = await ExportAsync(thousand);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_database.ExportDirectory));
    }

    [Fact]
    public async Task The_api_answers_with_a_file_or_a_refusal()
    {
        await using var server = await ServerUnderTest.StartWithEngineAsync();
        var token = await server.IdTokenAsync();
        var database = (await server.JsonAsync(HttpStatusCode.Created, HttpMethod.Post, "/v2/databases", token, """{"name":"db"}""")).GetProperty("id").GetString();
        var path = $"/v2/databases/{database}/query/sql";
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, path, token, "CREATE TABLE t (_id ID, \"a-b\" STRING)");
        await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, path, token, "INSERT INTO t (_id, \"a-b\") VALUES (1, 'x'), (2, 'y')");

        using (var answer = await server.SendAsync(HttpMethod.Post, path + "?format=parquet", token, body: "SELECT * FROM t WHERE a-b = 'y'"))
        {
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            Assert.Equal("application/vnd.apache.parquet", answer.Content.Headers.ContentType!.MediaType);
            Assert.Equal("result.parquet", answer.Content.Headers.ContentDisposition!.FileName!.Trim('"'));
            await using var body = await answer.Content.ReadAsStreamAsync(TestContext.Current.CancellationToken);
            Assert.Equal("1 2 y", await ReadAsync(body, "count(*) || ' ' || first(_id) || ' ' || first(\"a-b\")"));
        }
        var wrong = await server.JsonAsync(HttpStatusCode.BadRequest, HttpMethod.Post, path + "?format=parquet", token, "SELECT nothing FROM t");
        Assert.Equal(("InvalidParameter", "[1:8] column 'nothing' not found"), (wrong.GetProperty("code").GetString(), wrong.GetProperty("message").GetString()));
        await server.JsonAsync(HttpStatusCode.BadRequest, HttpMethod.Post, path + "?format=parquet", token, "INSERT INTO t (_id) VALUES (3)");
        await server.JsonAsync(HttpStatusCode.BadRequest, HttpMethod.Post, path + "?format=csv", token, "SELECT 1");
        Assert.Equal(2, (await server.JsonAsync(HttpStatusCode.OK, HttpMethod.Post, path, token, "SELECT COUNT(*) FROM t")).GetProperty("data")[0][0].GetInt64());
        Assert.Empty(Directory.EnumerateFiles(Path.Combine(server.Data.Path, "tmp"), "*", SearchOption.AllDirectories));
    }

    Task<FileStream> ExportAsync(string sql) => _database.Queries.ExportAsync(
        _database.OpenAsync, sql, [.. _database.Tables.Select(table => new QueryTable(table.Schema.Name, table.Source))], TestContext.Current.CancellationToken);

    static async Task<string> ReadAsync(Stream file, string expression)
    {
        using var directory = new TemporaryDirectory();
        var path = Path.Combine(directory.Path, "x.parquet");
        await using (var copy = File.Create(path))
            await file.CopyToAsync(copy, TestContext.Current.CancellationToken);
        return ParquetFile.Scalar(path, expression);
    }
}
