using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Sluice.Client;
using Spectre.Console;

namespace Sluice.Cli.Sending;

/// <summary><c>sluice send SINK FILE</c>: streams a file, or standard input, into a sink.</summary>
static class SendCommand
{
    static readonly TimeSpan s_patience = TimeSpan.FromSeconds(1); // the process is ended two seconds after it was asked to end

    public static Command Create()
    {
        var sink = new Argument<string>("sink") { Description = "Name or id; its id with a key that may only send." };
        var file = new Argument<string>("file") { Description = "A .json, .ndjson, .jsonl or .csv file, plain or .gz or .zst; - for standard input. A .json file is held in memory, at about ten times its size: send large ones as NDJSON." };
        var format = new Option<RecordFormat?>("--format") { Description = "How the records stand in it; told by the name's ending, NDJSON for standard input." };
        var records = new Option<int>("--batch") { Description = "Most records in a request.", DefaultValueFactory = _ => 1_000 };
        var connections = new Option<int>("--connections") { Description = "Requests under way at once. With more than 1, records with the same _id may be applied in another order.", DefaultValueFactory = _ => 1 };
        var delay = new Option<int>("--max-delay") { Description = "With standard input: milliseconds a record waits for others.", DefaultValueFactory = _ => 200 };
        var operation = new Option<string?>("--op") { Description = "What is done with records that do not say: upsert, insert, replace, patch, delete or remove." };
        var rejected = new Option<string?>("--rejected") { Description = "File for rejected records with their reasons; FILE.rejected.ndjson unless given; stdin.TIME.PROCESS.rejected.ndjson for standard input and pipes." };
        var restart = new Option<bool>("--restart") { Description = "Begin anew, also when an earlier run of this file was cut short." };
        foreach (var number in new[] { records, connections }) number.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 1) result.AddError($"{result.Option.Name} must be at least 1");
        });
        delay.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() < 0) result.AddError("--max-delay must be at least 0");
        });
        return new ServerCommand(
            "send", "Send the records of a file. Only what may succeed later is sent again, and never stored twice. Exit code 2: some records were rejected.",
            sink, file, format, records, connections, delay, operation, rejected, restart)
            .Does(async (session, cancellation) =>
            {
                var target = await session.FindSinkIdAsync(session.Get(sink), cancellation);
                using var source = RecordFile.Open(session.Get(file), session.Get(format));
                var path = source.FileBytes is null ? null : session.Get(file);
                var rejectedPath = session.Get(rejected) ?? $"{path ?? NewName()}.rejected.ndjson";
                var progressPath = path is null ? null : SendProgress.PathFor(path, target);
                var batching = $"{session.Get(records)} {session.Get(operation)} {session.Get(format)}";
                var begin = Begin(path, progressPath, batching, session.Get(restart), Path.GetFullPath(rejectedPath));
                using var tally = new SendTally(begin, progressPath, rejectedPath);
                tally.Keep(); // before anything is sent: a run that goes on must use the same keys
                var options = new BatcherOptions
                {
                    MaxRecords = session.Get(records),
                    MaxRequests = session.Get(connections),
                    MaxDelay = path is null ? TimeSpan.FromMilliseconds(session.Get(delay)) : Timeout.InfiniteTimeSpan, // the cut must be the same in every run
                    KeyPrefix = begin.KeyPrefix,
                    FirstRequest = begin.Requests,
                    Operation = session.Get(operation),
                    OnSent = tally.AddAsync,
                };
                return await SendAsync(session, target, source, begin.Records, options, tally, progressPath, rejectedPath, cancellation);
            });
    }

    /// <summary>For what has no name: many may be sent in one directory.</summary>
    static string NewName() => string.Create(CultureInfo.InvariantCulture, $"stdin.{TimeProvider.System.GetUtcNow():yyyyMMdd'T'HHmmss}.{Environment.ProcessId}");

    /// <exception cref="CommandException">An earlier run was cut short too long ago to go on.</exception>
    static SendProgress Begin(string? path, string? progressPath, string batching, bool restart, string rejectedFile)
    {
        var fresh = new SendProgress(0, default, batching, Guid.NewGuid().ToString("n"), 0, 0, 0, 0, 0, rejectedFile, default);
        if (path is null || progressPath is null) return fresh;
        var file = new FileInfo(path);
        if (restart || SendProgress.Read(progressPath, file, batching) is not { } earlier) return fresh with { FileBytes = file.Length, FileTime = file.LastWriteTimeUtc };
        if (TimeProvider.System.GetUtcNow().UtcDateTime - earlier.KeptAt > SendProgress.KeysKnownFor)
        {
            throw new CommandException(
                $"An earlier run was answered for the first {earlier.Records} records and was cut short more than {SendProgress.KeysKnownFor.TotalHours} hours ago. "
                + "The server knows no longer what else it has of that run, and could store it twice. Send the rest as a file of its own, or everything anew with --restart.");
        }
        Console.Error.WriteLine($"Going on after {earlier.Records} records that an earlier run has sent.");
        if (earlier.RejectedFile == rejectedFile) return earlier;
        if (earlier.Rejected > 0) Console.Error.WriteLine($"What was rejected of those is in {earlier.RejectedFile}.");
        return earlier with { RejectedFile = rejectedFile, RejectedBytes = 0 };
    }

    static async Task<int> SendAsync(
        Session session, Guid sink, RecordFile source, long skip, BatcherOptions options, SendTally tally, string? progressPath, string rejectedPath, CancellationToken cancellation)
    {
        var started = TimeProvider.System.GetTimestamp();
        var isComplete = false;
        try
        {
            await ShowAsync(session, source, tally, async () =>
            {
                await using var batcher = new SluiceBatcher(session.Client, sink, options);
                try
                {
                    await AddAllAsync(source, skip, batcher, cancellation);
                    await batcher.FlushAsync(cancellation);
                }
                catch
                {
                    // a request that is not full must not take the key of the full one from the next run; what is under way is waited for, when interrupted for a moment
                    using var patience = new CancellationTokenSource(Timeout.InfiniteTimeSpan, TimeProvider.System);
                    await using var interrupted = cancellation.Register(() => patience.CancelAfter(s_patience));
                    await batcher.AbortAsync(patience.Token);
                    throw;
                }
            });
            tally.Settle();
            isComplete = true;
            if (progressPath is not null) File.Delete(progressPath);
        }
        finally
        {
            if (!isComplete) tally.Keep();
            Summarise(session, tally, TimeProvider.System.GetElapsedTime(started), rejectedPath, isComplete, canGoOn: progressPath is not null);
        }
        return tally.Progress.Rejected > 0 ? ExitCode.SomeRejected : ExitCode.Done;
    }

    static async Task AddAllAsync(RecordFile source, long skip, SluiceBatcher batcher, CancellationToken cancellation)
    {
        var number = 0L;
        await foreach (var record in source.ReadAsync(cancellation))
        {
            if (number++ < skip) continue;
            if (record.IsElement) await batcher.AddRecordAsync(record.Json, cancellation);
            else await batcher.AddAsync(record.Json, cancellation);
        }
    }

    /// <summary>Runs the sending with a bar that follows it, where there is a terminal.</summary>
    static async Task ShowAsync(Session session, RecordFile source, SendTally tally, Func<Task> send)
    {
        if (session.AsJson || Console.IsErrorRedirected || source.FileBytes is not { } bytes)
        {
            await SettleWhileAsync(send(), tally, _ => { });
            return;
        }
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        var started = TimeProvider.System.GetTimestamp();
        var first = tally.Progress.Records;
        await console.Progress().Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn()).StartAsync(async context =>
        {
            var bar = context.AddTask("sending", maxValue: bytes);
            await SettleWhileAsync(send(), tally, progress =>
            {
                bar.Value = source.ReadBytes;
                bar.Description = string.Create(CultureInfo.InvariantCulture, $"{progress.Records:N0} records, {(progress.Records - first) / TimeProvider.System.GetElapsedTime(started).TotalSeconds:N0}/s, {progress.Rejected:N0} rejected");
            });
            bar.Value = bytes;
        });
    }

    static async Task SettleWhileAsync(Task sending, SendTally tally, Action<SendProgress> show)
    {
        while (!sending.IsCompleted)
        {
            await Task.WhenAny(sending, Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System));
            tally.Settle();
            show(tally.Progress);
        }
        await sending;
    }

    static void Summarise(Session session, SendTally tally, TimeSpan elapsed, string rejectedPath, bool isComplete, bool canGoOn)
    {
        var progress = tally.Progress;
        var rejected = progress.Rejected;
        if (session.AsJson)
        {
            Console.WriteLine(JsonSerializer.Serialize(
                new SendSummary(progress.Records, progress.Accepted, rejected, elapsed.TotalSeconds, rejected > 0 ? rejectedPath : null, isComplete), SendJson.Default.SendSummary));
            return;
        }
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{progress.Accepted:N0} accepted, {rejected:N0} rejected, {elapsed.TotalSeconds:0.0} s{(rejected > 0 ? $"; reasons in {rejectedPath}" : "")}"));
        if (isComplete) return;
        Console.WriteLine(canGoOn
            ? "Not all was sent. Run the same command again to go on where it stopped."
            : string.Create(CultureInfo.InvariantCulture, $"Not all was sent. Give again what follows the first {progress.Records:N0} records: what was read is not kept."));
    }
}
