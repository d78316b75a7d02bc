namespace Sluice.Server.Sql;

enum SqlTokenKind
{
    /// <summary>A keyword or a name without quotes. Dashes are not part of it.</summary>
    Word,
    QuotedName,

    /// <summary>Text in quotes of any form.</summary>
    Text,
    Number,

    /// <summary>One character that is none of the others.</summary>
    Symbol,
}

/// <summary>A token's kind and place in its text.</summary>
readonly record struct SqlToken(SqlTokenKind Kind, int Start, int Length)
{
    public int End => Start + Length;
}

/// <summary>Cuts SQL into tokens as DuckDB does; blanks and comments are skipped. Never fails: what does not end, ends with the text.</summary>
static class SqlTokens
{
    public static List<SqlToken> Read(string sql)
    {
        var tokens = new List<SqlToken>();
        for (var at = 0; at < sql.Length;)
        {
            var rest = sql.AsSpan(at);
            if (BlankLength(rest) is var blank and > 0)
            {
                at += blank;
                continue;
            }
            var (kind, length) = ReadOne(rest);
            tokens.Add(new SqlToken(kind, at, length));
            at += length;
        }
        return tokens;
    }

    /// <summary>False: a bracket is closed that was not opened, so that a text in brackets would reach beyond them.</summary>
    public static bool OpensWhatItCloses(string sql)
    {
        var depth = 0;
        foreach (var token in Read(sql).Where(token => token.Kind == SqlTokenKind.Symbol))
        {
            depth += sql[token.Start] is '(' or '[' or '{' ? 1 : sql[token.Start] is ')' or ']' or '}' ? -1 : 0;
            if (depth < 0)
                return false;
        }
        return true;
    }

    /// <summary>The length of the blanks and comments at the start of a text.</summary>
    public static int BlankLength(ReadOnlySpan<char> text)
    {
        var at = 0;
        while (at < text.Length)
        {
            var rest = text[at..];
            var length = char.IsWhiteSpace(rest[0]) ? 1
                : rest.StartsWith("--", StringComparison.Ordinal) ? LineLength(rest)
                : rest.StartsWith("/*", StringComparison.Ordinal) ? CommentLength(rest)
                : 0;
            if (length == 0)
                break;
            at += length;
        }
        return at;
    }

    /// <summary>The first token of a text that starts with neither a blank nor a comment and is not empty.</summary>
    public static (SqlTokenKind Kind, int Length) ReadOne(ReadOnlySpan<char> text) => text[0] switch
    {
        '\'' => (SqlTokenKind.Text, QuotedLength(text, 0, '\'', backslash: false)),
        '"' => (SqlTokenKind.QuotedName, QuotedLength(text, 0, '"', backslash: false)),
        'x' or 'X' when text.Length > 1 && text[1] == '\'' => (SqlTokenKind.Text, QuotedLength(text, 1, '\'', backslash: false)),
        'e' or 'E' when text.Length > 1 && text[1] == '\'' => (SqlTokenKind.Text, QuotedLength(text, 1, '\'', backslash: true)),
        '$' when DollarLength(text) is var length and > 0 => (SqlTokenKind.Text, length),
        '.' when text.Length > 1 && char.IsAsciiDigit(text[1]) => (SqlTokenKind.Number, NumberLength(text)),
        var first when char.IsAsciiDigit(first) => (SqlTokenKind.Number, NumberLength(text)),
        var first when IsWordStart(first) => (SqlTokenKind.Word, WordLength(text)),
        _ => (SqlTokenKind.Symbol, 1),
    };

    /// <summary>The length of a text that begins with a quote, up to the same quote; 0: it does not end.</summary>
    public static int QuotedLength(ReadOnlySpan<char> text)
    {
        for (var at = 1; at < text.Length; at++)
        {
            if (text[at] != text[0]) continue;
            if (at + 1 >= text.Length || text[at + 1] != text[0])
                return at + 1;
            at++;
        }
        return 0;
    }

    public static bool IsWordStart(char c) => char.IsAsciiLetter(c) || c == '_' || c >= 0x80;

    public static bool IsWordPart(char c) => IsWordStart(c) || char.IsAsciiDigit(c) || c == '$';

    static int WordLength(ReadOnlySpan<char> text)
    {
        var length = 1;
        while (length < text.Length && IsWordPart(text[length]))
            length++;
        return length;
    }

    static int LineLength(ReadOnlySpan<char> text) => text.IndexOf('\n') is var end and >= 0 ? end + 1 : text.Length;

    /// <summary>Comments nest.</summary>
    static int CommentLength(ReadOnlySpan<char> text)
    {
        var depth = 0;
        for (var at = 0; at + 1 < text.Length; at++)
        {
            if (text[at] == '/' && text[at + 1] == '*')
            {
                depth++;
                at++;
            }
            else if (text[at] == '*' && text[at + 1] == '/')
            {
                at++;
                if (--depth == 0)
                    return at + 1;
            }
        }
        return text.Length;
    }

    /// <summary>A doubled quote is part of the text.</summary>
    static int QuotedLength(ReadOnlySpan<char> text, int open, char quote, bool backslash)
    {
        for (var at = open + 1; at < text.Length; at++)
        {
            if (backslash && text[at] == '\\')
                at++;
            else if (text[at] == quote)
            {
                if (at + 1 >= text.Length || text[at + 1] != quote)
                    return at + 1;
                at++;
            }
        }
        return text.Length;
    }

    /// <summary><c>$$..$$</c> or <c>$tag$..$tag$</c>; 0 when the dollar opens neither.</summary>
    static int DollarLength(ReadOnlySpan<char> text)
    {
        var tagEnd = 1;
        while (tagEnd < text.Length && text[tagEnd] != '$' && IsWordPart(text[tagEnd]))
            tagEnd++;
        if (tagEnd >= text.Length || text[tagEnd] != '$' || (tagEnd > 1 && char.IsAsciiDigit(text[1])))
            return 0;
        var tag = text[..(tagEnd + 1)];
        var close = text[tag.Length..].IndexOf(tag, StringComparison.Ordinal);
        return close < 0 ? text.Length : close + (2 * tag.Length);
    }

    static int NumberLength(ReadOnlySpan<char> text)
    {
        var length = 1;
        while (length < text.Length && (char.IsAsciiLetterOrDigit(text[length]) || text[length] is '.' or '_'
            || (text[length] is '+' or '-' && text[length - 1] is 'e' or 'E')))
            length++;
        return length;
    }
}
