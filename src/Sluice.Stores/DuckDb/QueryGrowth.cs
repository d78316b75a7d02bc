using System.Collections.Frozen;
using System.Text.Json;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// An upper estimate, from the text alone, of how many times larger than what it reads a query can make one value, or how many times it goes over
/// one: what DuckDB neither interrupts nor counts against its memory limit.
/// </summary>
/// <remarks>
/// Factors of the whole statement are multiplied wherever they stand: a subquery, a WITH or an aggregate can hand any value on to any other place.
/// Only the parts of a UNION cannot, so the largest of them counts. Kept as a logarithm. The bytes of one value are estimated apart: DuckDB makes
/// 2,048 of them before it looks at an interrupt, and 160 KB each took 3 s and a GiB.
/// </remarks>
sealed class QueryGrowth
{
    const double Most = 1_000_000;

    /// <summary>Of one value: 128 MiB for the 2,048 of a chunk.</summary>
    const double MostBytes = 64 * 1024;

    /// <summary>What is assumed of a value that is read; a text in the statement counts by its length.</summary>
    const double OfValue = 16;

    /// <summary>Of an element of a list. It has 8 bytes or 16, but is copied by itself.</summary>
    const double OfElement = 16;

    /// <summary>How many times more bytes a list of the pieces of a text can have than the text: an element, with a text of its own, for each character.</summary>
    const double OfPieces = 32;

    /// <summary>What each element of a list is assumed to cost that is given to a lambda, or gone over within one.</summary>
    const double OfList = 100;

    /// <summary>What each element of a list costs that is sorted.</summary>
    const double OfSorting = 10;

    /// <summary>What is assumed of a text or list of any number of rows.</summary>
    const double OfRows = 1_000;

    static readonly FrozenSet<string> _folds = Set("list_reduce array_reduce reduce");

    static readonly FrozenSet<string> _collecting = Set("list array_agg string_agg group_concat listagg histogram map_from_entries json_group_array json_group_object json_group_structure");

    static readonly FrozenSet<string> _replacing = Set("replace replaceall regexp_replace");

    static readonly FrozenSet<string> _joining = Set("|| concat concat_ws list_concat list_cat array_concat array_cat list_append list_prepend array_append array_prepend array_push_back array_push_front list_value list_pack struct_pack row map struct_concat map_concat");

    // each call writes one character as two or more
    static readonly FrozenSet<string> _doubling = Set("hex to_hex bin to_binary encode blob to_base64 base64 json json_quote to_json row_to_json array_to_json json_array json_object json_merge_patch url_encode");

    // the work is the product of two lengths
    static readonly FrozenSet<string> _quadratic = Set("levenshtein editdist3 damerau_levenshtein jaccard jaro_similarity jaro_winkler_similarity");

    // after each match the rest of the text is searched again
    static readonly FrozenSet<string> _searching = Set("regexp_extract_all regexp_split_to_array regexp_split_to_table string_split_regex str_split_regex");

    // each element is compared with many others, and the list is copied
    static readonly FrozenSet<string> _sorting = Set("list_sort array_sort list_reverse_sort array_reverse_sort list_grade_up array_grade_up grade_up list_distinct array_distinct list_unique array_unique");

    // a text falls into pieces
    static readonly FrozenSet<string> _splitting = Set("split str_split string_split stringsplit string_to_array regexp_extract_all regexp_split_to_array string_split_regex str_split_regex from_json from_json_strict json_transform json_transform_strict json_extract json_extract_path json_extract_string json_extract_path_text json_keys -> ->>");

    // each argument is an element
    static readonly FrozenSet<string> _listing = Set("list_value list_pack map");

    static readonly FrozenSet<string> _nested = Set("LIST ARRAY MAP STRUCT UNION VARIANT");

    static readonly FrozenSet<string> _patterns = Set("~~ !~~ ~~* !~~* ~~~ like_escape not_like_escape ilike_escape not_ilike_escape");

    static readonly FrozenSet<string> _arithmetic = Set("+ - * / // % ** ^ & | << >> greatest least abs sign round floor ceil ceiling sqrt pow power ln log exp coalesce ifnull nullif");

    double _log;
    double _bytesLog; // of the factors alone
    double _longestText = OfValue;
    double _piecesLog; // a text falls into pieces once
    int _lambdas;
    int _folded;

    /// <summary>Holds what a call adds.</summary>
    /// <exception cref="QueryException">With it, a value could become too large, or take too long.</exception>
    internal void Add(JsonElement call, string name, int? location)
    {
        if (_folded > 0 && !_arithmetic.Contains(name))
            throw new QueryException($"function '{name}' is not allowed in a fold over a list: only arithmetic is", location);
        if (Text(call, "class") == "WINDOW" && _collecting.Contains(name))
            throw new QueryException($"'{name}' is not allowed as a window function: it makes a value of all rows for each row", location);
        if (_patterns.Contains(name))
            CheckPattern(call, name, location);
        if (_splitting.Contains(name)) Split(OfPieces, location);
        MultiplyBytes(BytesFactorOf(call, name), location);
        Multiply(FactorOf(call, name), location);
    }

    /// <summary>Holds a text of the statement itself.</summary>
    internal void AddText(int length, int? location)
    {
        _longestText = Math.Max(_longestText, length);
        MultiplyBytes(1, location);
    }

    /// <summary>Holds a cast: of a text to a list it makes an element of two characters.</summary>
    internal void AddCast(JsonElement type, int? location)
    {
        if (_nested.Contains(Text(type, "id") ?? "")) Split(OfElement / 2, location);
    }

    /// <summary>Runs a walk over the parts of a set operation, one by one.</summary>
    internal void AddLargest(IEnumerable<Action> parts)
    {
        var (before, largest) = (_log, _log);
        var (bytesBefore, bytesLargest) = (_bytesLog, _bytesLog);
        foreach (var part in parts)
        {
            (_log, _bytesLog) = (before, bytesBefore);
            part();
            (largest, bytesLargest) = (Math.Max(largest, _log), Math.Max(bytesLargest, _bytesLog));
        }
        (_log, _bytesLog) = (largest, bytesLargest);
    }

    internal void EnterLambda(bool isFold)
    {
        _lambdas++;
        _folded += isFold ? 1 : 0;
    }

    internal void LeaveLambda(bool isFold)
    {
        _lambdas--;
        _folded -= isFold ? 1 : 0;
    }

    internal static bool IsFold(string? name) => name is not null && _folds.Contains(name);

    /// <summary>Texts or lists joined in one SELECT add up; those joined in another multiply them.</summary>
    /// <param name="elements">Of lists that the statement spells out.</param>
    internal void AddJoined(int parts, int elements, int? location)
    {
        MultiplyBytes(Math.Max(1, elements * OfElement / OfValue), location);
        MultiplyBytes(1 + parts, location);
        Multiply(1 + parts, location);
    }

    internal static int ListedElements(JsonElement call, string name) => _listing.Contains(name) ? call.GetProperty("children").GetArrayLength() : 0;

    internal static int JoinedParts(JsonElement call, string name) => !_joining.Contains(name) ? 0
        : call.GetProperty("children").EnumerateArray().Count(argument => Text(argument, "class") != "CONSTANT");

    double FactorOf(JsonElement call, string name)
    {
        var arguments = call.GetProperty("children");
        if (_replacing.Contains(name))
            return Replacement(arguments, isPattern: name.StartsWith("regexp", StringComparison.OrdinalIgnoreCase));
        if (AllowedFunctions.FindSizeArgument(name) is { } size)
            return SizeOf(arguments, size.Index);
        if (name.Equals("replicate", StringComparison.OrdinalIgnoreCase) || name.Equals("space", StringComparison.OrdinalIgnoreCase))
            return SizeOf(arguments, 1);
        if (AllowedFunctions.TakesFormat(name))
            return arguments.EnumerateArray().FirstOrDefault() is { ValueKind: JsonValueKind.Object } format ? LargestNumber(Constant(format) ?? "") : 1;
        if (_collecting.Contains(name) || _quadratic.Contains(name) || _searching.Contains(name))
            return OfRows;
        if (_doubling.Contains(name))
            return 2;
        var takesLambda = arguments.EnumerateArray().Any(argument => Text(argument, "class") == "LAMBDA");
        if (takesLambda || (_lambdas > 0 && IsOverList(name)))
            return OfList;
        return _sorting.Contains(name) ? OfSorting : 1;
    }

    /// <summary>How many times more bytes than <see cref="OfValue"/> the result has.</summary>
    static double BytesFactorOf(JsonElement call, string name)
    {
        var arguments = call.GetProperty("children");
        if (_replacing.Contains(name))
            return Replacement(arguments, isPattern: name.StartsWith("regexp", StringComparison.OrdinalIgnoreCase));
        if (AllowedFunctions.FindSizeArgument(name) is { } size)
            return Copies(SizeOf(arguments, size.Index), size.BytesEach ?? LengthOf(arguments));
        if (name.Equals("replicate", StringComparison.OrdinalIgnoreCase))
            return Copies(SizeOf(arguments, 1), LengthOf(arguments));
        if (name.Equals("space", StringComparison.OrdinalIgnoreCase))
            return Copies(SizeOf(arguments, 1), bytesEach: 1);
        if (AllowedFunctions.TakesFormat(name))
            return arguments.GetArrayLength() == 0 ? 1 : Copies(LargestNumber(Constant(arguments[0]) ?? ""), bytesEach: 1);
        return _doubling.Contains(name) ? 2 : 1;
    }

    static double Copies(double count, double bytesEach) => Math.Max(1, count * bytesEach / OfValue);

    /// <summary>Of the first argument; that of a text longer than a value counts by itself.</summary>
    static double LengthOf(JsonElement arguments) =>
        arguments.GetArrayLength() > 0 && Constant(arguments[0]) is { } text ? Math.Min(text.Length, OfValue) : OfValue;

    static bool IsOverList(string name) =>
        name.StartsWith("list_", StringComparison.OrdinalIgnoreCase) || name.StartsWith("array_", StringComparison.OrdinalIgnoreCase)
        || name.StartsWith("regexp_", StringComparison.OrdinalIgnoreCase) || name.StartsWith("set", StringComparison.OrdinalIgnoreCase)
        || name.Contains("split", StringComparison.OrdinalIgnoreCase) || name is "contains" or "instr" or "strpos" or "position" or "rangeq" or "flatten" or "sha256" or "md5";

    static double SizeOf(JsonElement arguments, int index)
    {
        if (arguments.GetArrayLength() == 0)
            return 1;
        return double.TryParse(Constant(arguments[Math.Min(index, arguments.GetArrayLength() - 1)]), out var size) ? Math.Max(1, size) : 10_000;
    }

    /// <summary>Widths of up to four digits are the largest that <see cref="AllowedFunctions.IsSmallFormat"/> lets through.</summary>
    static double LargestNumber(string format)
    {
        var (largest, number) = (1, 0);
        foreach (var c in format)
        {
            number = char.IsAsciiDigit(c) ? Math.Min(10_000, number * 10 + (c - '0')) : 0;
            largest = Math.Max(largest, number);
        }
        return largest;
    }

    static double Replacement(JsonElement arguments, bool isPattern)
    {
        if (arguments.GetArrayLength() < 3)
            return 1;
        if (Constant(arguments[2]) is not { } with)
            return OfRows;
        var replaced = isPattern ? 1 : Math.Max(1, Constant(arguments[1])?.Length ?? 1);
        return Math.Max(1, (with.Length + (isPattern ? 1 : 0)) / (double)replaced);
    }

    /// <summary>DuckDB tries every place for every wildcard, but for constant patterns that hold none but %.</summary>
    static void CheckPattern(JsonElement call, string name, int? location)
    {
        var arguments = call.GetProperty("children");
        if (arguments.GetArrayLength() < 2 || Constant(arguments[1]) is not { } pattern)
            throw new QueryException("the pattern of LIKE must be a text", location);
        var wildcards = pattern.Count(c => c is '%' or '*');
        if (wildcards > 3 && (name is not ("~~" or "!~~") || pattern.AsSpan().ContainsAny('_', '\\')))
            throw new QueryException("a pattern may have at most 3 wildcards for any text, unless it is one of LIKE without '_'", location);
    }

    void Multiply(double factor, int? location)
    {
        _log += Math.Log(factor);
        if (_log > Math.Log(Most) + 0.001) throw TooLarge(location);
    }

    void Split(double factor, int? location)
    {
        _piecesLog = Math.Max(_piecesLog, Math.Log(factor));
        MultiplyBytes(1, location);
    }

    /// <summary>A long text of the statement is no harm where nothing makes it longer.</summary>
    void MultiplyBytes(double factor, int? location)
    {
        _bytesLog += Math.Log(factor);
        var growth = _bytesLog + _piecesLog;
        if (growth > 0 && growth + Math.Log(_longestText) > Math.Log(MostBytes) + 0.001) throw TooLarge(location);
    }

    static QueryException TooLarge(int? location) => new("the query could make a value too large, or go over one too often; split it, or use rows instead of lists and texts", location);

    /// <summary>The text or number of a constant; <c>null</c>: it is none.</summary>
    static string? Constant(JsonElement argument)
    {
        if (Text(argument, "class") == "CAST" && argument.TryGetProperty("child", out var child))
            return Constant(child);
        if (Text(argument, "class") != "CONSTANT" || !argument.GetProperty("value").TryGetProperty("value", out var value))
            return null;
        return value.ValueKind is JsonValueKind.String or JsonValueKind.Number ? value.ToString() : null;
    }

    static string? Text(JsonElement element, string member) =>
        element.TryGetProperty(member, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    static FrozenSet<string> Set(string names) => names.Split(' ').ToFrozenSet(StringComparer.OrdinalIgnoreCase);
}
