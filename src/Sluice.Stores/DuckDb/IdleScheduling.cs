using System.Globalization;
using System.Runtime.InteropServices;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// Threads that run only while no other thread wants the processor, and make room at once when one does: Linux' <c>SCHED_IDLE</c>. Where the system
/// refuses that, they share evenly. A nice value is not enough: ADR 8 has the figures. Linux only, any thread.
/// </summary>
static partial class IdleScheduling
{
    const int SchedOther = 0;
    const int SchedIdle = 5;

    /// <summary>Makes a thread of the process an idle one.</summary>
    /// <param name="thread">The system's id; 0 is the calling thread. One that has ended is passed over.</param>
    public static void Enter(int thread) => Set(thread, SchedIdle);

    /// <summary>Makes an idle thread an ordinary one. Linux asks for <c>CAP_SYS_NICE</c> or an <c>RLIMIT_NICE</c> of 20, and leaves it idle without.</summary>
    public static void Leave(int thread) => Set(thread, SchedOther);

    /// <summary>The system's id of the calling thread.</summary>
    [LibraryImport("libc", EntryPoint = "gettid")]
    public static partial int CurrentThread();

    /// <summary>The ids of the idle threads of the process.</summary>
    /// <exception cref="IOException">No file handle is left.</exception>
    public static IEnumerable<int> Threads() => Directory.EnumerateDirectories("/proc/self/task")
        .Select(path => int.Parse(Path.GetFileName(path.AsSpan()), CultureInfo.InvariantCulture))
        .Where(thread => GetScheduler(thread) == SchedIdle);

    /// <summary>What a thread of the process got of a processor since it began, and whether it wants one now. None: it has ended, or the system does not count.</summary>
    public static (long RanNanoseconds, bool IsRunnable)? Usage(int thread)
    {
        try
        {
            var ran = File.ReadAllText($"/proc/self/task/{thread}/schedstat");
            var state = File.ReadAllText($"/proc/self/task/{thread}/stat"); // the state stands behind the name, which has brackets
            return (long.Parse(ran.AsSpan(0, ran.IndexOf(' ')), CultureInfo.InvariantCulture), state[state.LastIndexOf(')') + 2] == 'R');
        }
        catch (IOException)
        {
            return null;
        }
    }

    static void Set(int thread, int policy)
    {
        var none = 0; // struct sched_param: there are no priorities within these classes
        _ = SetScheduler(thread, policy, ref none);
    }

    [LibraryImport("libc", EntryPoint = "sched_setscheduler")]
    private static partial int SetScheduler(int thread, int policy, ref int parameter);

    [LibraryImport("libc", EntryPoint = "sched_getscheduler")]
    private static partial int GetScheduler(int thread);
}
