using System.Globalization;
using System.Text;
using System.Text.Json;
using Sluice.Client;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.ControlPlane;

/// <summary>What samples may ask for: names and paths have limits, and memory follows the size of the samples.</summary>
public sealed class SchemaInferenceTests
{
    const long Megabyte = 1 << 20;

    [Fact]
    public void Paths_stand_in_the_order_they_come_also_where_objects_and_values_come_by_turns()
    {
        var proposal = Propose("""[{"a":1,"b":{"c":2,"d":{"e":3}},"f":{}},{"a":2,"b":5,"b/c":4,"f":{"g":6}}]""");
        Assert.Equal("a", NameOf(proposal.Key!));
        Assert.Equal(["b c", "b d e", "f", "b", "b/c", "f g"], proposal.Columns.Select(column => NameOf(column.Path)));
    }

    [Fact]
    public void What_is_empty_in_a_sample_is_no_key() =>
        Assert.Equal("name", NameOf(Propose("""[{"id":"","name":"a"},{"id":"b","name":"c"}]""").Key!));

    [Theory]
    [InlineData("x", 256, true)]
    [InlineData("x", 257, false)]
    [InlineData("\u00fc", 128, true)]
    [InlineData("\u00fc", 129, false)]
    [InlineData("\\u0061", 256, true)]
    [InlineData("\\u0061", 257, false)]
    public void A_name_has_256_bytes_at_most(string character, int length, bool isTaken)
    {
        var samples = $$$"""{"id":1,"above":{"{{{Repeat(character, length)}}}":2}}""";
        if (isTaken) Assert.Single(Propose(samples).Columns);
        else AssertRefused("longer than 256 bytes", samples);
    }

    [Fact]
    public void There_are_5000_paths_at_most_and_objects_count()
    {
        Assert.Equal(1_000, Propose(Members(0, 5_000)).Columns.Count);
        AssertRefused("more than 5000 different paths", Members(0, 5_001));
        AssertRefused("more than 5000 different paths", $"[{Members(0, 3_000)},{Members(2_000, 3_001)}]");
        Assert.Equal(1_000, Propose($$"""[{"o":{{Members(0, 4_999)}}},{"o":{{Members(0, 4_999)}}}]""").Columns.Count);
        AssertRefused("more than 5000 different paths", $$"""{"o":{{Members(0, 5_000)}}}""");
    }

    /// <summary>Each member below a long name would have a path as long as the name.</summary>
    [Fact]
    public void A_long_name_with_many_members_is_refused_before_paths_are_made()
    {
        var samples = Read($$"""{"{{Repeat("x", 100_000)}}":{{Members(0, 1_000)}}}""");
        Assert.InRange(AllocatedBy(() => Assert.Throws<SluiceException>(() => SchemaInference.Propose(samples))), 0, Megabyte);
    }

    [Fact]
    public void Values_deep_below_long_names_cost_no_path_each()
    {
        var (open, close) = (Repeat($$"""{"{{Repeat("x", 256)}}":""", 60), Repeat("}", 60));
        var values = string.Join(',', Enumerable.Repeat("\"a\":true", 10_000)); // a name may come again
        var samples = Read($$"""{{open}}{{{values}}}{{close}}""");
        Assert.InRange(AllocatedBy(() => SchemaInference.Propose(samples)), 0, 8 * Megabyte);
    }

    static long AllocatedBy(Action action)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        action();
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    static void AssertRefused(string why, string samples)
    {
        var refused = Assert.Throws<SluiceException>(() => Propose(samples));
        Assert.Equal(ErrorCode.InvalidParameter, refused.Code);
        Assert.Contains(why, refused.Message, StringComparison.Ordinal);
    }

    static SchemaProposal Propose(string samples) => SchemaInference.Propose(Read(samples));

    static IReadOnlyList<JsonElement> Read(string samples) => SampleBody.Read(Encoding.UTF8.GetBytes(samples), 10_000);

    static string Members(int first, int count) =>
        "{" + string.Join(',', Enumerable.Range(first, count).Select(i => string.Create(CultureInfo.InvariantCulture, $"\"m{i}\":true"))) + "}";

    static string NameOf(IReadOnlyList<WirePathStep> path) => string.Join(' ', path.Select(step => step.Name));

    static string Repeat(string text, int count) => string.Concat(Enumerable.Repeat(text, count));
}
