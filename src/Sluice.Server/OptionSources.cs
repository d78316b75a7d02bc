using System.Text.Json;
using System.Text.Unicode;

namespace Sluice.Server;

/// <summary>Everything that was set, checked.</summary>
/// <param name="All">With what is not of Sluice: levels of the log.</param>
/// <param name="UnknownKeys">Were set and have no effect.</param>
sealed record ReadOptions(IConfiguration All, ServerOptions Options, IReadOnlyList<string> UnknownKeys);

/// <summary>Where options are set: in a file, in the environment, on the command line. The later wins.</summary>
static class OptionSources
{
    /// <summary>Sections of the file that something reads: ours, and those of the host.</summary>
    static readonly string[] s_sections = ["Sluice", "Logging", "Kestrel", "AllowedHosts"];

    /// <param name="file">As appsettings.json; need not exist.</param>
    /// <exception cref="StartupException"><see cref="ExitCode.BadOptions"/>: all faults, one a line.</exception>
    public static ReadOptions Read(string file, string[] args)
    {
        var faults = new List<string>();
        var unknown = new List<string>();
        var sources = new ConfigurationBuilder();
        if (ReadFile(file, faults) is { } settings)
        {
            sources.AddConfiguration(settings);
            unknown.AddRange(settings.GetChildren().Select(section => section.Key).Except(s_sections, StringComparer.OrdinalIgnoreCase));
        }
        sources.AddInMemoryCollection(AdministratorFromEnvironment());
        sources.AddEnvironmentVariables();
        sources.AddInMemoryCollection(CommandLine.Parse(args, faults));
        var all = sources.Build();

        var section = all.GetSection("Sluice");
        unknown.AddRange(ServerOptionsFaults.CheckShape(section, faults));
        var options = faults.Count == 0 ? section.Get<ServerOptions>() ?? new ServerOptions() : new ServerOptions();
        faults.AddRange(ServerOptionsFaults.CheckValues(options));
        faults.AddRange(CheckLevels(all.GetSection("Logging")));

        return faults.Count == 0 ? new ReadOptions(all, options, unknown) : throw new StartupException(ExitCode.BadOptions, string.Join(Environment.NewLine, faults));
    }

    /// <returns><c>null</c>: there is none, or it cannot be read.</returns>
    static IConfigurationRoot? ReadFile(string file, List<string> faults)
    {
        if (!File.Exists(file)) return null;
        try
        {
            var bytes = File.ReadAllBytes(file);
            if (Utf8.IsValid(bytes)) return new ConfigurationBuilder().AddJsonStream(new MemoryStream(bytes)).Build();
            faults.Add($"{file} is not UTF-8");
        }
        catch (Exception e) when (e is JsonException or FormatException) // the latter for a key that is set twice
        {
            faults.Add($"{file}: {e.Message}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            faults.Add(e.Message);
        }
        return null;
    }

    /// <summary>The levels of all logs and of single outputs, which the host reads with an exception.</summary>
    static IEnumerable<string> CheckLevels(IConfigurationSection logging)
    {
        const string levels = "LogLevel";
        foreach (var section in logging.GetChildren().Select(child => child.Key.Equals(levels, StringComparison.OrdinalIgnoreCase) ? child : child.GetSection(levels)))
        {
            foreach (var (key, value) in section.AsEnumerable())
            {
                if (!string.IsNullOrEmpty(value) && !Enum.TryParse<LogLevel>(value, ignoreCase: true, out _))
                    yield return $"{key} is \"{value}\": give one of {string.Join(", ", Enum.GetNames<LogLevel>())}";
            }
        }
    }

    static Dictionary<string, string?> AdministratorFromEnvironment()
    {
        var values = new Dictionary<string, string?>();
        foreach (var (variable, key) in new[] { ("SLUICE_ADMIN_EMAIL", "Email"), ("SLUICE_ADMIN_PASSWORD", "Password") })
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value)
                values[$"Sluice:Administrator:{key}"] = value;
        }

        return values;
    }
}
