using System.Diagnostics;
using System.Globalization;

namespace Sluice.Comparison;

/// <summary>What a figure was measured on, in one paragraph.</summary>
static class Conditions
{
    public static async Task<string> ReadAsync(Bench bench, Part part, CancellationToken cancellation)
    {
        var root = bench.Bed.Root;
        var dirty = (await RunAsync("git", ["-C", root, "status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks/Sluice.Comparison"], cancellation)).Length > 0;
        var memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (1024.0 * 1024 * 1024);
        string[] facts =
        [
            TimeProvider.System.GetUtcNow().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
            $"commit {await RunAsync("git", ["-C", root, "rev-parse", "--short", "HEAD"], cancellation)}{(dirty ? " with changes" : "")}",
            string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessorCount} cores ({Line("/proc/cpuinfo", "model name")}), {memory:0} GiB"),
            $"{Line("/etc/os-release", "PRETTY_NAME").Trim('"')}, kernel {Environment.OSVersion.Version}",
            (await RunAsync("df", ["--output=fstype", bench.Bed.Scratch], cancellation)).Split('\n')[^1],
            $".NET {Environment.Version}, ClickHouse {await RunAsync("dpkg-query", ["-W", "-f", "${Version}", "clickhouse-server"], cancellation)}",
            string.Create(CultureInfo.InvariantCulture, $"of the CPU time other programs had {bench.Use.OthersShare * 100:0.0} %, the machine's host {bench.Use.StolenShare * 100:0.0} %"),
            $"{bench.Rounds} round{(bench.Rounds == 1 ? "" : "s")} of {bench.Seconds} s after {bench.WarmupSeconds} s of warm-up, in turn, {(part.IsOnOneServer ? "on one server" : "each on a fresh server")}",
        ];
        return string.Join("; ", facts) + $". `./bench --only {part.Name} --seconds {bench.Seconds} --rounds {bench.Rounds}{(bench.IsLong ? " --long" : "")}`";
    }

    static string Line(string file, string name)
    {
        var line = File.ReadLines(file).FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal)) ?? "";
        return line[(line.IndexOfAny([':', '=']) + 1)..].Trim();
    }

    static async Task<string> RunAsync(string program, IEnumerable<string> arguments, CancellationToken cancellation)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = await process.StandardOutput.ReadToEndAsync(cancellation);
        await process.WaitForExitAsync(cancellation);
        return output.Trim();
    }
}
