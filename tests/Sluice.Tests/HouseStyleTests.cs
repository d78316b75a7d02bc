using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Sluice.Load;
using Sluice.Log;
using Sluice.Records;

namespace Sluice.Tests;

/// <summary>Rules of the house that no compiler knows (CONTRIBUTING.md).</summary>
public sealed partial class HouseStyleTests
{
    static readonly string Root = FindRoot();

    [Theory]
    [InlineData("Sluice.Engine", "")]
    [InlineData("Sluice.Client", "")]
    [InlineData("Sluice.Cli", "Sluice.Client")]
    [InlineData("Sluice.Stores", "Sluice.Engine")]
    [InlineData("Sluice.Server", "Sluice.Client Sluice.Engine Sluice.Stores")]
    public void Projects_reference_what_the_architecture_draws_and_no_more(string project, string references) =>
        Assert.Equal(references, string.Join(' ', References(project, "ProjectReference").Select(Path.GetFileNameWithoutExtension).Order()));

    [Theory]
    [InlineData("Sluice.Engine")]
    [InlineData("Sluice.Client")]
    [InlineData("Sluice.Cli")]
    [InlineData("Sluice.Server")]
    public void Database_drivers_live_in_the_stores_alone(string project) =>
        Assert.DoesNotContain(References(project, "PackageReference"), package => package!.StartsWith("DuckDB", StringComparison.Ordinal) || package.StartsWith("Npgsql", StringComparison.Ordinal));

    [Fact]
    public void The_engine_knows_neither_http_nor_a_container_nor_a_driver()
    {
        string[] allowed = ["Microsoft.Extensions.Logging.Abstractions", "Microsoft.Extensions.Diagnostics.Abstractions", "Microsoft.Win32.Primitives"];
        Assert.All(typeof(TableLog).Assembly.GetReferencedAssemblies(), reference => Assert.True(
            allowed.Contains(reference.Name) || (reference.Name!.StartsWith("System.", StringComparison.Ordinal) && !reference.Name.StartsWith("System.Net", StringComparison.Ordinal)
                && !reference.Name.StartsWith("System.Data", StringComparison.Ordinal)),
            $"the engine references {reference.Name}"));
    }

    [Fact]
    public void The_client_references_nothing_but_the_framework() =>
        Assert.All(Assembly.Load("Sluice.Client").GetReferencedAssemblies(), reference => Assert.StartsWith("System", reference.Name, StringComparison.Ordinal));

    [Fact]
    public void No_type_has_a_name_that_says_nothing()
    {
        var vague = Declarations().Where(type => VagueName().IsMatch(type.Name)).Select(type => $"{type.Path}: {type.Name}");
        Assert.Empty(vague);
    }

    [Fact]
    public void An_interface_has_two_implementations_or_does_not_exist()
    {
        string[] allowed = ["ITableStore"]; // DuckDB and, in tests, memory; PostgreSQL and ClickHouse are next
        Assert.Equal(allowed, Declarations().Where(type => type.Kind == "interface").Select(type => type.Name));
    }

    [Fact]
    public void Every_error_code_of_a_record_is_documented_and_no_other()
    {
        var documented = DocumentedCode().Matches(File.ReadAllText(Path.Combine(Root, "docs", "errors.md"))).Select(match => match.Groups[1].Value);
        string[] ofRecords = ["InvalidBody", "BatchDiscarded", "LoadFailed"];
        Assert.Equal(Enum.GetNames<FieldErrorCode>().Concat(ofRecords).Concat(Enum.GetNames<LateErrorCode>()).Order(), documented.Order());
    }

    [Fact]
    public void Every_fault_test_is_in_the_matrix_of_faults()
    {
        var tests = new[] { "Sluice.IntegrationTests/Crash", "Sluice.IntegrationTests/Faults", "Sluice.Tests/Simulation" }
            .SelectMany(folder => Directory.EnumerateFiles(Path.Combine(Root, "tests", folder), "*Tests.cs")).Select(Path.GetFileNameWithoutExtension).ToList();
        Assert.True(tests.Count > 7);
        var matrix = File.ReadLines(Path.Combine(Root, "docs", "reliability.md")).Where(line => line.StartsWith('|')).ToList();
        Assert.All(tests, test => Assert.Contains(matrix, row => row.Contains($"`{test}`", StringComparison.Ordinal)));
    }

    [GeneratedRegex(@"^\| `([A-Z][A-Za-z]+)` \|", RegexOptions.Multiline)]
    private static partial Regex DocumentedCode();

    [Fact]
    public void Log_messages_have_ids_of_their_own_and_the_highest_is_told()
    {
        var classes = Sources().Select(path => (Path: path, Text: File.ReadAllText(path))).Where(file => file.Text.Contains("[LoggerMessage(", StringComparison.Ordinal)).ToList();
        Assert.NotEmpty(classes);
        foreach (var (path, text) in classes)
        {
            var ids = EventId().Matches(text).Select(match => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture)).ToList();
            Assert.Equal(text.Split("[LoggerMessage(").Length - 1, ids.Count);
            Assert.True(ids.Count == ids.Distinct().Count(), $"{path} has an id twice");
            var told = Assert.Single(HighestId().Matches(text));
            Assert.True(ids.Max() == int.Parse(told.Groups[1].Value, CultureInfo.InvariantCulture), $"{path} says '{told.Value}', but it is {ids.Max()}");
        }
    }

    [Fact]
    public void These_rules_can_be_broken()
    {
        // negative controls: the patterns see what they are to see
        Assert.Matches(VagueName(), "SinkManager");
        Assert.Matches(VagueName(), "TimeUtils");
        Assert.DoesNotMatch(VagueName(), "Database");
        Assert.DoesNotMatch(VagueName(), "Metadata");
        Assert.Equal(["A", "B", "C", "D", "IE"], Declaration().Matches("public sealed class A;\n    readonly record struct B(int X)\nenum C { }\n  static partial class D\ninterface IE").Select(match => match.Groups["name"].Value));
        Assert.True(Sources().Count > 40);
        Assert.Contains(Declarations(), type => type is { Name: "TableLog", Kind: "class" });
    }

    static List<(string Path, string Kind, string Name)> Declarations() =>
        [.. Sources().SelectMany(path => Declaration().Matches(File.ReadAllText(path)).Select(match => (Path.GetRelativePath(Root, path), match.Groups["kind"].Value, match.Groups["name"].Value)))];

    static List<string> Sources()
    {
        var source = Path.Combine(Root, "src");
        return
        [
            .. Directory.EnumerateFiles(source, "*.cs", SearchOption.AllDirectories)
                .Where(path => !path.Contains("/obj/", StringComparison.Ordinal) && !path.Contains("/bin/", StringComparison.Ordinal) && !path.Contains("/Migrations/", StringComparison.Ordinal)),
        ];
    }

    static IEnumerable<string?> References(string project, string element) =>
        XDocument.Load(Path.Combine(Root, "src", project, project + ".csproj")).Descendants(element).Select(reference => reference.Attribute("Include")?.Value.Replace('\\', '/'));

    static string FindRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Sluice.slnx"))) directory = directory.Parent!;
        return directory.FullName;
    }

    [GeneratedRegex(@"^[ ]*(?:(?:public|internal|private|protected|static|sealed|abstract|partial|readonly|ref|file|unsafe|new)\s+)*(?<kind>class|record struct|record class|record|struct|interface|enum)\s+(?<name>[A-Z]\w*)", RegexOptions.Multiline)]
    private static partial Regex Declaration();

    [GeneratedRegex("(?<=[a-z])(?:Managers?|Helpers?|Utils?|Utilities|Services?|Processors?|Infos?|Data|Base|Impl)$")]
    private static partial Regex VagueName();

    [GeneratedRegex(@"\[LoggerMessage\((?:EventId = )?(\d+),")]
    private static partial Regex EventId();

    [GeneratedRegex(@"highest (?:id )?is (\d+)")]
    private static partial Regex HighestId();
}
