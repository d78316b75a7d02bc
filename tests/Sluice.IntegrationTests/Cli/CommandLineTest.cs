using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Cli;

/// <summary>A home directory of its own for the command line, and what tests do with that.</summary>
public abstract class CommandLineTest(IngestServer server) : IClassFixture<IngestServer>, IDisposable
{
    readonly TemporaryDirectory _home = new();

    internal IngestServer Server => server;

    internal string Home => _home.Path;

    internal string Url => $"http://127.0.0.1:{server.Process.HttpPort}";

    internal static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _home.Dispose();
        GC.SuppressFinalize(this);
    }

    internal Task WriteAsync(string name, string text) => File.WriteAllTextAsync(Path.Combine(Home, name), text, Cancellation);

    internal async Task LoginAsync() => await DoneWithInputAsync(
        ServerProcess.Password + "\n", "login", ServerProcess.Email, "--password-stdin", "--url", Url);

    internal Task<CommandLineRun> RunAsync(params string[] arguments) => CommandLineRun.RunAsync(Home, input: null, Cancellation, arguments);

    internal async Task<CommandLineRun> DoneAsync(params string[] arguments) => await DoneWithInputAsync(null, arguments);

    internal async Task<CommandLineRun> DoneWithInputAsync(string? input, params string[] arguments)
    {
        var run = await CommandLineRun.RunAsync(Home, input, Cancellation, arguments);
        Assert.True(run.ExitCode == 0, $"{string.Join(' ', arguments)} ended with {run.ExitCode}: {run.Errors}{run.Output}");
        return run;
    }
}
