using System.Collections.Frozen;
using System.Text.RegularExpressions;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// FeatureBase's functions that DuckDB has no name for, as macros. None takes the name of a DuckDB function: it would shadow it for
/// DuckDB's own macros too. docs/sql.md lists the functions that both have with different meanings.
/// </summary>
/// <remarks>
/// Those that a query calls are made in the temporary schema of its connection, inside its transaction: nothing is stored, so a new
/// version needs no migration.
/// </remarks>
static partial class Macros
{
    /// <summary>The ways a set can be stored, as macro parameters: DuckDB chooses the overload by the argument's type.</summary>
    static readonly string[] _plainSets = ["UBIGINT[]", "BIGINT[]", "VARCHAR[]"];

    static readonly string[] _quantumSets = ["STRUCT(m UBIGINT, ts TIMESTAMP_S)[]", "STRUCT(m VARCHAR, ts TIMESTAMP_S)[]"];

    const string UnknownUnit = "error('unit must be one of yy, yd, m, d, w, wk, hh, mi, s, ms, us, ns')";

    static readonly FrozenDictionary<string, string> _macros = All().ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);

    internal static IEnumerable<string> Names => _macros.Keys;

    internal static bool Has(string function) => _macros.ContainsKey(function);

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
        ["charindex"] = "(part, s) AS instr(s, part) - 1, " + Once("part, s, start", """
            CASE WHEN a.start < 0 THEN error('value ''' || a.start || ''' out of range') WHEN instr(substring(a.s, a.start + 1), a.part) = 0 THEN -1
              ELSE instr(substring(a.s, a.start + 1), a.part) + a.start - 1 END
            """),
        ["replaceall"] = "(s, old, new) AS replace(s, old, new)",
        ["replicate"] = "(s, n) AS CASE WHEN n > 10000 THEN error('REPLICATE makes at most 10000 copies') ELSE repeat(s, n) END",
        ["space"] = "(n) AS CASE WHEN n > 10000 THEN error('SPACE makes at most 10000 blanks') ELSE repeat(' ', n) END",
        ["str"] = Str(),
        ["stringsplit"] = """
            (s, separator) AS coalesce(string_split(s, separator)[1], ''),
            (s, separator, place) AS coalesce(string_split(s, separator)[greatest(place, 0) + 1], '')
            """,
        ["percentile"] = "(x, n) AS quantile_disc(x, n / 100.0)",
        ["var"] = "(x) AS var_pop(x)",
        ["cosine_distance"] = "(a, b) AS list_cosine_distance(a::DOUBLE[], b::DOUBLE[])",
        ["euclidean_distance"] = "(a, b) AS list_distance(a::DOUBLE[], b::DOUBLE[])",
        ["tanimoto_coefficient"] = Once("v, w", """
            list_inner_product(a.v::DOUBLE[], a.w::DOUBLE[])
              / (list_inner_product(a.v::DOUBLE[], a.v::DOUBLE[]) + list_inner_product(a.w::DOUBLE[], a.w::DOUBLE[])
                 - list_inner_product(a.v::DOUBLE[], a.w::DOUBLE[]))
            """),
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
            (CASE WHEN {0} IS NULL THEN NULL ELSE coalesce(
               CASE WHEN {offset} THEN make_timestamp(epoch_us(try_cast({0}::VARCHAR AS TIMESTAMPTZ))) ELSE try_cast({0}::VARCHAR AS TIMESTAMP) END,
               make_timestamp(try_cast({0}::VARCHAR AS BIGINT) * 1000000), error('unable to convert a bound of rangeq to type timestamp')) END)
            """;
        const string Body = """
            CASE WHEN b.lower_bound IS NULL AND b.upper_bound IS NULL THEN error('rangeq needs at least one bound')
                 ELSE len(list_filter(b.c, lambda x: x.ts >= coalesce(b.lower_bound, x.ts) AND (b.upper_bound IS NULL OR x.ts < b.upper_bound))) > 0 END
            """;
        return string.Join(", ", _quantumSets.Select(type => Once(
            $"c {type}, lower_bound, upper_bound", $"{{'c': a.c, 'lower_bound': {ReadBound("a.lower_bound")}, 'upper_bound': {ReadBound("a.upper_bound")}}}", Body)));

        static string ReadBound(string bound) =>
            Bound.Replace("{offset}", HasOffset(bound), StringComparison.Ordinal).Replace("{0}", bound, StringComparison.Ordinal);
    }

    static string ToTimestamp() => "(n) AS make_timestamp(n::BIGINT * 1000000), " + Once("n, unit", """
        CASE a.unit WHEN 's' THEN make_timestamp(a.n::BIGINT * 1000000) WHEN 'ms' THEN make_timestamp(a.n::BIGINT * 1000)
          WHEN 'us' THEN make_timestamp(a.n) WHEN 'ns' THEN make_timestamp(a.n // 1000)
          ELSE error('unit must be one of s, ms, us, ns') END
        """);

    static string DateTimePart() => OnTimes("unit, ts", $"""
        CASE b.unit WHEN 'yy' THEN year(b.ts) WHEN 'yd' THEN dayofyear(b.ts) WHEN 'm' THEN month(b.ts)
          WHEN 'd' THEN day(b.ts) WHEN 'w' THEN dayofweek(b.ts) WHEN 'wk' THEN week(b.ts) WHEN 'hh' THEN hour(b.ts)
          WHEN 'mi' THEN minute(b.ts) WHEN 's' THEN second(b.ts) WHEN 'ms' THEN microsecond(b.ts) % 1000000 // 1000
          WHEN 'us' THEN microsecond(b.ts) % 1000000 WHEN 'ns' THEN microsecond(b.ts) % 1000000 * 1000 + b.ts_ns
          ELSE {UnknownUnit} END
        """);

    static string DateTimeName() => OnTimes("unit, ts", $"""
        CASE b.unit WHEN 'm' THEN monthname(b.ts) WHEN 'w' THEN dayname(b.ts)
          WHEN 'yy' THEN year(b.ts)::VARCHAR WHEN 'yd' THEN dayofyear(b.ts)::VARCHAR WHEN 'd' THEN day(b.ts)::VARCHAR
          WHEN 'wk' THEN week(b.ts)::VARCHAR WHEN 'hh' THEN hour(b.ts)::VARCHAR WHEN 'mi' THEN minute(b.ts)::VARCHAR
          WHEN 's' THEN second(b.ts)::VARCHAR WHEN 'ms' THEN (microsecond(b.ts) % 1000000 // 1000)::VARCHAR
          WHEN 'us' THEN (microsecond(b.ts) % 1000000)::VARCHAR WHEN 'ns' THEN (microsecond(b.ts) % 1000000 * 1000 + b.ts_ns)::VARCHAR
          ELSE {UnknownUnit} END
        """);

    /// <summary>An answer in nanoseconds for a time in nanoseconds alone: they end in 2262.</summary>
    static string DateTimeAdd()
    {
        const string Interval = """
            CASE b.unit WHEN 'yy' THEN to_years(b.n::INTEGER) WHEN 'm' THEN to_months(b.n::INTEGER) WHEN 'd' THEN to_days(b.n::INTEGER)
              WHEN 'wk' THEN to_weeks(b.n::INTEGER) WHEN 'hh' THEN to_hours(b.n) WHEN 'mi' THEN to_minutes(b.n) WHEN 's' THEN to_seconds(b.n)
              WHEN 'ms' THEN to_milliseconds(b.n) WHEN 'us' THEN to_microseconds(b.n) WHEN 'ns' THEN to_microseconds(b.n // 1000)
              ELSE error('unit must be one of yy, m, d, wk, hh, mi, s, ms, us, ns') END
            """;
        const string Nanoseconds =
            $"make_timestamp_ns(epoch_ns((b.ts + {Interval})::TIMESTAMP_NS) + b.ts_ns + CASE b.unit WHEN 'ns' THEN b.n::BIGINT % 1000 ELSE 0 END)";
        string[] others = ["TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMPTZ", "DATE", "VARCHAR"];
        return string.Join(", ", others.Select(type => OnTimes($"unit, n, ts {type}", $"b.ts + {Interval}"))
            .Append(OnTimes("unit, n, ts TIMESTAMP_NS", Nanoseconds)));
    }

    /// <summary>Whole units that have passed from the first time to the second.</summary>
    static string DateTimeDiff() => OnTimes("unit, first_ts, second_ts", """
        CASE b.unit WHEN 'yy' THEN date_sub('year', b.first_ts, b.second_ts) WHEN 'm' THEN date_sub('month', b.first_ts, b.second_ts)
          WHEN 'd' THEN date_sub('day', b.first_ts, b.second_ts) WHEN 'wk' THEN date_sub('week', b.first_ts, b.second_ts)
          WHEN 'hh' THEN date_sub('hour', b.first_ts, b.second_ts) WHEN 'mi' THEN date_sub('minute', b.first_ts, b.second_ts)
          WHEN 's' THEN date_sub('second', b.first_ts, b.second_ts) WHEN 'ms' THEN date_sub('millisecond', b.first_ts, b.second_ts)
          WHEN 'us' THEN date_sub('microsecond', b.first_ts, b.second_ts)
          WHEN 'ns' THEN date_sub('microsecond', b.first_ts, b.second_ts) * 1000 + b.second_ts_ns - b.first_ts_ns
          ELSE error('unit must be one of yy, m, d, wk, hh, mi, s, ms, us, ns') END
        """);

    /// <summary>A macro that writes each argument once: DuckDB binds it wherever it is written, and nested calls multiply that without an end.</summary>
    /// <param name="body">Takes an argument as <c>a.name</c>.</param>
    static string Once(string parameters, string body)
    {
        var members = NamesOf(parameters).Select(name => $"'{name}': {name}");
        return $"({parameters}) AS list_transform([{{{string.Join(", ", members)}}}], lambda a: {body})[1]";
    }

    /// <param name="values">A struct of what is made of the arguments, which are <c>a.name</c>.</param>
    /// <param name="body">Takes them as <c>b.name</c>.</param>
    static string Once(string parameters, string values, string body) => Once(parameters, $"list_transform([{values}], lambda b: {body})[1]");

    /// <summary>A macro of a unit and times, whose names end with <c>ts</c>: they are TIMESTAMP in the body, which has their nanoseconds below a microsecond as <c>b.ts_ns</c>.</summary>
    static string OnTimes(string parameters, string body)
    {
        var values = NamesOf(parameters).Select(name => name == "unit" ? "'unit': lower(a.unit)"
            : name.EndsWith("ts", StringComparison.Ordinal) ? $"'{name}': {TimeOf("a." + name)}, '{name}_ns': {NanosecondsOf("a." + name)}"
            : $"'{name}': a.{name}");
        return Once(parameters, $"{{{string.Join(", ", values)}}}", body);
    }

    static IEnumerable<string> NamesOf(string parameters) => ParameterName().Matches(parameters).Select(match => match.Value);

    /// <summary>Any time as TIMESTAMP, cut to microseconds: DuckDB's own casts lose the offset of a text, shift by the session's time zone, and round up before 1970.</summary>
    static string TimeOf(string x) => $"""
        CASE WHEN typeof({x}) = 'TIMESTAMP_NS' THEN make_timestamp((epoch_ns({x}::TIMESTAMP_NS) - nanosecond({x}::TIMESTAMP_NS) % 1000) // 1000)
          WHEN typeof({x}) = 'TIMESTAMP WITH TIME ZONE' OR (typeof({x}) = 'VARCHAR' AND {HasOffset(x)}) THEN make_timestamp(epoch_us({x}::TIMESTAMPTZ))
          ELSE {x}::TIMESTAMP END
        """;

    static string NanosecondsOf(string x) => $"""
        CASE typeof({x}) WHEN 'TIMESTAMP_NS' THEN nanosecond({x}::TIMESTAMP_NS) % 1000
          WHEN 'VARCHAR' THEN rpad(regexp_extract({x}::VARCHAR, ':\d+\.(\d+)', 1), 9, '0')::BIGINT % 1000 ELSE 0 END
        """;

    static string HasOffset(string x) => $"regexp_matches({x}::VARCHAR, ':.*[+-]')";

    // of "c STRUCT(m UBIGINT, ts TIMESTAMP_S)[], v" c and v
    [GeneratedRegex(@"(?<=^|, )\w+(?![^(]*\))")]
    private static partial Regex ParameterName();

    /// <summary>A number as text of a fixed length, blanks in front; stars when it does not fit.</summary>
    static string Str()
    {
        const string Fit = "CASE WHEN length({0}) > {size} THEN repeat('*', least({size}, 10000)) ELSE lpad({0}, least({size}, 10000)::INTEGER, ' ') END";
        var whole = Fit.Replace("{0}", "round(a.x)::HUGEINT::VARCHAR", StringComparison.Ordinal);
        var fixedPoint = Fit.Replace("{0}", "printf('%.' || least(a.digits, 18) || 'f', a.x::DOUBLE)", StringComparison.Ordinal);
        return string.Join(", ", Once("x", whole.Replace("{size}", "10", StringComparison.Ordinal)), Once("x, size", Sized(whole)), Once("x, size, digits", Sized(fixedPoint)));

        static string Sized(string fit) => fit.Replace("{size}", "a.size", StringComparison.Ordinal);
    }
}
