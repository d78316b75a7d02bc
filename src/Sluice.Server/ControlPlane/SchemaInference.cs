using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Sluice.Client;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Watch;

namespace Sluice.Server;

/// <summary>One column that samples suggest.</summary>
/// <param name="Type"><c>null</c>: left out, <paramref name="Reason"/> says why.</param>
/// <param name="Config">For the sink's entry; <c>null</c>: none.</param>
sealed record ProposedColumn(string Name, IReadOnlyList<WirePathStep> Path, ColumnType? Type, JsonElement? Config, string Reason);

/// <summary>A table and a sink that fit samples.</summary>
/// <param name="Key">Path of <c>_id</c>; <c>null</c>: the server makes the ids.</param>
/// <param name="KeyReason">Why that key.</param>
sealed record SchemaProposal(IReadOnlyList<WirePathStep>? Key, KeyKind KeyKind, string KeyReason, IReadOnlyList<ProposedColumn> Columns, int Samples)
{
    /// <summary>The columns that are proposed.</summary>
    public IEnumerable<ProposedColumn> Chosen => Columns.Where(column => column.Type is not null);
}

/// <summary>Proposes the columns of a table, and where they stand in a record, from samples of records.</summary>
static class SchemaInference
{
    // as deep as a path may be
    const int MaxDepth = 63;
    const int MaxNameBytes = 256; // as much as is counted of what a mapping does not name
    const int MaxPaths = 5_000;
    const int MaxColumns = 1_000;
    const int MaxSetMembersPerSample = 1_000;
    const int MaxVectorLength = 4_096;

    static readonly string[] s_keyNames = ["_id", "id", "key", "uuid", "guid"];
    static readonly string[] s_timeNames = ["time", "timestamp", "date", "created", "updated", "at", "ts"];

    // the years 2000 to 2100, in milliseconds: small counts are no times
    const long FirstPlausible = 946_684_800_000;
    const long LastPlausible = 4_102_444_800_000;

    /// <param name="samples">JSON objects, at least one.</param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: a name is too long, or there are too many paths.</exception>
    public static SchemaProposal Propose(IReadOnlyList<JsonElement> samples)
    {
        var paths = new SampledPaths().Find(samples);
        var key = FindKey(paths, samples.Count);
        var names = new HashSet<string>(StringComparer.Ordinal);
        var columns = paths.Where(path => path != key).Take(MaxColumns).Select(path => Propose(path, names)).ToList();
        return key is null
            ? new SchemaProposal(null, KeyKind.Number, "no path has a different value in every sample, so the server makes the ids", columns, samples.Count)
            : new SchemaProposal(
                Steps(key), key.Texts > 0 ? KeyKind.String : KeyKind.Number, $"{Pointer(key)} has a different {(key.Texts > 0 ? "text" : "number")} in each of {samples.Count} samples",
                columns, samples.Count);
    }

    /// <summary>The column for a path that records have and a mapping does not name: by the kinds that came, and by the first value where that says more.</summary>
    public static ProposedColumn Propose(DriftPath drift, HashSet<string> taken)
    {
        var path = new PathSamples(drift.Path);
        var kinds = drift.Kinds.Keys.Where(kind => kind != DriftKind.Null).ToHashSet();
        if (kinds.Count == 1 && TryParse(drift.Example) is { } example)
        {
            path.Add(example);
            return Propose(path, taken);
        }
        var (type, reason) = kinds.Count == 0 ? (null, "only null came")
            : kinds.IsSubsetOf([DriftKind.Integer, DriftKind.Fraction]) ? (ColumnType.Decimal(2), "numbers, some with a fraction")
            : kinds.Contains(DriftKind.Array) || kinds.Contains(DriftKind.Object) ? (null, "objects, arrays and other values came by turns")
            : (ColumnType.String, kinds.Count == 1 ? "texts" : "values of several kinds came, which a text can hold");
        return new ProposedColumn(type is null ? "" : NameOf(path, taken), Steps(path), type, null, reason);
    }

    static JsonElement? TryParse(string example)
    {
        try
        {
            return example.Length == 0 ? null : JsonElement.Parse(example);
        }
        catch (JsonException)
        {
            return null; // cut in the middle of an escape
        }
    }

    static ProposedColumn Propose(PathSamples path, HashSet<string> taken)
    {
        var (type, config, reason) = TypeOf(path);
        return new ProposedColumn(type is null ? "" : NameOf(path, taken), Steps(path), type, config, reason);
    }

    static PathSamples? FindKey(IEnumerable<PathSamples> paths, int samples)
    {
        var unique = paths.Where(path => path.Values == samples && path.IsUnique
            && ((path.Integers == samples && path.Min >= 0) || (path.Texts == samples && !path.HasEmptyText && path.LongestText <= TableSchema.MaxKeyBytes / 4 && path.Times == 0))).ToList();
        return unique.Where(path => KeyRank(path) < int.MaxValue).OrderBy(KeyRank).FirstOrDefault()
            ?? (samples < 2 ? null : unique.FirstOrDefault(path => path.Path.Count == 1 && !LooksLikeTime(path)));
    }

    static int KeyRank(PathSamples path)
    {
        var name = path.Path[^1].ToLowerInvariant();
        var rank = Array.IndexOf(s_keyNames, name);
        if (rank < 0 && name.EndsWith("id", StringComparison.Ordinal)) rank = s_keyNames.Length;
        return rank < 0 ? int.MaxValue : rank + (path.Path.Count - 1) * 100;
    }

    static (ColumnType? Type, JsonElement? Config, string Reason) TypeOf(PathSamples path)
    {
        var numbers = path.Integers + path.Fractions + path.OtherNumbers;
        if (path.Values == 0) return (null, null, "only null came");
        if (path.Arrays == path.Values) return TypeOfArrays(path);
        if (path.EmptyObjects > 0 || path.Arrays > 0) return (null, null, "objects, arrays and other values came by turns");
        if (path.Bools == path.Values) return (ColumnType.Bool, null, Seen(path, "true or false"));
        if (path.Integers == path.Values) return TypeOfIntegers(path);
        if (numbers == path.Values && path.OtherNumbers == 0) return TypeOfFractions(path, "numbers");
        if (path.Times == path.Values) return (ColumnType.Timestamp(UnitOf(path.TimeDigits)), null, Seen(path, "times"));
        if (path.NumberTexts == path.Values) return TypeOfFractions(path, "numbers in quotes");
        if (path.Texts == path.Values) return (ColumnType.String, null, Seen(path, "texts"));
        return (ColumnType.String, null, path.OtherNumbers > 0 ? "numbers came that only a text keeps whole" : "values of several kinds came, which a text can hold");
    }

    static (ColumnType?, JsonElement?, string) TypeOfIntegers(PathSamples path) => LooksLikeTime(path)
        ? (ColumnType.Timestamp(TimeUnit.Millisecond), JsonElement.Parse("""{"Unit":"ms"}"""), "whole numbers that are milliseconds since 1970, by their name and size")
        : (ColumnType.Int, null, Seen(path, string.Create(CultureInfo.InvariantCulture, $"whole numbers from {path.Min} to {path.Max}")));

    static (ColumnType?, JsonElement?, string) TypeOfFractions(PathSamples path, string what)
    {
        var scale = Math.Min(path.Scale, ColumnType.MaxDecimalScale - path.WholeDigits);
        return scale < path.Scale
            ? (ColumnType.String, null, $"{what} with too many digits for a decimal")
            : (ColumnType.Decimal(scale), null, Seen(path, string.Create(CultureInfo.InvariantCulture, $"{what} with up to {scale} digits after the point")));
    }

    static (ColumnType?, JsonElement?, string) TypeOfArrays(PathSamples path)
    {
        var members = path.TextMembers + path.IdMembers + path.NumberMembers + path.OtherMembers;
        if (path.OtherMembers > 0) return (null, null, "arrays of objects, arrays or nulls: map their elements by index");
        if (members == 0) return (null, null, "only empty arrays came");
        if (path.TextMembers == members)
            return (ColumnType.StringSet, null, string.Create(CultureInfo.InvariantCulture, $"arrays of texts, {path.DistinctMembers} different ones"));
        if (path.TextMembers > 0) return (null, null, "arrays of texts and numbers");
        if (path.ArrayLength is > 1 and <= MaxVectorLength and var length && path.NumberMembers > 0)
            return (ColumnType.Vector(length), null, string.Create(CultureInfo.InvariantCulture, $"arrays of {length} numbers each"));
        if (path.NumberMembers == 0 && members <= MaxSetMembersPerSample * path.Arrays)
            return (ColumnType.IdSet, null, string.Create(CultureInfo.InvariantCulture, $"arrays of whole numbers from 0, {path.DistinctMembers} different ones"));
        return (null, null, "arrays of numbers of different lengths");
    }

    static bool LooksLikeTime(PathSamples path)
    {
        var name = path.Path[^1].ToLowerInvariant();
        var isNamed = s_timeNames.Any(time => name == time || name.EndsWith("_" + time, StringComparison.Ordinal)) || path.Path[^1].EndsWith("At", StringComparison.Ordinal)
            || name.EndsWith("time", StringComparison.Ordinal);
        return isNamed && path.Integers == path.Values && path.Min >= FirstPlausible && path.Max < LastPlausible;
    }

    static TimeUnit UnitOf(int digits) => digits switch
    {
        0 => TimeUnit.Second,
        <= 3 => TimeUnit.Millisecond,
        <= 6 => TimeUnit.Microsecond,
        _ => TimeUnit.Nanosecond,
    };

    /// <summary>The path as a column name: its steps joined, in the characters a name may have, and not taken yet.</summary>
    static string NameOf(PathSamples path, HashSet<string> taken)
    {
        var joined = string.Join('_', path.Path.Select(Words)).Trim('_');
        var name = joined.Length == 0 || joined[0] is < 'a' or > 'z' ? "c_" + joined : joined;
        name = name.Length > ResourceNames.MaxNameLength - 8 ? name[..(ResourceNames.MaxNameLength - 8)] : name;
        for (var n = 2; !taken.Add(name); n++)
            name = string.Create(CultureInfo.InvariantCulture, $"{(n == 2 ? name : name[..name.LastIndexOf('_')])}_{n}");
        return name;
    }

    /// <summary>A member's name in lower case: <c>sepalLength</c> becomes <c>sepal_length</c>.</summary>
    static string Words(string name)
    {
        var words = new StringBuilder();
        for (var i = 0; i < name.Length; i++)
        {
            var letter = name[i];
            if (char.IsAsciiLetterUpper(letter) && i > 0 && char.IsAsciiLetterLower(name[i - 1])) words.Append('_');
            words.Append(char.IsAsciiLetterOrDigit(letter) ? char.ToLowerInvariant(letter) : '_');
        }
        return words.ToString();
    }

    static IReadOnlyList<WirePathStep> Steps(PathSamples path) => [.. path.Path.Select(name => (WirePathStep)name)];

    static string Pointer(PathSamples path) => string.Concat(path.Path.Select(name => "/" + PathStep.Member(name)));

    static string Seen(PathSamples path, string what) => string.Create(CultureInfo.InvariantCulture, $"{what} in {path.Values} samples{(path.Nulls > 0 ? $", null in {path.Nulls}" : "")}");

    /// <summary>Finds the paths of samples, in the order they come. A tree: whole paths as keys would be made anew for every value, each as long as all its names.</summary>
    sealed class SampledPaths
    {
        readonly List<PathSamples> _paths = [];
        int _members; // of the whole tree

        public List<PathSamples> Find(IReadOnlyList<JsonElement> samples)
        {
            var root = new Member("", null);
            foreach (var sample in samples) Add(sample, root);
            return _paths;
        }

        void Add(JsonElement value, Member member)
        {
            if (value.ValueKind == JsonValueKind.Object && member.Depth < MaxDepth && (member.Depth == 0 || value.EnumerateObject().Any()))
            {
                foreach (var below in value.EnumerateObject()) Add(below.Value, FindBelow(member, below));
                return;
            }
            if (member.Samples is null) _paths.Add(member.Samples = new PathSamples(member.ToPath()));
            member.Samples.Add(value);
        }

        Member FindBelow(Member member, JsonProperty property)
        {
            // as it stands in the body: an escape takes up to six bytes for one
            if (JsonMarshal.GetRawUtf8PropertyName(property).Length > 6 * MaxNameBytes) throw TooLong();
            var name = property.Name;
            if (Encoding.UTF8.GetByteCount(name) > MaxNameBytes) throw TooLong();
            if (member.Below.TryGetValue(name, out var below)) return below;
            if (++_members > MaxPaths)
                throw new SluiceException(ErrorCode.InvalidParameter, $"The samples have more than {MaxPaths} different paths, those of objects counted.");
            member.Below.Add(name, below = new Member(name, member));
            return below;
        }

        static SluiceException TooLong() => new(ErrorCode.InvalidParameter, $"The samples have a member whose name is longer than {MaxNameBytes} bytes.");
    }

    /// <summary>A member that samples have.</summary>
    /// <param name="above"><c>null</c>: the sample itself.</param>
    sealed class Member(string name, Member? above)
    {
        public int Depth { get; } = above is null ? 0 : above.Depth + 1;

        public Dictionary<string, Member> Below { get; } = new(StringComparer.Ordinal);

        /// <summary>What stands there; <c>null</c>: only objects with members so far.</summary>
        public PathSamples? Samples { get; set; }

        public string[] ToPath()
        {
            var path = new string[Depth];
            for (var member = this; member.Above is not null; member = member.Above) path[member.Depth - 1] = member.Name;
            return path;
        }

        string Name { get; } = name;

        Member? Above { get; } = above;
    }
}
