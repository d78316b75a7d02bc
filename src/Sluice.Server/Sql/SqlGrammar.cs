using System.Globalization;
using Parlot.Fluent;

namespace Sluice.Server.Sql;

/// <summary>The words that statements are made of.</summary>
static class SqlGrammar
{
    /// <summary>A name, with dashes if it has any, or a name in double quotes. Lower-cased: names are kept so.</summary>
    public static readonly Parser<SqlName> Name = OneOf(
        Terms.Scan(static text => NameLength(text), []).Then((_, _, end, span) => new SqlName(Lower(span.Span), end - span.Length)),
        Terms.Scan(static text => text is ['"', ..] ? SqlTokens.QuotedLength(text) : 0, ['"'])
            .Then((_, _, end, span) => new SqlName(Lower(span.Span[1..^1]).Replace("\"\"", "\"", StringComparison.Ordinal), end - span.Length)))
        .ElseError("expected a name");

    /// <summary>A text in single quotes, without them.</summary>
    public static readonly Parser<string> Text =
        Terms.Scan(static text => text is ['\'', ..] ? SqlTokens.QuotedLength(text) : 0, ['\''])
            .Then(span => span.Span[1..^1].ToString().Replace("''", "'", StringComparison.Ordinal))
            .ElseError("expected a text in single quotes");

    /// <summary>A whole number, with a sign if it has one. Kept as text: it may not fit.</summary>
    public static readonly Parser<SqlNumber> Integer =
        Terms.Scan(static text => IntegerLength(text), [])
            .Then((_, _, end, span) => new SqlNumber(span.ToString()!, end - span.Length))
            .ElseError("expected a number");

    /// <summary>One expression of a list: everything up to a comma or a parenthesis that is not its own.</summary>
    public static readonly Parser<SqlExpression> Expression =
        Terms.Scan(static text => ExpressionLength(text), [])
            .Then((_, _, end, span) => new SqlExpression(span.ToString()!.TrimEnd(), end - span.Length))
            .ElseError("expected an expression");

    /// <summary>What may be a literal: one token, a number with its sign, or all up to the bracket that closes.</summary>
    public static readonly Parser<SqlExpression> Literal =
        Terms.Scan(static text => LiteralLength(text), [])
            .Then((_, _, end, span) => new SqlExpression(span.ToString()!, end - span.Length))
            .ElseError("expected a literal");

    /// <summary>Everything up to the end of the statement, without semicolons there.</summary>
    public static readonly Parser<SqlExpression> Rest =
        Terms.Scan(static text => RestLength(text), [])
            .Then((_, _, end, span) => new SqlExpression(span.ToString()!, end - span.Length))
            .ElseError("expected an expression");

    /// <summary>A text in single quotes, with an x in front if it has one, without them.</summary>
    public static readonly Parser<SqlExpression> Quoted =
        Terms.Scan(static text => QuotedLength(text), [])
            .Then((_, _, end, span) => new SqlExpression(Unquote(span.Span), end - span.Length));

    /// <summary>One option of BULK INSERT.</summary>
    public static readonly Parser<BulkOption> BulkOption = BuildBulkOption();

    /// <summary>A type without constraints; a column without a name.</summary>
    public static readonly Parser<ColumnText> Type = BuildType();

    /// <summary>Nothing more may come.</summary>
    public static readonly Parser<object?> End = SkipWhiteSpace(Always().Eof()).ElseError("unexpected text after the statement");

    /// <summary>A column's name, type and constraints.</summary>
    public static readonly Parser<ColumnText> Column = BuildColumn();

    static Parser<ColumnText> BuildColumn()
    {
        // varchar(max) is known so that its error says what is wrong with it.
        var argument = OneOf(Terms.Keyword("max", caseInsensitive: true).Then((_, _, end, _) => new SqlNumber("max", end - 3)), Integer);
        var arguments = Terms.Char('(').SkipAnd(Separated(Terms.Char(','), argument)).AndSkip(Terms.Char(')').ElseError("expected ')'"));
        var number = Integer.Then(number => (number.Text, number.Offset));
        var quoted = Text.Then((_, start, _, text) => (text, start));
        var constraint = OneOf(
            Constraint("MIN", number), Constraint("MAX", number), Constraint("SIZE", number),
            Constraint("TIMEUNIT", quoted), Constraint("EPOCH", quoted), Constraint("TIMEQUANTUM", quoted), Constraint("TTL", quoted),
            Constraint("CACHETYPE", Name.Then(name => (name.Text, name.Offset))),
            Constraint("DEFAULT", Literal.Then(literal => (literal.Text, literal.Offset))),
            Constraint("NOT", Terms.Keyword("NULL", caseInsensitive: true).Then((_, _, end, _) => ("", end)).ElseError("expected NULL")),
            Constraint("AUTO", Always().Then(_ => ("", 0))));
        return Name.And(Name).And(arguments.Optional()).And(ZeroOrMany(constraint))
            .Then(parts => new ColumnText(
                parts.Item1, parts.Item2, parts.Item3.HasValue ? [.. parts.Item3.Value!] : [], [.. parts.Item4]));
    }

    static Parser<ColumnText> BuildType()
    {
        var arguments = Terms.Char('(').SkipAnd(Separated(Terms.Char(','), Integer)).AndSkip(Terms.Char(')').ElseError("expected ')'"));
        return Name.And(arguments.Optional())
            .Then(parts => new ColumnText(new SqlName("", parts.Item1.Offset), parts.Item1, parts.Item2.HasValue ? [.. parts.Item2.Value!] : [], []));
    }

    static Parser<BulkOption> BuildBulkOption()
    {
        return OneOf(
            Valued("BATCHSIZE", Integer.Then(number => number.Text)), Valued("ROWSLIMIT", Integer.Then(number => number.Text)), Valued("CONCURRENCY", Integer.Then(number => number.Text)),
            Valued("INPUT", Text), Valued("FORMAT", Text),
            Plain("HEADER_ROW"), Plain("ALLOW_MISSING_VALUES"), Plain("CSV_EMPTY_STRING_AS_NULL"), Plain("CSV_NULL_AS_NULL"), Plain("NULL_AS_EMPTY_SET"));

        static Parser<BulkOption> Valued(string name, Parser<string> value) =>
            Terms.Keyword(name, caseInsensitive: true).Then((_, _, end, _) => end - name.Length).And(value).Then(parts => new BulkOption(name, parts.Item2, parts.Item1));

        static Parser<BulkOption> Plain(string name) =>
            Terms.Keyword(name, caseInsensitive: true).Then((_, _, end, _) => new BulkOption(name, "", end - name.Length));
    }

    static int QuotedLength(ReadOnlySpan<char> text) => text switch
    {
        ['\'', ..] => SqlTokens.QuotedLength(text),
        ['x' or 'X', '\'', ..] when SqlTokens.QuotedLength(text[1..]) is var length and > 0 => 1 + length,
        _ => 0,
    };

    static string Unquote(ReadOnlySpan<char> text) => text[(text.IndexOf('\'') + 1)..^1].ToString().Replace("''", "'", StringComparison.Ordinal);

    static Parser<ConstraintText> Constraint(string keyword, Parser<(string Text, int Offset)> value) =>
        Terms.Keyword(keyword, caseInsensitive: true).Then((_, _, end, _) => end - keyword.Length).And(value)
            .Then(parts => new ConstraintText(keyword, parts.Item1, parts.Item2.Text, parts.Item2.Offset));

    static int NameLength(ReadOnlySpan<char> text)
    {
        if (text.IsEmpty || !SqlTokens.IsWordStart(text[0]))
            return 0;
        var length = 1;
        while (length < text.Length && (SqlTokens.IsWordPart(text[length]) || IsDashInName(text, length)))
            length++;
        return length;
    }

    /// <summary>Two dashes begin a comment.</summary>
    static bool IsDashInName(ReadOnlySpan<char> text, int at) => text[at] == '-' && (at + 1 >= text.Length || text[at + 1] != '-');

    static int IntegerLength(ReadOnlySpan<char> text)
    {
        var sign = text is ['-' or '+', ..] ? 1 : 0;
        var length = sign;
        while (length < text.Length && char.IsAsciiDigit(text[length]))
            length++;
        return length == sign ? 0 : length;
    }

    static int LiteralLength(ReadOnlySpan<char> text)
    {
        if (text.IsEmpty)
            return 0;
        if (text[0] is '-' or '+')
            return text.Length > 1 && SqlTokens.ReadOne(text[1..]) is { Kind: SqlTokenKind.Number } number ? 1 + number.Length : 0;
        if (text[0] is not ('[' or '{'))
            return SqlTokens.ReadOne(text) is { Kind: not SqlTokenKind.Symbol } token ? token.Length : 0;
        var end = 1 + ExpressionsLength(text[1..]);
        return end < text.Length && text[end] is ']' or '}' ? end + 1 : 0;
    }

    /// <summary>Expressions with the commas between them.</summary>
    static int ExpressionsLength(ReadOnlySpan<char> text)
    {
        var at = ExpressionLength(text);
        while (at < text.Length && text[at] == ',')
            at += 1 + ExpressionLength(text[(at + 1)..]);
        return at;
    }

    static int RestLength(ReadOnlySpan<char> text)
    {
        var tokens = SqlTokens.Read(text.ToString());
        var last = tokens.Count - 1;
        while (last >= 0 && tokens[last].Kind == SqlTokenKind.Symbol && text[tokens[last].Start] == ';')
            last--;
        return last < 0 ? 0 : tokens[last].End;
    }

    static int ExpressionLength(ReadOnlySpan<char> text)
    {
        var depth = 0;
        var at = 0;
        while (at < text.Length)
        {
            if (SqlTokens.BlankLength(text[at..]) is var blank and > 0)
            {
                at += blank;
                continue;
            }
            var c = text[at];
            if (depth == 0 && c is ',' or ')' or ']' or '}' or ';')
                break;
            depth += c is '(' or '[' or '{' ? 1 : c is ')' or ']' or '}' ? -1 : 0;
            at += SqlTokens.ReadOne(text[at..]).Length;
        }
        return at;
    }

    static string Lower(ReadOnlySpan<char> text) => text.ToString().ToLower(CultureInfo.InvariantCulture);
}
