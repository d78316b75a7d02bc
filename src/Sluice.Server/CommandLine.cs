namespace Sluice.Server;

/// <summary>The command line as configuration keys.</summary>
static class CommandLine
{
    public const string Usage =
        """
        sluice-server: streaming HTTPS ingest for analytical tables

          --data DIR            everything the server keeps (default: ./data)
          --https-port PORT     HTTPS on all addresses (default: 7443; 0: any free port)
          --http-port PORT      plain HTTP on loopback only (default: 7480; 0: any free port)
          --Sluice:KEY VALUE    any other option, as in --Sluice:Tls:Names:0 ingest.example.org
          --help                this text

        A value that begins with -- is written with an equals sign: --Sluice:Administrator:Password=--secret.
        Options are also read from appsettings.json and from the environment (Sluice__Tls__Names__0); the command line wins.
        SLUICE_ADMIN_EMAIL and SLUICE_ADMIN_PASSWORD set the first administrator; without a password one is printed once.

        """ + Maintenance.MaintenanceCommand.Usage;

    static readonly Dictionary<string, string> Short = new(StringComparer.Ordinal)
    {
        ["--data"] = "Sluice:Data",
        ["--https-port"] = "Sluice:HttpsPort",
        ["--http-port"] = "Sluice:HttpPort",
    };

    public static bool AsksForHelp(string[] args) => args.Any(arg => arg is "--help" or "-h" or "-?");

    /// <summary>Reads <c>--name value</c> and <c>--name=value</c>; a value that begins with <c>--</c> is taken in the second form only.</summary>
    /// <param name="faults">Grows by what is not understood.</param>
    public static Dictionary<string, string?> Parse(string[] args, List<string> faults)
    {
        var values = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase);

        for (var i = 0; i < args.Length; i++)
        {
            var (name, value) = args[i].IndexOf('=', StringComparison.Ordinal) is var at and > 0 ? (args[i][..at], args[i][(at + 1)..]) : (args[i], null);

            if (FindKey(name) is not { } key)
            {
                faults.Add($"{name} is not an option; --help lists them");
                continue;
            }

            // else the value was forgotten, and the next option would be lost with it
            if (value is null && i + 1 < args.Length && !args[i + 1].StartsWith("--", StringComparison.Ordinal))
                value = args[++i];
            if (value is null)
                faults.Add($"{name} needs a value");
            else
                values[key] = value;
        }

        return values;
    }

    static string? FindKey(string name) =>
        Short.TryGetValue(name, out var key) ? key
        : name.StartsWith("--Sluice:", StringComparison.OrdinalIgnoreCase) || name.StartsWith("--Logging:", StringComparison.OrdinalIgnoreCase) ? name[2..]
        : null;
}
