using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Sluice.Client;

namespace Sluice.Cli.Commands;

/// <summary><c>sluice tail SINK</c>: shows records as they become durable.</summary>
static class TailCommand
{
    static readonly TimeSpan ReconnectAfter = TimeSpan.FromSeconds(1);

    public static Command Create()
    {
        var sink = new Argument<string>("sink") { Description = "Name or id." };
        var errors = new Option<bool>("--errors") { Description = "Only records that were rejected, with their reasons." };
        var filter = new Option<string?>("--filter") { Description = "Only records whose text holds this." };
        var count = new Option<long?>("--count") { Description = "End after this many records; goes on until Ctrl+C unless given." };
        count.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<long?>() < 1) result.AddError("--count must be at least 1");
        });
        return new ServerCommand("tail", "Show the records of a sink as they come, also across restarts of the server. With --json one object a line.", sink, errors, filter, count)
            .Does(async (session, cancellation) =>
            {
                var found = await session.FindSinkAsync(session.Get(sink), cancellation);
                var left = session.Get(count) ?? long.MaxValue;
                Console.Error.WriteLine($"Records of {found.Name} from now on; Ctrl+C ends.");
                while (true)
                {
                    try
                    {
                        await foreach (var record in session.Client.TailAsync(found.Id, session.Get(errors), session.Get(filter), cancellation))
                        {
                            Write(record, session.AsJson);
                            if (--left == 0) return ExitCode.Done;
                        }
                    }
                    catch (Exception e) when (e is IOException or HttpRequestException or SluiceApiException { IsTransient: true })
                    {
                        // followed below
                    }
                    Console.Error.WriteLine("The connection has ended; records that come meanwhile are not shown.");
                    await Task.Delay(ReconnectAfter, TimeProvider.System, cancellation);
                }
            });
    }

    static void Write(TailResource record, bool asJson)
    {
        if (asJson)
        {
            Console.WriteLine(JsonSerializer.Serialize(record, TailJson.TailResource));
            return;
        }
        if (record.Missed > 0) Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"... {record.Missed} records not shown"));
        Console.WriteLine(Session.Safe(string.Create(CultureInfo.InvariantCulture, $"{record.Time:HH:mm:ss.fff} {record.Status} {record.Key ?? "-"} {record.Raw}{(record.RawShortened ? "..." : "")}")));
        foreach (var error in record.Errors) Console.WriteLine(Session.Safe($"    {error.Path}: {error.Code}, expected {error.Expected}, got {error.Got}"));
    }

    static WireJson TailJson { get; } = new(new JsonSerializerOptions(WireJson.Default.Options) { WriteIndented = false }); // one object a line
}
