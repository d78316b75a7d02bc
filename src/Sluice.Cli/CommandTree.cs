using System.CommandLine;
using Sluice.Cli.Bench;
using Sluice.Cli.Commands;
using Sluice.Cli.Demo;
using Sluice.Cli.Sending;

namespace Sluice.Cli;

/// <summary>All commands. docs/cli.md lists them, and a test holds it against this.</summary>
static class CommandTree
{
    public static RootCommand Create() => new("Sluice: send records over HTTPS and query them a second later.")
    {
        LoginCommand.Create(),
        DatabaseCommands.Create(),
        TableCommands.Create(),
        SinkCommands.Create(),
        KeyCommands.Create(),
        BackupCommands.Create(),
        SendCommand.Create(),
        QueryCommand.Create(),
        TailCommand.Create(),
        ErrorsCommand.Create(),
        ReplayCommand.Create(),
        BenchCommand.Create(),
        DemoCommand.Create(),
    };
}
