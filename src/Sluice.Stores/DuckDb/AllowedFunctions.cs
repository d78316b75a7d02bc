using System.Collections.Frozen;
using System.Text.RegularExpressions;

namespace Sluice.Stores.DuckDb;

/// <summary>Which of DuckDB's functions a user's query may call.</summary>
static partial class AllowedFunctions
{
    /// <summary>The only functions that may stand in FROM. Every other reads files, settings or internals, or writes.</summary>
    static readonly FrozenSet<string> _tableFunctions = Set("generate_series json_each json_tree range repeat repeat_row unnest");

    /// <summary>
    /// Scalar functions that show the machine or the session, run or plan SQL given as text, write, wait, or read raw memory.
    /// </summary>
    static readonly FrozenSet<string> _refused = Set("""
        bitstring_agg col_description combine create_sort_key current_connection_id current_database current_query current_query_id current_schemas
        current_setting current_transaction_id currval finalize get_block_size getenv getvariable histogram_values in_search_path
        json_deserialize_sql json_execute_serialized_sql json_serialize_plan json_serialize_sql nextval obj_description
        parse_duckdb_log_message query query_table setseed shobj_description sleep sleep_ms stats txid_current variant_bytes_to_variant
        variant_normalize variant_to_parquet_variant vector_type version which_secret write_log
        """);

    static readonly FrozenSet<string> _volatile = Set("""
        age current_date current_localtime current_localtimestamp current_time gen_random_uuid get_current_time get_current_timestamp
        now random today transaction_timestamp uuid uuidv4 uuidv7
        """);

    /// <summary>Names that are functions without parentheses where there is no column of that name, quoted ones too: the parser takes them for columns, the binder does not.</summary>
    static readonly FrozenSet<string> _valueNames = Set("""
        current_catalog current_date current_role current_schema current_time current_timestamp current_user localtime localtimestamp session_user user
        """);

    static readonly string[] _refusedPrefixes = ["__internal", "duckdb_", "has_", "inet_", "pg_", "pragma_", "read_", "parquet_", "icu_calendar"];

    /// <summary>Functions that make a value as large as an argument says: the place of that argument and the most it may say.</summary>
    /// <remarks>DuckDB neither counts nor interrupts the making of one value: a string of 4 GB took 45 s.</remarks>
    static readonly FrozenDictionary<string, SizeArgument> _amplifiers = new Dictionary<string, SizeArgument>
    {
        ["repeat"] = new(1, 10_000, BytesEach: null),
        ["lpad"] = new(1, 10_000, BytesEach: 1),
        ["rpad"] = new(1, 10_000, BytesEach: 1),
        ["bar"] = new(3, 10_000, BytesEach: 3),
        ["list_resize"] = new(1, 2_000, BytesEach: 32),
        ["array_resize"] = new(1, 2_000, BytesEach: 32),
        ["range"] = new(1, 4_000, BytesEach: 16),
        ["generate_series"] = new(1, 4_000, BytesEach: 16),
        ["bitstring"] = new(1, 10_000, BytesEach: 1),
        ["equi_width_bins"] = new(2, 4_000, BytesEach: 16),
    }.ToFrozenDictionary(StringComparer.OrdinalIgnoreCase);

    internal static bool IsAllowedInFrom(string name) => _tableFunctions.Contains(name);

    internal static bool IsAllowed(string name) =>
        !_refused.Contains(name) && !_refusedPrefixes.Any(prefix => name.StartsWith(prefix, StringComparison.OrdinalIgnoreCase));

    /// <summary>The argument that says how large the result is; <c>null</c> when none does.</summary>
    internal static SizeArgument? FindSizeArgument(string name) => _amplifiers.TryGetValue(name, out var argument) ? argument : null;

    /// <summary>Functions whose first argument is a format; a width in it makes a value of that length.</summary>
    internal static bool TakesFormat(string name) =>
        name.Equals("printf", StringComparison.OrdinalIgnoreCase) || name.Equals("format", StringComparison.OrdinalIgnoreCase);

    /// <summary>Functions that answer differently each time they are asked.</summary>
    internal static bool IsVolatile(string name) => _volatile.Contains(name);

    /// <summary>Names that stand for what the session or the clock says, unless they are columns.</summary>
    internal static bool IsValueName(string name) => _valueNames.Contains(name);

    /// <summary>Whether no width in a format has more than four digits or comes from an argument.</summary>
    internal static bool IsSmallFormat(string format) => !LargeWidth().IsMatch(format);

    [GeneratedRegex(@"\d{5}|\*|:[^}]*\{")]
    private static partial Regex LargeWidth();

    static FrozenSet<string> Set(string names) =>
        names.Split((char[])[' ', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries).ToFrozenSet(StringComparer.OrdinalIgnoreCase);
}

/// <param name="Index">The place of the argument; a call with fewer arguments has it last.</param>
/// <param name="BytesEach">Of what is made so many times; <c>null</c>: as large as the first argument.</param>
readonly record struct SizeArgument(int Index, long Max, int? BytesEach);
