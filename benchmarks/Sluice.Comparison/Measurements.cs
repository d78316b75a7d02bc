using System.Globalization;
using static Sluice.Comparison.Figures;

namespace Sluice.Comparison;

/// <summary>The parts: which runs each makes, and what it says of them. Every run has 16 connections unless said otherwise.</summary>
static class Measurements
{
    const int Connections = 16;
    const int BulkRecords = 1_000_000;
    const long MaxBacklog = 1_000_000;
    const long TableRows = 10_000_000;
    const long LongTableRows = 100_000_000;
    const long RaisedBacklogBytes = 32L << 30;
    const int AllocationSeconds = 10;

    static readonly (int Batch, double Goal)[] Sizes = [(1_000, 3), (100, 10), (1, 30)];

    public static async Task<string> AcknowledgedAsync(Bench bench, CancellationToken cancellation)
    {
        var rows = new List<string[]>();
        foreach (var (batch, goal) in Sizes)
        {
            var load = $"--connections {Connections} --batch {batch} --drain 0 --probes 0";
            var (sluice, clickHouse) = await bench.InTurnAsync(() => bench.SluiceAsync(load, cancellation, maxBacklogBytes: RaisedBacklogBytes), () => bench.ClickHouseAsync(load, cancellation));
            Add($"{batch:N0}", goal, sluice, clickHouse);
            if (batch != Sizes[0].Batch) continue;
            var limited = new List<Report>();
            for (var round = 0; round < bench.Rounds; round++) limited.Add(await bench.SluiceAsync(load, cancellation));
            Add($"{batch:N0}, backlog limit of 4 GiB", goal, limited, clickHouse);
        }
        return $"""
            Closed loop, {Connections} connections, every key new, loading on. What was not loaded at the end is the backlog; both ways of being faster than the store (taking more than it loads, and loading less while taking) show there. By default a table may have 4 GiB of log that is not loaded; from then on what is more than is loaded is refused with 503. The limit is raised to {RaisedBacklogBytes >> 30} GiB here, but for the row that says so.

            {Table(["records a request", "Sluice rows/s", "ClickHouse rows/s", "ratio", "Sluice p50, p99", "ClickHouse p50, p99", "backlog at the end", "CPU: Sluice, ClickHouse", "generator, of one core", "failed requests"], rows)}
            """;

        void Add(string name, double goal, List<Report> sluice, List<Report> clickHouse) =>
            rows.Add(
            [
                name, Rates(sluice), Rates(clickHouse), Ratio(sluice, clickHouse, goal), Latencies(sluice), Latencies(clickHouse),
                $"{Spread([.. sluice.Select(run => (double)run.BacklogRows)], Count)}", $"{CpuPerMillionRows(sluice)}, {CpuPerMillionRows(clickHouse)}",
                $"{Median(sluice.Select(run => run.GeneratorCpuSeconds / run.Seconds)):0%}, {Median(clickHouse.Select(run => run.GeneratorCpuSeconds / run.Seconds)):0%}", Errors(sluice.Concat(clickHouse)),
            ]);
    }

    public static async Task<string> LoadedAsync(Bench bench, CancellationToken cancellation)
    {
        var load = $"--connections {Connections} --batch 1000 --max-backlog {MaxBacklog}";
        var (sluice, clickHouse) = await bench.InTurnAsync(() => bench.SluiceAsync(load, cancellation), () => bench.ClickHouseAsync(load, cancellation));
        return $"""
            Closed loop, 1,000 records a request, every key new. Sending pauses while more than {Count(MaxBacklog)} rows are not loaded, so what is acknowledged is what is loaded. Rows that became visible to SQL, by time.

            {Table(
                ["Sluice rows/s", "ClickHouse rows/s", "ratio", "backlog, start and end", "Sluice queryable p50, p99", "CPU: Sluice, ClickHouse", "failed requests"],
                [[
                    Rates(sluice, Visible), Rates(clickHouse), Ratio(sluice, clickHouse, 2, Visible),
                    string.Join("; ", sluice.Select(run => $"{Count(run.BacklogRowsAtStart)}, {Count(run.BacklogRows)}")),
                    Probes(sluice), $"{CpuPerMillionRows(sluice)}, {CpuPerMillionRows(clickHouse)}", Errors(sluice.Concat(clickHouse)),
                ]])}
            """;
    }

    public static async Task<string> UpsertAsync(Bench bench, CancellationToken cancellation)
    {
        var (sluice, clickHouse) = await bench.InTurnAsync(
            () => bench.SluiceAsync($"--connections {Connections} --batch 1000 --max-backlog {MaxBacklog} --keys Half --rows {TableRows}", cancellation),
            () => bench.ClickHouseAsync($"--connections {Connections} --batch 1000", cancellation));
        return $"""
            A table of {Count(TableRows)} rows; half the records of each request replace a whole row, any of those in the table, half are new. ClickHouse, which does not replace, inserts new rows only. Otherwise as above.

            {Table(
                ["Sluice rows/s", "ClickHouse plain insert rows/s", "ratio", "backlog, start and end", "Sluice queryable p50, p99", "CPU: Sluice, ClickHouse", "failed requests"],
                [[
                    Rates(sluice, Visible), Rates(clickHouse), Ratio(sluice, clickHouse, 0.6, Visible) + " or 300 k rows/s",
                    string.Join("; ", sluice.Select(run => $"{Count(run.BacklogRowsAtStart)}, {Count(run.BacklogRows)}")),
                    Probes(sluice), $"{CpuPerMillionRows(sluice)}, {CpuPerMillionRows(clickHouse)}", Errors(sluice.Concat(clickHouse)),
                ]])}
            """;
    }

    public static async Task<string> BulkAsync(Bench bench, CancellationToken cancellation)
    {
        var load = $"--connections 1 --batch {BulkRecords} --form Ndjson --probes 0";
        var (sluice, clickHouse) = await bench.InTurnAsync(() => bench.SluiceAsync(load, cancellation), () => bench.ClickHouseAsync(load, cancellation));
        var loaded = new List<Report>();
        for (var round = 0; round < bench.Rounds; round++) loaded.Add(await bench.SluiceAsync($"{load} --wait Loaded", cancellation));
        return $"""
            One connection, bodies of {Count(BulkRecords)} records as NDJSON ({Short(sluice[0].BytesPerRecord * BulkRecords / 1e6)} MB) one after the other. The sink's limits are raised for it: `max_records` 10,000,000, `max_bytes` 16 GiB.

            {Table(
                ["", "Sluice rows/s", "ClickHouse rows/s", "ratio", "a body takes", "CPU: Sluice, ClickHouse", "failed requests"],
                [
                    ["until durable", Rates(sluice), Rates(clickHouse), Ratio(sluice, clickHouse, 1), Milliseconds(sluice.Select(run => run.Durable.P50Milliseconds)), $"{CpuPerMillionRows(sluice)}, {CpuPerMillionRows(clickHouse)}", Errors(sluice.Concat(clickHouse))],
                    ["until queryable", Rates(loaded), Rates(clickHouse), Ratio(loaded, clickHouse, 1), Milliseconds(loaded.Select(run => run.Durable.P50Milliseconds)), $"{CpuPerMillionRows(loaded)}, {CpuPerMillionRows(clickHouse)}", Errors(loaded)],
                ])}
            """;
    }

    public static async Task<string> LatencyAsync(Bench bench, CancellationToken cancellation)
    {
        var full = await bench.SluiceAsync($"--connections {Connections} --batch 1000 --max-backlog {MaxBacklog}", cancellation);
        var rate = (int)Math.Max(1, Visible(full) / 2 / 1_000);
        var load = $"--connections {Connections} --batch 1000 --rate {rate}";
        var (sluice, clickHouse) = await bench.InTurnAsync(() => bench.SluiceAsync(load, cancellation), () => bench.ClickHouseAsync(load, cancellation));
        return $"""
            Open loop: {rate} requests of 1,000 records a second, half of what Sluice sustained until queryable just before ({Count(Visible(full))} rows/s); latency counts from when a request is due. *Queryable*: single records, ten a second beside the load, with `wait=loaded`.

            {Table(
                ["", "p50", "p99", "p99.9", "goal for the p99", "requests or probes"],
                [
                    ["Sluice, durable", .. Percentiles(sluice.Select(run => run.Durable)), $"20 ms{Missed(sluice.Select(run => run.Durable), 20)}", $"{sluice.Sum(run => run.Durable.Count)}"],
                    ["Sluice, queryable", .. Percentiles(sluice.Select(run => run.Loaded!)), $"1 s{Missed(sluice.Select(run => run.Loaded!), 1_000)}", $"{sluice.Sum(run => run.Loaded!.Count)}"],
                    ["ClickHouse, queryable, at the same rate", .. Percentiles(clickHouse.Select(run => run.Durable)), "", $"{clickHouse.Sum(run => run.Durable.Count)}"],
                ])}

            Failed requests: {Errors(sluice.Concat(clickHouse))}. Rows acknowledged: Sluice {Rates(sluice)}/s, ClickHouse {Rates(clickHouse)}/s.
            """;
    }

    public static async Task<string> MemoryAsync(Bench bench, CancellationToken cancellation)
    {
        var full = await bench.SluiceAsync($"--connections {Connections} --batch 1000 --max-backlog {MaxBacklog} --keys Known --rows {TableRows}", cancellation);
        var bytesPerSecond = 0.0;
        var brief = bench with { Seconds = Math.Min(bench.Seconds, AllocationSeconds) };
        var counted = await brief.SluiceAsync(
            $"--connections {Connections} --batch 1000 --max-backlog {MaxBacklog}", cancellation,
            beside: async server => bytesPerSecond = await AllocatedBytes.PerSecondAsync(brief, server.ProcessId, cancellation));
        var allocated = bytesPerSecond / counted.RowsPerSecond;
        var resident = full.Server!.ResidentMegabytes;
        return $"""
            Closed loop as under *sustained until queryable*. Memory: a table of {Count(TableRows)} rows, each record replaces one of them, the most resident in each sixth of the {full.Seconds:0} s; {Rates([full], Visible)} rows/s were loaded. Allocation: managed bytes the process allocated a second while sending, loader, probes and requests included, by acknowledged rows, of a run with new keys of {counted.Seconds:0} s.

            {Table(
                ["resident, by sixths of the time", "goal", "allocated a record", "goal", "failed requests"],
                [[
                    $"{string.Join(", ", resident.Select(most => most.ToString("N0", CultureInfo.InvariantCulture)))} MiB", $"1,024 MiB{(resident.Max() < 1_024 ? "" : ", missed")}",
                    $"{Short(allocated)} bytes", $"16 bytes{(allocated < 16 ? "" : ", missed")}", Errors([full, counted]),
                ]])}
            """;
    }

    public static async Task<string> GrowthAsync(Bench bench, CancellationToken cancellation)
    {
        var rows = new List<string[]>();
        foreach (var size in (long[])[0, 1_000_000, TableRows, .. bench.IsLong ? [LongTableRows] : Array.Empty<long>()])
        {
            var runs = new List<Report>();
            for (var round = 0; round < bench.Rounds; round++) runs.Add(await bench.SluiceAsync($"--connections {Connections} --batch 1000 --rows {size} --drain 0 --probes 0", cancellation));
            rows.Add([Count(size), Rates(runs), Latencies(runs), $"{Spread([.. runs.Select(run => (double)run.BacklogRows)], Count)}", Errors(runs)]);
        }
        return $"""
            Acknowledged, as in the first section with 1,000 records a request, on tables of these sizes. Goal: unchanged within noise.

            {Table(["rows in the table", "Sluice rows/s", "p50, p99", "backlog at the end", "failed requests"], rows)}
            """;
    }

    public static async Task<string> HttpsAsync(Bench bench, CancellationToken cancellation)
    {
        var rows = new List<string[]>();
        foreach (var (batch, _) in Sizes)
        {
            var load = $"--connections {Connections} --batch {batch} --drain 0 --probes 0";
            var (secure, plain) = await bench.InTurnAsync(() => bench.SluiceAsync(load, cancellation, isHttps: true), () => bench.SluiceAsync(load, cancellation));
            rows.Add([$"{batch:N0}", Rates(secure), Rates(plain), $"{Short(Median(secure.Select(run => run.RowsPerSecond)) / Median(plain.Select(run => run.RowsPerSecond)))} x", Latencies(secure), $"{CpuPerMillionRows(secure)}, {CpuPerMillionRows(plain)}", Errors(secure.Concat(plain))]);
        }
        return $"""
            Acknowledged, as in the first section, over HTTPS and over HTTP. The generator decrypts and encrypts on the same cores.

            {Table(["records a request", "HTTPS rows/s", "HTTP rows/s", "ratio", "HTTPS p50, p99", "CPU: HTTPS, HTTP", "failed requests"], rows)}
            """;
    }

    public static async Task<string> OutsideAsync(Bench bench, CancellationToken cancellation)
    {
        await using var server = await SluiceServer.StartAsync(bench.Bed, isHttps: false, cancellation);
        var rows = new List<string[]>();
        foreach (var (batch, _) in Sizes)
        {
            var (inside, outside) = (new List<double>(), new List<double>());
            for (var round = 0; round < bench.Rounds; round++)
            {
                inside.Add((await bench.RunOnAsync(server, "Sluice", $"--connections {Connections} --batch {batch} --keys Same --probes 0", null, cancellation)).RowsPerSecond);
                outside.Add(await Wrk.RowsPerSecondAsync(bench, server, Connections, batch, cancellation));
            }
            var ratio = Median(inside) / Median(outside);
            rows.Add([$"{batch:N0}", Spread(inside, Count), Spread(outside, Count), $"{Short(ratio)}{(Math.Abs(ratio - 1) <= 0.15 ? "" : ", more than 15 % apart")}"]);
        }
        return $"""
            Rows acknowledged, the same keys in every request (a load folds to few rows), by `sluice bench` and by wrk 4.1 with [wrk.lua](../wrk.lua), one thread, {Connections} connections: in turn, on one server, each into a table of its own.

            {Table(["records a request", "sluice bench rows/s", "wrk rows/s", "ratio"], rows)}
            """;
    }

    static double Visible(Report run) => run.LoadedRowsPerSecond ?? throw new ComparisonException("too few loads to tell how fast they are; measure longer (--seconds)");

    static string Latencies(IEnumerable<Report> runs) =>
        $"{Short(Median(runs.Select(run => run.Durable.P50Milliseconds)))}, {Short(Median(runs.Select(run => run.Durable.P99Milliseconds)))} ms";

    static string Probes(IEnumerable<Report> runs) =>
        $"{Short(Median(runs.Select(run => run.Loaded!.P50Milliseconds)))}, {Short(Median(runs.Select(run => run.Loaded!.P99Milliseconds)))} ms";

    static string[] Percentiles(IEnumerable<Latency> runs) =>
    [
        Milliseconds(runs.Select(run => run.P50Milliseconds)), Milliseconds(runs.Select(run => run.P99Milliseconds)), Milliseconds(runs.Select(run => run.P999Milliseconds)),
    ];

    static string Missed(IEnumerable<Latency> runs, double goal) => Median(runs.Select(run => run.P99Milliseconds)) <= goal ? "" : ", missed";
}
