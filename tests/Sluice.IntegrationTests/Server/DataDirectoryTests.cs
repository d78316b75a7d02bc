using System.Globalization;
using System.Runtime.InteropServices;
using Sluice.Server;
using Xunit;

namespace Sluice.IntegrationTests.Server;

public sealed partial class DataDirectoryTests
{
    /// <summary>As a process has them that was forked and has not begun its own program yet.</summary>
    [Fact]
    public void A_directory_is_free_when_it_is_disposed_of_whoever_still_has_a_copy_of_its_handles()
    {
        using var directory = new TemporaryDirectory();
        var copies = new List<int>();
        try
        {
            using (DataDirectory.Open(directory.Path))
            {
                copies.Add(Duplicate(FindHandle(Path.Combine(directory.Path, "lock"))));
                var refused = Assert.Throws<StartupException>(() => DataDirectory.Open(directory.Path).Dispose()); // the control
                Assert.Equal(ExitCode.DataDirectoryInUse, refused.Code);
            }
            using (DataDirectory.Open(directory.Path)) copies.Add(Duplicate(FindHandle(Path.Combine(directory.Path, "lock"), except: copies[0])));
            using (DataDirectory.OpenUnused(directory.Path)) Assert.Throws<StartupException>(() => DataDirectory.OpenUnused(directory.Path).Dispose());
        }
        finally
        {
            Assert.All(copies, copy => Assert.Equal(0, Close(copy)));
        }
    }

    static int FindHandle(string path, int except = -1) => Directory.EnumerateFiles("/proc/self/fd")
        .Where(link => new FileInfo(link).LinkTarget == path)
        .Select(link => int.Parse(Path.GetFileName(link.AsSpan()), CultureInfo.InvariantCulture))
        .Single(handle => handle != except);

    [LibraryImport("libc", EntryPoint = "dup")]
    private static partial int Duplicate(int handle);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int handle);
}
