using System.CommandLine;
using System.Globalization;
using System.Text.Json;

namespace Sluice.Cli.Bench;

/// <summary><c>sluice bench</c>: makes a table of its own, sends made-up records to it, measures, and drops it.</summary>
static class BenchCommand
{
    public static Command Create()
    {
        var seconds = new Option<int>("--seconds") { Description = "How long to send.", DefaultValueFactory = _ => 10 };
        var warmup = new Option<int>("--warmup") { Description = "Seconds of sending before, which are not measured.", DefaultValueFactory = _ => 2 };
        var connections = new Option<int>("--connections") { Description = "Requests under way at once.", DefaultValueFactory = _ => 16 };
        var batch = new Option<int>("--batch") { Description = "Records in a request.", DefaultValueFactory = _ => 1_000 };
        var rate = new Option<int?>("--rate") { Description = "Open loop: requests a second, sent when they are due; latency counts from then. Closed loop unless given." };
        var shape = new Option<RecordShape>("--shape") { Description = "Flat (7 columns, 116 bytes), Wide (40 columns), or Sets (with a set column).", DefaultValueFactory = _ => RecordShape.Flat };
        var keys = new Option<KeyChoice>("--keys") { Description = "New: every record a new _id; Half: half of them exist; Same: every request repeats the same keys.", DefaultValueFactory = _ => KeyChoice.New };
        var rows = new Option<long>("--rows") { Description = "Rows in the table before measuring.", DefaultValueFactory = _ => 0L };
        var wait = new Option<bool>("--wait-loaded") { Description = "Each request waits until its records are visible to SQL." };
        foreach (var option in new[] { seconds, connections, batch })
            option.Validators.Add(result =>
            {
                if (result.GetValueOrDefault<int>() < 1) result.AddError($"{result.Option.Name} must be at least 1");
            });
        return new ServerCommand(
            "bench", "Measure a server: rows and bytes a second, latency until durable and until queryable, backlog at the end.",
            seconds, warmup, connections, batch, rate, shape, keys, rows, wait)
            .Does(async (session, cancellation) =>
            {
                var load = new BenchLoad(
                    TimeSpan.FromSeconds(session.Get(seconds)), TimeSpan.FromSeconds(session.Get(warmup)), session.Get(connections), session.Get(batch),
                    session.Get(rate), session.Get(shape), session.Get(keys), session.Get(rows), session.Get(wait));
                await using var stage = await BenchStage.CreateAsync(session.Client, load, cancellation);
                var report = await stage.RunAsync(cancellation);
                if (session.AsJson) Console.WriteLine(JsonSerializer.Serialize(report, BenchJson.Default.BenchReport));
                else Print(report);
                return report.Errors == 0 ? ExitCode.Done : ExitCode.Failed;
            });
    }

    static void Print(BenchReport report)
    {
        Line("acknowledged", $"{report.RowsPerSecond:N0} rows/s, {report.MegabytesPerSecond:0.0} MB/s, {report.RequestsPerSecond:N0} requests/s over {report.Seconds:0.0} s");
        Line("durable", Latency(report.Durable));
        if (report.Loaded is { } loaded) Line("queryable", $"{Latency(loaded)} ({loaded.Count} probes)");
        Line("loaded", $"{report.LoadedRowsPerSecond:N0} rows/s; {report.BacklogRows:N0} rows not loaded at the end, {(report.DrainSeconds is { } drain ? $"{drain:0.0} s until they were" : "not within a minute")}");
        Line("errors", $"{report.Errors} requests failed, {report.RejectedRecords} records rejected");

        static void Line(string name, FormattableString text) => Console.WriteLine($"{name,-13} {text.ToString(CultureInfo.InvariantCulture)}");
        static FormattableString Latency(LatencyReport it) => $"p50 {it.P50Milliseconds:0.00} ms, p99 {it.P99Milliseconds:0.00} ms, p99.9 {it.P999Milliseconds:0.00} ms, max {it.MaxMilliseconds:0.0} ms";
    }
}
