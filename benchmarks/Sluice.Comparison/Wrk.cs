using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Sluice.Client;

namespace Sluice.Comparison;

/// <summary>wrk, a load generator that is not ours.</summary>
static partial class Wrk
{
    /// <summary>Sends to a table of its own, and waits until all is loaded.</summary>
    public static async Task<double> RowsPerSecondAsync(Bench bench, SluiceServer server, int connections, int batch, CancellationToken cancellation)
    {
        var database = (await server.Client.CreateDatabaseAsync(new DatabaseRequest("wrk"), cancellation)).Id;
        var made = await server.Client.QueryAsync(database, "CREATE TABLE load (_id ID, name STRING, n INT, price DECIMAL(2), at TIMESTAMP, ok BOOL, kind STRING)", cancellation);
        if (made.Error is { } error) throw new ComparisonException(error);
        SinkField[] fields = [new("_id", ["id"]), .. new[] { "name", "n", "price", "at", "ok", "kind" }.Select(column => new SinkField(column, [column]))];
        var sink = (await server.Client.CreateSinkAsync(new SinkRequest("load", new SinkDetails(database, "load"), new SinkSchema("json", "_id", null, true, fields)), cancellation)).Id;
        var address = $"http://127.0.0.1:{bench.Bed.Port + 1}/v2/sinks/{sink}?return=summary";
        await RunAsync(bench.WarmupSeconds);
        var output = await RunAsync(bench.Seconds);
        if (output.Contains("Non-2xx", StringComparison.Ordinal) || output.Contains("Socket errors", StringComparison.Ordinal)) throw new ComparisonException($"wrk had errors:\n{output}");
        var rate = double.Parse(Rate().Match(output).Groups[1].Value, CultureInfo.InvariantCulture) * batch;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"wrk        {batch,6} records a request {rate,11:N0} rows/s"));
        while ((await server.Client.GetLedgerAsync(sink, cancellation)).Pending > 0) await Task.Delay(s_drainInterval, TimeProvider.System, cancellation);
        await server.Client.DeleteDatabaseAsync(database, force: true, cancellation);
        return rate;

        async Task<string> RunAsync(int seconds)
        {
            var start = new ProcessStartInfo("wrk", ["-t1", $"-c{connections}", $"-d{seconds}s", "-s", Path.Combine(bench.Bed.Root, "benchmarks", "wrk.lua"), address])
            {
                RedirectStandardOutput = true,
                Environment = { ["SLUICE_API_KEY"] = server.ApiKey, ["BATCH"] = batch.ToString(CultureInfo.InvariantCulture) },
            };
            using var process = Process.Start(start)!;
            await using var abort = cancellation.Register(process.Kill);
            var text = await process.StandardOutput.ReadToEndAsync(cancellation);
            await process.WaitForExitAsync(cancellation);
            return text;
        }
    }

    static readonly TimeSpan s_drainInterval = TimeSpan.FromMilliseconds(200);

    [GeneratedRegex(@"Requests/sec:\s+([0-9.]+)")]
    private static partial Regex Rate();
}
