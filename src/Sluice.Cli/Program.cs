// The command `sluice`. Exit codes: 0 done, 1 wrong arguments, a refusal by the server, or no server, 2 done but some records were rejected, 130 interrupted,
// 141 nobody reads the output any more.
using System.CommandLine;
using Sluice.Cli;

OutputPipe.Use();
try
{
    return await CommandTree.Create().Parse(args).InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
}
catch (OutputClosedException)
{
    return ExitCode.OutputClosed;
}
catch (Exception e)
{
    await Console.Error.WriteLineAsync($"Unexpected: {e}");
    return ExitCode.Failed;
}
