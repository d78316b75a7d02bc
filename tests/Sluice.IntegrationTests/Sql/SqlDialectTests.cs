using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace Sluice.IntegrationTests.Sql;

/// <summary>Every function and operator that docs/sql.md names: a statement, and its typed answer.</summary>
public sealed partial class SqlDialectTests : IDisposable
{
    readonly QueryDatabase _database = new();

    public void Dispose() => _database.Dispose();

    /// <summary>Name, expression over the row of iris whose _id is 1, type, cell.</summary>
    public static TheoryData<string, string, string, string> Expressions => new()
    {
        { "=", "count = 7", "bool", "true" },
        { "!=", "count != 7", "bool", "false" },
        { "<>", "count <> 8", "bool", "true" },
        { "<", "count < 7", "bool", "false" },
        { "<=", "count <= 7", "bool", "true" },
        { ">", "count > 6", "bool", "true" },
        { ">=", "count >= 8", "bool", "false" },
        { "AND", "ok AND count = 7", "bool", "true" },
        { "OR", "NOT ok OR count = 7", "bool", "true" },
        { "NOT", "NOT ok", "bool", "false" },
        { "BETWEEN", "count BETWEEN 7 AND 8", "bool", "true" },
        { "IN", "species IN ('setosa', 'x')", "bool", "true" },
        { "LIKE", "species LIKE 's_to%'", "bool", "true" },
        { "IS NULL", "count IS NOT NULL", "bool", "true" },
        { "+", "count + 1", "int", "8" },
        { "-", "count - 8", "int", "-1" },
        { "*", "petal * 2", "decimal(2)", "10.20" },
        { "/", "count / 2", "double", "3.5" },
        { "%", "count % 4", "int", "3" },
        { "||", "species || 'x'", "string", "\"setosax\"" },
        { "&", "count & 3", "int", "3" },
        { "|", "count | 8", "int", "15" },
        { "<<", "count << 1", "int", "14" },
        { ">>", "count >> 1", "int", "3" },
        { "CASE", "CASE WHEN ok THEN 'y' ELSE 'n' END", "string", "\"y\"" },
        { "CAST", "CAST(petal AS decimal(1))", "decimal(1)", "5.1" },
        { "COALESCE", "COALESCE(NULL, count)", "int", "7" },
        { "SETCONTAINS", "SETCONTAINS(tags, 'a')", "bool", "true" },
        { "SETCONTAINSALL", "SETCONTAINSALL(ids, [1, 3])", "bool", "false" },
        { "SETCONTAINSANY", "SETCONTAINSANY(seen, ['z', 'q'])", "bool", "true" },
        { "SETEXCLUDES", "SETEXCLUDES(tags, 'a')", "bool", "false" },
        { "SETMEMBERS", "SETMEMBERS(seen_ids)", "idset", "[3]" },
        { "RANGEQ", "RANGEQ(seen, '2022-01-01', '2022-01-15')", "bool", "true" },
        { "TOTIMESTAMP", "TOTIMESTAMP(0)", "timestamp", "\"1970-01-01T00:00:00Z\"" },
        { "DATETIMEPART", "DATETIMEPART('YY', at_s)", "int", "2022" },
        { "DATETIMENAME", "DATETIMENAME('m', at_s)", "string", "\"January\"" },
        { "DATETIMEADD", "DATETIMEADD('d', 1, at_s)", "timestamp", "\"2022-01-02T00:00:00Z\"" },
        { "DATETIMEDIFF", "DATETIMEDIFF('d', '2022-01-01', '2022-01-03T12:00:00Z')", "int", "2" },
        // a text with an offset is the instant it means
        { "RANGEQ", "RANGEQ(seen, '2022-01-01T02:00:00+02:00', '2022-01-01T02:00:01+02:00')", "bool", "true" },
        { "RANGEQ", "RANGEQ(seen, NULL, '2022-01-01T02:00:00+02:00')", "bool", "false" },
        { "DATETIMEPART", "DATETIMEPART('hh', '2026-01-02T03:04:05+02:00')", "int", "1" },
        { "DATETIMENAME", "DATETIMENAME('d', '2026-01-02T01:04:05+02:00')", "string", "\"1\"" },
        { "DATETIMEADD", "DATETIMEADD('hh', 1, '2026-01-02T03:04:05.5-02:00')", "timestamp", "\"2026-01-02T06:04:05.5Z\"" },
        { "DATETIMEDIFF", "DATETIMEDIFF('s', '2026-01-02T03:00:00+02:00', '2026-01-02T01:00:00Z')", "int", "0" },
        { "=", "at_s = '2022-01-01T02:00:00+02:00'", "bool", "true" },
        { "=", "'2022-01-01T02:00:00+02:00' = \"at_s\" AND iris.at_s <> '2022-01-01T00:00:00+02:00'", "bool", "true" },
        { ">=", "at_s >= TIMESTAMP '2022-01-01T02:00:00+02:00' AND _ingested_at >= '2026-01-01T02:00:00+02:00'", "bool", "true" },
        { "BETWEEN", "at_s BETWEEN '2022-01-01T02:00:00+02:00' AND '2021-12-31T22:00:00-02:00'", "bool", "true" },
        { "IN", "at_s NOT IN ('2020-01-01T02:00:00+02:00', '2022-01-01T02:00:00+02:00')", "bool", "false" },
        // nanoseconds stay, and what is beyond their years is no error
        { "DATETIMEADD", "DATETIMEADD('s', 1, at_ns)", "timestamp", "\"2022-01-01T00:00:01.123456789Z\"" },
        { "DATETIMEADD", "DATETIMEADD('ns', 5, at_ns)", "timestamp", "\"2022-01-01T00:00:00.123456794Z\"" },
        { "DATETIMEADD", "DATETIMEADD('ns', -1790, at_ns)", "timestamp", "\"2022-01-01T00:00:00.123454999Z\"" },
        { "DATETIMEADD", "DATETIMEADD('us', 1, CAST('1960-01-02T03:04:05.123456789' AS TIMESTAMP_NS))", "timestamp", "\"1960-01-02T03:04:05.123457789Z\"" },
        { "DATETIMEADD", "DATETIMEADD('m', 1, DATE '9000-01-31')", "timestamp", "\"9000-02-28T00:00:00Z\"" },
        { "DATETIMEADD", "DATETIMEADD('d', 1, NULL)", "timestamp", "null" },
        { "DATETIMEPART", "DATETIMEPART('NS', TIMESTAMP '2300-01-01 00:00:00.5')", "int", "500000000" },
        { "DATETIMEPART", "DATETIMEPART('ns', '9000-01-01T00:00:00.123456789Z')", "int", "123456789" },
        { "DATETIMEPART", "DATETIMEPART('us', CAST('1960-01-02T03:04:05.123456789' AS TIMESTAMP_NS))", "int", "123456" },
        { "DATETIMENAME", "DATETIMENAME('ns', at_s)", "string", "\"0\"" },
        { "DATETIMEDIFF", "DATETIMEDIFF('ns', at_ns, DATETIMEADD('ns', 7, at_ns))", "int", "7" },
        { "DATETIMEDIFF", "DATETIMEDIFF('ns', '2300-01-01', '2300-01-02T00:00:00.000000001Z')", "int", "86400000000001" },
        { "DATETIMEFROMPARTS", "DATETIMEFROMPARTS(2022, 1, 2, 3, 4, 5, 6)", "timestamp", "\"2022-01-02T03:04:05.006Z\"" },
        { "DATE_TRUNC", "DATE_TRUNC('month', at_s)", "timestamp", "\"2022-01-01T00:00:00Z\"" },
        { "CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP > at_s", "bool", "true" },
        { "CURRENT_DATE", "CURRENT_DATE > at_s", "bool", "true" },
        { "ASCII", "ASCII('A')", "int", "65" },
        { "CHAR", "CHAR(65)", "string", "\"A\"" },
        { "CHARINDEX", "CHARINDEX('t', species)", "int", "2" },
        { "FORMAT", "FORMAT('{}-{}', species, count)", "string", "\"setosa-7\"" },
        { "PRINTF", "PRINTF('%d', count)", "string", "\"7\"" },
        { "LEN", "LEN(species)", "int", "6" },
        { "LOWER", "LOWER('AB')", "string", "\"ab\"" },
        { "UPPER", "UPPER(species)", "string", "\"SETOSA\"" },
        { "LTRIM", "LTRIM('  a')", "string", "\"a\"" },
        { "RTRIM", "RTRIM('a  ')", "string", "\"a\"" },
        { "TRIM", "TRIM(' a ')", "string", "\"a\"" },
        { "PREFIX", "PREFIX(species, 'set')", "bool", "true" },
        { "SUFFIX", "SUFFIX(species, 'sa')", "bool", "true" },
        { "LEFT", "LEFT(species, 2)", "string", "\"se\"" },
        { "RIGHT", "RIGHT(species, 2)", "string", "\"sa\"" },
        { "REPLACEALL", "REPLACEALL(species, 's', 'z')", "string", "\"zetoza\"" },
        { "REPLICATE", "REPLICATE('ab', 2)", "string", "\"abab\"" },
        { "REVERSE", "REVERSE('abc')", "string", "\"cba\"" },
        { "SPACE", "SPACE(2)", "string", "\"  \"" },
        { "STR", "STR(12.345, 6, 2)", "string", "\" 12.35\"" },
        { "STRINGSPLIT", "STRINGSPLIT('a,b', ',', 1)", "string", "\"b\"" },
        { "STRINGSPLIT", "STRINGSPLIT('a,b,c', ',', -2)", "string", "\"a\"" },
        { "SUBSTRING", "SUBSTRING(species, 2, 3)", "string", "\"eto\"" },
        { "COSINE_DISTANCE", "COSINE_DISTANCE(v, [1.0, 2.5])", "double", "0" },
        { "EUCLIDEAN_DISTANCE", "EUCLIDEAN_DISTANCE(v, [1, 2])", "double", "0.5" },
        { "TANIMOTO_COEFFICIENT", "TANIMOTO_COEFFICIENT(v, v)", "double", "1" },
    };

    [Theory]
    [MemberData(nameof(Expressions))]
    public async Task An_expression_has_this_type_and_this_value(string name, string expression, string type, string cell)
    {
        Assert.Equal((type, $"[[{cell}]]"), await AnswerAsync($"SELECT {expression} FROM iris WHERE _id = 1"));
        Assert.Contains(name, Document(), StringComparison.Ordinal);
    }

    /// <summary>Name, statement, type of the last column, rows.</summary>
    public static TheoryData<string, string, string, string> Statements => new()
    {
        { "COUNT(*)", "SELECT COUNT(*) FROM iris", "int", "[[2]]" },
        { "COUNT(col)", "SELECT COUNT(count) FROM iris", "int", "[[1]]" },
        { "COUNT(DISTINCT col)", "SELECT COUNT(DISTINCT ok) FROM iris", "int", "[[2]]" },
        { "SUM", "SELECT SUM(petal) FROM iris", "decimal(2)", "[[5.05]]" },
        { "AVG", "SELECT AVG(_id) FROM iris", "double", "[[1.5]]" },
        { "MIN", "SELECT MIN(petal) FROM iris", "decimal(2)", "[[-0.05]]" },
        { "MAX", "SELECT MAX(species) FROM iris", "string", "[[\"virginica\"]]" },
        { "PERCENTILE", "SELECT PERCENTILE(_id, 50) FROM iris", "id", "[[1]]" },
        { "VAR", "SELECT VAR(_id) FROM iris", "double", "[[0.25]]" },
        { "CORR", "SELECT CORR(petal, _id) FROM iris", "double", "[[-1]]" },
        { "TOP(n)", "SELECT TOP(1) _id FROM iris ORDER BY _id DESC", "id", "[[2]]" },
        { "DISTINCT", "SELECT DISTINCT ok FROM iris ORDER BY 1", "bool", "[[false],[true]]" },
        { "LIMIT", "SELECT _id FROM iris ORDER BY _id LIMIT 1", "id", "[[1]]" },
        { "FLATTEN", "SELECT tags, COUNT(*) FROM iris WITH (FLATTEN(tags)) GROUP BY tags HAVING tags = 'a'", "int", "[[\"a\",1]]" },
        { "INNER JOIN", "SELECT b._id FROM iris a INNER JOIN iris b ON a._id = b._id WHERE a.ok", "id", "[[1]]" },
        { "LEFT JOIN", "SELECT b._id FROM iris a LEFT JOIN iris b ON a._id = b.count ORDER BY a._id LIMIT 1", "id", "[[null]]" },
        { "subquery", "SELECT x._id FROM (SELECT _id FROM iris) x WHERE x._id IN (SELECT _id FROM iris WHERE ok)", "id", "[[1]]" },
        { "set = 'x'", "SELECT _id FROM iris WHERE tags = 'a'", "id", "[[1]]" },
        { "set = 'x'", "SELECT i._id FROM iris i WHERE i.seen='q' OR i.tags <> 'a' ORDER BY 1", "id", "[[1],[2]]" },
    };

    [Theory]
    [MemberData(nameof(Statements))]
    public async Task A_query_has_this_type_and_these_rows(string name, string sql, string type, string rows)
    {
        Assert.Equal((type, rows), await AnswerAsync(sql));
        Assert.Contains(name, Document(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("SELECT TOP(1) _id FROM iris LIMIT 1", "error: [1:8] TOP and LIMIT cannot cannot be used at the same time")]
    [InlineData("SELECT RANGEQ(seen, NULL, NULL) FROM iris", "error: rangeq needs at least one bound")]
    [InlineData("SELECT DATETIMEPART('x', at_s) FROM iris", "error: unit must be one of yy, yd, m, d, w, wk, hh, mi, s, ms, us, ns")]
    [InlineData("SELECT CHARINDEX('is', 'This is', -1) FROM iris", "error: value '-1' out of range")]
    [InlineData("CREATE VIEW v AS SELECT 1", "error: [1:1] views are not supported; send the query itself")]
    [InlineData("UPDATE iris SET count = 1", "error: [1:1] UPDATE is not supported; INSERT replaces the values it names")]
    [InlineData("COPY iris TO 'x'", "error: [1:1] COPY is not supported; send the rows to a sink")]
    public async Task What_is_refused_says_so(string sql, string error) => Assert.Equal(error, await _database.RowsAsync(sql));

    /// <summary>The page names nothing that is not tried here.</summary>
    [Fact]
    public void Every_function_of_the_page_is_in_these_tables()
    {
        var tried = Expressions.Select(row => row.Data.Item1).Concat(Statements.Select(row => row.Data.Item1)).ToHashSet(StringComparer.OrdinalIgnoreCase);
        var section = Document().Split("### Functions added")[1].Split("### Not here")[0];
        var named = FunctionName().Matches(section).Select(match => match.Groups[1].Value).Distinct().ToList();

        Assert.True(named.Count > 15);
        Assert.DoesNotContain(named, name => !tried.Contains(name));
    }

    async Task<(string Type, string Rows)> AnswerAsync(string sql)
    {
        using var document = JsonDocument.Parse(await _database.RunAsync(sql));
        var root = document.RootElement;
        return root.TryGetProperty("error", out var error)
            ? ("error", error.GetString()!)
            : (root.GetProperty("schema").GetProperty("fields").EnumerateArray().Last().GetProperty("type").GetString()!, root.GetProperty("data").GetRawText());
    }

    static string Document()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory!.FullName, "docs", "sql.md"))) directory = directory.Parent;
        return File.ReadAllText(Path.Combine(directory.FullName, "docs", "sql.md"));
    }

    [GeneratedRegex(@"`?\b([A-Z_]{3,})\(")]
    private static partial Regex FunctionName();
}
