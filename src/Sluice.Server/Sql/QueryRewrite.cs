using System.Text;
using Sluice.Schema;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Sql;

/// <summary>
/// Turns a query in the original's SQL into DuckDB's, token by token: quotes known names that hold dashes, and translates
/// <c>TOP(n)</c>, <c>WITH (FLATTEN(col))</c>, <c>CHAR(n)</c>, <c>CURRENT_TIMESTAMP</c> and the type names of <c>CAST</c>. Comments and quoted names are
/// never touched, nor texts but those that are times with an offset beside a timestamp: DuckDB would drop the offset.
/// </summary>
/// <remarks>Needs to be right only for honest queries: what may run is decided afterwards, from DuckDB's own parse tree.</remarks>
sealed class QueryRewrite
{
    static readonly Dictionary<string, string> _castTypes = new(StringComparer.OrdinalIgnoreCase)
    {
        ["int"] = "BIGINT",
        ["id"] = "UBIGINT",
        ["idset"] = "UBIGINT[]",
        ["stringset"] = "VARCHAR[]",
        ["string"] = "VARCHAR",
    };

    readonly string _sql;
    readonly List<SqlToken> _tokens;
    readonly HashSet<string>.AlternateLookup<ReadOnlySpan<char>> _dashed;
    readonly int _longestDashed;
    DateTimeOffset? _now;
    IReadOnlySet<string> _textSets = new HashSet<string>();
    IReadOnlySet<string> _times = new HashSet<string>();
    readonly HashSet<int> _shifted = [];
    List<Edit> _edits = [];
    readonly Stack<Scope> _scopes = new();

    /// <summary>A replacement of characters of the original.</summary>
    readonly record struct Edit(int Start, int Length, string Text);

    /// <summary>What stands between two parentheses, or the whole query.</summary>
    sealed class Scope
    {
        public bool IsCast { get; init; }
        public string? Top { get; set; }
        public int? Limit { get; set; }
        public int TopAt { get; set; }
    }

    QueryRewrite(string sql, IEnumerable<string> names)
    {
        _sql = sql;
        _tokens = SqlTokens.Read(sql);
        var dashed = names.Where(name => name.Contains('-', StringComparison.Ordinal)).ToHashSet(StringComparer.OrdinalIgnoreCase);
        _dashed = dashed.GetAlternateLookup<ReadOnlySpan<char>>();
        _longestDashed = dashed.Count == 0 ? 0 : dashed.Max(name => name.Length);
    }

    /// <summary>The query for DuckDB.</summary>
    public string Sql { get; private set; } = "";

    /// <summary>All names of tables and their columns.</summary>
    public static IEnumerable<string> NamesOf(IEnumerable<SqlTable> tables) =>
        tables.SelectMany(table => table.Schema.Columns.Select(column => column.Name).Append(table.Schema.Name));

    /// <summary>Names that are those of text sets wherever they are names of columns.</summary>
    public static IReadOnlySet<string> TextSetsOf(IEnumerable<SqlTable> tables) => tables.SelectMany(table => table.Schema.Columns)
        .GroupBy(column => column.Name).Where(columns => columns.All(column => column.Type.Kind is ColumnKind.StringSet or ColumnKind.StringSetQ))
        .Select(columns => columns.Key).ToHashSet(StringComparer.OrdinalIgnoreCase);

    /// <summary>Names that are those of timestamps wherever they are names of columns.</summary>
    public static IReadOnlySet<string> TimesOf(IEnumerable<SqlTable> tables) => tables.SelectMany(table => table.Schema.Columns)
        .GroupBy(column => column.Name).Where(columns => columns.All(column => column.Type.Kind is ColumnKind.Timestamp))
        .Select(columns => columns.Key).Append("_ingested_at").ToHashSet(StringComparer.OrdinalIgnoreCase);

    /// <param name="names">All names of tables and columns of the database.</param>
    /// <param name="textSets">Columns of which <c>= 'x'</c> means that x is a member, as in 2022.</param>
    /// <param name="now">What the present time is to be; <c>null</c>: the time when the query runs.</param>
    /// <param name="times">Columns that are compared with the instant a text means.</param>
    /// <exception cref="SqlException">A form of the original that cannot be translated, or a text that is too long to be looked at.</exception>
    public static QueryRewrite Of(
        string sql, IEnumerable<string> names, DateTimeOffset? now = null, IReadOnlySet<string>? textSets = null, IReadOnlySet<string>? times = null)
    {
        if (sql.Length > QueryLimits.MaxTextLength)
            throw new SqlException($"a query may have at most {QueryLimits.MaxTextLength} characters", null);
        var rewrite = new QueryRewrite(sql, names) { _now = now };
        // a flattened set is a text
        if (textSets is not null && !rewrite._tokens.Exists(token => sql.AsSpan(token.Start, token.Length).Equals("flatten", StringComparison.OrdinalIgnoreCase)))
            rewrite._textSets = textSets;
        rewrite._times = times ?? rewrite._times;
        rewrite.Sql = rewrite.Run();
        return rewrite;
    }

    /// <summary>Where a character of the rewritten query stood in the original.</summary>
    public int OriginalOffset(int offset)
    {
        var shift = 0;
        foreach (var edit in _edits)
        {
            var start = edit.Start + shift;
            if (offset < start)
                break;
            if (offset < start + edit.Text.Length)
                return edit.Start;
            shift += edit.Text.Length - edit.Length;
        }
        return Math.Clamp(offset - shift, 0, _sql.Length);
    }

    string Run()
    {
        _scopes.Push(new Scope());
        for (var i = 0; i < _tokens.Count;)
            i += RewriteAt(i);
        while (_scopes.Count > 0)
            EndScope(_scopes.Pop(), EndOfStatement());
        _edits = [.. _edits.OrderBy(edit => edit.Start)]; // in their order where they begin at one place
        var text = new StringBuilder();
        var at = 0;
        foreach (var edit in _edits)
        {
            text.Append(_sql, at, edit.Start - at).Append(edit.Text);
            at = edit.Start + edit.Length;
        }
        return text.Append(_sql, at, _sql.Length - at).ToString();
    }

    /// <summary>Handles the token at an index; returns how many tokens were used.</summary>
    int RewriteAt(int i)
    {
        var token = _tokens[i];
        if (token.Kind == SqlTokenKind.Symbol)
            RewriteSymbol(i);
        if (token.Kind == SqlTokenKind.QuotedName && FindFlatten(i + 1) is { } quoted)
            return ReplaceFlatten(i, 1, quoted);
        if (token.Kind == SqlTokenKind.QuotedName && _times.Contains(Text(i).Trim('"')))
            ShiftCompared(i, 1);
        if (token.Kind != SqlTokenKind.Word)
            return 1;

        var nameTokens = DashedNameAt(i);
        if (FindFlatten(i + nameTokens) is { } flatten)
            return ReplaceFlatten(i, nameTokens, flatten);
        if (_textSets.Contains(_sql[token.Start.._tokens[i + nameTokens - 1].End]))
            RewriteMembership(i, nameTokens);
        if (_times.Contains(_sql[token.Start.._tokens[i + nameTokens - 1].End]))
            ShiftCompared(i, nameTokens);
        if (nameTokens > 1)
        {
            var end = _tokens[i + nameTokens - 1].End;
            _edits.Add(new Edit(token.Start, end - token.Start, $"\"{_sql[token.Start..end]}\""));
            return nameTokens;
        }
        return RewriteWord(i);
    }

    void RewriteSymbol(int i)
    {
        if (IsSymbol(i, '('))
            _scopes.Push(new Scope { IsCast = i > 0 && (IsWord(i - 1, "cast") || IsWord(i - 1, "try_cast")) });
        else if (IsSymbol(i, ')') && _scopes.Count > 1)
            EndScope(_scopes.Pop(), _tokens[i].Start);
    }

    int RewriteWord(int i)
    {
        if (IsWord(i, "top") && IsSymbol(i + 1, '(') && IsNumber(i + 2) && IsSymbol(i + 3, ')') && IsAfterSelect(i))
            return TakeTop(i);
        if (IsWord(i, "timestamp"))
            Shift(i + 1);
        if (IsWord(i, "limit"))
            _scopes.Peek().Limit = _tokens[i].Start;
        else if (IsWord(i, "char") && IsSymbol(i + 1, '(') && !IsWord(i - 1, "as") && !IsSymbol(i - 1, ':'))
            Replace(i, "chr");
        // DuckDB's has a time zone, and cannot be compared with a column that has none.
        else if (IsWord(i, "current_timestamp") && !IsSymbol(i - 1, '.'))
            Replace(i, _now is { } now ? $"(TIMESTAMP '{now.UtcDateTime:yyyy-MM-dd HH:mm:ss.ffffff}')" : "(now() AT TIME ZONE 'UTC')");
        else if (_now is { } today && IsWord(i, "current_date") && !IsSymbol(i - 1, '.'))
            Replace(i, $"(DATE '{today.UtcDateTime:yyyy-MM-dd}')");
        else if (IsWord(i, "as") && _scopes.Peek().IsCast)
            RewriteCastType(i + 1);
        return 1;
    }

    /// <summary><c>set = 'x'</c> and <c>set != 'x'</c>.</summary>
    void RewriteMembership(int i, int nameTokens)
    {
        var at = i + nameTokens;
        var isNot = (IsSymbol(at, '!') && IsSymbol(at + 1, '=')) || (IsSymbol(at, '<') && IsSymbol(at + 1, '>'));
        var text = at + (isNot ? 2 : 1);
        if ((!isNot && !IsSymbol(at, '=')) || text >= _tokens.Count || _tokens[text].Kind != SqlTokenKind.Text)
            return;
        var first = IsSymbol(i - 1, '.') ? i - 2 : i;
        _edits.Add(new Edit(_tokens[first].Start, 0, isNot ? "(NOT setcontains(" : "setcontains("));
        _edits.Add(new Edit(_tokens[at].Start, _tokens[text - 1].End - _tokens[at].Start, ","));
        _edits.Add(new Edit(_tokens[text].End, 0, isNot ? "))" : ")"));
    }

    /// <summary><c>time &lt; 'text'</c>, <c>'text' &lt; time</c>, <c>time BETWEEN 'text' AND 'text'</c>, <c>time IN ('text', ...)</c>.</summary>
    void ShiftCompared(int i, int nameTokens)
    {
        var before = (IsSymbol(i - 1, '.') ? i - 2 : i) - 1;
        var left = before;
        while (IsComparison(left))
            left--;
        if (left < before)
            Shift(left);

        var at = i + nameTokens;
        var right = at;
        while (IsComparison(right))
            right++;
        if (right > at)
            Shift(right);
        at += IsWord(at, "not") ? 1 : 0;
        if (IsWord(at, "between"))
        {
            Shift(at + 1);
            if (IsWord(at + 2, "and"))
                Shift(at + 3);
        }
        else if (IsWord(at, "in") && IsSymbol(at + 1, '('))
        {
            for (at += 2; at < _tokens.Count && _tokens[at].Kind == SqlTokenKind.Text; at += IsSymbol(at + 1, ',') ? 2 : 1)
                Shift(at);
        }
    }

    bool IsComparison(int i) => IsSymbol(i, '=') || IsSymbol(i, '<') || IsSymbol(i, '>') || IsSymbol(i, '!');

    /// <summary>Writes a time with an offset as the same instant without one.</summary>
    void Shift(int i)
    {
        if (i < 0 || i >= _tokens.Count || _tokens[i].Kind != SqlTokenKind.Text || _sql[_tokens[i].Start] != '\'' || !_shifted.Add(i))
            return;
        if (TimeText.TryRead(Text(i).Trim('\'')) is { HasOffset: true } time)
            Replace(i, $"'{time}'");
    }

    bool IsAfterSelect(int i) => IsWord(i - 1, "select") || ((IsWord(i - 1, "distinct") || IsWord(i - 1, "all")) && IsWord(i - 2, "select"));

    int TakeTop(int i)
    {
        var scope = _scopes.Peek();
        scope.Top = Text(i + 2);
        scope.TopAt = _tokens[i].Start;
        _edits.Add(new Edit(_tokens[i].Start, _tokens[i + 3].End - _tokens[i].Start, ""));
        return 4;
    }

    void EndScope(Scope scope, int end)
    {
        if (scope.Top is null)
            return;
        if (scope.Limit is not null)
            throw new SqlException("TOP and LIMIT cannot cannot be used at the same time", scope.TopAt);
        // On a line of its own: the query may end with a comment.
        _edits.Add(new Edit(end, 0, $"\nLIMIT {scope.Top} "));
    }

    int EndOfStatement()
    {
        var last = _tokens.Count - 1;
        while (last >= 0 && IsSymbol(last, ';'))
            last--;
        return last < 0 ? _sql.Length : _tokens[last].End;
    }

    void RewriteCastType(int i)
    {
        if (i >= _tokens.Count)
            return;
        if (_castTypes.TryGetValue(Text(i), out var type))
            Replace(i, type);
        // decimal(2) has 2 fraction digits; DuckDB would take the number for all digits.
        else if (IsWord(i, "decimal") && IsSymbol(i + 1, '(') && IsNumber(i + 2) && IsSymbol(i + 3, ')'))
            Replace(i + 2, $"18, {Text(i + 2)}");
    }

    /// <summary>How many tokens at an index make one known name with dashes, the longest there is; 1 when none does.</summary>
    int DashedNameAt(int i)
    {
        var longest = 1;
        var start = _tokens[i].Start;
        for (var end = i + 1; end < _tokens.Count && _tokens[end].End - start <= _longestDashed && _tokens[end].Start == _tokens[end - 1].End && IsNamePart(end); end++)
        {
            if (_dashed.Contains(_sql.AsSpan(start, _tokens[end].End - start)) && !IsNameContinued(end + 1))
                longest = end - i + 1;
        }
        return longest;
    }

    bool IsNamePart(int i) => IsSymbol(i, '-') || _tokens[i].Kind is SqlTokenKind.Word or SqlTokenKind.Number;

    /// <summary>Whether the name goes on without a dash: <c>my-t</c> in <c>my-t2</c> never ends a token, so only adjacent words matter.</summary>
    bool IsNameContinued(int i) =>
        i < _tokens.Count && _tokens[i].Start == _tokens[i - 1].End && _tokens[i].Kind is SqlTokenKind.Word or SqlTokenKind.Number;

    /// <summary><c>WITH (FLATTEN(a, b))</c> at an index: the columns, and how many tokens it takes.</summary>
    (List<string> Columns, int Count)? FindFlatten(int i)
    {
        if (!IsWord(i, "with") || !IsSymbol(i + 1, '(') || !IsWord(i + 2, "flatten") || !IsSymbol(i + 3, '('))
            return null;
        var columns = new List<string>();
        var at = i + 4;
        while (at < _tokens.Count && _tokens[at].Kind is SqlTokenKind.Word or SqlTokenKind.QuotedName)
        {
            var count = _tokens[at].Kind == SqlTokenKind.Word ? DashedNameAt(at) : 1;
            columns.Add(AsQuoted(at, count));
            at += count;
            if (IsSymbol(at, ','))
                at++;
        }
        if (columns.Count == 0 || !IsSymbol(at, ')') || !IsSymbol(at + 1, ')'))
            throw new SqlException("FLATTEN takes the names of columns", _tokens[i + 2].Start);
        return (columns, at + 2 - i);
    }

    /// <summary>The table becomes a subquery with one row for each member of each flattened set.</summary>
    int ReplaceFlatten(int i, int nameTokens, (List<string> Columns, int Count) flatten)
    {
        var table = AsQuoted(i, nameTokens);
        var used = nameTokens + flatten.Count;
        var members = string.Join(", ", flatten.Columns.Select(column => $"unnest(setmembers({column})) AS {column}"));
        var hasAlias = IsWord(i + used, "as");
        var start = _tokens[i].Start;
        _edits.Add(new Edit(start, _tokens[i + used - 1].End - start,
            $"(SELECT * REPLACE ({members}) FROM {table}){(hasAlias ? "" : " AS " + table)}"));
        return used;
    }

    string AsQuoted(int i, int count) => _tokens[i].Kind == SqlTokenKind.QuotedName
        ? Text(i)
        : $"\"{_sql[_tokens[i].Start.._tokens[i + count - 1].End]}\"";

    void Replace(int i, string text) => _edits.Add(new Edit(_tokens[i].Start, _tokens[i].Length, text));

    string Text(int i) => _sql.Substring(_tokens[i].Start, _tokens[i].Length);

    bool IsWord(int i, string word) =>
        i >= 0 && i < _tokens.Count && _tokens[i].Kind == SqlTokenKind.Word
        && _sql.AsSpan(_tokens[i].Start, _tokens[i].Length).Equals(word, StringComparison.OrdinalIgnoreCase);

    bool IsSymbol(int i, char symbol) => i >= 0 && i < _tokens.Count && _tokens[i].Kind == SqlTokenKind.Symbol && _sql[_tokens[i].Start] == symbol;

    bool IsNumber(int i) => i < _tokens.Count && _tokens[i].Kind == SqlTokenKind.Number;
}
