using System.Diagnostics;

namespace Sluice.Cli.Bench;

/// <summary>Watches the process of a server on this machine. One thread at a time.</summary>
sealed class ServerUsage : IDisposable
{
    const int Parts = 6;

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
        (_cpuAtEnd - _cpuAtStart).TotalSeconds, [.. _resident.Chunk((_resident.Count + Parts - 1) / Parts).Select(part => part.Max() / (1024.0 * 1024))]);

    public void Dispose() => _process.Dispose();
}
