using System.Diagnostics;
using Xunit;

namespace Sluice.IntegrationTests.Faults;

/// <summary>Programs that break things from outside. <c>scripts/test-tools.sh</c> installs them where it may.</summary>
static class FaultTools
{
    public static bool IsLong => Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1";

    /// <summary>Skips the test, with the reason, where a tool is missing or its use is not allowed.</summary>
    public static void Need(bool root, params string[] tools)
    {
        Assert.SkipWhen(root && !Environment.IsPrivilegedProcess, "needs root");
        foreach (var tool in tools)
            Assert.SkipUnless(Find(tool) is not null, $"needs {tool}");
    }

    public static string? Find(string tool) =>
        tool.StartsWith('/') ? (File.Exists(tool) ? tool : null)
        : (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Append("/usr/sbin").Select(directory => Path.Combine(directory, tool)).FirstOrDefault(File.Exists);

    /// <summary>Runs a program to its end; its failure fails the test.</summary>
    public static async Task RunAsync(string tool, params string[] arguments)
    {
        var (code, text) = await TryAsync(tool, arguments);
        Assert.True(code == 0, $"{tool} {string.Join(' ', arguments)} ended with {code}: {text}");
    }

    public static async Task<(int ExitCode, string Text)> TryAsync(string tool, params string[] arguments)
    {
        using var process = Start(tool, arguments);
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync();
        return (process.ExitCode, await output + await errors);
    }

    public static Process Start(string tool, params string[] arguments)
    {
        var start = new ProcessStartInfo(Find(tool) ?? throw new InvalidOperationException($"there is no {tool}")) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var argument in arguments) start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }
}
