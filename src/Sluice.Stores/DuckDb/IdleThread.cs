using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// A thread for the work of queries. DuckDB computes on the thread that calls it, for as long as that takes: the pool's threads, which serve requests, must not wait in it. This one, and those
/// that DuckDB starts on it, run only while no other thread wants the processor, and make room at once when one does (Linux: <c>SCHED_IDLE</c>; where the system refuses that, they share
/// evenly). A nice value is not enough: ADR 8 has the figures. One call at a time.
/// </summary>
sealed partial class IdleThread : IDisposable
{
    const int SchedIdle = 5;

    // never disposed: it holds nothing of the system's, and the thread may see that no more comes while Dispose is still telling it
    readonly BlockingCollection<Action> _calls = [];

    IdleThread()
    {
    }

    /// <exception cref="QueryException">The system has no thread to give.</exception>
    public static IdleThread Start()
    {
        var queue = new IdleThread();
        try
        {
            new Thread(queue.Run) { IsBackground = true, Name = "query" }.Start();
            return queue;
        }
        catch (Exception e) when (e is OutOfMemoryException or ThreadStartException)
        {
            throw new QueryException("the system has no thread to give; try again later", inner: e);
        }
    }

    /// <summary>Runs a call to its end; nothing but an interrupt of DuckDB cuts it short.</summary>
    public Task<T> RunAsync<T>(Func<T> call)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        _calls.Add(() =>
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
        return done.Task;
    }

    /// <summary>The thread ends after the calls it was given.</summary>
    public void Dispose() => _calls.CompleteAdding();

    void Run()
    {
        if (OperatingSystem.IsLinux())
        {
            var none = 0; // struct sched_param: there are no priorities within the class
            _ = SetScheduler(thread: 0, SchedIdle, ref none);
        }
        foreach (var call in _calls.GetConsumingEnumerable()) call();
    }

    [LibraryImport("libc", EntryPoint = "sched_setscheduler")]
    private static partial int SetScheduler(int thread, int policy, ref int parameter);
}
