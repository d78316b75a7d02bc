using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

public sealed partial class FreedMemoryTests
{
    /// <summary>Both allocators take it in silence when they do not know it: another version of DuckDB must not lose it so.</summary>
    [Theory]
    [InlineData("arena.0.dirty_decay_ms", 5_000)] // made when the library is loaded
    [InlineData("arena.0.muzzy_decay_ms", 0)]
    [InlineData("arenas.dirty_decay_ms", 5_000)]
    [InlineData("arenas.muzzy_decay_ms", 0)]
    public async Task What_DuckDB_frees_stays_for_five_seconds_and_then_goes_at_once(string name, int expected)
    {
        if (!OperatingSystem.IsLinux()) return;

        using var directory = new TempDirectory();
        await using var databases = new DuckDbDatabases(directory.Path, new DuckDbOptions(), TimeProvider.System, NullLoggerFactory.Instance);

        var length = (nuint)nint.Size;
        Assert.Equal(0, Control(name, out var milliseconds, ref length, 0, 0));
        Assert.Equal(expected, milliseconds);
        Assert.True(FreedMemory.Keep()); // was taken, by the C library too, which does not tell
    }

    [LibraryImport("duckdb", EntryPoint = "duckdb_je_mallctl", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Control(string name, out nint oldValue, ref nuint oldLength, nint newValue, nuint newLength);
}
