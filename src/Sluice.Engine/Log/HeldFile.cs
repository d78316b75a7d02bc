using Microsoft.Win32.SafeHandles;

namespace Sluice.Log;

/// <summary>
/// A file that is about to be deleted, held open so that its blocks go back to the file system a little at a time, in the background. Where each freed block is
/// told to the device (mount option <c>discard</c>) every sync waits meanwhile: beside 128 MiB that are freed at once a log syncs with a p99 of 138 to
/// 310 ms, and beside the same in steps of 1 MiB of 7 to 14 ms (benchmarks/results/MICRO.md).
/// </summary>
/// <remarks>
/// Nobody else may read the file once it is deleted. It is left alone when it was not deleted, or has another name still. When the process ends the rest is freed
/// at once. Any thread.
/// </remarks>
public sealed class HeldFile : IDisposable
{
    const long StepBytes = 1024 * 1024;
    static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(5);
    static readonly Lock s_turn = new(); // one file at a time: several would be freed as fast as one at once

    static int s_files; // that are freed, or wait for their turn

    readonly SafeFileHandle? _handle;

    HeldFile(SafeFileHandle? handle) => _handle = handle;

    /// <summary>Holds a file. One that is not there, or cannot be opened now, is not held, and is freed as it is deleted.</summary>
    public static HeldFile Open(string path)
    {
        try
        {
            return new HeldFile(File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new HeldFile(null);
        }
    }

    /// <summary>Deletes a file, if it is there.</summary>
    /// <exception cref="IOException">It could not be deleted.</exception>
    public static void Delete(string path)
    {
        using var held = Open(path);
        File.Delete(path);
    }

    /// <summary>Lets go of the file, and begins to free it when it was deleted.</summary>
    public void Dispose()
    {
        if (_handle is null) return;
        if (!IsWorthIt(_handle))
        {
            _handle.Dispose();
            return;
        }
        Interlocked.Increment(ref s_files);
        try
        {
            new Thread(Free) { IsBackground = true, Name = "freed blocks" }.UnsafeStart();
        }
        catch (Exception e) when (e is OutOfMemoryException or ThreadStartException)
        {
            Interlocked.Decrement(ref s_files);
            _handle.Dispose();
        }
    }

    static bool IsWorthIt(SafeFileHandle handle) => RandomAccess.GetLength(handle) > StepBytes && Posix.CountNames(handle) == 0;

    void Free()
    {
        lock (s_turn)
        {
            using (_handle)
            {
                try
                {
                    for (var length = RandomAccess.GetLength(_handle!); length > StepBytes;)
                    {
                        length = Math.Max(0, length - StepBytes * Volatile.Read(ref s_files)); // faster when others wait, so that they do not pile up
                        RandomAccess.SetLength(_handle!, length);
                        Thread.Sleep(s_pause);
                    }
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    // the rest is freed as it is closed
                }
            }
        }
        Interlocked.Decrement(ref s_files);
    }
}
