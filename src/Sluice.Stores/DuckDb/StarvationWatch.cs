namespace Sluice.Stores.DuckDb;

/// <summary>
/// Looks, while there are queries, whether their idle threads get anything of the processor, and lets them compete for a moment when they do not: beside neighbours that keep every processor busy, a
/// <c>count(*)</c> took 2 to 13 s and a query ended seconds after its limit. Beside ingest that leaves them a twentieth of a processor nothing changes. Looks from a thread of its own: those of the
/// pool may all be busy just then. Any thread; does nothing where the system does not let a thread out of its class (<see cref="IdleScheduling.Leave"/>).
/// </summary>
static class StarvationWatch
{
    // starved for two looks, then competing until the next: a third of the time at most
    const int LooksStarved = 2;
    const double EnoughOfOneProcessor = 0.05;

    static readonly TimeSpan s_interval = TimeSpan.FromMilliseconds(50);

    static readonly Lock s_lock = new();
    static readonly ManualResetEventSlim s_hasQueries = new();
    static readonly List<int> s_competing = [];
    static Dictionary<int, long> s_ranNanoseconds = [];
    static int s_queryCount;
    static int s_starvedCount;
    static Thread? s_thread;

    /// <summary>A query begins. <see cref="End"/> once for each.</summary>
    /// <exception cref="OutOfMemoryException">The system has no thread to give; nothing has begun.</exception>
    public static void Begin()
    {
        if (!OperatingSystem.IsLinux()) return;
        lock (s_lock)
        {
            s_thread ??= StartThread();
            if (s_queryCount++ == 0) s_hasQueries.Set();
        }
    }

    public static void End()
    {
        if (!OperatingSystem.IsLinux()) return;
        lock (s_lock)
        {
            if (--s_queryCount > 0) return;
            s_hasQueries.Reset();
            EndCompeting();
        }
    }

    /// <summary>Makes an idle thread of a query an ordinary one, for good.</summary>
    public static void Leave(int thread)
    {
        lock (s_lock)
        {
            s_competing.Remove(thread);
            IdleScheduling.Leave(thread);
        }
    }

    static Thread StartThread()
    {
        var thread = new Thread(Run) { IsBackground = true, Name = "queries' watch" };
        thread.UnsafeStart(); // it outlives the query, and keeps nothing of it
        return thread;
    }

    static void Run()
    {
        while (true)
        {
            s_hasQueries.Wait();
            Thread.Sleep(s_interval);
            Look();
        }
    }

    static void Look()
    {
        lock (s_lock)
        {
            if (s_queryCount == 0) return; // the last one ended meanwhile
            if (s_competing.Count > 0)
            {
                EndCompeting();
                s_starvedCount = 0;
                _ = AreStarved(); // what they got now is not to pass for what they get when idle
                return;
            }
            s_starvedCount = AreStarved() ? s_starvedCount + 1 : 0;
            if (s_starvedCount < LooksStarved) return;
            s_competing.AddRange(s_ranNanoseconds.Keys);
            s_competing.ForEach(IdleScheduling.Leave);
        }
    }

    static void EndCompeting()
    {
        s_competing.ForEach(IdleScheduling.Enter);
        s_competing.Clear();
    }

    /// <summary>One of them could run, and all that were there at the last look together got next to nothing since.</summary>
    static bool AreStarved()
    {
        var (ran, canRun, before) = (0L, false, s_ranNanoseconds);
        s_ranNanoseconds = [];
        try
        {
            foreach (var thread in IdleScheduling.Threads())
            {
                if (IdleScheduling.Usage(thread) is not var (nanoseconds, isRunnable)) continue;
                ran += nanoseconds - before.GetValueOrDefault(thread, nanoseconds);
                canRun |= isRunnable;
                s_ranNanoseconds[thread] = nanoseconds;
            }
        }
        catch (IOException)
        {
            return false; // no file handle is left to look with
        }
        return canRun && ran < EnoughOfOneProcessor * s_interval.TotalNanoseconds;
    }
}
