using System.Globalization;

namespace Sluice.Comparison;

/// <summary>CPU time that a virtual machine did not get although it had work; figures taken while there was much of it say little.</summary>
readonly record struct StolenTime(long Total, long Stolen)
{
    const int StealColumn = 7;

    public static StolenTime Begin()
    {
        // cpu user nice system idle iowait irq softirq steal ...
        var ticks = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Take(StealColumn + 1).Select(text => long.Parse(text, CultureInfo.InvariantCulture)).ToList();
        return new StolenTime(ticks.Sum(), ticks[StealColumn]);
    }

    /// <summary>Since <see cref="Begin"/>, of all time of all cores.</summary>
    public double Share()
    {
        var now = Begin();
        return (now.Stolen - Stolen) / (double)Math.Max(1, now.Total - Total);
    }
}
