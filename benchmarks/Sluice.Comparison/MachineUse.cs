using System.Globalization;

namespace Sluice.Comparison;

/// <summary>
/// What took CPU time from the measured: other programs, and the host of a virtual machine. Figures taken while there was much of it say little.
/// One thread at a time.
/// </summary>
sealed class MachineUse
{
    const int IdleColumn = 3;
    const int WaitColumn = 4;
    const int StealColumn = 7;
    const double TicksPerSecond = 100; // of /proc/stat, on every architecture

    double _total;
    double _stolen;
    double _others;

    public double StolenShare => _total == 0 ? 0 : _stolen / _total;

    public double OthersShare => _total == 0 ? 0 : _others / _total;

    public static MachineTicks Read()
    {
        // cpu user nice system idle iowait irq softirq steal ...
        var ticks = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Take(StealColumn + 1)
            .Select(text => long.Parse(text, CultureInfo.InvariantCulture) / TicksPerSecond).ToList();
        return new MachineTicks(ticks.Sum(), ticks.Sum() - ticks[IdleColumn] - ticks[WaitColumn] - ticks[StealColumn], ticks[StealColumn]);
    }

    /// <summary>CPU time of all programs that this one started and that have ended: a process cannot be asked any more then.</summary>
    public static TimeSpan ReadEndedChildren()
    {
        // pid (name) state ... utime stime cutime cstime
        var text = File.ReadAllText("/proc/self/stat");
        var fields = text[(text.LastIndexOf(')') + 2)..].Split(' ');
        return TimeSpan.FromSeconds((long.Parse(fields[13], CultureInfo.InvariantCulture) + long.Parse(fields[14], CultureInfo.InvariantCulture)) / TicksPerSecond);
    }

    /// <param name="measured">CPU time of the server and the generator since <paramref name="begin"/>.</param>
    /// <returns>The share of all CPU time that neither of them had and that was not idle.</returns>
    public double Add(MachineTicks begin, TimeSpan measured)
    {
        var now = Read();
        var (total, others) = (now.Total - begin.Total, Math.Max(0, now.Busy - begin.Busy - measured.TotalSeconds));
        _total += total;
        _stolen += now.Stolen - begin.Stolen;
        _others += others;
        return others / Math.Max(1, total);
    }
}

/// <summary>Seconds of CPU since the machine started, all cores.</summary>
readonly record struct MachineTicks(double Total, double Busy, double Stolen);
