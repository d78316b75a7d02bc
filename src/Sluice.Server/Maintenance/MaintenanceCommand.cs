using System.Globalization;
using Sluice.Server.Backup;

namespace Sluice.Server.Maintenance;

/// <summary>What an operator does with a data directory while no server runs on it.</summary>
static class MaintenanceCommand
{
    public const string Usage =
        """
        While no server runs on the directory:

          check   --data DIR                        read everything and say what is damaged; changes nothing
          repair  --data DIR [--table ID] [--apply]   take damaged parts out of logs; without --apply only say which
          rebuild --data DIR --database ID [--apply]  load a lost or damaged database anew from the logs; without --apply only say what the logs lack
          restore --from BACKUP --data DIR            make a new data directory of a backup

        They end with 0 when all is well or done, 2 for wrong options, 3 when a server has the directory, 4 when something is damaged.
        """;

    static readonly string[] s_verbs = ["check", "repair", "rebuild", "restore"];

    public static bool IsAskedFor(string[] args) => args.Length > 0 && s_verbs.Contains(args[0]);

    /// <exception cref="StartupException">With the exit code; nothing that it does not tell of was changed.</exception>
    public static async Task<ExitCode> RunAsync(string[] args, TextWriter output, CancellationToken cancellation)
    {
        var options = Parse(args);
        var data = options.GetValueOrDefault("--data") ?? throw new StartupException(ExitCode.BadOptions, "--data is missing: name the data directory");
        switch (args[0])
        {
            case "restore":
                await Restore.RunAsync(Required(options, "--from"), data, output, cancellation);
                return ExitCode.Stopped;
            case "check":
                using (var directory = DataDirectory.OpenUnused(data)) return await new DataCheck(directory, output).RunAsync(cancellation);
            case "repair":
                using (var directory = DataDirectory.OpenUnused(data))
                    return await new DataRepair(directory, output, TimeProvider.System).RepairLogsAsync(options.ContainsKey("--table") ? Id(options, "--table") : null, options.ContainsKey("--apply"), cancellation);
            default:
                using (var directory = DataDirectory.OpenUnused(data))
                    return await new DataRepair(directory, output, TimeProvider.System).RebuildAsync(Id(options, "--database"), options.ContainsKey("--apply"), cancellation);
        }
    }

    static Dictionary<string, string?> Parse(string[] args)
    {
        string[] valued = args[0] switch { "restore" => ["--data", "--from"], "repair" => ["--data", "--table"], "rebuild" => ["--data", "--database"], _ => ["--data"] };
        var mayApply = args[0] is "repair" or "rebuild";
        var options = new Dictionary<string, string?>(StringComparer.Ordinal);
        for (var i = 1; i < args.Length; i++)
        {
            if (args[i] == "--apply" && mayApply) options["--apply"] = null;
            else if (!valued.Contains(args[i])) throw new StartupException(ExitCode.BadOptions, $"{args[i]} is not an option of {args[0]}; --help lists them");
            else if (i + 1 == args.Length) throw new StartupException(ExitCode.BadOptions, $"{args[i]} needs a value");
            else options[args[i]] = args[++i];
        }
        return options;
    }

    static string Required(Dictionary<string, string?> options, string name) =>
        options.GetValueOrDefault(name) ?? throw new StartupException(ExitCode.BadOptions, string.Create(CultureInfo.InvariantCulture, $"{name} is missing"));

    static Guid Id(Dictionary<string, string?> options, string name) =>
        Guid.TryParse(Required(options, name), out var id) ? id : throw new StartupException(ExitCode.BadOptions, $"{name} must be an id, as check shows it");
}
