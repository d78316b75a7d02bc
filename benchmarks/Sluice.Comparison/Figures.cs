using System.Globalization;

namespace Sluice.Comparison;

/// <summary>Numbers as the summary writes them.</summary>
static class Figures
{
    public static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        return (sorted[(sorted.Count - 1) / 2] + sorted[sorted.Count / 2]) / 2;
    }

    /// <summary>The median, and the range when there are several.</summary>
    public static string Spread(IReadOnlyCollection<double> values, Func<double, string> format) =>
        values.Count == 1 ? format(values.First()) : $"{format(Median(values))} ({format(values.Min())} to {format(values.Max())})";

    public static string Rates(IEnumerable<Report> runs, Func<Report, double>? rate = null) => Spread([.. runs.Select(rate ?? (run => run.RowsPerSecond))], Count);

    public static string Milliseconds(IEnumerable<double> values) => Spread([.. values], value => $"{Short(value)} ms");

    public static string CpuPerMillionRows(IEnumerable<Report> runs) => $"{Short(Median(runs.Select(run => run.CpuSecondsPerMillionRows)))} s";

    /// <summary>How the first compare with the second, and whether that is the goal.</summary>
    public static string Ratio(IEnumerable<Report> first, IEnumerable<Report> second, double goal, Func<Report, double>? rate = null)
    {
        var ratio = Median(first.Select(rate ?? (run => run.RowsPerSecond))) / Median(second.Select(rate ?? (run => run.RowsPerSecond)));
        return $"{Short(ratio)} x (goal {goal.ToString(CultureInfo.InvariantCulture)} x{(ratio >= goal ? "" : ", missed")})";
    }

    public static string Count(double value) => value switch
    {
        >= 999_500 => $"{Short(value / 1e6)} M",
        >= 9_995 => $"{Short(value / 1e3)} k",
        _ => value.ToString("N0", CultureInfo.InvariantCulture),
    };

    /// <summary>Three digits.</summary>
    public static string Short(double value) => value.ToString(value switch { >= 99.95 => "N0", >= 9.995 => "0.0", _ => "0.00" }, CultureInfo.InvariantCulture);

    public static string Table(string[] head, IEnumerable<string[]> rows) =>
        string.Join('\n', new[] { head, [.. head.Select(_ => "---")] }.Concat(rows).Select(cells => $"| {string.Join(" | ", cells)} |"));

    /// <summary>What went wrong, or nothing.</summary>
    public static string Errors(IEnumerable<Report> runs)
    {
        var failed = runs.Where(run => run.Errors > 0).ToList();
        return failed.Count == 0 ? "none" : $"{failed.Sum(run => run.Errors)}: {failed[0].FirstError?.Replace('|', '/')}";
    }
}
