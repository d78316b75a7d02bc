using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Sluice.Comparison;

/// <summary>Runs <c>sluice bench</c> against servers that are started for it.</summary>
/// <param name="Seconds">How long each run sends.</param>
/// <param name="Rounds">How often each run is done.</param>
sealed record Bench(TestBed Bed, int Seconds, int Rounds, bool IsLong)
{
    public MachineUse Use { get; } = new();

    /// <summary>A server compiles what it runs often within its first seconds, and is slower until then.</summary>
    public int WarmupSeconds => Math.Clamp(Seconds / 6, 5, 10);

    public Task<Report> SluiceAsync(string load, CancellationToken cancellation, bool isHttps = false, long? maxBacklogBytes = null, Func<SluiceServer, Task>? beside = null) =>
        RunAsync("Sluice", async () => await SluiceServer.StartAsync(Bed, isHttps, cancellation, maxBacklogBytes), load, beside is null ? null : server => beside((SluiceServer)server), cancellation);

    public Task<Report> ClickHouseAsync(string load, CancellationToken cancellation) =>
        RunAsync("ClickHouse", async () => await ClickHouseServer.StartAsync(Bed, cancellation), load, null, cancellation);

    /// <summary>A B A B: both runs in each round, each on a fresh server.</summary>
    public async Task<(List<Report> First, List<Report> Second)> InTurnAsync(Func<Task<Report>> first, Func<Task<Report>> second)
    {
        var (firsts, seconds) = (new List<Report>(), new List<Report>());
        for (var round = 0; round < Rounds; round++)
        {
            firsts.Add(await first());
            seconds.Add(await second());
        }
        return (firsts, seconds);
    }

    async Task<Report> RunAsync(string side, Func<Task<MeasuredServer>> start, string load, Func<MeasuredServer, Task>? beside, CancellationToken cancellation)
    {
        await using var server = await start();
        return await RunOnAsync(server, side, load, beside, cancellation);
    }

    /// <summary>On a server that runs already.</summary>
    public async Task<Report> RunOnAsync(MeasuredServer server, string side, string load, Func<MeasuredServer, Task>? beside, CancellationToken cancellation)
    {
        var arguments = new List<string>
        {
            Path.Combine(Bed.Root, "src/Sluice.Cli/bin/Release/net10.0/sluice.dll"), "bench", "--json", "--server-pid", $"{server.ProcessId}",
            "--seconds", $"{Seconds}", "--warmup", $"{WarmupSeconds}",
        };
        arguments.AddRange(load.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        arguments.AddRange(server.BenchArguments);
        var (begin, cpu) = (MachineUse.Read(), server.CpuTime + MachineUse.ReadEndedChildren());
        using var process = Process.Start(new ProcessStartInfo("dotnet", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        await using var abort = cancellation.Register(process.Kill);
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(cancellation), process.StandardError.ReadToEndAsync(cancellation));
        if (beside is not null) await beside(server);
        await process.WaitForExitAsync(cancellation);
        var others = Use.Add(begin, server.CpuTime + MachineUse.ReadEndedChildren() - cpu);
        if (!(await output).StartsWith('{')) throw new ComparisonException($"sluice bench {load} on {side} failed: {await errors}{await output}");
        var report = JsonSerializer.Deserialize(await output, ReportJson.Default.Report)!;
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{side,-10} {load,-60} {report.RowsPerSecond,11:N0} rows/s, loaded {report.LoadedRowsPerSecond,9:N0}/s, backlog {report.BacklogRows,10:N0}, p99 {report.Durable.P99Milliseconds:0.0} ms, {report.Server!.CpuSeconds:0.0} + {report.GeneratorCpuSeconds:0.0} s CPU, others {others * 100:0.0} %, {report.Errors} errors {report.FirstError}"));
        if (report.RejectedRecords > 0) throw new ComparisonException($"{side} rejected {report.RejectedRecords} records");
        if (report.RowsInTable is { } rows && rows != report.RowsExpected) throw new ComparisonException($"{side} has {rows} rows in its table where {report.RowsExpected} were acknowledged");
        return report;
    }
}
