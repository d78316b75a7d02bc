using Sluice.Server.Sql;
using Xunit;

namespace Sluice.IntegrationTests.Sql;

public sealed class QueryRewriteTests
{
    static readonly string[] _names = ["iris", "my-t", "my-t-x", "a-1", "tags"];

    [Theory]
    // names with dashes
    [InlineData("select a-1 from my-t", "select \"a-1\" from \"my-t\"")]
    [InlineData("select a - 1 from My-T", "select a - 1 from \"My-T\"")]
    [InlineData("select my-t.a-1 from my-t-x", "select \"my-t\".\"a-1\" from \"my-t-x\"")]
    [InlineData("select b-1, a-2 from my-t2", "select b-1, a-2 from my-t2")]
    [InlineData("select a-11 from my-tx", "select a-11 from my-tx")]
    [InlineData("select a-1--a-1\n from my-t", "select \"a-1\"--a-1\n from \"my-t\"")]
    // what is in quotes or a comment stays
    [InlineData("select 'my-t', \"my-t\", $$my-t$$, e'\\'my-t', x'my-t' /* my-t /* my-t */ my-t */ -- my-t", null)]
    [InlineData("select 'TOP(3)', 'it''s top(3)' from iris", null)]
    // TOP
    [InlineData("select top(3) * from iris", "select  * from iris\nLIMIT 3 ")]
    [InlineData("SELECT DISTINCT TOP ( 3 ) a FROM iris ; ", "SELECT DISTINCT  a FROM iris\nLIMIT 3  ; ")]
    [InlineData("select * from (select top(2) * from iris) x limit 1", "select * from (select  * from iris\nLIMIT 2 ) x limit 1")]
    [InlineData("select top(2) * from iris where a in (select b from iris limit 1) -- end", "select  * from iris where a in (select b from iris limit 1)\nLIMIT 2  -- end")]
    [InlineData("select top from iris", null)]
    // FLATTEN
    [InlineData("select tags from iris with (flatten(tags)) group by tags", "select tags from (SELECT * REPLACE (unnest(setmembers(\"tags\")) AS \"tags\") FROM \"iris\") AS \"iris\" group by tags")]
    [InlineData("select * from my-t WITH (FLATTEN(tags, \"a-1\")) AS x",
        "select * from (SELECT * REPLACE (unnest(setmembers(\"tags\")) AS \"tags\", unnest(setmembers(\"a-1\")) AS \"a-1\") FROM \"my-t\") AS x")]
    // CAST, CHAR, CURRENT_TIMESTAMP
    [InlineData("select cast(a as int), cast(b as decimal(2)), cast(c as idset), a as int from iris",
        "select cast(a as BIGINT), cast(b as decimal(18, 2)), cast(c as UBIGINT[]), a as int from iris")]
    [InlineData("select char(65), cast(a as char(3))", "select chr(65), cast(a as char(3))")]
    [InlineData("select current_timestamp", "select (now() AT TIME ZONE 'UTC')")]
    // never ends
    [InlineData("select 'my-t", null)]
    [InlineData("select /* my-t", null)]
    [InlineData("", null)]
    public void A_query_is_rewritten_where_it_must(string sql, string? expected) => Assert.Equal(expected ?? sql, QueryRewrite.Of(sql, _names).Sql);

    [Theory]
    [InlineData("a = '2026-01-02T05:04:05.120+02:00'", "a = '2026-01-02 03:04:05.12'")]
    [InlineData("t.\"a\" >= '2026-01-02t00:30:00-23:59' and b = '2026-01-02T05:04:05+02:00'", "t.\"a\" >= '2026-01-03 00:29:00' and b = '2026-01-02T05:04:05+02:00'")]
    [InlineData("a = '2026-01-02T05:04:05Z' or a = '2026-01-02' or a < 'x''+02:00' or a > '0001-01-01T00:00:00+02:00'", null)]
    [InlineData("concat(a, '2026-01-02T05:04:05+02:00') = b", null)]
    [InlineData("a in ('2026-01-02T05:04:05+02:00', b, '2026-01-02T05:04:05+02:00')", "a in ('2026-01-02 03:04:05', b, '2026-01-02T05:04:05+02:00')")]
    [InlineData("a =", null)]
    public void A_time_that_a_timestamp_is_compared_with_loses_no_offset(string sql, string? expected) =>
        Assert.Equal(expected ?? sql, QueryRewrite.Of(sql, [], times: new HashSet<string> { "a" }).Sql);

    [Theory]
    [InlineData("select top(1) * from iris limit 2", "TOP and LIMIT cannot cannot be used at the same time")]
    [InlineData("select * from iris with (flatten(1))", "FLATTEN takes the names of columns")]
    public void What_cannot_be_rewritten_is_an_error(string sql, string error) =>
        Assert.Equal(error, Assert.Throws<SqlException>(() => QueryRewrite.Of(sql, _names)).Message);

    [Fact]
    public void Places_of_the_rewritten_query_lead_back_to_the_original()
    {
        const string Sql = "select top(1) a-1, here from my-t";
        var rewrite = QueryRewrite.Of(Sql, _names);

        var place = rewrite.Sql.IndexOf("here", StringComparison.Ordinal);

        Assert.NotEqual(Sql.IndexOf("here", StringComparison.Ordinal), place);
        Assert.Equal(Sql.IndexOf("here", StringComparison.Ordinal), rewrite.OriginalOffset(place));
    }
}
