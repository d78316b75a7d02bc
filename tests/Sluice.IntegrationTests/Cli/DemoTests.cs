using System.Diagnostics;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Cli;

/// <summary><c>sluice demo</c> against the real server.</summary>
public sealed class DemoTests(IngestServer server) : CommandLineTest(server)
{
    [Fact]
    public async Task The_demo_ends_and_says_why_when_one_of_its_senders_fails()
    {
        using var demo = StartDemo(Path.Combine(FindRoot(), "demo"));
        var (output, errors) = (demo.StandardOutput.ReadToEndAsync(Cancellation), demo.StandardError.ReadToEndAsync(Cancellation));
        string? sink;
        while ((sink = await FindSinkAsync("earthquakes-stream")) is null) await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, Cancellation);
        await Server.Api.SendAsync(HttpMethod.Delete, $"v2/sinks/{sink}", null, Cancellation);
        await demo.WaitForExitAsync(Cancellation); // the irises could be sent for ever
        Assert.True(demo.ExitCode == 1, await output);
        Assert.Contains("The server refused", await errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Samples_that_are_missing_are_told()
    {
        using var demo = StartDemo(Home);
        var errors = await demo.StandardError.ReadToEndAsync(Cancellation);
        await demo.WaitForExitAsync(Cancellation);
        Assert.Equal(1, demo.ExitCode);
        Assert.StartsWith("Could not find file", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
    }

    Process StartDemo(string samples)
    {
        var start = CommandLineRun.StartInfo(Home, "demo", "--samples", samples, "--url", Url);
        (start.Environment["SLUICE_ADMIN_EMAIL"], start.Environment["SLUICE_ADMIN_PASSWORD"]) = (ServerProcess.Email, ServerProcess.Password);
        return Process.Start(start)!;
    }

    async Task<string?> FindSinkAsync(string name) => (await Server.Api.GetAsync("v2/sinks", Cancellation)).Json["resources"]!.AsArray()
        .FirstOrDefault(sink => sink!["name"]!.GetValue<string>() == name)?["id"]!.GetValue<string>();

    static string FindRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory.FullName, "Sluice.slnx"))) directory = directory.Parent!;
        return directory.FullName;
    }
}
