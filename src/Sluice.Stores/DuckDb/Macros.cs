using System.Collections.Frozen;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// FeatureBase's functions that DuckDB has no name for, as macros. None takes the name of a DuckDB function: it would shadow it for
/// DuckDB's own macros too. docs/sql.md lists the functions that both have with different meanings.
/// </summary>
/// <remarks>
/// Those that a query calls are made in the temporary schema of its connection, inside its transaction: nothing is stored, so a new
/// version needs no migration.
/// </remarks>
static class Macros
{
    /// <summary>The ways a set can be stored, as macro parameters: DuckDB chooses the overload by the argument's type.</summary>
    static readonly string[] _plainSets = ["UBIGINT[]", "BIGINT[]", "VARCHAR[]"];

    static readonly string[] _quantumSets = ["STRUCT(m UBIGINT, ts TIMESTAMP_S)[]", "STRUCT(m VARCHAR, ts TIMESTAMP_S)[]"];

    const string UnknownUnit = "error('unit must be one of yy, yd, m, d, w, wk, hh, mi, s, ms, us, ns')";

    static readonly FrozenDictionary<string, string> _macros = All().ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);

    internal static IEnumerable<string> Names => _macros.Keys;

    /// <summary>The statements that make the macros among the functions a query calls.</summary>
    internal static IEnumerable<(string Name, string Create)> Needed(IEnumerable<string> functions) =>
        functions.Where(_macros.ContainsKey).Select(function => (function, $"CREATE TEMP MACRO {function} {_macros[function]}"));

    static Dictionary<string, string> All() => new()
    {
        ["setcontains"] = OnSets("v", "list_contains({0}, v)"),
        ["setexcludes"] = OnSets("v", "NOT list_contains({0}, v)"),
        ["setcontainsall"] = OnSets("v", "list_has_all({0}, v)"),
        ["setcontainsany"] = OnSets("v", "list_has_any({0}, v)"),
        // What FLATTEN unnests; see QueryRewrite.
        ["setmembers"] = string.Join(", ", _plainSets.Select(type => $"(c {type}) AS c")
            .Concat(_quantumSets.Select(type => $"(c {type}) AS list_distinct(list_transform(c, lambda x: x.m))"))),
        ["rangeq"] = RangeQ(),
        ["totimestamp"] = ToTimestamp(),
        ["datetimepart"] = DateTimePart(),
        ["datetimename"] = DateTimeName(),
        ["datetimeadd"] = DateTimeAdd(),
        ["datetimediff"] = DateTimeDiff(),
        ["datetimefromparts"] = "(y, mo, d, h, mi, s, ms) AS make_timestamp(y, mo, d, h, mi, s + ms / 1000.0)",
        // Places are counted from 0, -1 is not found.
        ["charindex"] = """
            (part, s) AS instr(s, part) - 1,
            (part, s, start) AS CASE instr(substring(s, start + 1), part) WHEN 0 THEN -1 ELSE instr(substring(s, start + 1), part) + start - 1 END
            """,
        ["replaceall"] = "(s, old, new) AS replace(s, old, new)",
        ["replicate"] = "(s, n) AS CASE WHEN n > 10000 THEN error('REPLICATE makes at most 10000 copies') ELSE repeat(s, n) END",
        ["space"] = "(n) AS CASE WHEN n > 10000 THEN error('SPACE makes at most 10000 blanks') ELSE repeat(' ', n) END",
        ["str"] = Str(),
        ["stringsplit"] = """
            (s, separator) AS coalesce(string_split(s, separator)[1], ''),
            (s, separator, place) AS coalesce(string_split(s, separator)[place + 1], '')
            """,
        ["percentile"] = "(x, n) AS quantile_disc(x, n / 100.0)",
        ["var"] = "(x) AS var_pop(x)",
        ["cosine_distance"] = "(a, b) AS list_cosine_distance(a::DOUBLE[], b::DOUBLE[])",
        ["euclidean_distance"] = "(a, b) AS list_distance(a::DOUBLE[], b::DOUBLE[])",
        ["tanimoto_coefficient"] = """
            (a, b) AS list_inner_product(a::DOUBLE[], b::DOUBLE[])
              / (list_inner_product(a::DOUBLE[], a::DOUBLE[]) + list_inner_product(b::DOUBLE[], b::DOUBLE[])
                 - list_inner_product(a::DOUBLE[], b::DOUBLE[]))
            """,
    };

    /// <param name="body">{0} stands for the members of the set.</param>
    static string OnSets(string parameter, string body) => string.Join(", ",
        _plainSets.Select(type => $"(c {type}, {parameter}) AS {body.Replace("{0}", "c", StringComparison.Ordinal)}")
            .Concat(_quantumSets.Select(type =>
                $"(c {type}, {parameter}) AS {body.Replace("{0}", "list_transform(c, lambda x: x.m)", StringComparison.Ordinal)}")));

    /// <summary>
    /// True when a member has a time in the range: from inclusive, to exclusive, NULL open. A bound is a time, a text, or a number of seconds.
    /// </summary>
    static string RangeQ()
    {
        const string Bound = """
            (CASE WHEN {0} IS NULL THEN NULL ELSE coalesce(try_cast({0}::VARCHAR AS TIMESTAMP),
               make_timestamp(try_cast({0}::VARCHAR AS BIGINT) * 1000000), error('unable to convert a bound of rangeq to type timestamp')) END)
            """;
        const string Body = """
            CASE WHEN lower_bound IS NULL AND upper_bound IS NULL THEN error('rangeq needs at least one bound')
                 ELSE len(list_filter(c, lambda x: x.ts >= coalesce({lower}, x.ts) AND (upper_bound IS NULL OR x.ts < {upper}))) > 0 END
            """;
        var body = Body
            .Replace("{lower}", Bound.Replace("{0}", "lower_bound", StringComparison.Ordinal), StringComparison.Ordinal)
            .Replace("{upper}", Bound.Replace("{0}", "upper_bound", StringComparison.Ordinal), StringComparison.Ordinal);
        return string.Join(", ", _quantumSets.Select(type => $"(c {type}, lower_bound, upper_bound) AS {body}"));
    }

    static string ToTimestamp() => """
        (n) AS make_timestamp(n::BIGINT * 1000000),
        (n, unit) AS CASE unit WHEN 's' THEN make_timestamp(n::BIGINT * 1000000) WHEN 'ms' THEN make_timestamp(n::BIGINT * 1000)
          WHEN 'us' THEN make_timestamp(n) WHEN 'ns' THEN make_timestamp(n // 1000)
          ELSE error('unit must be one of s, ms, us, ns') END
        """;

    static string DateTimePart() => $"""
        (unit, ts) AS CASE lower(unit) WHEN 'yy' THEN year(ts::TIMESTAMP) WHEN 'yd' THEN dayofyear(ts::TIMESTAMP) WHEN 'm' THEN month(ts::TIMESTAMP)
          WHEN 'd' THEN day(ts::TIMESTAMP) WHEN 'w' THEN dayofweek(ts::TIMESTAMP) WHEN 'wk' THEN week(ts::TIMESTAMP) WHEN 'hh' THEN hour(ts::TIMESTAMP)
          WHEN 'mi' THEN minute(ts::TIMESTAMP) WHEN 's' THEN second(ts::TIMESTAMP) WHEN 'ms' THEN microsecond(ts::TIMESTAMP) % 1000000 // 1000
          WHEN 'us' THEN microsecond(ts::TIMESTAMP) % 1000000 WHEN 'ns' THEN epoch_ns(ts::TIMESTAMP_NS) % 1000000000
          ELSE {UnknownUnit} END
        """;

    static string DateTimeName() => $"""
        (unit, ts) AS CASE lower(unit) WHEN 'm' THEN monthname(ts::TIMESTAMP) WHEN 'w' THEN dayname(ts::TIMESTAMP)
          WHEN 'yy' THEN year(ts::TIMESTAMP)::VARCHAR WHEN 'yd' THEN dayofyear(ts::TIMESTAMP)::VARCHAR WHEN 'd' THEN day(ts::TIMESTAMP)::VARCHAR
          WHEN 'wk' THEN week(ts::TIMESTAMP)::VARCHAR WHEN 'hh' THEN hour(ts::TIMESTAMP)::VARCHAR WHEN 'mi' THEN minute(ts::TIMESTAMP)::VARCHAR
          WHEN 's' THEN second(ts::TIMESTAMP)::VARCHAR WHEN 'ms' THEN (microsecond(ts::TIMESTAMP) % 1000000 // 1000)::VARCHAR
          WHEN 'us' THEN (microsecond(ts::TIMESTAMP) % 1000000)::VARCHAR WHEN 'ns' THEN (epoch_ns(ts::TIMESTAMP_NS) % 1000000000)::VARCHAR
          ELSE {UnknownUnit} END
        """;

    static string DateTimeAdd() => """
        (unit, n, ts) AS ts::TIMESTAMP + CASE lower(unit) WHEN 'yy' THEN to_years(n::INTEGER) WHEN 'm' THEN to_months(n::INTEGER) WHEN 'd' THEN to_days(n::INTEGER)
          WHEN 'wk' THEN to_weeks(n::INTEGER) WHEN 'hh' THEN to_hours(n) WHEN 'mi' THEN to_minutes(n) WHEN 's' THEN to_seconds(n)
          WHEN 'ms' THEN to_milliseconds(n) WHEN 'us' THEN to_microseconds(n) WHEN 'ns' THEN to_microseconds(n // 1000)
          ELSE error('unit must be one of yy, m, d, wk, hh, mi, s, ms, us, ns') END
        """;

    /// <summary>Whole units that have passed from the first time to the second.</summary>
    static string DateTimeDiff() => """
        (unit, first_time, second_time) AS CASE lower(unit)
          WHEN 'yy' THEN date_sub('year', first_time::TIMESTAMP, second_time::TIMESTAMP) WHEN 'm' THEN date_sub('month', first_time::TIMESTAMP, second_time::TIMESTAMP)
          WHEN 'd' THEN date_sub('day', first_time::TIMESTAMP, second_time::TIMESTAMP) WHEN 'wk' THEN date_sub('week', first_time::TIMESTAMP, second_time::TIMESTAMP)
          WHEN 'hh' THEN date_sub('hour', first_time::TIMESTAMP, second_time::TIMESTAMP) WHEN 'mi' THEN date_sub('minute', first_time::TIMESTAMP, second_time::TIMESTAMP)
          WHEN 's' THEN date_sub('second', first_time::TIMESTAMP, second_time::TIMESTAMP) WHEN 'ms' THEN date_sub('millisecond', first_time::TIMESTAMP, second_time::TIMESTAMP)
          WHEN 'us' THEN date_sub('microsecond', first_time::TIMESTAMP, second_time::TIMESTAMP)
          WHEN 'ns' THEN epoch_ns(second_time::TIMESTAMP_NS) - epoch_ns(first_time::TIMESTAMP_NS)
          ELSE error('unit must be one of yy, m, d, wk, hh, mi, s, ms, us, ns') END
        """;

    /// <summary>A number as text of a fixed length, blanks in front; stars when it does not fit.</summary>
    static string Str()
    {
        const string Fit = "CASE WHEN length({0}) > size THEN repeat('*', least(size, 10000)) ELSE lpad({0}, least(size, 10000)::INTEGER, ' ') END";
        var whole = Fit.Replace("{0}", "round(x)::HUGEINT::VARCHAR", StringComparison.Ordinal);
        var fixedPoint = Fit.Replace("{0}", "printf('%.' || least(digits, 18) || 'f', x::DOUBLE)", StringComparison.Ordinal);
        return $"(x) AS {whole.Replace("size", "10", StringComparison.Ordinal)}, (x, size) AS {whole}, (x, size, digits) AS {fixedPoint}";
    }
}
