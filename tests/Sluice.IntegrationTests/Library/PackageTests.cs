using System.Diagnostics;
using System.IO.Compression;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Library;

/// <summary>What <c>dotnet pack</c> makes: the command as a tool, and the library. From the build that is being tested; no network.</summary>
public sealed class PackageTests : IDisposable
{
    static readonly string Configuration = AppContext.BaseDirectory.Contains("/Debug/", StringComparison.Ordinal) ? "Debug" : "Release";

    readonly TemporaryDirectory _directory = new();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task The_command_is_installed_as_a_tool_and_runs()
    {
        await PackAsync("Sluice.Cli");
        await File.WriteAllTextAsync(
            In("nuget.config"), $"""<configuration><packageSources><clear/><add key="packed" value="{In("packed")}"/></packageSources></configuration>""", Cancellation);
        await RunAsync("dotnet", "tool", "install", "sluice", "--tool-path", In("tools"), "--configfile", In("nuget.config"), "--version", "0.1.0");
        Assert.Contains("bench", await RunAsync(In("tools/sluice"), "--help"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_library_is_packed_with_its_documentation_and_depends_on_nothing()
    {
        await PackAsync("Sluice.Client");
        await using var package = await ZipFile.OpenReadAsync(In("packed/Sluice.Client.0.1.0.nupkg"), Cancellation);
        var names = package.Entries.Select(entry => entry.FullName).ToList();
        Assert.Contains("lib/net10.0/Sluice.Client.dll", names);
        Assert.Contains("lib/net10.0/Sluice.Client.xml", names);
        Assert.Contains("client.md", names);
        using var manifest = new StreamReader(await package.GetEntry("Sluice.Client.nuspec")!.OpenAsync(Cancellation));
        Assert.DoesNotContain("<dependency ", await manifest.ReadToEndAsync(Cancellation), StringComparison.Ordinal);
    }

    Task<string> PackAsync(string project)
    {
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "Sluice.slnx"))) root = root.Parent!;
        return RunAsync("dotnet", "pack", Path.Combine(root.FullName, "src", project), "-c", Configuration, "--no-build", "-o", In("packed"), "--nologo");
    }

    string In(string path) => Path.Combine(_directory.Path, path);

    async Task<string> RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { WorkingDirectory = _directory.Path, RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(Cancellation), process.StandardError.ReadToEndAsync(Cancellation));
        await process.WaitForExitAsync(Cancellation);
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}: {await output}{await errors}");
        return await output;
    }
}
