using System.CommandLine;
using System.Net;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Sluice.Client;
using Spectre.Console;

namespace Sluice.Cli;

/// <summary>One run of a command against a server: its arguments, its client, and how it prints.</summary>
/// <param name="client">Makes the client when it is first needed.</param>
sealed class Session(ParseResult arguments, ServerAddress server, Func<SluiceClient> client, bool asJson)
{
    /// <exception cref="CommandException">Nobody is logged in.</exception>
    public SluiceClient Client => field ??= client();

    /// <summary>For those who speak HTTP themselves.</summary>
    public ServerAddress Server { get; } = server;

    public bool AsJson { get; } = asJson;

    public T? Get<T>(Option<T> option) => arguments.GetValue(option);

    public T Get<T>(Argument<T> argument) => arguments.GetRequiredValue(argument);

    /// <summary>Prints one answer: as JSON, or as lines of name and value.</summary>
    public int Show<T>(T value, JsonTypeInfo<T> type, params ReadOnlySpan<(string Name, string? Value)> lines)
    {
        if (AsJson)
        {
            Console.WriteLine(JsonSerializer.Serialize(value, type));
            return ExitCode.Done;
        }
        var width = 0;
        foreach (var line in lines) width = Math.Max(width, line.Name.Length);
        foreach (var (name, text) in lines)
            if (text is not null) Console.WriteLine($"{name.PadRight(width)}  {text}");
        return ExitCode.Done;
    }

    /// <summary>Prints a list: as JSON, or as a table.</summary>
    public int ShowList<T>(IReadOnlyList<T> items, JsonTypeInfo<ResourceList<T>> type, string[] columns, Func<T, string?[]> cells)
    {
        if (AsJson) Console.WriteLine(JsonSerializer.Serialize(new ResourceList<T>(items), type));
        else ShowTable(columns, items.Select(cells));
        return ExitCode.Done;
    }

    public static void ShowTable(string[] columns, IEnumerable<string?[]> rows)
    {
        var table = new Table().Border(TableBorder.Simple);
        foreach (var column in columns) table.AddColumn(new TableColumn(new Text(Safe(column))).NoWrap());
        foreach (var row in rows) table.AddRow([.. row.Select(cell => new Text(Safe(cell ?? "")))]);
        if (Console.IsOutputRedirected) AnsiConsole.Profile.Width = 10_000; // a file has no edge to wrap at
        AnsiConsole.Write(table);
    }

    /// <summary>A value must not be able to steer the terminal.</summary>
    public static string Safe(string text) => string.Concat(text.Select(c => char.IsControl(c) ? '\uFFFD' : c));

    /// <summary>A database by its name or id.</summary>
    public async Task<DatabaseResource> FindDatabaseAsync(string nameOrId, CancellationToken cancellation) =>
        (await Client.ListDatabasesAsync(cancellation)).FirstOrDefault(database => database.Name == nameOrId || database.Id.ToString() == nameOrId)
        ?? throw new CommandException($"There is no database {nameOrId}.");

    /// <summary>The id of a sink. Given as such it is not asked for: a key that may only send may not look at sinks.</summary>
    public async Task<Guid> FindSinkIdAsync(string nameOrId, CancellationToken cancellation)
    {
        if (Guid.TryParse(nameOrId, out var id)) return id;
        try
        {
            return (await FindSinkAsync(nameOrId, cancellation)).Id;
        }
        catch (SluiceApiException e) when (e.Status == HttpStatusCode.Forbidden)
        {
            throw new CommandException($"This key may not look up sinks; give the sink's id in the place of {nameOrId}.");
        }
    }

    /// <summary>A sink by its name or id; a name may need its database.</summary>
    public async Task<SinkResource> FindSinkAsync(string nameOrId, CancellationToken cancellation)
    {
        if (Guid.TryParse(nameOrId, out var id)) return await Client.GetSinkAsync(id, cancellation);
        var sinks = (await Client.ListSinksAsync(cancellation)).Where(sink => sink.Name == nameOrId).ToList();
        return sinks.Count switch
        {
            1 => sinks[0],
            0 => throw new CommandException($"There is no sink {nameOrId}."),
            _ => throw new CommandException($"{sinks.Count} databases have a sink {nameOrId}; use its id: {string.Join(", ", sinks.Select(sink => sink.Id))}."),
        };
    }
}
