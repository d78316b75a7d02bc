using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Sluice.Schema;

namespace Sluice.Records;

/// <summary>A mapped column, ready for decoding.</summary>
/// <param name="Index">Place of its buffer; -1 for the record time, which is no column.</param>
sealed record MappedField(int Index, string Column, string Pointer, ColumnType Type, bool IsKey, TimeUnit? Unit, long EpochSeconds, bool RejectTruncation)
{
    /// <summary>The name of the type in errors.</summary>
    public string Expected { get; } = IsKey ? (Type.Kind == ColumnKind.Id ? "id" : "string of 1 to 1024 bytes") : Describe(Type);

    static string Describe(ColumnType type) => type.Kind == ColumnKind.Int && (type.Min != long.MinValue || type.Max != long.MaxValue)
        ? FormattableString.Invariant($"int from {type.Min} to {type.Max}")
        : type.ToString();
}

/// <summary>
/// The paths of a mapping as a tree: one node a step, so that a record is walked once, in its own order, and everything that no
/// path names is skipped. Immutable.
/// </summary>
sealed class MappingNode
{
    public int Id { get; private set; }

    /// <summary>The columns whose path ends here.</summary>
    public ImmutableArray<MappedField> Fields { get; private set; } = [];

    /// <summary>The nodes below, by member name.</summary>
    public ImmutableArray<MappingNode> Members { get; private set; } = [];

    /// <summary>The nodes below, by array index, ascending.</summary>
    public ImmutableArray<MappingNode> Elements { get; private set; } = [];

    /// <summary>All columns here and below.</summary>
    public ImmutableArray<MappedField> AllFields { get; private set; } = [];

    /// <summary>The column here when there is one and nothing below: nearly every node.</summary>
    public MappedField? OnlyField { get; private set; }

    public int ElementIndex { get; private init; }

    /// <summary>The members below that no path names, as far as they are known.</summary>
    public UnknownLevel Unknown { get; private init; } = new([]);

    /// <summary>Of a member, UTF-8.</summary>
    public byte[] Name { get; private init; } = [];

    public static MappingNode Build(IEnumerable<(ImmutableArray<PathStep> Path, MappedField Field)> mapping, out int nodeCount)
    {
        nodeCount = 0;
        return Build(default, mapping.ToList(), 0, [], ref nodeCount);
    }

    /// <summary>Makes members known that no path names; those that a path does name are left out.</summary>
    /// <param name="path">Member names.</param>
    /// <param name="index">Where its counts are.</param>
    public void AddUnknown(IReadOnlyList<string> path, int index)
    {
        var node = this;
        for (var depth = 0; depth < path.Count; depth++)
        {
            var name = path[depth];
            var below = node.Members.FirstOrDefault(member => Encoding.UTF8.GetString(member.Name) == name)
                ?? node.Elements.FirstOrDefault(element => element.ElementIndex.ToString(CultureInfo.InvariantCulture) == name);
            if (below is not null)
            {
                node = below;
                continue;
            }
            if (depth == 0 || !node.Members.IsEmpty) node.Unknown.Add(path, depth, index);
            return;
        }
    }

    /// <summary>The node below for a member name. <paramref name="expected"/> is where it is looked for first: records repeat their order.</summary>
    public MappingNode? FindMember(ref Utf8JsonReader reader, RecordRows scratch, ref int expected)
    {
        if (!reader.ValueIsEscaped) return FindMember(reader.ValueSpan, ref expected);
        return JsonText.TryRead(ref reader, scratch, out var name) == TextResult.Ok ? FindMember(name, ref expected) : null; // no mapped name is such text
    }

    MappingNode? FindMember(ReadOnlySpan<byte> name, ref int expected)
    {
        var members = Members;
        for (var i = 0; i < members.Length; i++)
        {
            if (expected >= members.Length) expected = 0;
            var member = members[expected++];
            if (name.SequenceEqual(member.Name)) return member;
        }
        return null;
    }

    static MappingNode Build(PathStep step, List<(ImmutableArray<PathStep> Path, MappedField Field)> mapping, int depth, IReadOnlyList<string> above, ref int nodeCount)
    {
        var node = new MappingNode
        {
            Name = step.Name is null ? [] : Encoding.UTF8.GetBytes(step.Name),
            ElementIndex = step.Index,
            Id = nodeCount++,
            Unknown = new UnknownLevel(above),
        };
        node.Fields = [.. mapping.Where(entry => entry.Path.Length == depth).Select(entry => entry.Field)];
        node.AllFields = [.. mapping.Select(entry => entry.Field)];
        node.OnlyField = node.Fields.Length == 1 && node.AllFields.Length == 1 ? node.Fields[0] : null;
        var below = ImmutableArray.CreateBuilder<(PathStep Step, MappingNode Node)>();
        foreach (var group in mapping.Where(entry => entry.Path.Length > depth).GroupBy(entry => entry.Path[depth]))
            below.Add((group.Key, Build(group.Key, group.ToList(), depth + 1, [.. above, group.Key.Name ?? group.Key.ToString()], ref nodeCount)));
        node.Members = [.. below.Where(child => child.Step.Name is not null).Select(child => child.Node)];
        node.Elements = [.. below.Where(child => child.Step.Name is null).OrderBy(child => child.Step.Index).Select(child => child.Node)];
        return node;
    }
}
