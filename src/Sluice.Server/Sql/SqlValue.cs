using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Parlot.Fluent;

namespace Sluice.Server.Sql;

/// <summary>A value of VALUES.</summary>
abstract record SqlValue
{
    /// <summary>The type as error messages name it; <c>null</c>: fits every type.</summary>
    public abstract string? TypeName { get; }

    public abstract void Write(Utf8JsonWriter writer);

    /// <summary>The literal that is read as this value.</summary>
    public abstract string ToSql();

    /// <summary>The default of a column, as JSON that a sink takes.</summary>
    public static SqlValue FromDefault(string json)
    {
        var value = JsonElement.Parse(json);
        if (value.ValueKind != JsonValueKind.Object)
            return FromJson(value);
        var members = (ListValue)FromJson(value.GetProperty("members"));
        return value.TryGetProperty("time", out var time) && time.ValueKind != JsonValueKind.Null ? new TimedValue(FromJson(time), members) : members;
    }

    /// <summary>Reads an expression that is a literal; <c>null</c>: it is not, it has to be computed.</summary>
    public static SqlValue? TryReadLiteral(string text) => SqlLiteral.Parser.TryParse(text, out var value) ? value : null;

    /// <summary>A cell of a query's answer.</summary>
    public static SqlValue FromJson(JsonElement cell) => cell.ValueKind switch
    {
        JsonValueKind.Number => new NumberValue(cell.GetRawText()),
        JsonValueKind.String => new TextValue(cell.GetString()!),
        JsonValueKind.True or JsonValueKind.False => new BoolValue(cell.GetBoolean()),
        JsonValueKind.Array => new ListValue([.. cell.EnumerateArray().Select(FromJson)]),
        _ => new NullValue(),
    };
}

sealed record NullValue : SqlValue
{
    public override string? TypeName => null;

    public override void Write(Utf8JsonWriter writer) => writer.WriteNullValue();

    public override string ToSql() => "null";
}

sealed record BoolValue(bool Value) : SqlValue
{
    public override string TypeName => "bool";

    public override void Write(Utf8JsonWriter writer) => writer.WriteBooleanValue(Value);

    public override string ToSql() => Value ? "true" : "false";
}

/// <param name="Digits">As written: it never passes through a float.</param>
sealed record NumberValue(string Digits) : SqlValue
{
    bool IsWhole => Digits.AsSpan().IndexOfAny(".eE") < 0;

    public override string TypeName => IsWhole ? "int" : string.Create(CultureInfo.InvariantCulture, $"decimal({Scale})");

    int Scale => Digits.IndexOf('.', StringComparison.Ordinal) is var point and >= 0 ? Digits.Length - point - 1 : 0;

    public override void Write(Utf8JsonWriter writer) => writer.WriteRawValue(Digits, skipInputValidation: true);

    /// <summary>The same number without an exponent, which no literal has.</summary>
    public override string ToSql()
    {
        var mark = Digits.AsSpan().IndexOfAny("eE");
        if (mark < 0)
            return Digits;
        var sign = Digits[0] == '-' ? "-" : "";
        var mantissa = Digits[sign.Length..mark];
        var point = mantissa.IndexOf('.', StringComparison.Ordinal) is var at and >= 0 ? at : mantissa.Length;
        var digits = mantissa.Replace(".", "", StringComparison.Ordinal);
        if (!int.TryParse(Digits.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var exponent) || Math.Abs(exponent) > 1_000)
            return sign + "0"; // no column holds a larger one, and every column takes a smaller one for 0
        point += exponent;
        if (point <= 0)
            return $"{sign}0.{new string('0', -point)}{digits}";
        return point >= digits.Length ? sign + digits.PadRight(point, '0').TrimStart('0').PadLeft(1, '0') : $"{sign}{digits.AsSpan(0, point)}.{digits.AsSpan(point)}";
    }
}

sealed record TextValue(string Text) : SqlValue
{
    public override string TypeName => "string";

    public override void Write(Utf8JsonWriter writer) => writer.WriteStringValue(Text);

    public override string ToSql() => $"'{Text.Replace("'", "''", StringComparison.Ordinal)}'";
}

/// <summary>A time as text in the forms that a column takes: RFC 3339, or a date, which is midnight UTC.</summary>
/// <param name="Second">UTC.</param>
/// <param name="Fraction">Of the second: up to nine digits, none of them a zero at the end.</param>
readonly partial record struct TimeText(DateTime Second, string Fraction)
{
    /// <summary>Whether the text had another offset than Z.</summary>
    public bool HasOffset { get; private init; }

    /// <returns><c>null</c>: it is no such time.</returns>
    public static TimeText? TryRead(string text)
    {
        if (Form().Match(text) is not { Success: true } match)
            return null;
        var time = match.Groups["time"].Value is { Length: > 0 } given ? given : "00:00:00";
        if (!DateTime.TryParseExact($"{match.Groups["date"]} {time}", "yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture, DateTimeStyles.None, out var local))
            return null;
        var sign = match.Groups["sign"].Value;
        var offset = sign.Length == 0 ? TimeSpan.Zero : new TimeSpan(Number("hours"), Number("minutes"), 0);
        if (offset >= TimeSpan.FromDays(1) || Number("minutes") > 59)
            return null;
        var ticks = local.Ticks - (sign == "-" ? -offset.Ticks : offset.Ticks);
        if (ticks < 0 || ticks > DateTime.MaxValue.Ticks)
            return null;
        var fraction = match.Groups["fraction"].Value;
        return new TimeText(new DateTime(ticks, DateTimeKind.Utc), fraction[..Math.Min(fraction.Length, 9)].TrimEnd('0')) { HasOffset = sign.Length > 0 };

        int Number(string group) => match.Groups[group] is { Success: true } digits ? int.Parse(digits.ValueSpan, CultureInfo.InvariantCulture) : 0;
    }

    /// <summary>As DuckDB reads it.</summary>
    public override string ToString() =>
        Second.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture) + (Fraction.Length == 0 ? "" : "." + Fraction);

    [GeneratedRegex(@"^(?<date>[0-9]{4}-[0-9]{2}-[0-9]{2})([Tt](?<time>[0-9]{2}:[0-9]{2}:[0-9]{2})([.,](?<fraction>[0-9]+))?([Zz]|(?<sign>[+-])(?<hours>[0-9]{2}):(?<minutes>[0-9]{2})))?\z", RegexOptions.ExplicitCapture)]
    private static partial Regex Form();
}

sealed record ListValue(ImmutableArray<SqlValue> Members) : SqlValue
{
    /// <summary>An empty list fits every set.</summary>
    public override string? TypeName => Members.IsEmpty ? null
        : Members.All(member => member is TextValue) ? "stringset"
        : Members.All(member => member is NumberValue { TypeName: "int" }) ? "idset"
        : Members.All(member => member is NumberValue) ? "vector"
        : "list";

    public override void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartArray();
        foreach (var member in Members)
            member.Write(writer);
        writer.WriteEndArray();
    }

    public override string ToSql() => $"[{string.Join(", ", Members.Select(member => member.ToSql()))}]";
}

/// <summary>Members of a quantum set and their time: <c>{'2022-01-01', ['a']}</c>. Written as <c>{"time": .., "members": [..]}</c>.</summary>
/// <param name="Time">A text, or a number of seconds.</param>
sealed record TimedValue(SqlValue Time, ListValue Members) : SqlValue
{
    public override string? TypeName => Members.TypeName is { } members ? members + "q" : null;

    public override void Write(Utf8JsonWriter writer)
    {
        writer.WriteStartObject();
        writer.WritePropertyName("time");
        Time.Write(writer);
        writer.WritePropertyName("members");
        Members.Write(writer);
        writer.WriteEndObject();
    }

    public override string ToSql() => $"{{{Time.ToSql()}, {Members.ToSql()}}}";
}

/// <summary>The literals of VALUES.</summary>
static class SqlLiteral
{
    public static Parser<SqlValue> Parser { get; } = Build();

    static Parser<SqlValue> Build()
    {
        var value = Deferred<SqlValue>();
        var number = Terms.Scan(static text => NumberLength(text), []).Then<SqlValue>(span => new NumberValue(Json(span.Span)));
        var text = Terms.Scan(static text => TextLength(text), []).Then<SqlValue>(span => new TextValue(Unquote(span.Span)));
        var words = OneOf(
            Terms.Keyword("null", caseInsensitive: true).Then<SqlValue>(_ => new NullValue()),
            Terms.Keyword("true", caseInsensitive: true).Then<SqlValue>(_ => new BoolValue(true)),
            Terms.Keyword("false", caseInsensitive: true).Then<SqlValue>(_ => new BoolValue(false)));
        var members = Terms.Char('[').SkipAnd(Separated(Terms.Char(','), value).Optional()).AndSkip(Terms.Char(']'))
            .Then(list => new ListValue(list.HasValue ? [.. list.Value!] : []));
        var timed = Terms.Char('{').SkipAnd(OneOf(text, number)).AndSkip(Terms.Char(',')).And(members).AndSkip(Terms.Char('}'))
            .Then<SqlValue>(parts => new TimedValue(parts.Item1, parts.Item2));
        // The documented form of a vector.
        var vector = Terms.Char('{').SkipAnd(Separated(Terms.Char(','), number)).AndSkip(Terms.Char('}'))
            .Then<SqlValue>(list => new ListValue([.. list]));
        value.Parser = OneOf(words, number, text, members.Then<SqlValue>(list => list), timed, vector);
        return value.AndSkip(SkipWhiteSpace(Always().Eof()))
            .WithComments(comments => comments.WithWhiteSpaceOrNewLine().WithSingleLine("--").WithMultiLine("/*", "*/"));
    }

    static int NumberLength(ReadOnlySpan<char> text)
    {
        var at = text is ['-' or '+', ..] ? 1 : 0;
        var digits = 0;
        var points = 0;
        for (; at < text.Length && (char.IsAsciiDigit(text[at]) || (text[at] == '.' && points == 0)); at++)
        {
            points += text[at] == '.' ? 1 : 0;
            digits += text[at] == '.' ? 0 : 1;
        }
        // What goes on as a word or with an exponent is left to the store.
        return digits == 0 || (at < text.Length && (SqlTokens.IsWordPart(text[at]) || text[at] == '.')) ? 0 : at;
    }

    /// <summary>The number as JSON writes it: no plus, no leading zeros, a digit on both sides of the point.</summary>
    static string Json(ReadOnlySpan<char> number)
    {
        var sign = number[0] == '-' ? "-" : "";
        var digits = number.TrimStart("+-");
        var point = digits.IndexOf('.');
        var whole = (point < 0 ? digits : digits[..point]).TrimStart('0');
        var fraction = point < 0 ? [] : digits[(point + 1)..];
        return $"{sign}{(whole.IsEmpty ? "0" : whole)}{(fraction.IsEmpty ? "" : ".")}{fraction}";
    }

    static int TextLength(ReadOnlySpan<char> text) => text is ['\'', ..] or ['x' or 'X', '\'', ..] ? SqlTokens.ReadOne(text).Length : 0;

    static string Unquote(ReadOnlySpan<char> text) =>
        text[(text.IndexOf('\'') + 1)..^1].ToString().Replace("''", "'", StringComparison.Ordinal);
}
