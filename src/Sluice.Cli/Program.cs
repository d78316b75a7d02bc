// The command `sluice`. Exit codes: 0 done, 1 wrong arguments or a refusal by the server, 130 interrupted.
using System.CommandLine;
using Sluice.Cli.Demo;

var root = new RootCommand("Sluice: send records over HTTPS and query them a second later.") { DemoCommand.Create() };
return await root.Parse(args).InvokeAsync();
