// The command `sluice`. Exit codes: 0 done, 1 wrong arguments, a refusal by the server, or no server, 2 done but some records were rejected, 130 interrupted.
using System.CommandLine;
using Sluice.Cli.Bench;
using Sluice.Cli.Commands;
using Sluice.Cli.Demo;
using Sluice.Cli.Sending;

var root = new RootCommand("Sluice: send records over HTTPS and query them a second later.")
{
    LoginCommand.Create(),
    DatabaseCommands.Create(),
    TableCommands.Create(),
    SinkCommands.Create(),
    KeyCommands.Create(),
    BackupCommands.Create(),
    SendCommand.Create(),
    QueryCommand.Create(),
    ErrorsCommand.Create(),
    BenchCommand.Create(),
    DemoCommand.Create(),
};
return await root.Parse(args).InvokeAsync();
