using System.Globalization;
using System.Runtime.InteropServices;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// How long memory that DuckDB has freed stays with the process. Loads free and take again some 100 MiB a second; what the system took back meanwhile it gives again 4 KiB at a time, each with a page fault (ADR 16).
/// </summary>
static partial class FreedMemory
{
    // glibc's numbers, and the most it takes for the second: what DuckDB allocates by `new`
    const int TrimThreshold = -1;
    const int MapThreshold = -3;
    const int KeptBytes = 32 << 20;

    // jemalloc's, of what DuckDB allocates for rows and blocks: five times DuckDB's own; with twice that the server has up to 100 MiB more, and loads no faster. Then at once, instead of a second later
    // when the system does not need it: a server's memory is what the system shows. All goes back when no load has come for a while (KeptThreads)
    const nint DirtyMilliseconds = 5_000;
    const nint MuzzyMilliseconds = 0;

    static readonly Lazy<bool> s_isKept = new(TryKeep);

    /// <summary>Once for the process, before the first load. Does nothing where the allocators are others. Any thread.</summary>
    /// <returns>Whether all was taken.</returns>
    public static bool Keep() => s_isKept.Value;

    static bool TryKeep()
    {
        if (!OperatingSystem.IsLinux()) return false;
        try
        {
            return SetOption(TrimThreshold, KeptBytes) != 0 && SetOption(MapThreshold, KeptBytes) != 0 && KeepInArenas();
        }
        catch (EntryPointNotFoundException)
        {
            return false; // another C library, or a DuckDB without jemalloc
        }
    }

    static bool KeepInArenas()
    {
        var isTaken = Set("arenas.dirty_decay_ms", DirtyMilliseconds) && Set("arenas.muzzy_decay_ms", MuzzyMilliseconds); // of arenas to come
        for (var arena = 0; arena < Environment.ProcessorCount; arena++) // there is one for two processors; one that is not made yet is refused
        {
            Set(string.Create(CultureInfo.InvariantCulture, $"arena.{arena}.dirty_decay_ms"), DirtyMilliseconds);
            Set(string.Create(CultureInfo.InvariantCulture, $"arena.{arena}.muzzy_decay_ms"), MuzzyMilliseconds);
        }
        return isTaken;
    }

    static bool Set(string name, nint value) => Control(name, 0, 0, value, (nuint)nint.Size) == 0;

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int SetOption(int option, int value);

    [LibraryImport("duckdb", EntryPoint = "duckdb_je_mallctl", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Control(string name, nint oldValue, nint oldLength, in nint newValue, nuint newLength);
}
