using System.Globalization;

namespace Sluice.Schema;

/// <summary>The types a column can have. The numbers are written to the log: never change or reuse one.</summary>
public enum ColumnKind : byte
{
    Id = 1,
    IdSet = 2,
    IdSetQ = 3,
    Int = 4,
    Decimal = 5,
    Bool = 6,
    String = 7,
    StringSet = 8,
    StringSetQ = 9,
    Timestamp = 10,
    Vector = 11,
}

/// <summary>The unit a timestamp column counts in.</summary>
public enum TimeUnit : byte
{
    Second = 0,
    Millisecond = 1,
    Microsecond = 2,
    Nanosecond = 3,
}

/// <summary>How the cells of a column lie in memory and in the log. The numbers are written to the log.</summary>
public enum PhysicalKind : byte
{
    /// <summary>One 64-bit integer a row: id (as unsigned), int, decimal (value x 10^scale), timestamp (units since 1970-01-01).</summary>
    Int64 = 1,

    /// <summary>One byte a row, 0 or 1.</summary>
    Bool = 2,

    /// <summary>UTF-8 text.</summary>
    Text = 3,

    /// <summary>A list of unsigned 64-bit integers.</summary>
    Int64List = 4,

    /// <summary>A list of UTF-8 texts.</summary>
    TextList = 5,

    /// <summary>A fixed number of 64-bit floats.</summary>
    Float64Vector = 6,
}

/// <summary>The type of a column with its constraints. Immutable.</summary>
public sealed record ColumnType
{
    /// <summary>Digits that 64 bits always hold: DECIMAL(18,s). Scale 19 of the original does not fit and is refused.</summary>
    public const int MaxDecimalScale = 18;

    public const int MaxVectorLength = 65_535;

    public required ColumnKind Kind { get; init; }

    /// <summary>Smallest value an int column takes. Defaults to -2^63.</summary>
    public long Min { get; init; } = long.MinValue;

    /// <summary>Largest value an int column takes. Defaults to 2^63-1.</summary>
    public long Max { get; init; } = long.MaxValue;

    /// <summary>Fraction digits of a decimal column, 0 to 18.</summary>
    public int Scale { get; init; }

    /// <summary>Unit of a timestamp column. Defaults to seconds.</summary>
    public TimeUnit Unit { get; init; }

    /// <summary>What a number sent to a timestamp column counts from. <c>null</c>: 1970-01-01T00:00:00Z.</summary>
    public DateTimeOffset? Epoch { get; init; }

    /// <summary>Views a quantum set keeps: one of Y, YM, YMD, YMDH, M, MD, MDH, D, DH, H; empty for the other types.</summary>
    public string TimeQuantum { get; init; } = "";

    /// <summary>How long the time views of a quantum set are kept after their period. Zero: for ever.</summary>
    public TimeSpan TimeToLive { get; init; }

    /// <summary>Number of elements of a vector column.</summary>
    public int VectorLength { get; init; }

    public static ColumnType Id { get; } = new() { Kind = ColumnKind.Id };
    public static ColumnType IdSet { get; } = new() { Kind = ColumnKind.IdSet };
    public static ColumnType Int { get; } = new() { Kind = ColumnKind.Int };
    public static ColumnType Bool { get; } = new() { Kind = ColumnKind.Bool };
    public static ColumnType String { get; } = new() { Kind = ColumnKind.String };
    public static ColumnType StringSet { get; } = new() { Kind = ColumnKind.StringSet };

    public static ColumnType IntBetween(long min, long max) => new() { Kind = ColumnKind.Int, Min = min, Max = max };

    public static ColumnType Decimal(int scale) => new() { Kind = ColumnKind.Decimal, Scale = scale };

    public static ColumnType Timestamp(TimeUnit unit) => new() { Kind = ColumnKind.Timestamp, Unit = unit };

    public static ColumnType IdSetQ(string timeQuantum) => new() { Kind = ColumnKind.IdSetQ, TimeQuantum = timeQuantum };

    public static ColumnType StringSetQ(string timeQuantum) => new() { Kind = ColumnKind.StringSetQ, TimeQuantum = timeQuantum };

    public static ColumnType Vector(int length) => new() { Kind = ColumnKind.Vector, VectorLength = length };

    public PhysicalKind Physical => Kind switch
    {
        ColumnKind.Id or ColumnKind.Int or ColumnKind.Decimal or ColumnKind.Timestamp => PhysicalKind.Int64,
        ColumnKind.Bool => PhysicalKind.Bool,
        ColumnKind.String => PhysicalKind.Text,
        ColumnKind.IdSet or ColumnKind.IdSetQ => PhysicalKind.Int64List,
        ColumnKind.StringSet or ColumnKind.StringSetQ => PhysicalKind.TextList,
        ColumnKind.Vector => PhysicalKind.Float64Vector,
        _ => throw new InvalidOperationException($"column kind {Kind} has no physical form"),
    };

    /// <summary>Whether an update adds members instead of replacing the value.</summary>
    public bool IsSet => Physical is PhysicalKind.Int64List or PhysicalKind.TextList;

    /// <summary>Whether each member of the set carries a time.</summary>
    public bool IsQuantum => Kind is ColumnKind.IdSetQ or ColumnKind.StringSetQ;

    /// <summary>The type as SQL writes it, lower case: <c>decimal(2)</c>, <c>vector(3)</c>, <c>stringset</c>.</summary>
    public override string ToString() => Kind switch
    {
        ColumnKind.Decimal => string.Create(CultureInfo.InvariantCulture, $"decimal({Scale})"),
        ColumnKind.Vector => string.Create(CultureInfo.InvariantCulture, $"vector({VectorLength})"),
        _ => BaseName,
    };

    /// <summary>The type without its arguments, lower case.</summary>
    public string BaseName => Kind.ToString().ToLowerInvariant();
}
