using System.Collections.Concurrent;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// A thread for the work of queries. DuckDB computes on the thread that calls it, for as long as that takes: the pool's threads, which serve requests, must not wait in it. This one runs only while
/// no other thread wants the processor, and makes room at once when one does (<see cref="IdleScheduling"/>), unless that leaves it nothing (<see cref="StarvationWatch"/>). DuckDB's workers, where
/// there are any, are ordinary threads: loads wait for them too (ADR 8). One call at a time.
/// </summary>
sealed class IdleThread : IDisposable
{
    // never disposed: it holds nothing of the system's, and the thread may see that no more comes while Dispose is still telling it
    readonly BlockingCollection<Action> _calls = [];

    bool _ended;
    int _thread; // the system's id; 0: it has not begun

    IdleThread()
    {
    }

    /// <exception cref="QueryException">The system has no thread to give.</exception>
    public static IdleThread Start()
    {
        var queue = new IdleThread();
        try
        {
            StarvationWatch.Begin();
            try
            {
                new Thread(queue.Run) { IsBackground = true, Name = "query" }.Start();
            }
            catch
            {
                StarvationWatch.End();
                throw;
            }
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

    /// <summary>
    /// Lets it compete with all others from now on, for a call that is to end soon: between two looks at an interrupt DuckDB may compute for half a second, which takes a thread that starves more than ten.
    /// Any thread.
    /// </summary>
    public void Hurry()
    {
        if (OperatingSystem.IsLinux() && Volatile.Read(ref _thread) is not 0 and var thread) StarvationWatch.Leave(thread);
    }

    /// <summary>The thread ends after the calls it was given.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _ended, true)) return;
        _calls.CompleteAdding();
        StarvationWatch.End();
    }

    void Run()
    {
        if (OperatingSystem.IsLinux())
        {
            IdleScheduling.Enter(thread: 0);
            Volatile.Write(ref _thread, IdleScheduling.CurrentThread());
        }
        foreach (var call in _calls.GetConsumingEnumerable()) call();
    }
}
