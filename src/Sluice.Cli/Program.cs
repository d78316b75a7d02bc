// The command `sluice`. Exit codes: 0 done, 1 wrong arguments, a refusal by the server, or no server, 2 done but some records were rejected, 130 interrupted.
using Sluice.Cli;

return await CommandTree.Create().Parse(args).InvokeAsync();
