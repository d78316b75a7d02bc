using System.Text.Json;

namespace Sluice.Stores.DuckDb;

/// <summary>A table that a query may read.</summary>
/// <param name="Name">As the query writes it.</param>
/// <param name="Source">The table in the store, quoted and with its catalog: <c>"db"."main"."iris"</c>. Taken as SQL.</param>
public sealed record QueryTable(string Name, string Source)
{
    /// <summary>Names of its columns; needed for the predicate of a DELETE alone.</summary>
    public IReadOnlyCollection<string> Columns { get; init; } = [];
}

/// <summary>
/// What DuckDB's own parse tree says about a query: that it reads only tables it may, calls only functions it may, and which ones.
/// </summary>
/// <remarks>
/// Names are checked where the parser put them, so quoting, comments and strings cannot disguise one. A name introduced by WITH is a
/// table only where it is in scope: elsewhere the same name would be one of DuckDB's own views.
/// </remarks>
sealed class QueryProof
{
    /// <summary>Columns of every table that answers show only when the query names them.</summary>
    internal static readonly string[] HiddenColumns = ["_ingested_at", "_sink_id", "_position", "_version"];

    /// <summary>How many tables and table functions one query may read: to plan their joins is not interrupted.</summary>
    const int MaxTables = 64;

    const int MaxGroupingSets = 64;

    /// <summary>
    /// How often arguments of macros may be bound beyond once: DuckDB binds them again to choose among overloads, twice as often for each macro they stand in, and binding is not
    /// interrupted. Twelve within each other, 4,096 times, took seconds.
    /// </summary>
    const int MaxRebound = 1_024;

    readonly Dictionary<string, QueryTable> _known;
    readonly HashSet<QueryTable> _tables = [];
    readonly HashSet<string> _functions = new(StringComparer.OrdinalIgnoreCase);
    readonly HashSet<string> _hidden = new(StringComparer.OrdinalIgnoreCase);
    readonly HashSet<string> _valueNames = new(StringComparer.OrdinalIgnoreCase);
    readonly List<string> _scope = [];
    readonly QueryGrowth _growth = new();
    int _joined;
    int _listed;
    int _tableCount;
    int _macroDepth;
    long _rebound;
    string? _caller;
    bool _isPlain;
    bool _hasSubquery;

    QueryProof(IReadOnlyCollection<QueryTable> known) =>
        _known = known.ToDictionary(table => table.Name, StringComparer.OrdinalIgnoreCase);

    /// <summary>Tables the query reads.</summary>
    internal IReadOnlyCollection<QueryTable> Tables => _tables;

    internal IReadOnlySet<string> Functions => _functions;

    /// <summary>Those of <see cref="HiddenColumns"/> that the query names.</summary>
    internal IReadOnlySet<string> NamedHiddenColumns => _hidden;

    /// <summary>The items of the select list that have a name of their own; see <see cref="IsNamed"/>.</summary>
    SelectItem[] _items = [];

    readonly record struct SelectItem(bool IsNamed, bool Expands);

    /// <param name="parseTree">What <c>json_serialize_sql</c> answered for exactly one statement.</param>
    /// <exception cref="QueryException">The tree holds something a user's query may not.</exception>
    internal static QueryProof Of(string parseTree, IReadOnlyCollection<QueryTable> known)
    {
        // DuckDB refuses expressions deeper than 1,000; each level is at most four levels of JSON.
        using var document = ParseTree(parseTree);
        var root = document.RootElement;
        if (root.GetProperty("error").GetBoolean())
            throw NotASelect(root);
        var statements = root.GetProperty("statements");
        if (statements.GetArrayLength() != 1)
            throw new QueryException("exactly one statement is allowed");
        var proof = new QueryProof(known);
        proof.Walk(statements[0]);
        proof._isPlain = IsPlain(statements[0].GetProperty("node"));
        proof._items = ReadSelectList(statements[0].GetProperty("node"));
        return proof;
    }

    /// <summary>
    /// Whether a column of the answer was named by the query: a column, an alias. An expression without alias is not, and answers with "".
    /// </summary>
    /// <remarks>Between two stars the items cannot be told apart from the columns of the stars; they then count as named.</remarks>
    internal bool IsNamed(int column, int columnCount)
    {
        var firstStar = Array.FindIndex(_items, item => item.Expands);
        if (firstStar < 0)
            return _items.Length != columnCount || _items[column].IsNamed;
        if (column < firstStar)
            return _items[column].IsNamed;
        var fromEnd = columnCount - column;
        var lastStar = Array.FindLastIndex(_items, item => item.Expands);
        return fromEnd >= _items.Length - lastStar || _items[^fromEnd].IsNamed;
    }

    /// <summary>Holds a query that was made around a predicate to that: the text within may not have closed the parenthesis it stands in.</summary>
    /// <exception cref="QueryException">It has, or it depends on more than the row it is asked about.</exception>
    internal void ThrowUnlessPredicate()
    {
        if (!_isPlain)
            throw new QueryException("the predicate must be one expression");
        if (_hasSubquery)
            throw new QueryException("a subquery is not supported in the WHERE of DELETE");
        if (_functions.FirstOrDefault(AllowedFunctions.IsVolatile) is { } function)
            throw Volatile($"function '{function}'");
        if (_valueNames.FirstOrDefault(name => !_known.Values.Any(table => table.Columns.Contains(name, StringComparer.OrdinalIgnoreCase))) is { } value)
            throw Volatile($"'{value}'");

        static QueryException Volatile(string what) => new(what + " is not supported in the WHERE of DELETE: it would name other rows whenever the log is loaded again");
    }

    static bool IsPlain(JsonElement node) =>
        Text(node, "type") == "SELECT_NODE" && Text(node.GetProperty("from_table"), "type") == "BASE_TABLE"
        && node.GetProperty("modifiers").GetArrayLength() == 0 && node.GetProperty("group_expressions").GetArrayLength() == 0
        && node.GetProperty("cte_map").GetProperty("map").GetArrayLength() == 0
        && ((string[])["having", "sample", "qualify"]).All(member => !node.TryGetProperty(member, out var value) || value.ValueKind == JsonValueKind.Null);

    /// <summary>DuckDB writes an infinite constant as it prints it, which is no JSON.</summary>
    static JsonDocument ParseTree(string parseTree)
    {
        try
        {
            return JsonDocument.Parse(parseTree, new JsonDocumentOptions { MaxDepth = 8_192 });
        }
        catch (JsonException e)
        {
            throw new QueryException("the query holds a constant that is out of range", inner: e);
        }
    }

    static QueryException NotASelect(JsonElement root)
    {
        var message = root.GetProperty("error_message").GetString() ?? "";
        int? offset = root.TryGetProperty("position", out var position) && int.TryParse(position.GetString(), out var at) ? at : null;
        return message.StartsWith("Only SELECT", StringComparison.Ordinal)
            ? new QueryException("only SELECT is allowed here")
            : new QueryException(message, offset);
    }

    void Walk(JsonElement element)
    {
        if (element.ValueKind == JsonValueKind.Array)
        {
            foreach (var item in element.EnumerateArray())
                Walk(item);
        }
        else if (element.ValueKind == JsonValueKind.Object)
        {
            WalkObject(element);
        }
        else if (element.ValueKind == JsonValueKind.String)
        {
            NoteHiddenColumn(element.GetString());
        }
    }

    void WalkObject(JsonElement element)
    {
        CheckNode(element);
        if (Text(element, "type") == "TABLE_FUNCTION")
        {
            Walk(element.GetProperty("function").GetProperty("children"));
            return;
        }
        if (Text(element, "type") == "SELECT_NODE")
            WalkSelect(element);
        else if (Text(element, "type") == "SET_OPERATION_NODE")
            WalkSetOperation(element);
        else if (Text(element, "class") == "LAMBDA")
            WalkLambda(element);
        else
            WalkMembers(element);
    }

    /// <summary>What is joined in it is counted apart.</summary>
    void WalkSelect(JsonElement node)
    {
        if (node.TryGetProperty("group_sets", out var sets) && sets.ValueKind == JsonValueKind.Array && sets.GetArrayLength() > MaxGroupingSets)
            throw new QueryException($"a query may have at most {MaxGroupingSets} grouping sets");
        var outer = (_joined, _listed);
        (_joined, _listed) = (0, 0);
        WalkMembers(node);
        _growth.AddJoined(_joined, _listed, location: null);
        (_joined, _listed) = outer;
    }

    void WalkSetOperation(JsonElement node)
    {
        var outerScope = _scope.Count;
        if (node.TryGetProperty("cte_map", out var ctes))
            WalkCtes(ctes.GetProperty("map"));
        var parts = node.TryGetProperty("children", out var children) && children.ValueKind == JsonValueKind.Array
            ? [.. children.EnumerateArray()]
            : new[] { node.GetProperty("left"), node.GetProperty("right") };
        _growth.AddLargest(parts.Select(part => (Action)(() => Walk(part))));
        foreach (var member in node.EnumerateObject().Where(member => member.Name is not ("cte_map" or "children" or "left" or "right")))
            Walk(member.Value);
        _scope.RemoveRange(outerScope, _scope.Count - outerScope);
    }

    void WalkLambda(JsonElement lambda)
    {
        var isFold = QueryGrowth.IsFold(_caller);
        foreach (var member in lambda.EnumerateObject().Where(member => member.Name != "expr"))
            Walk(member.Value);
        _growth.EnterLambda(isFold);
        Walk(lambda.GetProperty("expr"));
        _growth.LeaveLambda(isFold);
    }

    void WalkMembers(JsonElement element)
    {
        var outerCaller = _caller;
        if (Text(element, "class") == "FUNCTION")
            _caller = Text(element, "function_name");
        var isMacro = _caller is not null && Text(element, "class") == "FUNCTION" && Macros.Has(_caller);
        _macroDepth += isMacro ? 1 : 0;
        var outerScope = _scope.Count;
        if (element.TryGetProperty("cte_map", out var ctes))
            WalkCtes(ctes.GetProperty("map"));
        foreach (var member in element.EnumerateObject().Where(member => member.Name != "cte_map"))
        {
            // Of a recursive WITH only the second part reads the name it defines; in the first it would be another table.
            if (member.Name == "right" && Text(element, "cte_name") is { } itself)
                _scope.Add(itself);
            Walk(member.Value);
        }
        _scope.RemoveRange(outerScope, _scope.Count - outerScope);
        _macroDepth -= isMacro ? 1 : 0;
        _caller = outerCaller;
    }

    /// <summary>Each sees the ones before it.</summary>
    void WalkCtes(JsonElement map)
    {
        foreach (var entry in map.EnumerateArray())
        {
            Walk(entry.GetProperty("value"));
            _scope.Add(entry.GetProperty("key").GetString() ?? "");
        }
    }

    void CheckNode(JsonElement element)
    {
        switch (Text(element, "type"))
        {
            case "BASE_TABLE" or "TABLE_FUNCTION" when ++_tableCount > MaxTables:
                throw new QueryException($"a query may read at most {MaxTables} tables");
            case "BASE_TABLE":
                CheckTable(element);
                break;
            case "TABLE_FUNCTION":
                CheckTableFunction(element);
                break;
            case "SHOW_REF" when element.GetProperty("query").ValueKind != JsonValueKind.Object:
                throw new QueryException("this form of SHOW is not supported; use SHOW TABLES, SHOW COLUMNS FROM t or SHOW CREATE TABLE t");
            case "PARAMETER" or "VALUE_PARAMETER":
                throw new QueryException("parameters are not supported", Location(element));
        }
        _hasSubquery |= Text(element, "class") == "SUBQUERY";
        if (Text(element, "class") == "COLUMN_REF" && element.GetProperty("column_names") is { } names && names.GetArrayLength() == 1 && AllowedFunctions.IsValueName(names[0].GetString()!))
            _valueNames.Add(names[0].GetString()!);
        if (Text(element, "class") == "CONSTANT" && element.GetProperty("value").TryGetProperty("value", out var constant) && constant.ValueKind == JsonValueKind.String)
            _growth.AddText(constant.GetString()!.Length, Location(element));
        if (Text(element, "class") == "CAST")
            _growth.AddCast(element.GetProperty("cast_type"), Location(element));
        if (Text(element, "class") is "FUNCTION" or "WINDOW" && Text(element, "function_name") is { } function)
            CheckFunction(element, function);
    }

    void CheckTable(JsonElement element)
    {
        var name = Text(element, "table_name") ?? "";
        var schema = Text(element, "schema_name");
        var isPlain = schema is null or "" || (schema == "main" && !_scope.Contains(name, StringComparer.OrdinalIgnoreCase));
        if (Text(element, "catalog_name") is null or "" && isPlain)
        {
            if (schema is null or "" && _scope.Contains(name, StringComparer.OrdinalIgnoreCase))
                return;
            if (_known.TryGetValue(name, out var table))
            {
                _tables.Add(table);
                return;
            }
        }
        throw new QueryException($"table or view '{name}' not found", Location(element));
    }

    /// <summary>In FROM the size of a series is free: rows are made a chunk at a time.</summary>
    static void CheckTableFunction(JsonElement element)
    {
        var function = element.GetProperty("function");
        if (Text(function, "function_name") is not { } name || !AllowedFunctions.IsAllowedInFrom(name))
            throw new QueryException($"table function '{Text(function, "function_name")}' is not allowed", Location(element));
    }

    void CheckFunction(JsonElement element, string name)
    {
        if (!AllowedFunctions.IsAllowed(name))
            throw new QueryException($"function '{name}' is not allowed", Location(element));
        _functions.Add(name);
        if (Macros.Has(name) && (_rebound += (1L << Math.Min(_macroDepth, 40)) - 1) > MaxRebound)
            throw new QueryException($"functions are nested too deeply at '{name}'", Location(element));
        _joined += QueryGrowth.JoinedParts(element, name);
        _listed += QueryGrowth.ListedElements(element, name);
        if (AllowedFunctions.FindSizeArgument(name) is { } size)
            CheckSize(element, name, size);
        if (AllowedFunctions.TakesFormat(name))
            CheckFormat(element, name);
        _growth.Add(element, name, Location(element));
    }

    static void CheckSize(JsonElement element, string name, SizeArgument size)
    {
        var arguments = element.GetProperty("children");
        if (arguments.GetArrayLength() == 0)
            return;
        var argument = arguments[Math.Min(size.Index, arguments.GetArrayLength() - 1)];
        var isSmall = Text(argument, "class") == "CONSTANT"
            && argument.GetProperty("value").TryGetProperty("value", out var value)
            && value.ValueKind == JsonValueKind.Number
            && value.TryGetInt64(out var number) && number <= size.Max;
        if (!isSmall)
            throw new QueryException($"the size given to '{name}' must be a number up to {size.Max}", Location(element));
    }

    static void CheckFormat(JsonElement element, string name)
    {
        var isSmall = element.GetProperty("children").EnumerateArray().FirstOrDefault() is { ValueKind: JsonValueKind.Object } format
            && Text(format, "class") == "CONSTANT"
            && AllowedFunctions.IsSmallFormat(Text(format.GetProperty("value"), "value") ?? "");
        if (!isSmall)
            throw new QueryException($"the format given to '{name}' must be a text with widths of up to four digits", Location(element));
    }

    void NoteHiddenColumn(string? text)
    {
        if (HiddenColumns.FirstOrDefault(column => column.Equals(text, StringComparison.OrdinalIgnoreCase)) is { } hidden)
            _hidden.Add(hidden);
    }

    static SelectItem[] ReadSelectList(JsonElement node)
    {
        // The names of a UNION are those of its first part.
        while (!node.TryGetProperty("select_list", out _))
        {
            if (node.TryGetProperty("left", out var left))
                node = left;
            else if (node.TryGetProperty("children", out var children) && children.GetArrayLength() > 0)
                node = children[0];
            else
                return [];
        }
        return [.. node.GetProperty("select_list").EnumerateArray().Select(item => new SelectItem(
            IsNamed: Text(item, "alias") is { Length: > 0 } || Text(item, "class") is "COLUMN_REF" or "STAR",
            Expands: HasStar(item)))];
    }

    static bool HasStar(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Array => element.EnumerateArray().Any(HasStar),
        JsonValueKind.Object => Text(element, "class") == "STAR"
            || (Text(element, "class") == "FUNCTION" && Text(element, "function_name") == "unnest")
            || (Text(element, "class") != "SUBQUERY" && element.EnumerateObject().Any(member => HasStar(member.Value))),
        _ => false,
    };

    static string? Text(JsonElement element, string member) =>
        element.TryGetProperty(member, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    static int? Location(JsonElement element) =>
        element.TryGetProperty("query_location", out var location) && location.TryGetInt32(out var offset) ? offset : null;
}
