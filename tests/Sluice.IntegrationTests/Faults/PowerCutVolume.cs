using System.Diagnostics;
using System.Globalization;

namespace Sluice.IntegrationTests.Faults;

/// <summary>
/// An ext4 on a block device whose power can be cut: what was not flushed to the device is gone then. The device is an image file
/// behind nbdkit's write-back cache, which only a flush empties; killing nbdkit is the cut.
/// </summary>
sealed class PowerCutVolume : IAsyncDisposable
{
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    readonly string _root = Directory.CreateTempSubdirectory("sluice-power-").FullName;
    Process? _nbdkit;
    Process? _nbdfuse;
    bool _isMounted;

    /// <summary>Where the volume is mounted.</summary>
    public string Path => System.IO.Path.Combine(_root, "mnt");

    string Image => System.IO.Path.Combine(_root, "image");
    string Socket => System.IO.Path.Combine(_root, "socket");
    string Fuse => System.IO.Path.Combine(_root, "device");
    string Device => System.IO.Path.Combine(Fuse, "nbd");

    public static void Need() => FaultTools.Need(root: true, "nbdkit", "nbdfuse", "mkfs.ext4", "mount", "umount", "fusermount3", "/dev/fuse");

    public static async Task<PowerCutVolume> CreateAsync(long bytes)
    {
        var volume = new PowerCutVolume();
        Directory.CreateDirectory(volume.Path);
        Directory.CreateDirectory(volume.Fuse);
        using (var image = File.Create(volume.Image)) image.SetLength(bytes);
        await volume.AttachAsync();
        await FaultTools.RunAsync("mkfs.ext4", "-q", "-F", volume.Device);
        await volume.MountAsync();
        return volume;
    }

    /// <summary>Cuts the power: the device answers nothing any more, and forgets what was not flushed. End what uses the volume first or right after.</summary>
    public async Task CutAsync()
    {
        _nbdkit!.Kill();
        await _nbdkit.WaitForExitAsync();
    }

    /// <summary>Brings the device back as it was at its last flush.</summary>
    public async Task RestoreAsync()
    {
        await DetachAsync();
        await AttachAsync();
        await MountAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await DetachAsync();
        Directory.Delete(_root, recursive: true);
    }

    async Task AttachAsync()
    {
        File.Delete(Socket);
        _nbdkit = FaultTools.Start(
            "nbdkit", "--foreground", "--unix", Socket, "--filter=cache", "file", Image, "cache=writeback", string.Create(CultureInfo.InvariantCulture, $"cache-max-size={2L << 30}"));
        await UntilAsync(() => File.Exists(Socket), "nbdkit does not listen");
        _nbdfuse = FaultTools.Start("nbdfuse", Fuse, "--unix", Socket);
        await UntilAsync(() => File.Exists(Device), "there is no block device");
    }

    async Task MountAsync()
    {
        await FaultTools.RunAsync("mount", "-o", "loop", Device, Path);
        _isMounted = true;
    }

    async Task DetachAsync()
    {
        if (_isMounted) await FaultTools.TryAsync("umount", "-l", Path);
        _isMounted = false;
        await FaultTools.TryAsync("fusermount3", "-uz", Fuse);
        foreach (var process in new[] { _nbdfuse, _nbdkit })
        {
            if (process is null) continue;
            if (!process.HasExited) process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
        }
        (_nbdfuse, _nbdkit) = (null, null);
    }

    static async Task UntilAsync(Func<bool> condition, string otherwise)
    {
        var started = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(started) > Patience) throw new TimeoutException(otherwise);
            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System);
        }
    }
}
