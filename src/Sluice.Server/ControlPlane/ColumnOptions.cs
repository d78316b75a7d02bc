using System.Collections.Frozen;
using System.Globalization;
using System.Text.Json;
using Sluice.Client;
using Sluice.Schema;

namespace Sluice.Server;

/// <summary>
/// The grammar of a column's <c>options</c>: that of the original (<c>set</c>, <c>mutex</c>, <c>time</c> with <c>keys</c>, ...), and
/// the type names of SQL. A member that does not apply to the type is refused, never ignored, unless it says what holds anyway.
/// </summary>
static class ColumnOptions
{
    static readonly FrozenSet<string> Known = FrozenSet.Create(
        StringComparer.Ordinal,
        "type", "cacheType", "cacheSize", "min", "max", "scale", "epoch", "timeUnit", "timeQuantum", "keys", "noStandardView", "foreignIndex", "ttl", "base",
        "length", "required", "default");

    static readonly FrozenSet<string> Quanta = FrozenSet.Create(StringComparer.Ordinal, "Y", "YM", "YMD", "YMDH", "M", "MD", "MDH", "D", "DH", "H");

    /// <summary>Per type, the members that mean something for it, and whether its values are texts; <c>null</c>: <c>keys</c> decides.</summary>
    static readonly FrozenDictionary<string, (bool? Keys, string[] Members)> Types = new Dictionary<string, (bool?, string[])>
    {
        ["set"] = (null, ["cacheType", "cacheSize"]),
        ["mutex"] = (null, ["cacheType", "cacheSize"]),
        ["time"] = (null, ["timeQuantum", "ttl"]),
        ["int"] = (false, ["min", "max", "base"]),
        ["decimal"] = (false, ["scale", "base"]),
        ["timestamp"] = (false, ["timeUnit", "epoch", "base"]),
        ["bool"] = (false, []),
        ["string"] = (true, ["cacheType", "cacheSize"]),
        ["stringset"] = (true, ["cacheType", "cacheSize"]),
        ["stringsetq"] = (true, ["timeQuantum", "ttl"]),
        ["id"] = (false, ["cacheType", "cacheSize"]),
        ["idset"] = (false, ["cacheType", "cacheSize"]),
        ["idsetq"] = (false, ["timeQuantum", "ttl"]),
        ["vector"] = (false, ["length"]),
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>Reads the type in the options of one column.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>.</exception>
    public static ColumnType Parse(JsonBody options)
    {
        options.RefuseUnknown(Known);
        var type = options.OptionalText("type") is { Length: > 0 } given ? given : "set";
        if (!Types.TryGetValue(type, out var grammar))
            throw Fault($"invalid field type: {Shorten(type)}");
        RefuseWhatDoesNotApply(options, type, grammar.Keys, grammar.Members);
        CheckCache(options);
        var keys = grammar.Keys ?? options.OptionalFlag("keys") ?? false;
        return type switch
        {
            "set" or "stringset" or "idset" => keys ? ColumnType.StringSet : ColumnType.IdSet,
            "mutex" or "string" or "id" => keys ? ColumnType.String : ColumnType.Id,
            "time" or "stringsetq" or "idsetq" => ParseQuantumSet(options, type, keys),
            "int" => ParseInt(options),
            "decimal" => ParseDecimal(options),
            "timestamp" => ParseTimestamp(options),
            "bool" => ColumnType.Bool,
            "vector" => ColumnType.Vector(options.OptionalInteger("length", 1, ColumnType.MaxVectorLength) ?? throw Fault("vector field requires a length argument")),
            _ => throw new InvalidOperationException($"column option type {type} has a grammar and no parser"),
        };
    }

    /// <summary>The options that <see cref="NewColumn.Parse(string, JsonBody)"/> reads back as the same column.</summary>
    public static ColumnOptionsBody Write(Column column) => Write(column.Type) with
    {
        Required = column.IsRequired ? true : null,
        Default = column.Default is { } json ? JsonElement.Parse(json) : null,
    };

    /// <summary>The options that <see cref="Parse"/> reads back as the same type.</summary>
    public static ColumnOptionsBody Write(ColumnType type) => type.Kind switch
    {
        ColumnKind.Id => new ColumnOptionsBody("mutex", Keys: false),
        ColumnKind.String => new ColumnOptionsBody("mutex", Keys: true),
        ColumnKind.IdSet => new ColumnOptionsBody("set", Keys: false),
        ColumnKind.StringSet => new ColumnOptionsBody("set", Keys: true),
        ColumnKind.IdSetQ => new ColumnOptionsBody("time", Keys: false, TimeQuantum: type.TimeQuantum, Ttl: TimeToLive.Write(type.TimeToLive)),
        ColumnKind.StringSetQ => new ColumnOptionsBody("time", Keys: true, TimeQuantum: type.TimeQuantum, Ttl: TimeToLive.Write(type.TimeToLive)),
        ColumnKind.Int => new ColumnOptionsBody("int", Min: type.Min, Max: type.Max),
        ColumnKind.Decimal => new ColumnOptionsBody("decimal", Scale: type.Scale),
        ColumnKind.Timestamp => new ColumnOptionsBody("timestamp", TimeUnit: TimeUnits.Write(type.Unit), Epoch: type.Epoch?.UtcDateTime),
        ColumnKind.Bool => new ColumnOptionsBody("bool"),
        ColumnKind.Vector => new ColumnOptionsBody("vector", Length: type.VectorLength),
        _ => throw new InvalidOperationException($"column kind {type.Kind} has no options"),
    };

    static void RefuseWhatDoesNotApply(JsonBody options, string type, bool? implied, string[] members)
    {
        if (options.OptionalText("foreignIndex") is { Length: > 0 })
            throw Fault("foreignIndex is not supported");
        if (options.OptionalFlag("noStandardView") == true)
            throw Fault("noStandardView is not supported: a quantum set always keeps its standard view");
        if (implied is { } keys && options.OptionalFlag("keys") is { } given && given != keys)
            throw Fault($"keys does not apply to field type {type}");
        foreach (var member in options.Members)
        {
            if (member is not ("type" or "keys" or "foreignIndex" or "noStandardView" or "required" or "default") && !members.Contains(member))
                throw Fault($"{member} does not apply to field type {type}");
        }
    }

    // checked like the original and without effect: there is no such cache here
    static void CheckCache(JsonBody options)
    {
        if (options.OptionalText("cacheType") is { } cache && cache is not ("ranked" or "lru" or "none"))
            throw Fault("invalid cacheType argument: it is one of ranked, lru, none");
        _ = options.OptionalInteger("cacheSize", 0, int.MaxValue);
    }

    static ColumnType ParseQuantumSet(JsonBody options, string type, bool keys)
    {
        if (options.OptionalText("timeQuantum") is not { Length: > 0 } quantum)
            throw Fault($"timeQuantum is required for field type {type}");
        if (!Quanta.Contains(quantum))
            throw Fault($"invalid timeQuantum argument: it is one of {string.Join(", ", Quanta.Order(StringComparer.Ordinal))}");
        var set = keys ? ColumnType.StringSetQ(quantum) : ColumnType.IdSetQ(quantum);
        if (options.OptionalText("ttl") is not { Length: > 0 } text)
            return set;
        return TimeToLive.TryParse(text, out var ttl)
            ? set with { TimeToLive = ttl }
            : throw Fault("invalid ttl argument: it is a duration in whole seconds such as 24h or 30d; 0s keeps for ever");
    }

    static ColumnType ParseInt(JsonBody options)
    {
        var min = ReadBound(options, "min") ?? long.MinValue;
        var max = ReadBound(options, "max") ?? long.MaxValue;
        return min <= max ? ColumnType.IntBetween(min, max) : throw Fault("int field min cannot be greater than max");
    }

    /// <summary>An integer; what 64 bits do not hold becomes the nearest that they do, as in the original.</summary>
    static long? ReadBound(JsonBody options, string member)
    {
        if (options.Find(member) is not { } value)
            return null;
        if (value.ValueKind != JsonValueKind.Number)
            throw options.Invalid(member, $"must be an integer, not {JsonBody.Describe(value)}");
        if (value.TryGetInt64(out var bound))
            return bound;
        var approximate = value.GetDouble();
        if (approximate >= long.MaxValue)
            return long.MaxValue;
        if (approximate <= long.MinValue)
            return long.MinValue;
        // 1e3 and 5.0 are integers that TryGetInt64 does not take
        return decimal.TryParse(value.GetRawText(), NumberStyles.Float, CultureInfo.InvariantCulture, out var exact) && exact == decimal.Truncate(exact)
            ? (long)exact
            : throw options.Invalid(member, $"must be an integer, not {JsonBody.Describe(value)}");
    }

    static ColumnType ParseDecimal(JsonBody options)
    {
        if (!options.Has("scale"))
            throw Fault("decimal field requires a scale argument");
        if (options.Find("scale") is { ValueKind: JsonValueKind.Number } number && number.TryGetInt32(out var scale) && scale == ColumnType.MaxDecimalScale + 1)
            throw Fault("scale 19 is not supported: decimals are kept in 18 digits, so that every value of the column fits; use a scale from 0 to 18");
        return ColumnType.Decimal(options.OptionalInteger("scale", 0, ColumnType.MaxDecimalScale)!.Value);
    }

    static ColumnType ParseTimestamp(JsonBody options)
    {
        if (options.OptionalText("timeUnit") is not { } text)
            throw Fault("timestamp field requires a timeUnit argument");
        if (!TimeUnits.TryParse(text, out var unit))
            throw Fault("invalid timeUnit argument: it is one of s, ms, us, ns");
        if (options.OptionalText("epoch") is not { Length: > 0 } epoch)
            return ColumnType.Timestamp(unit);
        return Rfc3339.TryParseEpoch(epoch, out var time)
            ? ColumnType.Timestamp(unit) with { Epoch = time }
            : throw options.Invalid("epoch", "must be a time in whole seconds as in 2006-01-02T15:04:05Z");
    }

    static string Shorten(string text) => text.Length <= 64 ? text : $"{text.AsSpan(0, 61)}...";

    static SluiceException Fault(string message) => new(ErrorCode.InvalidParameter, message);
}
