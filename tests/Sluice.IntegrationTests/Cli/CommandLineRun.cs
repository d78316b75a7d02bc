using System.Diagnostics;

namespace Sluice.IntegrationTests.Cli;

/// <summary>The command <c>sluice</c> as a child process.</summary>
/// <param name="ExitCode">As documented at the top of the CLI's Program.cs.</param>
sealed record CommandLineRun(int ExitCode, string Output, string Errors)
{
    /// <param name="directory">Working directory, and home of the kept login.</param>
    /// <param name="input">Standard input; <c>null</c>: empty.</param>
    public static async Task<CommandLineRun> RunAsync(string directory, string? input, CancellationToken cancellation, params string[] arguments)
    {
        using var process = Start(directory, arguments);
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(cancellation), process.StandardError.ReadToEndAsync(cancellation));
        await process.WaitForExitAsync(cancellation);
        return new CommandLineRun(process.ExitCode, await output, await errors);
    }

    public static Process Start(string directory, params string[] arguments) => Process.Start(StartInfo(directory, arguments))!;

    public static ProcessStartInfo StartInfo(string directory, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet")
        {
            WorkingDirectory = directory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList = { Path.Combine(AppContext.BaseDirectory, "sluice.dll") },
            Environment = { ["SLUICE_LOGIN_FILE"] = Path.Combine(directory, "login.json") },
        };
        foreach (var argument in arguments) start.ArgumentList.Add(argument);
        return start;
    }
}
