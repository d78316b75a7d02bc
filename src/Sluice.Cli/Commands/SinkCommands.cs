using System.CommandLine;
using System.Globalization;
using Sluice.Client;

namespace Sluice.Cli.Commands;

/// <summary><c>sluice sinks list|create|show|delete</c>.</summary>
static class SinkCommands
{
    public static Command Create()
    {
        var sink = new Argument<string>("sink") { Description = "Name or id." };
        var name = new Argument<string>("name") { Description = "Name of the new sink." };
        var database = new Argument<string>("database") { Description = "Name or id." };
        var table = new Argument<string>("table") { Description = "Name of the table it feeds." };
        var mapping = new Option<string[]>("--map") { Description = "COLUMN=PATH with dots, as in price=order.price or first=times.0; a column that is not named is read from the member of its own name.", AllowMultipleArgumentsPerToken = true };
        var strict = new Option<bool>("--discard-incomplete") { Description = "A record without a mapped field discards its whole request." };
        var quota = new QuotaChoice("the sink takes");
        return new Command("sinks", "List, make, show and delete sinks: the endpoints that take records.")
        {
            new ServerCommand("list", "List all sinks.").Does(async (session, cancellation) => session.ShowList(
                await session.Client.ListSinksAsync(cancellation), WireJson.Default.ResourceListSinkResource,
                ["name", "id", "table", "status", "mapping"], it => [it.Name, it.Id.ToString(), it.SinkDetails.Table, it.Status, $"v{it.MappingVersion}"])),
            new ServerCommand("create", "Make a sink.", [name, database, table, mapping, strict, .. quota.Options]).Does(async (session, cancellation) =>
            {
                var found = await session.FindDatabaseAsync(session.Get(database), cancellation);
                var target = await session.Client.GetTableAsync(found.Id, session.Get(table), cancellation);
                var schema = Schema(target, session.Get(mapping) ?? [], !session.Get(strict));
                var request = new SinkRequest(session.Get(name), new SinkDetails(found.Id, target.Name), schema) { Quota = quota.Of(session) };
                return Show(session, await session.Client.CreateSinkAsync(request, cancellation));
            }),
            new ServerCommand("show", "Show a sink.", sink).Does(async (session, cancellation) => Show(session, await session.FindSinkAsync(session.Get(sink), cancellation))),
            new ServerCommand("delete", "Delete a sink. What it has accepted is still loaded.", sink).Does(async (session, cancellation) =>
                Show(session, await session.Client.DeleteSinkAsync((await session.FindSinkAsync(session.Get(sink), cancellation)).Id, cancellation))),
        };
    }

    static SinkSchema Schema(TableResource table, string[] mapping, bool allowMissing)
    {
        var isAuto = table.Options.AutoId == true; // its records name no _id
        var paths = table.Fields.Where(column => !isAuto || column.Name != "_id").ToDictionary(column => column.Name, column => (IReadOnlyList<WirePathStep>)[column.Name]);
        foreach (var entry in mapping)
        {
            var equals = entry.IndexOf('=', StringComparison.Ordinal);
            if (equals < 1 || equals == entry.Length - 1) throw new CommandException($"{entry} is not COLUMN=PATH.");
            paths[entry[..equals]] = [.. entry[(equals + 1)..].Split('.').Select(Step)];
        }
        return new SinkSchema(
            "json", table.Options.Keys || isAuto ? null : "_id", table.Options.Keys ? ["_id"] : null, allowMissing, [.. paths.Select(path => new SinkField(path.Key, path.Value))]);
    }

    static WirePathStep Step(string step) =>
        int.TryParse(step, NumberStyles.None, CultureInfo.InvariantCulture, out var index) ? (WirePathStep)index : step;

    static int Show(Session session, SinkResource sink) => session.Show(
        sink, WireJson.Default.SinkResource,
        ("id", sink.Id.ToString()), ("name", sink.Name), ("table", sink.SinkDetails.Table), ("status", sink.Status), ("reason", sink.StatusReason),
        ("endpoint", sink.IngestEndpoint), ("mapping", $"v{sink.MappingVersion}: {string.Join(", ", sink.Schema.Definition.Select(field => $"{field.Name}={string.Join('.', field.Path)}"))}"));
}
