using System.Globalization;

namespace Sluice.IntegrationTests.Faults;

/// <summary>A file system of a given size, in memory, that can be filled but for a rest and emptied again.</summary>
sealed class SmallVolume : IAsyncDisposable
{
    SmallVolume(string path) => Path = path;

    public string Path { get; }

    string Ballast => System.IO.Path.Combine(Path, "ballast");

    public static void Need() => FaultTools.Need(root: true, "mount", "umount");

    public static async Task<SmallVolume> CreateAsync(long bytes)
    {
        var volume = new SmallVolume(Directory.CreateTempSubdirectory("sluice-small-").FullName);
        await FaultTools.RunAsync("mount", "-t", "tmpfs", "-o", string.Create(CultureInfo.InvariantCulture, $"size={bytes}"), "tmpfs", volume.Path);
        return volume;
    }

    /// <summary>Leaves so many bytes free.</summary>
    public void FillBut(long freeBytes)
    {
        var block = new byte[64 * 1024];
        using var file = File.Create(Ballast);
        while (new DriveInfo(Path).AvailableFreeSpace > freeBytes + block.Length) file.Write(block);
    }

    public void Empty() => File.Delete(Ballast);

    public async ValueTask DisposeAsync()
    {
        await FaultTools.TryAsync("umount", "-l", Path);
        Directory.Delete(Path);
    }
}
