using Xunit;

namespace Sluice.IntegrationTests.Sql;

/// <summary>BULK INSERT: what is read out of its text, and what is refused.</summary>
public sealed class BulkInsertTests : IDisposable
{
    readonly QueryDatabase _database = new();

    public void Dispose() => _database.Dispose();

    public static TheoryData<string, string> Good => new()
    {
        {
            """"
            BULK INSERT INTO iris (_id, species, petal, ok, tags, ids, at_s, v) MAP (0 ID, 1 STRING, 2 DECIMAL(2), 3 BOOL, 4 STRINGSET, 5 IDSET, 6 TIMESTAMP, 7 VECTOR(2))
            FROM x'1,"a, ""b""",5.10,true,x,"1,2",2022-01-01,"[1.0,2]"
            2,it''s,,0,"[''p'',''q'']",[3],1640995200,
            ' WITH BATCHSIZE 100 INPUT 'INLINE' FORMAT 'CSV' CONCURRENCY 2;
            """",
            """[{"_id":1,"species":"a, \u0022b\u0022","petal":5.10,"ok":true,"tags":["x"],"ids":[1,2],"at_s":"2022-01-01","v":[1.0,2]},"""
            + """{"_id":2,"species":"it\u0027s","petal":null,"ok":false,"tags":["p","q"],"ids":[3],"at_s":1640995200,"v":null}]"""
        },
        {
            "bulk replace into iris (_id, species, count) map (2 id, 0 string, 1 int) from 'name,n,id\n#x,NULL,1\n,7,2\nb,8,3' with format 'csv' input 'stream' header_row csv_null_as_null csv_empty_string_as_null rowslimit 2",
            """[{"_id":1,"species":"#x","count":null},{"_id":2,"species":null,"count":7}]"""
        },
        {
            "bulk insert into iris (_id, species, tags) map (0 id, 1 string, 2 stringset) from '1,,\n2,NULL' with input 'INLINE' format 'CSV' allow_missing_values null_as_empty_set",
            """[{"_id":1,"species":"","tags":[]},{"_id":2,"species":"NULL","tags":[]}]"""
        },
        {
            """
            BULK INSERT INTO iris (_id, species, count, tags, ok, petal, at_s) MAP ('$.a' ID, '$["b"]["c.d"]' STRING, '$.x[1].y' INT, '$[''t'']' STRINGSET, '$.k' BOOL, '$.p' DECIMAL(2), '$.z' TIMESTAMP)
            FROM x'{"a":"1","b":{"c.d":5},"x":[0,{"y":"7"}],"t":"one","k":2,"p":"1.50","z":60}
            {"a":2.0,"b":{"c.d":"it''s"},"x":[0,{"y":null}],"t":["p","q"],"k":false,"p":3,"z":"2022-01-01"}'
            WITH INPUT 'STREAM' FORMAT 'NDJSON'
            """,
            """[{"_id":1,"species":"5","count":7,"tags":["one"],"ok":true,"petal":1.50,"at_s":60},"""
            + """{"_id":2,"species":"it\u0027s","count":null,"tags":["p","q"],"ok":false,"petal":3,"at_s":"2022-01-01"}]"""
        },
        {
            """
            BULK INSERT INTO iris (_id, species, count, seen, tags) MAP (0 INT, 1 STRING, 2 STRINGSET) TRANSFORM (@0, upper(@1) || '@1', @0 * 10 + char_length(@1), @2, ['k', @1])
            FROM '1,ab,x\n2,c''d,y' WITH INPUT 'INLINE' FORMAT 'CSV'
            """.Replace("seen, ", "", StringComparison.Ordinal).Replace("@2, ", "", StringComparison.Ordinal).Replace("\\n", "\n", StringComparison.Ordinal),
            """[{"_id":1,"species":"AB@1","count":12,"tags":["k","ab"]},{"_id":2,"species":"C\u0027D@1","count":23,"tags":["k","c\u0027d"]}]"""
        },
    };

    /// <summary>The rows with a warning, or the error.</summary>
    [Theory]
    [InlineData("(_id, at_ns) map (0 id, 1 timestamp) transform (@0, case when @0 > 0 then @1 end) from '1,2026-01-02T03:04:05.123456789+02:00\n2,60'",
        """[{"_id":1,"at_ns":"2026-01-02T01:04:05.123456789Z"},{"_id":2,"at_ns":"1970-01-01T00:01:00Z"}]""")]
    [InlineData("(_id, at_s) map (0 id, 1 timestamp) transform (@0, case when @0 > 0 then @1 end) from '1,9999-12-31T23:00:00Z\n2,2026-01-02T03:04:05.123456789Z'",
        """[{"_id":1,"at_s":"9999-12-31T23:00:00Z"},{"_id":2,"at_s":"2026-01-02T03:04:05.123456Z"}]""")]
    [InlineData("(_id, petal, count) map (0 id, 1 decimal(1), 2 decimal(0)) transform (@0, @1 + 0, @2 * 1) from '1,1.29,-1.9'",
        """[{"_id":1,"petal":1.2,"count":-1}]""", "value of map position 1, row 1, was truncated to decimal(1)", "value of map position 2, row 1, was truncated to decimal(0)")]
    [InlineData("(_id, petal) map (0 id, 1 decimal(1)) transform (@0, @1 + 0) from '1,1.20'", """[{"_id":1,"petal":1.2}]""")]
    public async Task A_transformed_value_is_the_one_that_was_given(string rest, string json, params string[] warnings)
    {
        using var answer = System.Text.Json.JsonDocument.Parse(await _database.RunAsync($"bulk insert into iris {rest.Replace("\\n", "\n", StringComparison.Ordinal)} with input 'INLINE' format 'CSV'"));

        Assert.Equal(warnings, answer.RootElement.TryGetProperty("warnings", out var found) ? found.EnumerateArray().Select(warning => warning.GetString()) : []);
        Assert.Equal(json, Assert.Single(_database.Inserted).Json);
    }

    /// <summary>Each item of MAP copies its cell.</summary>
    [Theory]
    [InlineData(1_001, 1, "[1:9043] MAP has 1001 items, at most 1000 are allowed")]
    [InlineData(1_000, 100_000, "the rows are too large: a statement may have 5,000,000 values of 67,108,864 characters together; send them to a sink")]
    public async Task Rows_that_a_map_makes_too_large_are_refused(int items, int length, string error)
    {
        var before = GC.GetTotalAllocatedBytes();
        var answer = await _database.RowsAsync(
            $"BULK INSERT INTO iris (_id, species) MAP ({string.Join(',', Enumerable.Repeat("0 STRING", items))}) TRANSFORM (@0, @1) FROM '{new string('x', length)}' WITH INPUT 'INLINE' FORMAT 'CSV'");
        Assert.EndsWith(error, answer, StringComparison.Ordinal);
        Assert.InRange(GC.GetTotalAllocatedBytes() - before, 0, 1L << 30);
        Assert.Empty(_database.Inserted);
    }

    [Theory]
    [MemberData(nameof(Good))]
    public async Task Rows_reach_the_table_as_those_of_insert_do(string sql, string json)
    {
        var answer = await _database.RunAsync(sql);

        Assert.StartsWith("{\"schema\":{\"fields\":[]},\"data\":[],\"rows-affected\":2,", answer, StringComparison.Ordinal);
        Assert.Equal(json, Assert.Single(_database.Inserted).Json);
    }

    [Fact]
    public async Task No_rows_are_no_request()
    {
        Assert.Equal("[]", await _database.RowsAsync("bulk insert into iris (_id, count) map (0 id, 1 int) from '\n' with input 'INLINE' format 'CSV'"));
        Assert.Empty(_database.Inserted);
    }

    [Fact]
    public async Task Many_rows_are_transformed_in_their_order()
    {
        var rows = string.Join('\n', Enumerable.Range(0, 20_000).Select(i => $"{i},{i % 100}"));

        await _database.RunAsync($"bulk insert into iris (_id, count) map (0 id, 1 int) transform (@0 + 1, @1) from '{rows}' with input 'INLINE' format 'CSV'");

        using var document = System.Text.Json.JsonDocument.Parse(Assert.Single(_database.Inserted).Json);
        Assert.Equal(Enumerable.Range(1, 20_000), document.RootElement.EnumerateArray().Select(row => row.GetProperty("_id").GetInt32()));
    }

    [Theory]
    [InlineData("(_id, count) map (0 id, 1 int) from '1,x' with input 'INLINE' format 'CSV'", "value 'x' cannot be converted to type 'int' (row 1)")]
    [InlineData("(_id, count) map (0 id, 1 int) from '1,2\n2,1.5' with input 'INLINE' format 'CSV'", "value '1.5' cannot be converted to type 'int' (row 2)")]
    [InlineData("(_id, count) map (0 id, 1 int) from '1' with input 'INLINE' format 'CSV'", "row 1 has no value 1, only 1; use ALLOW_MISSING_VALUES to take it for NULL")]
    [InlineData("(_id, ok) map ('$.a' id, '$.b' bool) from '{\"a\":1,\"b\":\"true\"}' with input 'INLINE' format 'NDJSON'", "value 'true' cannot be converted to type 'bool' (row 1)")]
    [InlineData("(_id, ok) map ('$.a' id, '$.b' bool) from '{\"a\":1}' with input 'INLINE' format 'NDJSON'", "row 1 has no value at '$[\"b\"]'; use ALLOW_MISSING_VALUES to take it for NULL")]
    [InlineData("(_id, ok) map ('$.a' id, '$.b' bool) from '{\"a\":1' with input 'INLINE' format 'NDJSON'", "row 1 is not JSON")]
    [InlineData("(_id, species) map ('$.a' id, '$.b' string) from '{\"a\":1,\"b\":\"\\ud800\"}' with input 'INLINE' format 'NDJSON'", "row 1 is not JSON")]
    [InlineData("(_id, species) map ('$.a' id, '$.b' string) transform (@0, upper(@1)) from '{\"a\":1,\"b\":\"x\",\"\\ud800\":1}' with input 'INLINE' format 'NDJSON'", "row 1 is not JSON")]
    [InlineData("(_id, tags) map (0 id, 1 stringset) from '1,\"[\"\"\\ud800\"\"]\"' with input 'INLINE' format 'CSV'", "value '[\"\\ud800\"]' cannot be converted to type 'stringset' (row 1)")]
    [InlineData("(_id, count) map ('$.a' id, '$.b.c' int) from '{\"a\":1,\"b\":{\"c\":1,\"c\":2}}' with input 'INLINE' format 'NDJSON'", "row 1 has more than one value at '$[\"b\"][\"c\"]'")]
    [InlineData("(_id, at_s) map (0 id, 1 timestamp) transform (@0, coalesce(@1, @1)) from '1,soon' with input 'INLINE' format 'CSV'", "unable to convert 'soon' to type 'timestamp'")]
    [InlineData("(_id, ok) map ('$a' id, '$.b' bool) from '{}' with input 'INLINE' format 'NDJSON'", "invalid path '$a'")]
    [InlineData("(_id, ok) map ('$.a' id, '$.b' bool) from '{}' with input 'INLINE' format 'CSV'", "CSV is mapped by numbers from 0")]
    [InlineData("(_id, ok) map (0 id, 1 bool) from '{}' with input 'INLINE' format 'NDJSON'", "NDJSON is mapped by paths in quotes, such as '$.name'")]
    [InlineData("(_id, count) map (0 id, 1 int) from 'x' with input 'URL' format 'CSV'", "INPUT 'URL' is not supported: the server reads no files and opens no connections for a statement; send the rows inline, or to a sink")]
    [InlineData("(_id, count) map (0 id, 1 int) from '/etc/passwd' with input 'FILE' format 'CSV'", "INPUT 'FILE' is not supported: the server reads no files and opens no connections for a statement; send the rows inline, or to a sink")]
    [InlineData("(_id, count) map (0 id, 1 int) from 'x' with input 'INLINE' format 'PARQUET'", "FORMAT 'PARQUET' is not supported; use 'CSV' or 'NDJSON'")]
    [InlineData("(_id, count) map (0 id, 1 int) from 'x' with input 'INLINE' format 'xml'", "invalid format specifier 'xml'")]
    [InlineData("(_id, count) map (0 id, 1 int) from 'x' with format 'CSV'", "INPUT is expected: 'INLINE' or 'STREAM'")]
    [InlineData("(_id, count) map (0 id, 1 int) from 'x' with input 'INLINE' format 'CSV' batchsize 0", "invalid BATCHSIZE value '0' (should be a number above 0)")]
    [InlineData("(_id, count) map (0 id, 1 int) from 'x' with input 'INLINE' input 'INLINE' format 'CSV'", "INPUT is given twice")]
    [InlineData("(_id, count) map (0 id) from 'x' with input 'INLINE' format 'CSV'", "mismatch in the count of expressions and target columns")]
    [InlineData("(_id, count) map (0 id) transform (@0, @1) from 'x' with input 'INLINE' format 'CSV'", "'@1' is not a map position")]
    [InlineData("(_id, count) map (0 id) transform (@0, (select count(*) from iris)) from '1' with input 'INLINE' format 'CSV'", "table or view 'iris' not found")]
    [InlineData("(_id, count) map (0 id, 1 string) from '1,a' with input 'INLINE' format 'CSV'", "an expression of type 'string' cannot be assigned to type 'int'")]
    [InlineData("(_id, count) map (0 id, 1 nope) from '1,a' with input 'INLINE' format 'CSV'", "unknown type 'nope'")]
    [InlineData("(count, kind) map (0 id, 1 int) from '1,a' with input 'INLINE' format 'CSV'", "insert column list must have '_id' column specified")]
    public async Task A_wrong_statement_stores_nothing(string rest, string error)
    {
        Assert.EndsWith("] " + error, await _database.RowsAsync("bulk insert into iris " + rest), StringComparison.Ordinal);
        Assert.Empty(_database.Inserted);
    }
}
