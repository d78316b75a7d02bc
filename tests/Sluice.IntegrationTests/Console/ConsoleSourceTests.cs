using System.Reflection;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Components;
using Sluice.Server.Components;
using Xunit;

namespace Sluice.IntegrationTests.Console;

/// <summary>Rules that keep the console a reader of the server's own objects.</summary>
public sealed partial class ConsoleSourceTests
{
    /// <summary>What a component may be given: objects that authorise inside, and the framework's.</summary>
    static readonly string[] Allowed =
    [
        "ControlPlane", "Users", "Invites", "ApiKeys", "OrganizationRecord", "Sessions", "Callers", "ServerOptions", "ConsoleUser", "SinkFeed", "QueryDesk", "RecordDesk",
        "NavigationManager", "IJSRuntime", "IDialogService", "TimeProvider",
    ];

    static readonly string Components = Path.Combine(FindRoot(), "src", "Sluice.Server", "Components");

    [Fact]
    public void Components_are_given_nothing_that_does_not_authorise()
    {
        var injected = typeof(ConsolePage).Assembly.GetTypes().Where(typeof(ComponentBase).IsAssignableFrom).Select(type => (type.Name, Types: InjectedTypes(type))).ToList();
        Assert.True(injected.Count > 30);
        Assert.All(injected, component =>
        {
            Assert.All(component.Types, type => Assert.Contains(type, Allowed));
            Assert.True(component.Types.Count <= 4, $"{component.Name} is given {string.Join(", ", component.Types)}");
        });
        Assert.Contains("ControlPlane", injected.SelectMany(component => component.Types));
    }

    [Fact]
    public void Code_of_a_component_is_short() => Assert.All(
        Directory.EnumerateFiles(Components, "*.razor*", SearchOption.AllDirectories), path => Assert.True(File.ReadLines(path).Count() <= 250, $"{path} is long"));

    [Fact]
    public void Nothing_comes_from_another_server() => Assert.All(
        Directory.EnumerateFiles(Components, "*.razor", SearchOption.AllDirectories).Concat(Directory.EnumerateFiles(Path.Combine(Components, "..", "wwwroot"))),
        path => Assert.DoesNotMatch(Elsewhere(), File.ReadAllText(path)));

    [Fact]
    public void No_component_writes_markup_that_it_did_not_make() => Assert.All(
        Directory.EnumerateFiles(Components, "*.*", SearchOption.AllDirectories), path => Assert.DoesNotContain("MarkupString", File.ReadAllText(path), StringComparison.Ordinal));

    [Fact]
    public void Only_pages_listen_to_the_address() => Assert.All(
        typeof(ConsolePage).Assembly.GetTypes().Where(typeof(ComponentBase).IsAssignableFrom).Where(type => type.GetCustomAttribute<RouteAttribute>() is null),
        type => Assert.DoesNotContain(
            type.GetProperties(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic), property => property.GetCustomAttribute<SupplyParameterFromQueryAttribute>() is not null));

    static List<string> InjectedTypes(Type component) =>
    [
        .. component.GetProperties(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
            .Where(property => property.GetCustomAttribute<InjectAttribute>() is not null).Select(property => property.PropertyType.Name),
    ];

    static string FindRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Sluice.slnx"))) directory = directory.Parent!;
        return directory.FullName;
    }

    [GeneratedRegex("""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""")]
    private static partial Regex Elsewhere();
}
