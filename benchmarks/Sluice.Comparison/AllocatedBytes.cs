using System.Diagnostics;
using System.Globalization;

namespace Sluice.Comparison;

/// <summary>What a .NET process allocates, as <c>dotnet-counters</c> (dotnet-tools.json) reads it from the runtime.</summary>
static class AllocatedBytes
{
    const string Counter = "dotnet.gc.heap.total_allocated";

    /// <summary>Bytes allocated a second, for as long as <paramref name="bench"/> measures, from after its warm-up.</summary>
    public static async Task<double> PerSecondAsync(Bench bench, int processId, CancellationToken cancellation)
    {
        await Task.Delay(TimeSpan.FromSeconds(bench.WarmupSeconds + 2), TimeProvider.System, cancellation);
        var file = Path.Combine(bench.Bed.Scratch, "counters.csv");
        var seconds = TimeSpan.FromSeconds(Math.Max(2, bench.Seconds - 3));
        using var process = Process.Start(new ProcessStartInfo(
            "dotnet",
            [
                "dotnet-counters", "collect", "-p", processId.ToString(CultureInfo.InvariantCulture), "--counters", $"System.Runtime[{Counter}]",
                "--refresh-interval", "1", "--duration", seconds.ToString(@"dd\:hh\:mm\:ss", CultureInfo.InvariantCulture), "--format", "csv", "-o", file,
            ])
        { WorkingDirectory = bench.Bed.Root, RedirectStandardOutput = true, RedirectStandardError = true })!;
        var (output, errors) = (process.StandardOutput.ReadToEndAsync(cancellation), process.StandardError.ReadToEndAsync(cancellation));
        await process.WaitForExitAsync(cancellation);
        var rates = (File.Exists(file) ? File.ReadAllLines(file) : []).Where(line => line.Contains(Counter, StringComparison.Ordinal))
            .Select(line => double.Parse(line[(line.LastIndexOf(',') + 1)..], CultureInfo.InvariantCulture)).ToList();
        if (rates.Count == 0) throw new ComparisonException($"dotnet-counters saw nothing: {await errors}{await output}");
        return rates.Average();
    }
}
