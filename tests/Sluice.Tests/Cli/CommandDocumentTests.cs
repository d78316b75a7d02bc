using System.CommandLine;
using System.CommandLine.Help;
using System.Globalization;
using System.Text;
using Sluice.Cli;

namespace Sluice.Tests.Cli;

/// <summary>docs/cli.md lists every command with every argument and option, as the command itself does.</summary>
public sealed class CommandDocumentTests
{
    const string Marker = "<!-- from here on as the commands describe themselves -->\n";
    static readonly string[] Common = ["--url", "--ca", "--api-key", "--json"];

    [Fact]
    public void The_document_lists_the_commands_as_they_are()
    {
        var path = Path.Combine(FindRoot(), "docs", "cli.md");
        var document = File.ReadAllText(path);
        var end = document.IndexOf(Marker, StringComparison.Ordinal) + Marker.Length;
        Assert.True(end >= Marker.Length, "docs/cli.md has lost its marker");
        var expected = document[..end] + Describe(CommandTree.Create());
        if (Environment.GetEnvironmentVariable("SLUICE_WRITE_DOCS") == "1") File.WriteAllText(path, expected);
        else Assert.True(expected == document, $"docs/cli.md is not what the commands say; run this test with SLUICE_WRITE_DOCS=1 to write it:\n{expected[end..]}");
    }

    [Fact]
    public void A_command_an_argument_and_an_option_are_seen()
    {
        // negative control
        var root = new RootCommand { new Command("a", "Does a.") { new Argument<string>("b") { Description = "The b." }, new Option<int>("--c") { Description = "The c.", DefaultValueFactory = _ => 7 } } };
        Assert.Equal("\n## `sluice a B`\n\nDoes a.\n\n- `B`: The b.\n- `--c`: The c. (7)\n", Describe(root));
    }

    static string Describe(RootCommand root)
    {
        var text = new StringBuilder();
        foreach (var command in root.Subcommands) Describe(command, "sluice", text);
        return text.ToString();
    }

    static void Describe(Command command, string parents, StringBuilder text)
    {
        if (command.Subcommands.Count > 0)
        {
            foreach (var child in command.Subcommands) Describe(child, $"{parents} {command.Name}", text);
            return;
        }
        var usage = string.Concat(command.Arguments.Select(argument => " " + argument.Name.ToUpperInvariant()));
        text.Append(CultureInfo.InvariantCulture, $"\n## `{parents} {command.Name}{usage}`\n\n{command.Description}\n");
        var options = command.Options.Where(option => !Common.Contains(option.Name) && option is not HelpOption && !option.Hidden).ToList();
        if (command.Arguments.Count + options.Count > 0) text.Append('\n');
        foreach (var argument in command.Arguments) text.Append(CultureInfo.InvariantCulture, $"- `{argument.Name.ToUpperInvariant()}`: {argument.Description}\n");
        foreach (var option in options) text.Append(CultureInfo.InvariantCulture, $"- `{option.Name}`: {option.Description}{Default(option)}\n");
    }

    static string Default(Option option) =>
        option.HasDefaultValue && option.ValueType != typeof(bool) && option.GetDefaultValue() is { } value && value is not Array ? string.Create(CultureInfo.InvariantCulture, $" ({value})") : "";

    static string FindRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Sluice.slnx"))) directory = directory.Parent!;
        return directory.FullName;
    }
}
