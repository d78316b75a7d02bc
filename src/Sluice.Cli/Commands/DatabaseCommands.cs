using System.CommandLine;
using Sluice.Client;

namespace Sluice.Cli.Commands;

/// <summary><c>sluice databases list|create|show|delete</c>.</summary>
static class DatabaseCommands
{
    public static Command Create()
    {
        var name = new Argument<string>("name") { Description = "Name of the new database." };
        var database = new Argument<string>("database") { Description = "Name or id." };
        var force = new Option<bool>("--force") { Description = "Drop its tables too." };
        return new Command("databases", "List, make, show and delete databases.")
        {
            new ServerCommand("list", "List all databases.").Does(async (session, cancellation) => session.ShowList(
                await session.Client.ListDatabasesAsync(cancellation), WireJson.Default.ResourceListDatabaseResource,
                ["name", "id", "status", "owner", "created"], it => [it.Name, it.Id.ToString(), it.Status, it.Owner, Time(it.CreatedAt)])),
            new ServerCommand("create", "Make a database.", name).Does(async (session, cancellation) =>
                Show(session, await session.Client.CreateDatabaseAsync(new DatabaseRequest(session.Get(name)), cancellation))),
            new ServerCommand("show", "Show a database.", database).Does(async (session, cancellation) =>
                Show(session, await session.FindDatabaseAsync(session.Get(database), cancellation))),
            new ServerCommand("delete", "Delete a database.", database, force).Does(async (session, cancellation) =>
            {
                var found = await session.FindDatabaseAsync(session.Get(database), cancellation);
                return Show(session, await session.Client.DeleteDatabaseAsync(found.Id, session.Get(force), cancellation));
            }),
        };
    }

    static int Show(Session session, DatabaseResource database) => session.Show(
        database, WireJson.Default.DatabaseResource,
        ("id", database.Id.ToString()), ("name", database.Name), ("status", database.Status), ("owner", database.Owner), ("created", Time(database.CreatedAt)));

    internal static string Time(DateTime time) => time.ToString("yyyy-MM-dd HH:mm:ssK", System.Globalization.CultureInfo.InvariantCulture);
}
