using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Sluice.Client;
using Spectre.Console;

namespace Sluice.Cli.Commands;

/// <summary><c>sluice replay SINK</c>: sends records that failed again, after saying what would become of them.</summary>
static class ReplayCommand
{
    const int Page = 1_000;
    const int MostEntriesAtOnce = 10_000; // of one call
    const int MostShown = 20;
    const long MostSecondsAgo = 36_525L * 86_400;

    public static Command Create()
    {
        var sink = new Argument<string>("sink") { Description = "Name or id." };
        var all = new Option<bool>("--all") { Description = "Every record that waits." };
        var group = new Option<string?>("--group") { Description = "The records of one group, by its id." };
        var code = new Option<string?>("--code") { Description = "Those with an error of this code, as in NotADecimal." };
        var column = new Option<string?>("--column") { Description = "Those with an error in this column." };
        var since = TimeOption("--since", "Those that failed at or after this time: 2026-01-02T03:04:05Z, or 2h, 30m, 7d ago.");
        var until = TimeOption("--until", "Those that failed before this time.");
        var mapping = new Option<int?>("--mapping") { Description = "Try this version of the sink's mapping, and send nothing." };
        var dryRun = new Option<bool>("--dry-run") { Description = "Say what would become of them, and send nothing." };
        var yes = new Option<bool>("--yes") { Description = "Send them without asking." };
        return new ServerCommand(
            "replay",
            "Send records that failed again through the sink's present mapping, each at most once. Without a choice it lists what waits; with one it says what would happen, and asks. Exit code 2: some failed again.",
            sink, all, group, code, column, since, until, mapping, dryRun, yes)
            .Does(async (session, cancellation) =>
            {
                var found = await session.FindSinkAsync(session.Get(sink), cancellation);
                var choice = new Choice(session.Get(all), session.Get(group), session.Get(code), session.Get(column), session.Get(since), session.Get(until));
                if (session.Get(mapping) is not null && session.Get(yes))
                    throw new CommandException("Records are sent again through the present mapping; put the version you want there first, and leave --mapping out.");
                if (!choice.IsMade) return await ListAsync(session, found, cancellation);

                var schema = session.Get(mapping) is { } version ? await SchemaAsync(session, found, version, cancellation) : null;
                var requests = await RequestsAsync(session, found, choice, cancellation);
                var trial = await SumAsync(session, found, requests, request => request with { DryRun = true, Schema = schema }, cancellation);
                var isTrial = session.Get(dryRun) || schema is not null || trial.Passed == 0 || !(session.Get(yes) || Confirms(session, trial));
                if (isTrial || !session.AsJson) Show(session, trial);
                if (isTrial) return Code(trial);
                var outcome = await SumAsync(session, found, requests, request => request, cancellation);
                Show(session, outcome);
                return Code(outcome);
            });
    }

    static int Code(ReplayAnswer answer) => answer is { Failed: 0, WithoutRaw: 0, NotLoaded: 0 } ? ExitCode.Done : ExitCode.SomeRejected;

    static bool Confirms(Session session, ReplayAnswer trial)
    {
        if (session.AsJson || Console.IsInputRedirected || Console.IsOutputRedirected) return false;
        return AnsiConsole.Confirm(string.Create(CultureInfo.InvariantCulture, $"{Sentence(trial)} Send them?"), defaultValue: false);
    }

    static async Task<int> ListAsync(Session session, SinkResource sink, CancellationToken cancellation)
    {
        var overview = await session.Client.GetQuarantineAsync(sink.Id, cancellation);
        if (session.AsJson) Console.WriteLine(JsonSerializer.Serialize(overview, WireJson.Default.QuarantineResource));
        else
        {
            Session.ShowTable(["group", "waiting", "replayed", "what", "code"], overview.Resources.Select(it => new[] { it.Id, Number(it.Waiting), Number(it.Replayed), it.Text, it.Code }));
            Console.Error.WriteLine("Choose with --group, --code, --column, --since, --until, or --all.");
        }
        return ExitCode.Done;
    }

    static async Task<SinkSchema> SchemaAsync(Session session, SinkResource sink, int version, CancellationToken cancellation)
    {
        var mappings = await session.Client.ListMappingsAsync(sink.Id, cancellation);
        return mappings.FirstOrDefault(it => it.Version == version)?.Schema
            ?? throw new CommandException($"The sink has no mapping v{version}; it has {string.Join(", ", mappings.Select(it => $"v{it.Version}"))}.");
    }

    /// <summary>The server takes everything, a group, or named records; every other choice is looked up and named.</summary>
    static async Task<List<ReplayRequest>> RequestsAsync(Session session, SinkResource sink, Choice choice, CancellationToken cancellation)
    {
        if (choice.IsEverything) return [new ReplayRequest(All: true)];
        if (choice.IsOneGroup) return [new ReplayRequest(Group: choice.Group)];
        var groups = (await session.Client.GetQuarantineAsync(sink.Id, cancellation)).Resources.Where(it => it.Waiting > 0 && (choice.Group is null || it.Id == choice.Group));
        var entries = new List<string>();
        foreach (var group in groups)
        {
            string? after = null;
            do
            {
                var page = await session.Client.ListQuarantinedAsync(sink.Id, group.Id, after, Page, cancellation);
                entries.AddRange(page.Resources.Where(entry => entry.State == "waiting" && choice.Takes(group, entry)).Select(entry => entry.Id));
                after = page.Next;
            }
            while (after is not null);
        }
        return [.. entries.Chunk(MostEntriesAtOnce).Select(chunk => new ReplayRequest(Entries: chunk))];
    }

    static async Task<ReplayAnswer> SumAsync(Session session, SinkResource sink, List<ReplayRequest> requests, Func<ReplayRequest, ReplayRequest> form, CancellationToken cancellation)
    {
        var sum = new ReplayAnswer(form(new ReplayRequest()).DryRun, 0, 0, 0, 0, 0, [], [], []);
        foreach (var request in requests)
        {
            var answer = await session.Client.ReplayAsync(sink.Id, form(request), cancellation);
            sum = new ReplayAnswer(
                answer.DryRun, sum.Passed + answer.Passed, sum.Failed + answer.Failed, sum.WithoutRaw + answer.WithoutRaw, sum.NotLoaded + answer.NotLoaded,
                sum.Overwrites + answer.Overwrites, [.. sum.RequestIds, .. answer.RequestIds], [.. sum.Failures, .. answer.Failures], [.. sum.Warnings, .. answer.Warnings]);
        }
        return sum;
    }

    static void Show(Session session, ReplayAnswer answer)
    {
        if (session.AsJson)
        {
            Console.WriteLine(JsonSerializer.Serialize(answer, WireJson.Default.ReplayAnswer));
            return;
        }
        Console.WriteLine(Sentence(answer));
        var failures = answer.Failures.SelectMany(failure => failure.Errors.Select(error => new[] { failure.RequestId, Number(failure.Index), error.Path, error.Code, error.Expected, error.Got })).ToList();
        if (failures.Count > 0) Session.ShowTable(["request", "record", "path", "error", "expected", "got"], failures.Take(MostShown));
        foreach (var warning in answer.Warnings.Take(MostShown)) Console.WriteLine(Session.Safe($"_id {warning.Key} was written since it failed; the replay {(answer.DryRun ? "would go" : "went")} over that."));
        if (answer.DryRun) Console.Error.WriteLine("Nothing was sent yet; --yes sends.");
    }

    static string Sentence(ReplayAnswer answer)
    {
        var parts = new List<string> { answer.DryRun ? $"{Number(answer.Passed)} would pass" : $"{Number(answer.Passed)} passed" };
        if (answer.Failed > 0) parts.Add($"{Number(answer.Failed)} {(answer.DryRun ? "would fail" : "failed")} again");
        if (answer.NotLoaded > 0) parts.Add($"{Number(answer.NotLoaded)} of those were not loaded");
        if (answer.WithoutRaw > 0) parts.Add($"{Number(answer.WithoutRaw)} cannot be tried: their text was not kept");
        return string.Join(", ", parts) + ".";
    }

    static string Number(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    static Option<DateTimeOffset?> TimeOption(string name, string description) => new(name)
    {
        Description = description,
        CustomParser = argument =>
        {
            var text = argument.Tokens[0].Value;
            if (Ago(text) is { } ago) return TimeProvider.System.GetUtcNow() - ago;
            if (DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)) return time;
            argument.AddError($"{name}: {text} is neither a time such as 2026-01-02T03:04:05Z nor a while ago such as 2h");
            return null;
        },
    };

    /// <returns><c>null</c>: not a while, or more than a century.</returns>
    static TimeSpan? Ago(string text)
    {
        if (!int.TryParse(text.AsSpan(0, Math.Max(0, text.Length - 1)), NumberStyles.None, CultureInfo.InvariantCulture, out var number)) return null;
        long? seconds = text[^1] switch
        {
            's' => number,
            'm' => number * 60L,
            'h' => number * 3_600L,
            'd' => number * 86_400L,
            _ => null,
        };
        return seconds is { } count && count < MostSecondsAgo ? TimeSpan.FromSeconds(count) : null;
    }

    /// <summary>Which of the waiting records; all that is given must hold.</summary>
    sealed record Choice(bool All, string? Group, string? Code, string? Column, DateTimeOffset? Since, DateTimeOffset? Until)
    {
        bool LooksAtEntries => Code is not null || Column is not null || Since is not null || Until is not null;

        public bool IsMade => All || Group is not null || LooksAtEntries;

        public bool IsEverything => All && Group is null && !LooksAtEntries;

        public bool IsOneGroup => Group is not null && !LooksAtEntries;

        public bool Takes(QuarantineGroupResource group, QuarantineEntryResource entry) =>
            (Code is null || group.Code == Code || entry.Errors.Any(error => error.Code == Code))
            && (Column is null || entry.Errors.Any(error => error.Column == Column))
            && (Since is null || entry.Time >= Since.Value.UtcDateTime)
            && (Until is null || entry.Time < Until.Value.UtcDateTime);
    }
}
