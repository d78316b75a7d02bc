using System.Text;

namespace Sluice.Records;

/// <summary>The members of one object that no path of the mapping names, as far as they were seen before. Immutable once its tree is built.</summary>
/// <param name="path">Member names that lead to the object.</param>
sealed class UnknownLevel(IReadOnlyList<string> path)
{
    readonly List<UnknownMember> _members = [];

    public IReadOnlyList<string> Path { get; } = path;

    public int Count => _members.Count;

    /// <summary>The member of that name, as it stands in JSON. <paramref name="expected"/> is where it is looked for first: records repeat their order.</summary>
    public UnknownMember? Find(ReadOnlySpan<byte> name, ref int expected)
    {
        for (var i = 0; i < _members.Count; i++)
        {
            if (expected >= _members.Count) expected = 0;
            var member = _members[expected++];
            if (name.SequenceEqual(member.Name)) return member;
        }
        return null;
    }

    /// <summary>Adds a path that was seen, from step <paramref name="depth"/> on.</summary>
    /// <param name="index">Where its counts are.</param>
    public void Add(IReadOnlyList<string> steps, int depth, int index)
    {
        var name = steps[depth];
        var member = _members.Find(other => other.Text == name);
        if (member is null) _members.Add(member = new UnknownMember(name, new UnknownLevel([.. Path, name])));
        if (depth + 1 < steps.Count) member.Below.Add(steps, depth + 1, index);
        else member.Index = index;
    }
}

/// <summary>A member that no path names.</summary>
sealed class UnknownMember(string text, UnknownLevel below)
{
    public string Text { get; } = text;

    public byte[] Name { get; } = Encoding.UTF8.GetBytes(text);

    /// <summary>Where its counts are; -1: it was seen as an object with members only.</summary>
    public int Index { get; set; } = -1;

    public UnknownLevel Below { get; } = below;
}
