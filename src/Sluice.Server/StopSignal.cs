using System.Runtime.InteropServices;

namespace Sluice.Server;

/// <summary>SIGTERM and SIGINT as a token. Further signals do nothing: a drain under way is not cut short.</summary>
sealed class StopSignal : IDisposable
{
    readonly CancellationTokenSource _requested = new();
    readonly List<PosixSignalRegistration> _registrations = [];

    public StopSignal()
    {
        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, Request));
        _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, Request));
    }

    public CancellationToken Token => _requested.Token;

    public void Dispose()
    {
        foreach (var registration in _registrations)
            registration.Dispose();
        _requested.Dispose();
    }

    void Request(PosixSignalContext context)
    {
        context.Cancel = true;
        _requested.Cancel();
    }
}

/// <summary>Leaves the signals to <see cref="StopSignal"/>: the host's own lifetime would stop at once, without draining.</summary>
sealed class UnattendedLifetime : IHostLifetime
{
    public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
