using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
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

    // a literal has no exponent; the elements of a vector may have one beyond what a decimal holds
    public override string ToSql() => decimal.TryParse(Digits, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && Digits.AsSpan().IndexOfAny("eE") >= 0
        ? number.ToString(CultureInfo.InvariantCulture)
        : Digits;
}

sealed record TextValue(string Text) : SqlValue
{
    public override string TypeName => "string";

    public override void Write(Utf8JsonWriter writer) => writer.WriteStringValue(Text);

    public override string ToSql() => $"'{Text.Replace("'", "''", StringComparison.Ordinal)}'";
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
