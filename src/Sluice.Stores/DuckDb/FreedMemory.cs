using System.Globalization;
using System.Runtime.InteropServices;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// How long memory that DuckDB has freed stays with the process. Loads free and take again some 100 MiB a second; what the system took back meanwhile it gives again 4 KiB at a time, each with a page fault (ADR 13).
/// </summary>
static partial class FreedMemory
{
    // glibc's numbers, and the most it takes for the second: what DuckDB allocates by `new`
    const int TrimThreshold = -1;
    const int MapThreshold = -3;
    const int KeptBytes = 32 << 20;

    // jemalloc's, of DuckDB's buffers; its own 5 s end before a checkpoint comes again. All goes back when no load has come for a while (KeptThreads)
    const nint KeptMilliseconds = 30_000;

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
        foreach (var kind in new[] { "dirty", "muzzy" }) // not given back at all, and given back when the system needs it
        {
            if (Control($"arenas.{kind}_decay_ms", 0, 0, KeptMilliseconds, (nuint)nint.Size) != 0) return false; // arenas to come
            for (var arena = 0; arena < Environment.ProcessorCount; arena++) // DuckDB has one for two processors; one that is not there yet is refused
                _ = Control(string.Create(CultureInfo.InvariantCulture, $"arena.{arena}.{kind}_decay_ms"), 0, 0, KeptMilliseconds, (nuint)nint.Size);
        }
        return true;
    }

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int SetOption(int option, int value);

    [LibraryImport("duckdb", EntryPoint = "duckdb_je_mallctl", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Control(string name, nint oldValue, nint oldLength, in nint newValue, nuint newLength);
}
