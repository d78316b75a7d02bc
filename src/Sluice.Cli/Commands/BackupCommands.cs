using System.CommandLine;
using System.Globalization;
using Sluice.Client;

namespace Sluice.Cli.Commands;

/// <summary><c>sluice backup create|list</c>. A backup is restored on the server's machine, by <c>sluice-server restore</c>.</summary>
static class BackupCommands
{
    public static Command Create()
    {
        var name = new Argument<string?>("name") { Description = "Name of its directory; the time unless given.", Arity = ArgumentArity.ZeroOrOne };
        return new Command("backup", "Back the server up while it runs. To restore: sluice-server restore --from DIR --data NEW, on the server's machine.")
        {
            new ServerCommand("create", "Make a backup below the server's backup directory.", name) { Patience = Timeout.InfiniteTimeSpan }.Does(async (session, cancellation) => // the disk needs its time
                Show(session, await session.Client.CreateBackupAsync(new BackupRequest(session.Get(name)), cancellation))),
            new ServerCommand("list", "List the complete backups.").Does(async (session, cancellation) => session.ShowList(
                await session.Client.ListBackupsAsync(cancellation), WireJson.Default.ResourceListBackupResource, ["name", "taken", "files", "bytes", "tables"],
                it => [it.Name, DatabaseCommands.Time(it.TakenAt), Text(it.Files), Text(it.Bytes), Text(it.Tables.Count)])),
        };
    }

    static int Show(Session session, BackupResource backup) => session.Show(
        backup, WireJson.Default.BackupResource,
        [
            ("name", backup.Name), ("taken", DatabaseCommands.Time(backup.TakenAt)), ("files", Text(backup.Files)), ("bytes", Text(backup.Bytes)),
            .. backup.Tables.Select(table => ($"table {table.Name}", (string?)$"complete up to sequence {table.Sequence}")),
        ]);

    static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
