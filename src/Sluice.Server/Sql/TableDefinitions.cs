using System.Buffers;
using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Sluice.Schema;

namespace Sluice.Server.Sql;

/// <summary>Checks the columns and options of CREATE and ALTER TABLE and turns them into the engine's types.</summary>
static class TableDefinitions
{
    const string KeyName = TableSchema.KeyColumnName;

    static readonly string[] _timeQuanta = ["Y", "YM", "YMD", "YMDH", "M", "MD", "MDH", "D", "DH", "H"];

    /// <exception cref="SqlException">A rule of the original is broken.</exception>
    public static CreateTable CreateTable(bool ifNotExists, SqlName table, IReadOnlyList<ColumnText> columns, IReadOnlyList<TableOption> options)
    {
        var key = columns.FirstOrDefault(column => column.Name.Text == KeyName)
            ?? throw new SqlException("_id column must be specified", table.Offset);
        ThrowIfDuplicate(columns);
        var others = columns.Where(column => column != key).Select(Column).ToImmutableArray();
        var comment = options.LastOrDefault(option => option.Comment is not null)?.Comment ?? "";
        var (kind, isAuto) = Key(key);
        var retention = options.LastOrDefault(option => option.Retention is not null)?.Retention;
        return new CreateTable(table, ifNotExists, kind, others, comment)
        {
            IsAutoId = isAuto,
            Retention = retention is null ? TimeSpan.Zero : Retention(retention),
            Warnings = CheckKeyPartitions(options),
        };
    }

    /// <exception cref="SqlException">A rule of the original is broken.</exception>
    public static NewColumn Column(ColumnText column) => new(column.Name, Constrain(column, BaseType(column)))
    {
        IsRequired = column.Constraints.Any(constraint => constraint.Keyword == "NOT"),
        Default = column.Constraints.LastOrDefault(constraint => constraint.Keyword == "DEFAULT") is { } text ? Default(text) : null,
    };

    /// <summary>How long rows are kept.</summary>
    /// <exception cref="SqlException">The text is no duration.</exception>
    public static TimeSpan Retention(SqlText text) => TimeToLive.TryParse(text.Text, out var retention)
        ? retention
        : throw new SqlException($"'{text.Text}' is not a valid retention (a duration in whole seconds such as '12h' or '30d'; '0s' keeps for ever)", text.Offset);

    /// <summary>The type of a MAP.</summary>
    /// <exception cref="SqlException">There is no such type.</exception>
    public static ColumnType MapType(ColumnText type) => BaseType(type);

    static void ThrowIfDuplicate(IReadOnlyList<ColumnText> columns)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var column in columns.Where(column => !seen.Add(column.Name.Text)))
            throw new SqlException($"duplicate column '{column.Name}'", column.Name.Offset);
    }

    static (KeyKind Kind, bool IsAuto) Key(ColumnText key)
    {
        var kind = key.Type.Text switch
        {
            "id" when key.Arguments.IsEmpty => KeyKind.Number,
            "string" when key.Arguments.IsEmpty => KeyKind.String,
            _ => throw new SqlException("_id column must be specified with type ID or STRING", key.Type.Offset),
        };
        var isAuto = kind == KeyKind.Number && key.Constraints is [{ Keyword: "AUTO" }];
        return isAuto || key.Constraints.IsEmpty ? (kind, isAuto) : throw new SqlException("_id column must be specified with no constraints", key.Constraints[0].Offset);
    }

    /// <summary>The literal as JSON; NULL is no default.</summary>
    static string? Default(ConstraintText constraint)
    {
        var literal = SqlValue.TryReadLiteral(constraint.Value)
            ?? throw new SqlException($"'{constraint.Value}' is not a literal, which a default must be", constraint.ValueOffset);
        if (literal is NullValue)
            return null;
        var json = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(json))
            literal.Write(writer);
        return Encoding.UTF8.GetString(json.WrittenSpan);
    }

    static ImmutableArray<string> CheckKeyPartitions(IReadOnlyList<TableOption> options)
    {
        var partitions = options.Select(option => option.KeyPartitions).OfType<SqlNumber>().ToList();
        foreach (var number in partitions)
        {
            if (!int.TryParse(number.Text, CultureInfo.InvariantCulture, out var count) || count is < 1 or > 10_000)
                throw new SqlException($"invalid value '{number.Text}' for key partitions (should be a number between 1-10000)", number.Offset);
        }
        return partitions.Count == 0 ? [] : ["The value of KEYPARTITIONS is currently ignored"];
    }

    static ColumnType BaseType(ColumnText column)
    {
        var type = column.Type.Text switch
        {
            "id" => ColumnType.Id,
            "idset" => ColumnType.IdSet,
            "idsetq" => ColumnType.IdSetQ(""),
            "int" => ColumnType.Int,
            "bool" => ColumnType.Bool,
            "string" => ColumnType.String,
            "stringset" => ColumnType.StringSet,
            "stringsetq" => ColumnType.StringSetQ(""),
            "timestamp" => ColumnType.Timestamp(TimeUnit.Second),
            "decimal" => ColumnType.Decimal(Argument(column, "decimal scale expected", 0, ColumnType.MaxDecimalScale)),
            "vector" => ColumnType.Vector(Argument(column, "vector length expected", 1, ColumnType.MaxVectorLength)),
            "varchar" => throw new SqlException("type 'varchar' is not supported; use string", column.Type.Offset),
            _ => throw new SqlException($"unknown type '{column.Type}'", column.Type.Offset),
        };
        var takesArgument = type.Kind is ColumnKind.Decimal or ColumnKind.Vector;
        return takesArgument || column.Arguments.IsEmpty
            ? type
            : throw new SqlException($"type '{column.Type}' takes no arguments", column.Arguments[0].Offset);
    }

    static int Argument(ColumnText column, string missing, int min, int max)
    {
        if (column.Arguments.Length != 1)
            throw new SqlException(missing, column.Type.Offset);
        var argument = column.Arguments[0];
        if (int.TryParse(argument.Text, CultureInfo.InvariantCulture, out var value) && value >= min && value <= max)
            return value;
        var what = column.Type.Text == "decimal" ? "scale" : "length";
        throw new SqlException($"invalid {what} '{argument.Text}' (should be a number between {min}-{max})", argument.Offset);
    }

    static ColumnType Constrain(ColumnText column, ColumnType type)
    {
        foreach (var constraint in column.Constraints)
            type = Constrain(type, constraint);
        return type.Min <= type.Max ? type : throw new SqlException("int field min cannot be greater than max", column.Name.Offset);
    }

    static ColumnType Constrain(ColumnType type, ConstraintText constraint) => (constraint.Keyword, type.Kind) switch
    {
        ("MIN", ColumnKind.Int) => type with { Min = Number(constraint) },
        ("MAX", ColumnKind.Int) => type with { Max = Number(constraint) },
        ("TIMEUNIT", ColumnKind.Timestamp) => type with { Unit = Unit(constraint) },
        ("EPOCH", ColumnKind.Timestamp) => type with { Epoch = Epoch(constraint) },
        ("TIMEQUANTUM", ColumnKind.IdSet or ColumnKind.IdSetQ) => type with { Kind = ColumnKind.IdSetQ, TimeQuantum = Quantum(constraint) },
        ("TIMEQUANTUM", ColumnKind.StringSet or ColumnKind.StringSetQ) => type with { Kind = ColumnKind.StringSetQ, TimeQuantum = Quantum(constraint) },
        ("TTL", ColumnKind.IdSetQ or ColumnKind.StringSetQ) => type with { TimeToLive = Duration(constraint) },
        // Of the original's storage only; nothing here is cached by rank.
        ("CACHETYPE", ColumnKind.Id or ColumnKind.IdSet or ColumnKind.IdSetQ or ColumnKind.String or ColumnKind.StringSet or ColumnKind.StringSetQ)
            when constraint.Value is "ranked" or "none" or "lru" => type,
        ("CACHETYPE", ColumnKind.Id or ColumnKind.IdSet or ColumnKind.IdSetQ or ColumnKind.String or ColumnKind.StringSet or ColumnKind.StringSetQ) =>
            throw new SqlException($"'{constraint.Value}' is not a valid cache type", constraint.ValueOffset),
        ("SIZE", ColumnKind.Id or ColumnKind.IdSet or ColumnKind.IdSetQ or ColumnKind.String or ColumnKind.StringSet or ColumnKind.StringSetQ) => type,
        ("NOT" or "DEFAULT", _) => type,
        _ => throw new SqlException($"'{constraint.Keyword}' constraint cannot be applied to a column of type '{type}'", constraint.Offset),
    };

    static long Number(ConstraintText constraint) => long.TryParse(constraint.Value, CultureInfo.InvariantCulture, out var value)
        ? value
        : throw new SqlException($"'{constraint.Value}' is not a 64-bit integer", constraint.ValueOffset);

    static TimeUnit Unit(ConstraintText constraint) => constraint.Value switch
    {
        "s" => TimeUnit.Second,
        "ms" => TimeUnit.Millisecond,
        "us" or "µs" => TimeUnit.Microsecond,
        "ns" => TimeUnit.Nanosecond,
        _ => throw new SqlException($"'{constraint.Value}' is not a valid time unit", constraint.ValueOffset),
    };

    static DateTimeOffset Epoch(ConstraintText constraint) => Rfc3339.TryParseEpoch(constraint.Value, out var epoch)
        ? epoch
        : throw new SqlException($"'{constraint.Value}' is not a valid epoch (a time in whole seconds as in 2006-01-02T15:04:05Z)", constraint.ValueOffset);

    static string Quantum(ConstraintText constraint) => constraint.Value.ToUpperInvariant() is var quantum && _timeQuanta.Contains(quantum)
        ? quantum
        : throw new SqlException($"'{constraint.Value}' is not a valid time quantum", constraint.ValueOffset);

    static TimeSpan Duration(ConstraintText constraint) => TimeToLive.TryParse(constraint.Value, out var duration)
        ? duration
        : throw new SqlException($"'{constraint.Value}' is not a valid ttl (a duration in whole seconds such as '12h' or '30d', at most 36500d)", constraint.ValueOffset);
}
