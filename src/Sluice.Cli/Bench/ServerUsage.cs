using System.Diagnostics;

namespace Sluice.Cli.Bench;

/// <summary>Watches the process of a server on this machine. One thread at a time.</summary>
sealed class ServerUsage : IDisposable
{
    readonly Process _process;
    readonly List<long> _resident = [];
    TimeSpan _cpuAtStart;
    TimeSpan _cpuAtEnd;

    ServerUsage(Process process) => _process = process;

    /// <exception cref="CommandException">There is no such process.</exception>
    public static ServerUsage Of(int processId)
    {
        try
        {
            return new ServerUsage(Process.GetProcessById(processId));
        }
        catch (ArgumentException e)
        {
            throw new CommandException($"--server-pid: {e.Message}");
        }
    }

    public void Start()
    {
        _resident.Clear();
        Sample();
        _cpuAtStart = _cpuAtEnd;
    }

    public void Sample()
    {
        _process.Refresh();
        _resident.Add(_process.WorkingSet64);
        _cpuAtEnd = _process.TotalProcessorTime;
    }

    public ServerUse Report() => new(
        (_cpuAtEnd - _cpuAtStart).TotalSeconds, Megabytes(_resident.Take((_resident.Count + 1) / 2)), Megabytes(_resident.Skip(_resident.Count / 2)));

    public void Dispose() => _process.Dispose();

    static double Megabytes(IEnumerable<long> bytes) => bytes.Max() / (1024.0 * 1024);
}
