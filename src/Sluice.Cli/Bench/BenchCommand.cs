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
        var batch = new Option<int>("--batch") { Description = "Records in a request; beyond 100,000 the sink's limits are raised.", DefaultValueFactory = _ => 1_000 };
        var rate = new Option<int?>("--rate") { Description = "Open loop: requests a second, sent when they are due; latency counts from then. Closed loop unless given." };
        var shape = new Option<RecordShape>("--shape") { Description = "Flat (7 columns, 116 bytes), Wide (39 columns), or Sets (with a set column).", DefaultValueFactory = _ => RecordShape.Flat };
        var form = new Option<BodyForm>("--form") { Description = "Records ({\"records\":[...]}) or Ndjson (a value a line).", DefaultValueFactory = _ => BodyForm.Records };
        var keys = new Option<KeyChoice>("--keys") { Description = "New: every record a new _id; Half: half of them exist; Known: all of them do (needs --rows); Same: every request repeats the same keys.", DefaultValueFactory = _ => KeyChoice.New };
        var rows = new Option<long>("--rows") { Description = "Rows in the table before measuring.", DefaultValueFactory = _ => 0L };
        var wait = new Option<WaitLevel>("--wait") { Description = "What each answer waits for: Durable, or Loaded (the records are visible to SQL).", DefaultValueFactory = _ => WaitLevel.Durable };
        var maxBacklog = new Option<long?>("--max-backlog") { Description = "Pause sending while more rows than these are not loaded: measures what is sustained." };
        var probes = new Option<int>("--probes") { Description = "Single records a second beside the load that wait until they are visible to SQL; they make the server load sooner than it would.", DefaultValueFactory = _ => 10 };
        var drain = new Option<int>("--drain") { Description = "Seconds to wait at the end until every row is visible; then they are counted.", DefaultValueFactory = _ => 60 };
        var serverPid = new Option<int?>("--server-pid") { Description = "The server's process, when it is on this machine: its CPU time and memory are reported." };
        var clickHouse = new Option<Uri?>("--clickhouse")
        {
            Description = "Put the same load on a ClickHouse server's HTTP interface instead (JSONEachRow into a MergeTree), as in http://127.0.0.1:8123.",
            CustomParser = ServerCommand.ParseUrl,
        };
        foreach (var option in new[] { seconds, connections, batch }) AtLeast(option, 1);
        foreach (var option in new[] { warmup, drain, probes }) AtLeast(option, 0);
        AtLeast(rows, 0);
        rate.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() < 1) result.AddError("--rate must be at least 1");
        });
        keys.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<KeyChoice>() == KeyChoice.Known && result.GetValue(rows) == 0) result.AddError("--keys Known needs --rows");
        });
        return new ServerCommand(
            "bench", "Measure a server: rows and bytes a second, latency until durable and until queryable, backlog at the end. Makes a database of its own and drops it.",
            seconds, warmup, connections, batch, rate, shape, form, keys, rows, wait, maxBacklog, probes, drain, serverPid, clickHouse)
            .Does(async (session, cancellation) =>
            {
                var load = new BenchLoad(
                    TimeSpan.FromSeconds(session.Get(seconds)), TimeSpan.FromSeconds(session.Get(warmup)), session.Get(connections), session.Get(batch),
                    session.Get(rate), session.Get(shape), session.Get(form), session.Get(keys), session.Get(rows), session.Get(wait) == WaitLevel.Loaded,
                    session.Get(maxBacklog), session.Get(probes), TimeSpan.FromSeconds(session.Get(drain)));
                using var server = session.Get(serverPid) is { } process ? ServerUsage.Of(process) : null;
                await using BenchTarget target = session.Get(clickHouse) is { } url ? new ClickHouseTarget(url) : new SluiceTarget(session.Client, session.Server);
                using var run = new BenchRun(target, load, server);
                var report = await run.RunAsync(cancellation);
                if (session.AsJson) Console.WriteLine(JsonSerializer.Serialize(report, BenchJson.Default.BenchReport));
                else Print(report);
                return report.IsClean ? ExitCode.Done : ExitCode.Failed;
            });
    }

    static void AtLeast<T>(Option<T> option, T least) where T : struct, IComparable<T> => option.Validators.Add(result =>
    {
        if (result.GetValueOrDefault<T>().CompareTo(least) < 0) result.AddError($"{result.Option.Name} must be at least {least}");
    });

    static void Print(BenchReport report)
    {
        Line("acknowledged", $"{report.RowsPerSecond:N0} rows/s, {report.MegabytesPerSecond:0.0} MB/s, {report.RequestsPerSecond:N0} requests/s over {report.Seconds:0.0} s");
        Line(report.Load.WaitLoaded ? "queryable" : "durable", Latency(report.Durable));
        if (report.Loaded is { } loaded) Line("queryable", $"{Latency(loaded)} ({loaded.Count} probes)");
        if (report.LoadedRowsPerSecond is { } loads) Line("loaded", $"{loads:N0} rows/s while sending");
        Line("backlog", $"{report.BacklogRowsAtStart:N0} rows at the start, {report.BacklogRows:N0} at the end, {(report.DrainSeconds is { } drain ? $"{drain:0.0} s until they were loaded" : $"not loaded within {report.Load.DrainPatience.TotalSeconds:0} s")}");
        if (report.RowsInTable is { } rows) Line("table", $"{rows:N0} rows, {report.RowsExpected:N0} acknowledged");
        if (report.Server is { } server) Line("server", $"{server.CpuSeconds:0.0} s of CPU, {server.ResidentMegabytes.Max():0} MiB resident");
        Line("generator", $"{report.GeneratorCpuSeconds:0.0} s of CPU, {report.BytesPerRecord:0.0} bytes a record");
        Line("errors", $"{report.Errors} requests failed, {report.RejectedRecords} records rejected{(report.FirstError is { } error ? $"; the first: {error}" : "")}");

        static void Line(string name, FormattableString text) => Console.WriteLine($"{name,-13} {text.ToString(CultureInfo.InvariantCulture)}");
        static FormattableString Latency(LatencyReport it) => $"p50 {it.P50Milliseconds:0.00} ms, p99 {it.P99Milliseconds:0.00} ms, p99.9 {it.P999Milliseconds:0.00} ms, max {it.MaxMilliseconds:0.0} ms";
    }
}
