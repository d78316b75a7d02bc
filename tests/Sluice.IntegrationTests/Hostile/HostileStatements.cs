using System.Globalization;
using Sluice.IntegrationTests.Sql;

namespace Sluice.IntegrationTests.Hostile;

/// <summary>Statements to send to a server that has a table <c>iris</c> and a table <c>events</c> with many rows.</summary>
static class HostileStatements
{
    /// <summary>Each must be refused at once.</summary>
    public static IReadOnlyList<string> Escapes => [.. HostileQueryTests.Escapes.Select(row => row.Data)];

    /// <summary>Each takes as much as it is given, of processors, memory, disk or answer, by another way.</summary>
    public static IReadOnlyList<string> Hungry =>
    [
        .. HostileQueryTests.Endless.Select(row => row.Data),
        // rows upon rows
        "SELECT count(*) FROM events a, events b, events c WHERE a.sent + b.sent + c.sent = -1",
        "SELECT sum((SELECT count(*) FROM events b WHERE b.sent * 2 < a.sent)) FROM events a",
        "SELECT count(*) FROM range(1000000) a JOIN range(1000000) b ON a.range < b.range AND a.range + 100000 > b.range",
        "WITH RECURSIVE t(n) AS (SELECT range FROM range(1000000) UNION SELECT n + 1 FROM t WHERE n < 1000000000) SELECT count(*) FROM t",
        // memory, then disk
        "SELECT hash(range) AS h, list(range) AS l FROM range(100000000) GROUP BY h ORDER BY h",
        "SELECT count(*) FROM range(100000000) a JOIN range(100000000) b ON md5(a.range::VARCHAR) = md5(b.range::VARCHAR)",
        "SELECT repeat(md5(range::VARCHAR), 100) AS x FROM range(10000000) ORDER BY x LIMIT 1 OFFSET 9999999",
        "SELECT count(DISTINCT repeat(md5(range::VARCHAR), 20)) FROM range(100000000)",
        "SELECT median(hash(range)), mode(range), quantile_cont(range, [0.1, 0.5, 0.9]) FROM range(1000000000)",
        "SELECT sum(x) OVER (ORDER BY hash(x) ROWS BETWEEN 100000 PRECEDING AND CURRENT ROW) AS s FROM (SELECT range AS x FROM range(50000000)) QUALIFY s = -1",
        "SELECT median(x) OVER (ORDER BY x ROWS BETWEEN 100000 PRECEDING AND CURRENT ROW) AS s FROM (SELECT range AS x FROM range(10000000)) QUALIFY s = -1",
        "SELECT unnest(list_sort(list(hash(range)))) FROM range(100000000)", "SELECT len(list_distinct(list(range))) FROM range(100000000)",
        "SELECT length(string_agg(md5(range::VARCHAR), '')) FROM range(100000000)", "SELECT length(to_json(list(range))) FROM range(100000000)",
        // one value takes long
        "SELECT count(*) FROM range(100000000) WHERE regexp_matches(repeat(md5(range::VARCHAR), 300), '(.*a.*b.*c.*){5}z')",
        "SELECT regexp_extract_all(repeat('ab', 1000), '(a|b)*?') FROM range(1000000)", "SELECT max(len(string_split(repeat(range::VARCHAR || ',', 60), ','))) FROM range(100000000)",
        "SELECT max(len(list_sort(list_transform(range(1000), lambda x: hash(x + range))))) FROM range(100000000)",
        "SELECT max(jaccard(repeat(range::VARCHAR, 500), repeat('abc', 500))) FROM range(100000000)",
        // plans and texts
        "SELECT count(*) FROM (" + string.Join(" UNION ALL ", Enumerable.Repeat("SELECT hash(range) AS h FROM range(1000000)", 300)) + ")",
        "SELECT " + string.Join(", ", Enumerable.Range(0, 3_000).Select(i => string.Create(CultureInfo.InvariantCulture, $"range + {i}"))) + " FROM range(1000000)",
        "SELECT 1 WHERE 1 IN (" + string.Join(", ", Enumerable.Range(2, 30_000)) + ")",
        "SELECT " + string.Concat(Enumerable.Repeat("CASE WHEN range > 1 THEN 1 ELSE ", 300)) + "2" + string.Concat(Enumerable.Repeat(" END", 300)) + " FROM range(100000000)",
        // answers without end
        "SELECT * FROM range(100000000)", "SELECT repeat('x', 10000) FROM range(1000000)", "SELECT range(4000) FROM range(1000000)", "SELECT repeat([range, range + 1], 650) FROM range(1000000)",
        "SELECT a.range, b.range FROM range(3000000) a JOIN range(3000000) b ON hash(a.range) % 1000 = hash(b.range) % 1000",
    ];
}
