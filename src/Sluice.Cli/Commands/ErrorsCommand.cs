using System.CommandLine;
using Sluice.Client;

namespace Sluice.Cli.Commands;

/// <summary><c>sluice errors SINK</c>: records that were accepted and could not be loaded.</summary>
static class ErrorsCommand
{
    public static Command Create()
    {
        var sink = new Argument<string>("sink") { Description = "Name or id." };
        return new ServerCommand("errors", "Show records that were accepted and could not be loaded, newest first.", sink).Does(async (session, cancellation) =>
        {
            var found = await session.FindSinkAsync(session.Get(sink), cancellation);
            return session.ShowList(
                await session.Client.ListErrorsAsync(found.Id, cancellation), WireJson.Default.ResourceListSinkErrorResource,
                ["time", "request", "record", "_id", "error"],
                it => [DatabaseCommands.Time(it.Time), it.RequestId, it.RecordIndex?.ToString(System.Globalization.CultureInfo.InvariantCulture), it.Key, it.ErrorMsg]);
        });
    }
}
