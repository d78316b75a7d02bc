using System.CommandLine;
using Sluice.Client;

namespace Sluice.Cli.Commands;

/// <summary><c>sluice tables list|create|show|delete</c>.</summary>
static class TableCommands
{
    public static Command Create()
    {
        var database = new Argument<string>("database") { Description = "Name or id." };
        var table = new Argument<string>("table") { Description = "Name or id." };
        var newTable = new Argument<string>("table") { Description = "Name of the new table." };
        var columns = new Argument<string[]>("columns") { Description = "NAME:TYPE as SQL writes it, as in price:decimal(2) tags:stringset _id:string. _id is a Number unless it is _id:string." };
        return new Command("tables", "List, make, show and delete tables.")
        {
            new ServerCommand("list", "List a database's tables.", database).Does(async (session, cancellation) =>
            {
                var found = await session.FindDatabaseAsync(session.Get(database), cancellation);
                return session.ShowList(
                    await session.Client.ListTablesAsync(found.Id, cancellation), WireJson.Default.ResourceListTableResource,
                    ["name", "id", "status", "columns", "owner"], it => [it.Name, it.Id.ToString(), it.Status, Columns(it), it.Owner]);
            }),
            new ServerCommand("create", "Make a table.", database, newTable, columns).Does(async (session, cancellation) =>
            {
                var found = await session.FindDatabaseAsync(session.Get(database), cancellation);
                await session.RunSqlAsync(found.Id, Statement(session.Get(newTable), session.Get(columns)), cancellation);
                return Show(session, await session.Client.GetTableAsync(found.Id, session.Get(newTable), cancellation));
            }),
            new ServerCommand("show", "Show a table and its columns.", database, table).Does(async (session, cancellation) =>
            {
                var found = await session.FindDatabaseAsync(session.Get(database), cancellation);
                return Show(session, await session.Client.GetTableAsync(found.Id, session.Get(table), cancellation));
            }),
            new ServerCommand("delete", "Drop a table and its data.", database, table).Does(async (session, cancellation) =>
            {
                var found = await session.FindDatabaseAsync(session.Get(database), cancellation);
                return Show(session, await session.Client.DeleteTableAsync(found.Id, session.Get(table), cancellation));
            }),
        };
    }

    /// <summary>The server's SQL knows every type and constraint, so the columns are handed to it as they are.</summary>
    static string Statement(string table, string[] columns)
    {
        var definitions = new List<string>();
        var key = "_id ID";
        foreach (var column in columns)
        {
            var colon = column.IndexOf(':', StringComparison.Ordinal);
            if (colon < 1 || colon == column.Length - 1) throw new CommandException($"{column} is not NAME:TYPE.");
            var definition = $"{column[..colon]} {column[(colon + 1)..]}";
            if (column[..colon] == "_id") key = definition;
            else definitions.Add(definition);
        }
        return $"CREATE TABLE {table} ({string.Join(", ", [key, .. definitions])})";
    }

    static int Show(Session session, TableResource table) => session.Show(
        table, WireJson.Default.TableResource,
        ("id", table.Id.ToString()), ("name", table.Name), ("status", table.Status), ("columns", Columns(table)), ("owner", table.Owner), ("created", DatabaseCommands.Time(table.CreatedAt)));

    static string Columns(TableResource table) => string.Join(", ", table.Fields.Select(column => $"{column.Name} {column.Type}"));

    /// <exception cref="CommandException">The statement failed.</exception>
    static async Task RunSqlAsync(this Session session, Guid database, string sql, CancellationToken cancellation)
    {
        var answer = await session.Client.QueryAsync(database, sql, cancellation);
        if (answer.Error is { } error) throw new CommandException($"{error} (in {sql})");
    }
}
