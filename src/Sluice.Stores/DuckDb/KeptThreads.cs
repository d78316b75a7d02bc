namespace Sluice.Stores.DuckDb;

/// <summary>Threads for calls that block. One that has ended its call takes another, and ends when none comes for a while. Any thread.</summary>
/// <remarks>
/// A thread for each load cost a third of what can be loaded where page faults are dear: when the last thread that uses an arena of DuckDB's allocator ends, all that is free in it goes back to the
/// system, and the next load takes it again page by page (ADR 16).
/// </remarks>
/// <param name="keptFor">How long a thread waits for another call.</param>
sealed class KeptThreads(TimeSpan keptFor)
{
    readonly object _gate = new(); // a monitor: it is waited on
    readonly Queue<Action> _calls = [];
    int _waitingCount;

    /// <summary>Those that load, change schemas and delete, in all databases. They end between two maintenances, so that a server without loads gives its memory back.</summary>
    public static KeptThreads Shared { get; } = new(TimeSpan.FromSeconds(5));

    /// <summary>Runs a call to its end.</summary>
    /// <exception cref="OutOfMemoryException">The system has no thread to give; the call was not run.</exception>
    /// <exception cref="ThreadStartException">As before.</exception>
    public Task<T> RunAsync<T>(Func<T> call)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_waitingCount <= _calls.Count) new Thread(TakeCalls) { IsBackground = true, Name = "store" }.UnsafeStart(); // those that wait have calls already; it outlives this caller, and keeps nothing of it
            _calls.Enqueue(() =>
            {
                try
                {
                    done.SetResult(call());
                }
                catch (Exception e)
                {
                    done.SetException(e);
                }
            });
            Monitor.Pulse(_gate);
        }
        return done.Task;
    }

    void TakeCalls()
    {
        while (Next() is { } call) call();
    }

    /// <returns>None: none came in time.</returns>
    Action? Next()
    {
        lock (_gate)
        {
            _waitingCount++;
            try
            {
                while (_calls.Count == 0)
                {
                    if (!Monitor.Wait(_gate, keptFor) && _calls.Count == 0) return null;
                }
                return _calls.Dequeue();
            }
            finally
            {
                _waitingCount--;
            }
        }
    }
}
