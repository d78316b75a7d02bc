using System.Text.Json;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Sql;

/// <summary>What queries answer, against a real DuckDB file.</summary>
public sealed class QueryTests : IDisposable
{
    readonly QueryDatabase _database = new();

    public void Dispose() => _database.Dispose();

    [Fact]
    public async Task An_answer_has_the_originals_shape()
    {
        Assert.Equal(
            """{"schema":{"fields":[{"name":"_id","type":"id","base-type":"id","type-info":null},{"name":"petal","type":"decimal(2)","base-type":"decimal","type-info":{"scale":2}}]},"data":[[1,5.10],[2,-0.05]],"execution-time":0}""",
            await _database.RunAsync("SELECT _id, petal FROM iris ORDER BY _id;"));
        Assert.Equal("""{"error":"[1:8] column 'foo' not found","execution-time":0}""", await _database.RunAsync("SELECT foo FROM iris"));
        Assert.Equal("""{"schema":{"fields":[]},"data":[],"execution-time":0}""", await _database.RunAsync("DROP TABLE IF EXISTS nope"));
    }

    [Fact]
    public async Task Star_shows_the_key_first_then_names_in_order_and_no_hidden_column()
    {
        string[] all = ["_id", "at_ns", "at_s", "count", "ids", "kind", "ok", "petal", "seen", "seen_ids", "species", "tags", "v"];

        Assert.Equal(all, await Names("SELECT * FROM iris"));
        Assert.Equal<string[]>([.. all, .. all], await Names("SELECT i.*, j.* FROM iris i JOIN iris j ON i._id = j._id"));
        Assert.Equal(all, await Names("SELECT * FROM iris NATURAL JOIN iris j"));
        Assert.Equal(all, await Names("SELECT * FROM (SELECT * FROM iris) x"));
        Assert.Equal(["_id", "_position"], await Names("SELECT _id, _position FROM iris"));
        Assert.Equal<string[]>([.. all, "_position"], await Names("SELECT * FROM iris WHERE _position > 0"));
        Assert.Equal<string[]>([.. all, "_version"], await Names("SELECT * FROM iris WHERE _version IS NULL"));
        Assert.Equal("[[2]]", await _database.RowsAsync("SELECT count(*) FROM (SELECT * FROM iris UNION SELECT * FROM iris)"));
    }

    [Fact]
    public async Task Expressions_without_alias_have_no_name()
    {
        Assert.Equal(["", "", "n", "_id", ""], await Names("SELECT COUNT(*), petal + 1, count(*) AS n, _id, 'x' FROM iris GROUP BY ALL"));
        Assert.Equal(["_id", ""], await Names("SELECT a.*, count(*) OVER () FROM (SELECT _id FROM iris) a"));
        Assert.Equal(["", "_id"], await Names("SELECT 1, * FROM (SELECT _id FROM iris)"));
        Assert.Equal(["", "b"], await Names("SELECT 1, 2 AS b UNION ALL SELECT 3, 4"));
    }

    [Fact]
    public async Task Every_type_is_written_as_the_original_wrote_it()
    {
        Assert.Equal(
            """[[1,"2022-01-01T00:00:00.123456789Z","2022-01-01T00:00:00Z",7,[1,2],18446744073709551615,true,5.10,["p","q"],[3],"setosa",["a","b'\""],[1,2.5]]]""",
            await _database.RowsAsync("SELECT * FROM iris WHERE _id = 1"));
        Assert.Equal("""[[2,null,null,null,null,null,false,-0.05,null,null,"virginica",[],null]]""", await _database.RowsAsync("SELECT * FROM iris WHERE _id = 2"));
        Assert.Equal(
            """[[null,170141183460469231731687303715884105727,-1,"1969-12-31T23:59:59.5Z","2022-01-01T00:00:00Z",1E+100,"NaN","\u0007é"]]""",
            await _database.RowsAsync(
                "SELECT NULL, 170141183460469231731687303715884105727::HUGEINT, -1::TINYINT, TIMESTAMP '1969-12-31 23:59:59.5', DATE '2022-01-01', 1e100::DOUBLE, 'nan'::DOUBLE, chr(7) || 'é'"));
        Assert.Equal(
            "[[340282366920938463463374607431768211455,[340282366920938463463374607431768211455]]]",
            await _database.RowsAsync("SELECT 340282366920938463463374607431768211455::UHUGEINT, [{m: 340282366920938463463374607431768211455::UHUGEINT, ts: NULL}]"));
        Assert.Equal(
            ["id", "timestamp", "timestamp", "int", "idset", "id", "bool", "decimal(2)", "stringsetq", "idsetq", "string", "stringset", "vector(2)"],
            await Types("SELECT * FROM iris"));
        Assert.Equal(["int", "decimal(2)", "double", "string"], await Types("SELECT sum(_id), sum(petal), avg(petal), max(species) FROM iris"));
        Assert.StartsWith("error: column 1", await _database.RowsAsync("SELECT INTERVAL 1 DAY"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("setcontains(tags, 'a'), setcontains(ids, 2), setcontains(ids, 9), setcontains(seen, 'p'), setcontains(seen_ids, 3)", "[[true,true,false,true,true]]")]
    [InlineData("setexcludes(tags, 'a'), setcontainsall(ids, [1, 2]), setcontainsall(ids, [1, 3]), setcontainsany(seen, ['z', 'q']), setcontains([1, 2], 1)", "[[false,true,false,true,true]]")]
    [InlineData("rangeq(seen, '2022-01-01', '2022-01-15'), rangeq(seen, '2022-02-02', NULL), rangeq(seen, NULL, '2022-01-01T00:00:00Z')", "[[true,false,false]]")]
    [InlineData("rangeq(seen_ids, 1640995200, 1672531200), rangeq(seen, TIMESTAMP '2022-02-01', NULL)", "[[true,true]]")]
    [InlineData("totimestamp(0), totimestamp(1500, 'ms')", """[["1970-01-01T00:00:00Z","1970-01-01T00:00:01.5Z"]]""")]
    [InlineData("totimestamp(1767323045), totimestamp(1767323045, 's'), totimestamp(7200000, 'ms')", """[["2026-01-02T03:04:05Z","2026-01-02T03:04:05Z","1970-01-01T02:00:00Z"]]""")]
    [InlineData("datetimepart('yy', at_s), datetimepart('W', '2022-01-02T03:04:05Z'), datetimepart('ms', at_ns), datetimepart('ns', at_ns)", "[[2022,0,123,123456789]]")]
    [InlineData("datetimename('m', at_s), datetimename('w', at_s)", """[["January","Saturday"]]""")]
    [InlineData("datetimeadd('d', 1, at_s), datetimeadd('hh', -1, at_s)", """[["2022-01-02T00:00:00Z","2021-12-31T23:00:00Z"]]""")]
    [InlineData("datetimediff('d', '2022-01-01', '2022-01-03T12:00:00Z'), datetimefromparts(2022, 1, 2, 3, 4, 5, 6)", """[[2,"2022-01-02T03:04:05.006Z"]]""")]
    [InlineData("charindex('b', 'abc'), charindex('z', 'abc'), charindex('b', 'abcb', 2), len('abc')", "[[1,-1,3,3]]")]
    [InlineData("replaceall('aa', 'a', 'b'), replicate('ab', 2), '[' || space(2) || ']', char(65)", """[["bb","abab","[  ]","A"]]""")]
    [InlineData("str(12.6), str(12.6, 4), str(12.345, 6, 2), str(12345, 2)", """[["        13","  13"," 12.35","**"]]""")]
    [InlineData("stringsplit('a,b', ','), stringsplit('a,b', ',', 1), stringsplit('a,b', ',', 5)", """[["a","b",""]]""")]
    [InlineData("cosine_distance(v, [1.0, 2.5]), euclidean_distance(v, [1, 2]), tanimoto_coefficient(v, v)", "[[0,0.5,1]]")]
    [InlineData("printf('%05.1f', 3.14159), format('{:>4}|{}', 'a', 1), list_sum(range(4))", """[["003.1","   a|1",6]]""")]
    [InlineData("cast(petal as decimal(1)), cast(_id as id), current_timestamp > at_s", "[[5.1,1,true]]")]
    public async Task The_originals_functions_work(string list, string rows) =>
        Assert.Equal(rows, await _database.RowsAsync($"SELECT {list} FROM iris WHERE _id = 1"));

    [Fact]
    public async Task The_originals_aggregates_work() =>
        Assert.Equal("[[-0.05,6.630624999999998,-1]]", await _database.RowsAsync("SELECT percentile(petal, 50), var(petal), corr(petal, _id) FROM iris"));

    [Fact]
    public async Task Flatten_gives_one_row_for_each_member()
    {
        Assert.Equal("""[["a",1],["b'\"",1]]""", await _database.RowsAsync("SELECT tags, COUNT(*) FROM iris WITH (FLATTEN(tags)) GROUP BY tags ORDER BY tags"));
        Assert.Equal("""[["p",1],["q",1]]""", await _database.RowsAsync("SELECT seen, COUNT(*) FROM iris WITH (FLATTEN(seen)) GROUP BY seen ORDER BY seen"));
    }

    [Fact]
    public async Task Names_with_dashes_and_top_work_unquoted()
    {
        Assert.Equal("""[[20.5,"hall"]]""", await _database.RowsAsync("select room-temp, gt-nest-thermo._id from gt-nest-thermo where room-temp > 1 -- room-temp"));
        Assert.Equal("[[2]]", await _database.RowsAsync("SELECT TOP(1) _id FROM iris ORDER BY _id DESC"));
    }

    [Theory]
    [InlineData("SELECT list_transform(tags, lambda x: upper(x) || '!') FROM iris WHERE _id = 1", """[[["A!","B'\"!"]]]""")]
    [InlineData("SELECT len(list_filter(range(4000), lambda x: x % 2 = 0))", "[[2000]]")]
    [InlineData("SELECT replace(replace(replace(replace(replace('<a&b>', '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '\"', '&quot;'), '''', '&#39;')", """[["&lt;a&amp;b&gt;"]]""")]
    [InlineData("SELECT len(repeat([1, 2], 1000))", "[[2000]]")]
    [InlineData("SELECT length(repeat(species, 4000)) FROM iris WHERE _id = 1", "[[24000]]")]
    [InlineData("SELECT list_sort(range(4000))[1:2]", "[[[0,1]]]")]
    [InlineData("SELECT len(list_sort(list_transform(range(1000), lambda x: -x)))", "[[1000]]")]
    [InlineData("SELECT list_reduce([1, 2, 3], lambda a, x: a + x)", "[[6]]")]
    [InlineData("SELECT replace(replace(replace(species, 'a', 'b'), 'b', 'c'), 'c', 'dd') FROM iris WHERE _id = 1", """[["setosdd"]]""")]
    [InlineData("SELECT species || '-' || _id || '-' || count || '-' || ok FROM iris WHERE species LIKE '%e%t%' AND species NOT LIKE '_x%'", """[["setosa-1-7-true"]]""")]
    [InlineData("SELECT string_agg(species, ',' ORDER BY _id), len(list(_id)) FROM iris", """[["setosa,virginica",2]]""")]
    [InlineData("SELECT a || b FROM (SELECT species || '1' AS a, species || '2' AS b FROM iris) UNION ALL SELECT species || species FROM iris ORDER BY 1 LIMIT 1", """[["setosa1setosa2"]]""")]
    [InlineData("SELECT sum(_id) OVER (ORDER BY _id) FROM iris ORDER BY 1", "[[1],[3]]")]
    [InlineData("SELECT count(*) FROM iris GROUP BY GROUPING SETS ((species), ()) ORDER BY 1", "[[1],[1],[2]]")]
    public async Task What_honest_queries_do_is_not_taken_for_hostile(string sql, string rows) => Assert.Equal(rows, await _database.RowsAsync(sql));

    [Fact]
    public async Task Errors_point_into_the_query_as_it_was_sent()
    {
        Assert.Equal("error: [2:3] table or view 'nope' not found", await _database.RowsAsync("select * from\n  nope"));
        Assert.Equal("error: [1:19] column 'foo' not found", await _database.RowsAsync("select room-temp, foo from gt-nest-thermo"));
        Assert.Equal("error: [1:8] call to unknown function 'nofunc'", await _database.RowsAsync("select nofunc(1)"));
        Assert.Equal("error: [1:14] table or view 'nope' not found", await _database.RowsAsync("/*äöü*/ from nope"));
    }

    [Fact]
    public async Task No_macro_shadows_a_function_of_duckdb()
    {
        foreach (var name in Macros.Names)
            Assert.Equal("0", _database.Scalar($"SELECT count(*) FROM duckdb_functions() WHERE function_name = '{name}'"));
        Assert.Equal("[[true]]", await _database.RowsAsync("SELECT list_contains([1], 1)"));
    }

    [Fact]
    public async Task Too_many_rows_or_bytes_are_an_error_after_the_rows_so_far()
    {
        using var queries = new UserQuery(new QueryLimits { MaxRows = 3_000 }, TimeProvider.System);
        _database.Queries = queries;
        var rows = await _database.RunAsync("SELECT * FROM range(100000)");
        _database.MaxAnswerBytes = 1_000;
        var bytes = await _database.RunAsync("SELECT * FROM range(2500)");

        using var first = JsonDocument.Parse(rows);
        using var second = JsonDocument.Parse(bytes);
        Assert.Equal("the answer has more than 3000 rows; add a LIMIT", first.RootElement.GetProperty("error").GetString());
        Assert.InRange(first.RootElement.GetProperty("data").GetArrayLength(), 1, 3_000);
        Assert.Equal("the answer is longer than 1000 bytes; add a LIMIT", second.RootElement.GetProperty("error").GetString());
        Assert.True(bytes.Length < 1_300);
    }

    [Fact]
    public async Task A_long_answer_comes_whole()
    {
        var rows = await _database.RowsAsync("SELECT range, 'abcdefghijklmnop' || range FROM range(20000)");

        using var document = JsonDocument.Parse(rows);
        Assert.Equal(20_000, document.RootElement.GetArrayLength());
        Assert.Equal("abcdefghijklmnop19999", document.RootElement[19_999][1].GetString());
    }

    [Fact]
    public async Task Queries_beyond_the_slots_wait_and_are_then_refused()
    {
        using var queries = new UserQuery(new QueryLimits { MaxConcurrent = 1, Queue = TimeSpan.Zero }, TimeProvider.System);
        _database.Queries = queries;
        var answer = "";

        await queries.RunAsync(_database.OpenAsync, "SELECT 1", QueryForm.Rows, [],
            async _ => answer = await _database.RowsAsync("SELECT 2"), TestContext.Current.CancellationToken);

        Assert.Equal("error: too many queries are running; try again later", answer);
        Assert.Equal((1, 1, 0), (queries.CountEnded(QueryEnd.NotBegun), queries.CountEnded(QueryEnd.Completed), queries.RunningCount));
        Assert.Equal("[[2]]", await _database.RowsAsync("SELECT 2"));
    }

    [Fact]
    public async Task A_query_counts_by_how_it_ended()
    {
        using var queries = new UserQuery(new QueryLimits { Time = TimeSpan.FromSeconds(1) }, TimeProvider.System);
        _database.Queries = queries;
        using var gone = new CancellationTokenSource();
        var running = 0;

        await queries.RunAsync(_database.OpenAsync, "SELECT 1", QueryForm.Rows, [], _ => new ValueTask(Task.FromResult(running = queries.RunningCount)), TestContext.Current.CancellationToken);
        await _database.RowsAsync("SELECT nothing");
        await _database.RowsAsync("SELECT count(*) FROM range(100000000000)");
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => queries.RunAsync(
            _database.OpenAsync, "SELECT 1", QueryForm.Rows, [], async _ =>
            {
                await gone.CancelAsync();
                gone.Token.ThrowIfCancellationRequested();
            },
            gone.Token));

        Assert.Equal([1, 1, 1, 1, 0, 0], Enum.GetValues<QueryEnd>().Select(queries.CountEnded));
        Assert.Equal((1, 0), (running, queries.RunningCount));
    }

    [Fact]
    public async Task Explain_answers_with_the_plan_of_a_query_only()
    {
        Assert.Contains("SEQ_SCAN", await _database.RowsAsync("EXPLAIN SELECT * FROM iris"), StringComparison.Ordinal);
        Assert.StartsWith("error: ", await _database.RowsAsync("EXPLAIN CHECKPOINT"), StringComparison.Ordinal);
    }

    async Task<string[]> Names(string sql) => await Fields(sql, "name");

    async Task<string[]> Types(string sql) => await Fields(sql, "type");

    async Task<string[]> Fields(string sql, string member)
    {
        using var document = JsonDocument.Parse(await _database.RunAsync(sql));
        return [.. document.RootElement.GetProperty("schema").GetProperty("fields").EnumerateArray().Select(field => field.GetProperty(member).GetString()!)];
    }
}
