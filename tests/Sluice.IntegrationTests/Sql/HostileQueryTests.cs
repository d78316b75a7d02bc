using System.Diagnostics;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Sql;

/// <summary>Queries that try to read what is not theirs, to change something, or to hold the server. None may succeed.</summary>
public sealed class HostileQueryTests : IDisposable
{
    readonly QueryDatabase _database = new();

    public void Dispose() => _database.Dispose();

    static readonly string s_longText = new('x', 40_000);

    static readonly string s_longList = string.Join(',', Enumerable.Range(0, 5_000));

    public static TheoryData<string> Escapes =>
    [
        // more than one statement
        "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE iris", "COMMIT; CREATE TABLE x(a INT)", "ROLLBACK; DELETE FROM iris", ";;SELECT 1;;SELECT 2",
        "SELECT 1 /* ; */; DELETE FROM iris", "PIVOT iris ON species USING sum(petal)",
        // not a SELECT
        "INSERT INTO iris SELECT * FROM iris", "UPDATE iris SET species = 'x'", "DELETE FROM _sluice.position", "DELETE FROM data._sluice.position", "DELETE FROM iris WHERE _id IN (DELETE FROM iris RETURNING _id)", "DELETE FROM iris USING _sluice.position", "CREATE VIEW x AS SELECT 1", "CREATE TEMP TABLE x AS SELECT 1",
        "CREATE MACRO x() AS 1", "CREATE SCHEMA x", "CREATE SEQUENCE x", "CREATE TYPE x AS ENUM ('a')", "ALTER DATABASE data RENAME TO x", "DROP SCHEMA _sluice CASCADE",
        "ATTACH ':memory:' AS x", "ATTACH '/tmp/x.db'", "DETACH data", "USE memory", "INSTALL httpfs", "LOAD json", "CHECKPOINT", "FORCE CHECKPOINT", "VACUUM", "ANALYZE",
        "COPY iris TO '/tmp/x.csv'", "COPY (SELECT 1) TO '/tmp/x.csv'", "EXPORT DATABASE '/tmp/x'", "IMPORT DATABASE '/tmp/x'",
        "SET memory_limit = '100GB'", "SET schema = '_sluice'", "SET search_path = '_sluice'", "RESET threads", "SET VARIABLE x = 1",
        "PRAGMA enable_profiling", "PRAGMA disable_checkpoint_on_shutdown", "PRAGMA database_list", "CALL pragma_version()", "CALL force_checkpoint()",
        "PREPARE x AS SELECT 1", "EXECUTE x", "DEALLOCATE x", "BEGIN", "COMMIT", "ROLLBACK", "MERGE INTO iris USING iris AS x ON true WHEN MATCHED THEN DELETE",
        "EXPLAIN CHECKPOINT", "EXPLAIN ANALYZE CHECKPOINT", "EXPLAIN ANALYZE DELETE FROM iris", "EXPLAIN EXPLAIN DELETE FROM iris", "EXPLAIN (FORMAT json) DELETE FROM iris",
        "WITH x AS (DELETE FROM iris RETURNING *) SELECT * FROM x", "WITH x AS (INSERT INTO iris(_id) VALUES (9) RETURNING *) SELECT * FROM x",
        // other tables
        "SELECT * FROM _sluice.position", "SELECT * FROM \"_sluice\".\"position\"", "SELECT * FROM data._sluice.position", "SELECT * FROM data.main.iris",
        "TABLE _sluice.position", "FROM _sluice.position", "SELECT (SELECT secret FROM _sluice.position)", "SELECT 1 WHERE EXISTS (FROM _sluice.position)",
        "WITH x AS (SELECT * FROM _sluice.position) SELECT * FROM x", "SELECT * FROM iris JOIN _sluice.position ON true", "SELECT * FROM iris, LATERAL (FROM _sluice.position)",
        "SELECT * FROM query('SELECT * FROM _sluice.position')", "SELECT * FROM query_table('_sluice.position')", "SELECT * FROM query_table(['iris', '_sluice.position'])",
        "SELECT * FROM histogram('_sluice.position', 'secret')", "SUMMARIZE _sluice.position", "DESCRIBE _sluice.position", "SUMMARIZE SELECT * FROM _sluice.position",
        "SELECT * FROM (SELECT 1) AS a SEMI JOIN _sluice.position ON true", "SELECT * FROM (PIVOT _sluice.position ON secret IN ('a') USING count(*))",
        "SELECT * FROM (UNPIVOT _sluice.position ON secret)", "SELECT 1 UNION ALL SELECT secret FROM _sluice.position", "SELECT list(COLUMNS(*)) FROM _sluice.position",
        // files
        "SELECT * FROM read_csv('{secret}')", "SELECT * FROM read_text('{secret}')", "SELECT * FROM read_blob('{secret}')", "SELECT * FROM '{secret}'", "SELECT * FROM \"{secret}\"",
        "SELECT * FROM glob('/*')", "SELECT * FROM read_json('{secret}')", "SELECT * FROM read_parquet('{secret}')", "SELECT * FROM sniff_csv('{secret}')",
        "SELECT * FROM parquet_metadata('{secret}')", "SELECT * FROM read_duckdb('{database}')", "WITH \"{secret}\" AS (SELECT * FROM \"{secret}\") SELECT * FROM \"{secret}\"",
        // settings, paths and internals
        "SELECT * FROM duckdb_settings()", "SELECT * FROM duckdb_databases()", "SELECT * FROM duckdb_databases", "SELECT * FROM duckdb_tables", "SELECT * FROM pragma_database_list",
        "SELECT * FROM sqlite_master", "SELECT * FROM information_schema.tables", "SELECT * FROM pg_catalog.pg_settings", "SELECT * FROM pg_tables", "SELECT * FROM pg_settings",
        "SELECT * FROM duckdb_functions()", "SELECT * FROM duckdb_secrets()", "SELECT * FROM duckdb_logs()", "SELECT * FROM pragma_storage_info('iris')", "SELECT * FROM pragma_table_info('iris')",
        "SHOW ALL TABLES", "SELECT * FROM (SHOW ALL TABLES)", "SELECT * FROM (SHOW DATABASES)", "SELECT * FROM (DESCRIBE)", "SELECT current_setting('temp_directory')", "SELECT getenv('HOME')",
        "SELECT current_database()", "SELECT main.current_setting('threads')", "SELECT 'threads'.current_setting()", "SELECT list_transform(['threads'], lambda x: current_setting(x))",
        "SELECT version()", "SELECT * FROM pragma_version()", "SELECT * FROM pragma_user_agent()", "SELECT current_query()", "SELECT getvariable('x')", "SELECT stats(_id) FROM iris",
        "SELECT pg_typeof(1)", "SELECT * FROM test_all_types()", "SELECT * FROM duckdb_memory()", "SELECT * FROM duckdb_temporary_files()", "SELECT * FROM which_secret('x', 's3')",
        // a WITH that lends its name to DuckDB's own view
        "SELECT * FROM (WITH sqlite_master AS (SELECT 1) SELECT * FROM sqlite_master) a, sqlite_master b", "WITH sqlite_master AS (SELECT * FROM sqlite_master) SELECT * FROM sqlite_master",
        "WITH RECURSIVE sqlite_master AS (SELECT sql FROM sqlite_master UNION ALL SELECT sql FROM sqlite_master) SELECT * FROM sqlite_master",
        "WITH a AS (SELECT * FROM pg_tables), pg_tables AS (SELECT 1) SELECT * FROM a", "WITH sqlite_master AS (SELECT 1) SELECT * FROM main.sqlite_master",
        // state and side effects
        "SELECT nextval('x')", "SELECT setseed(0.5)", "SELECT write_log('x')", "SELECT * FROM enable_logging()", "SELECT * FROM truncate_duckdb_logs()", "SELECT * FROM checkpoint()",
        "SELECT * FROM force_checkpoint()", "SELECT * FROM enable_profiling()", "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))", "SELECT json_serialize_plan('SELECT 1')",
        "SELECT * FROM arrow_scan(0, 0, 0)", "SELECT * FROM seq_scan('iris')", "SELECT * FROM sql_auto_complete('SEL')",
        // disguises
        "/* SELECT */ DELETE FROM _sluice.position", "-- SELECT\nDELETE FROM \"_sluice.position\"", "SELECT $1", "SELECT ?", "SELECT 1\0; DELETE FROM iris", "$$SELECT 1$$", "\uFEFFDELETE FROM iris",
        "SELECT * FROM \"QUERY\"('SELECT 1')", "SELECT * FROM main.\"duckdb_settings\"()", "SELECT \"CURRENT_SETTING\"('threads')",
        // one huge value
        "SELECT length(repeat('x', 4000000000))", "SELECT repeat('x', 100000 * 100000)", "SELECT lpad('x', 2000000000, 'y')", "SELECT range(1000000000)", "SELECT list_resize([1], 1000000000)",
        "SELECT printf('%2000000000d', 1)", "SELECT printf('%*d', 2000000000, 1)", "SELECT format('{:>2000000000}', 'x')", "SELECT format('{:>{}}', 'x', 2000000000)",
        "SELECT printf(chr(37) || '2000000000d', 1)",
        "SELECT REPLICATE('x', 4000000000)", "SELECT SPACE(4000000000)", "SELECT bitstring('1', 2000000000)", "SELECT bitstring_agg(range, 0, 999999999) FROM range(9)",
        "SELECT equi_width_bins(0, 1000000000, 1000000000, false)",
        // a huge value in steps
        "SELECT length(replace(replace(repeat('x', 10000), 'x', repeat('x', 10000)), 'x', repeat('x', 10000)))",
        "SELECT length(replace(replace(repeat('x', 10000), 'x', 'yyyyyyyyyyyyyyyyyyyy'), 'y', 'zzzzzzzzzzzzzzzzzzzz'))",
        "SELECT length(regexp_replace(regexp_replace(repeat('x', 10000), 'x', repeat('x', 9999), 'g'), 'x', repeat('x', 9999), 'g'))",
        "SELECT length(repeat(repeat('x', 10000), 10000))", "WITH a AS (SELECT repeat('x', 10000) AS x) SELECT length(repeat(x, 10000)) FROM a",
        "SELECT length(repeat(x, 10000)) FROM (SELECT repeat('x', 10000) AS x)", "SELECT length(lpad(repeat('x', 10000), 10000, repeat('y', 10000)))",
        "SELECT length(REPLICATE(REPLICATE('x', 9999), 9999))", "SELECT REPLACEALL(SPACE(9999), ' ', SPACE(9999))",
        "SELECT list_sum(list_transform((SELECT list(range) FROM range(1000000)), lambda x: list_sum(list_transform(range(1000), lambda y: x * y))))",
        "SELECT max(len(list_sort(list_transform(range(10000), lambda x: hash(x + range))))) FROM range(100000000)",
        "SELECT len([x + y FOR x IN range(10000) FOR y IN range(10000)])", "SELECT list_transform(range(10000), lambda x: range(10000))", "SELECT [range(10000) FOR x IN range(10000)]",
        "SELECT list_transform(range(10000), lambda x: list_transform(range(10000), lambda y: list_transform(range(10000), lambda z: x * y * z)))",
        "SELECT list_filter(l, lambda x: list_contains(l, x)) FROM (SELECT list(range) AS l FROM range(1000000))",
        "SELECT list_reduce(range(100), lambda a, x: a || a)", "SELECT list_reduce(list_transform(range(50), lambda x: 'x'), lambda a, x: concat(a, a))",
        "SELECT reduce([['x']], lambda a, x: list_concat(a, a))", "SELECT array_reduce(range(9), lambda a, x: list_sum(range(10000)))",
        "SELECT " + string.Concat(Enumerable.Repeat("hex(", 30)) + "'x'" + new string(')', 30), "SELECT " + string.Concat(Enumerable.Repeat("to_json(", 40)) + "'\"'" + new string(')', 40),
        "SELECT * FROM " + string.Concat(Enumerable.Repeat("(SELECT x || x AS x FROM ", 40)) + "(SELECT 'x' AS x)" + new string(')', 40),
        "WITH a0 AS (SELECT 'x' AS x)" + string.Concat(Enumerable.Range(1, 40).Select(i => $", a{i} AS (SELECT concat(x, x) AS x FROM a{i - 1})")) + " SELECT x FROM a40",
        "WITH a0 AS (SELECT ['x'] AS x)" + string.Concat(Enumerable.Range(1, 40).Select(i => $", a{i} AS (SELECT list_concat(x, x) AS x FROM a{i - 1})")) + " SELECT x FROM a40",
        "SELECT levenshtein(repeat('x', 10000), repeat('y', 10000))", "SELECT string_agg(range, ',') OVER (ORDER BY range) FROM range(1000000)", "SELECT list(range) OVER () FROM range(1000000)",
        // many large values: a chunk of them is made between two looks at an interrupt
        "SELECT range(10000) FROM range(1000000)", "SELECT count(length(repeat(repeat('abc' || range, 100), 1000))) FROM range(1000000)", "SELECT count(length(repeat(md5(range::VARCHAR), 10000))) FROM range(1000000)",
        "SELECT count(len(repeat([range, range + 1], 10000))) FROM range(1000000)", "SELECT repeat([1, 2, 3, 4], 10000) FROM range(1000000)", "SELECT count(len(list_resize([range], 4000, repeat('x', 100)))) FROM range(1000000)",
        "SELECT max(len(string_split(repeat('a,' || range, 5000), ','))) FROM range(100000000)", "SELECT ('[' || repeat('1,', 4000) || range || ']')::INT[] FROM range(1000000)",
        "SELECT json_extract('[' || repeat('1,', 1000) || range || ']', '$[*]') FROM range(1000000)",
        // a long text or list of the statement itself, made longer
        "SELECT length(repeat('" + s_longText + "', 10000))", "SELECT length(hex('" + s_longText + "' || range)) FROM range(1000000)", "SELECT count(length('" + s_longText + "' || range)) FROM range(1000000)",
        "SELECT string_split('" + s_longText + "', '') FROM range(1000000)", "SELECT length(replace('" + s_longText + "', 'x', 'yy')) FROM range(1000000)",
        "SELECT len(repeat([" + s_longList + "], 10000))", "SELECT [" + s_longList + "] FROM range(1000000)", "SELECT \"LIST_VALUE\"(" + s_longList + ") FROM range(1000000)", "SELECT '[" + s_longList + "]'::INT[] FROM range(1000000)",
        "SELECT list_transform([" + s_longList + "], lambda x: list_transform(range(1000), lambda y: x + y))",
        // a slow comparison
        "SELECT repeat('a', 10000) LIKE '%a%a%a%a%a%_b'", "SELECT repeat('a', 10000) ILIKE '%a%a%a%a%a%a%b'", "SELECT repeat('a', 10000) GLOB '*a*a*a*a*a*b'", "SELECT species LIKE species FROM iris",
        "SELECT species NOT LIKE lower(species) FROM iris", "SELECT repeat('a', 10000) SIMILAR TO species FROM iris UNION SELECT 'a' LIKE repeat('%a', 9)", "SELECT 'a' LIKE '%a%a%a%a!%' ESCAPE '!'",
        // a plan that explodes
        "SELECT count(*) FROM " + string.Join(", ", Enumerable.Range(0, 100).Select(i => $"iris AS i{i}")), "SELECT count(*) FROM range(9) GROUP BY CUBE(" + string.Join(", ", Enumerable.Range(0, 12)) + ")",
        "SELECT count(*) FROM " + string.Join(" JOIN ", Enumerable.Range(0, 100).Select(i => $"range(2) AS r{i}" + (i == 0 ? "" : " ON true"))),
    ];

    [Theory]
    [MemberData(nameof(Escapes))]
    public async Task A_hostile_query_is_refused_and_changes_nothing(string query)
    {
        var before = State();
        var sql = query.Replace("{secret}", _database.SecretFile, StringComparison.Ordinal).Replace("{database}", _database.DatabaseFile, StringComparison.Ordinal);
        var started = Stopwatch.GetTimestamp();

        var answer = await _database.RunAsync(sql);

        Assert.StartsWith("{\"error\":", answer, StringComparison.Ordinal);
        Assert.DoesNotContain("secret-content", answer, StringComparison.Ordinal);
        Assert.Empty(_database.Changes);
        Assert.Empty(_database.Inserted);
        Assert.Empty(_database.Deleted);
        Assert.Equal(before, State());
        Assert.Equal("[[2]]", await _database.RowsAsync("SELECT count(*) FROM iris"));
        Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(2), "refused without running");
    }

    /// <summary>Each runs for minutes if nobody stops it.</summary>
    public static TheoryData<string> Endless =>
    [
        "SELECT count(*) FROM range(100000000000)", "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000) c WHERE a.range + b.range + c.range = -1",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t", "SELECT sum(sqrt(a.range) * sin(b.range)) FROM range(10000000) a, range(1000000) b",
        "SELECT string_agg(range::VARCHAR, ',') FROM range(100000000000)", "SELECT a.range FROM range(100000000) a ORDER BY hash(a.range) LIMIT 1 OFFSET 99999999",
        "SELECT list_sum(list_transform(range(1000), lambda x: x * range)) FROM range(100000000000)",
        "WITH RECURSIVE t(x) AS (SELECT 'x' UNION ALL SELECT x || x FROM t) SELECT max(length(x)) FROM t", "SELECT max(length(repeat(range::VARCHAR, 2000))) FROM range(100000000000)",
        "WITH a AS (SELECT range FROM range(100)), b AS (SELECT x.range FROM a x, a y), c AS (SELECT x.range FROM b x, b y), d AS (SELECT x.range FROM c x, c y) SELECT count(*) FROM d x, d y",
        "SELECT list(range) FROM range(100000000000)", "SELECT max(len(replace(repeat('x', 1000), 'x', 'yyyyyyyyyyyyyyyyyyyy'))) FROM range(100000000000) GROUP BY range % 7",
        "SELECT regexp_matches(repeat('a', 10000), '(a*)*b') FROM range(100000000000)", "SELECT sum(levenshtein(range::VARCHAR, 'abcdefgh')) FROM range(100000000000)",
        "SELECT unnest(range(4000)) FROM range(100000000000) ORDER BY 1", "SELECT count(*) FROM generate_series(1, 100000000000)", "SELECT count(DISTINCT hash(range)) FROM range(100000000000)", "SELECT * FROM range(100000000000) WHERE range = -1",
    ];

    [Theory]
    [MemberData(nameof(Endless))]
    public async Task A_query_that_does_not_end_is_stopped_within_its_limit_and_two_seconds(string query)
    {
        using var queries = new UserQuery(new QueryLimits { Time = TimeSpan.FromSeconds(1) }, TimeProvider.System);
        _database.Queries = queries;
        var started = Stopwatch.GetTimestamp();

        var answer = await _database.RowsAsync(query);

        Assert.StartsWith("error: ", answer, StringComparison.Ordinal);
        Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(3), $"took {Stopwatch.GetElapsedTime(started)}");
        using var patient = new UserQuery(new QueryLimits(), TimeProvider.System); // beside other tests a second may not do
        _database.Queries = patient;
        Assert.Equal("[[2]]", await _database.RowsAsync("SELECT count(*) FROM iris"));
    }

    /// <summary>What a macro writes twice is twice as much with each level, and DuckDB binds all of it without a look at the clock.</summary>
    [Theory]
    [InlineData(5, "DATETIMEPART('s', TOTIMESTAMP({0}, 's'))", "5")]
    [InlineData(6, "DATETIMENAME({0}, at_s)", "'m'")]
    [InlineData(5, "DATETIMEDIFF('s', at_s, DATETIMEADD('s', {0}, at_s))", "5")]
    [InlineData(10, "CHARINDEX('a', 'ba', {0})", "0")]
    [InlineData(6, "CAST(RANGEQ(seen, {0}, NULL) AS INT)", "1")]
    public async Task Nested_functions_are_bound_soon(int levels, string call, string argument)
    {
        for (var i = 0; i < levels; i++)
            argument = call.Replace("{0}", argument, StringComparison.Ordinal);
        var start = Stopwatch.GetTimestamp();

        Assert.DoesNotContain("nested", await _database.RowsAsync($"SELECT {argument} FROM iris WHERE _id = 1"), StringComparison.Ordinal);

        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 15);
    }

    [Theory]
    [InlineData(6, "DATETIMEDIFF('s', at_s, DATETIMEADD('s', {0}, at_s))", "5")]
    [InlineData(11, "abs(CHARINDEX('a', 'ba', {0}))", "0")]
    [InlineData(20, "DATETIMEADD('s', 1, {0})", "at_s")]
    [InlineData(100, "DATETIMEADD('s', 1, {0})", "at_s")]
    public async Task Functions_nested_deeper_are_refused(int levels, string call, string argument)
    {
        for (var i = 0; i < levels; i++)
            argument = call.Replace("{0}", argument, StringComparison.Ordinal);

        Assert.Contains("functions are nested too deeply at '", await _database.RowsAsync($"SELECT {argument} FROM iris"), StringComparison.Ordinal);
    }

    /// <summary>Not deep, and many: what is bound again adds up.</summary>
    [Fact]
    public async Task Many_nested_functions_are_refused()
    {
        var nested = "at_s";
        for (var i = 0; i < 6; i++) nested = $"DATETIMEADD('s', 1, {nested})";

        Assert.Contains("functions are nested too deeply at '", await _database.RowsAsync($"SELECT {string.Join(", ", Enumerable.Repeat(nested, 20))} FROM iris"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Deep_and_long_queries_are_refused_and_the_server_lives()
    {
        foreach (var sql in (string[])
        [
            "SELECT " + new string('(', 100_000) + "1" + new string(')', 100_000), "SELECT " + string.Join("+", Enumerable.Repeat("1", 100_000)),
            "SELECT " + string.Join(" UNION ALL SELECT ", Enumerable.Repeat("1", 15_000)), "SELECT " + string.Concat(Enumerable.Repeat("NOT ", 50_000)) + "true",
            "SELECT " + new string('[', 100_000), "SELECT '" + new string('x', 1_000_000) + "'", string.Concat(Enumerable.Repeat("SELECT * FROM (", 10_000)),
            "SELECT " + string.Join("-", Enumerable.Repeat("a", 100_000)), "SELECT " + new string('(', 8_000_000),
        ])
        {
            var answer = await _database.RowsAsync(sql);
            Assert.StartsWith("error: ", answer, StringComparison.Ordinal);
        }
    }

    string State() => _database.Scalar("""
        SELECT string_agg(schema_name || '.' || table_name || estimated_size, ',' ORDER BY ALL) || (SELECT md5(string_agg(iris::VARCHAR, ',' ORDER BY _id)) FROM iris)
          || (SELECT count(*) FROM duckdb_views() WHERE NOT internal) || (SELECT count(*) FROM duckdb_databases()) || current_setting('memory_limit') FROM duckdb_tables()
        """);
}
