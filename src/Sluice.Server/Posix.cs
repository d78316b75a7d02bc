using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Sluice.Server;

/// <summary>
/// The calls into libc that .NET does not offer, or whose faults it does not report. Linux only: the flag values are the kernel's.
/// All throw <see cref="IOException"/> with the path and the system's reason. Any thread.
/// </summary>
static partial class Posix
{
    const int ReadWrite = 2;
    const int Create = 0x40;
    const int CloseOnExec = 0x80000;
    const int LockExclusive = 2;
    const int LockNonBlocking = 4;
    const int LockNone = 8;
    const int WouldBlock = 11;

    /// <summary>Files and directories that this process makes from now on are closed to group and others.</summary>
    public static void CloseToOthers() => _ = SetUmask(0x3F); // 0077

    /// <summary>Opens a file without the lock that .NET takes on every file it opens; makes it (0600) when missing.</summary>
    public static SafeFileHandle OpenUnlocked(string path)
    {
        var handle = Open(path, ReadWrite | Create | CloseOnExec, 0x180);
        return handle.IsInvalid ? throw Failure("open", path) : handle;
    }

    /// <summary>Opens a file without the lock that .NET takes, to read it.</summary>
    public static SafeFileHandle OpenForReading(string path)
    {
        var handle = Open(path, CloseOnExec, 0);
        return handle.IsInvalid ? throw Failure("open", path) : handle;
    }

    /// <summary>Takes the exclusive lock of an open file; it ends with <see cref="Unlock"/> or the process.</summary>
    /// <returns>False when another open file holds it.</returns>
    public static bool TryLock(SafeFileHandle file, string path)
    {
        if (Flock(file, LockExclusive | LockNonBlocking) == 0)
            return true;

        return Marshal.GetLastPInvokeError() == WouldBlock ? false : throw Failure("lock", path);
    }

    /// <summary>Gives the lock up at once. Closing does so only with the last copy of the handle, and a process that is being started has one for a moment.</summary>
    public static void Unlock(SafeFileHandle file) => _ = Flock(file, LockNone);

    /// <summary>Returns when the file's bytes are on the disk.</summary>
    public static void Sync(SafeFileHandle file, string path)
    {
        if (Fsync(file) != 0)
            throw Failure("fsync", path);
    }

    /// <summary>Returns when the directory's entries are on the disk: needed after a file was made or renamed in it.</summary>
    public static void SyncDirectory(string path)
    {
        using var handle = Open(path, CloseOnExec, 0);
        if (handle.IsInvalid)
            throw Failure("open", path);

        Sync(handle, path);
    }

    static IOException Failure(string call, string path)
    {
        var error = Marshal.GetLastPInvokeError();
        return new IOException($"cannot {call} {path}: {new Win32Exception(error).Message}");
    }

    [LibraryImport("libc", EntryPoint = "umask")]
    private static partial uint SetUmask(uint mask);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial SafeFileHandle Open(string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int Flock(SafeFileHandle file, int operation);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(SafeFileHandle file);
}
