using System.Globalization;
using Sluice.Schema;

namespace Sluice.Stores;

/// <summary>How columns and names are written in the SQL of a store. All other SQL text of a store is constant.</summary>
public static class SqlTypes
{
    /// <summary>When the request was received that brought a row's newest record; TIMESTAMP, microseconds, UTC.</summary>
    public const string IngestedAtColumn = "_ingested_at";

    /// <summary>The sink of a row's newest record; UUID.</summary>
    public const string SinkIdColumn = "_sink_id";

    /// <summary>Log position of a row's newest record, <see cref="Log.LogPosition.OfRecord"/>; UBIGINT.</summary>
    public const string PositionColumn = "_position";

    /// <summary>The version of the newest record that had one; BIGINT, null when none had.</summary>
    public const string VersionColumn = "_version";

    /// <summary>The columns every table has beside <c>_id</c> and those of its schema.</summary>
    public static IReadOnlyList<string> HiddenColumns { get; } = [IngestedAtColumn, SinkIdColumn, PositionColumn, VersionColumn];

    /// <summary>The DuckDB type of a column.</summary>
    public static string DuckDb(ColumnType type) => type.Kind switch
    {
        ColumnKind.Id => "UBIGINT",
        ColumnKind.IdSet => "UBIGINT[]",
        ColumnKind.IdSetQ => "STRUCT(m UBIGINT, ts TIMESTAMP_S)[]",
        ColumnKind.Int => "BIGINT",
        ColumnKind.Decimal => string.Create(CultureInfo.InvariantCulture, $"DECIMAL(18,{type.Scale})"),
        ColumnKind.Bool => "BOOLEAN",
        ColumnKind.String => "VARCHAR",
        ColumnKind.StringSet => "VARCHAR[]",
        ColumnKind.StringSetQ => "STRUCT(m VARCHAR, ts TIMESTAMP_S)[]",
        ColumnKind.Timestamp => DuckDbTimestamp(type.Unit),
        ColumnKind.Vector => string.Create(CultureInfo.InvariantCulture, $"DOUBLE[{type.VectorLength}]"),
        _ => throw new InvalidOperationException($"column kind {type.Kind} has no DuckDB type"),
    };

    /// <summary>The DuckDB type of <c>_id</c>.</summary>
    public static string DuckDb(KeyKind key) => key == KeyKind.Number ? "UBIGINT" : "VARCHAR";

    /// <summary>The name as an identifier that can be nothing else, whatever characters it has.</summary>
    public static string Quote(string identifier) => $"\"{identifier.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    /// <summary>The text as a string literal.</summary>
    public static string Literal(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";

    static string DuckDbTimestamp(TimeUnit unit) => unit switch
    {
        TimeUnit.Second => "TIMESTAMP_S",
        TimeUnit.Millisecond => "TIMESTAMP_MS",
        TimeUnit.Microsecond => "TIMESTAMP",
        _ => "TIMESTAMP_NS",
    };
}
