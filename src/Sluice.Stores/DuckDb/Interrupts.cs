using DuckDB.NET.Native;

namespace Sluice.Stores.DuckDb;

/// <summary>Interrupts a connection again and again from the moment a token is cancelled until disposed.</summary>
sealed class Interrupts : IDisposable
{
    // An interrupt that falls between two statements is forgotten, so it is repeated until the query has ended.
    static readonly TimeSpan _interval = TimeSpan.FromMilliseconds(100);

    readonly ITimer _timer;
    readonly CancellationTokenRegistration _registration;
    readonly Lock _lock = new();
    bool _ended;

    internal Interrupts(DuckDBNativeConnection connection, TimeProvider time, CancellationToken token)
    {
        _timer = time.CreateTimer(_ => Interrupt(connection), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _registration = token.Register(() => _timer.Change(TimeSpan.Zero, _interval));
    }

    void Interrupt(DuckDBNativeConnection connection)
    {
        lock (_lock)
        {
            if (!_ended)
                NativeMethods.Startup.DuckDBInterrupt(connection);
        }
    }

    /// <summary>After this the connection may be closed, or used for something else.</summary>
    public void Dispose()
    {
        _registration.Dispose();
        _timer.Dispose();
        lock (_lock)
            _ended = true;
    }
}
