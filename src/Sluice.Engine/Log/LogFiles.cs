using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Sluice.Log;

/// <summary>
/// The file system as the log needs it. The real one is <see cref="DiskFiles"/>; tests have one in memory that loses what was not synced.
/// </summary>
/// <remarks>Any thread. Every member throws <see cref="IOException"/> when the operating system reports a failure.</remarks>
public abstract class LogFiles
{
    /// <summary>Makes the directory and its parents, readable by the owner only, and syncs the parent.</summary>
    public abstract void CreateDirectory(string path);

    public abstract bool DirectoryExists(string path);

    /// <summary>Names (not paths) of the files in a directory, sorted ordinally.</summary>
    public abstract IReadOnlyList<string> List(string directory);

    /// <summary>Makes a new file for writing and reading; fails when it exists. Durable after a sync of file and directory.</summary>
    public abstract LogFile Create(string path);

    public abstract LogFile Open(string path, bool writable);

    public abstract bool Exists(string path);

    public abstract void Delete(string path);

    /// <summary>Replaces <paramref name="to"/>, atomically.</summary>
    public abstract void Rename(string from, string to);

    /// <summary>Makes creations, renames and deletions in a directory durable.</summary>
    public abstract void SyncDirectory(string path);

    /// <summary>Removes a directory and the files in it.</summary>
    public abstract void DeleteDirectory(string path);

    /// <summary>Writes a whole file so that a reader finds the old content or the new, never a part.</summary>
    public void Replace(string path, ReadOnlySpan<byte> content)
    {
        var temporary = path + ".new";
        if (Exists(temporary)) Delete(temporary);
        using (var file = Create(temporary))
        {
            file.Write(content, 0);
            file.Sync();
        }
        Rename(temporary, path);
        SyncDirectory(Path.GetDirectoryName(path)!);
    }
}

/// <summary>One open file. Reads may run beside writes; writes have one caller at a time.</summary>
public abstract class LogFile : IDisposable
{
    public abstract long Length { get; }

    /// <summary>Reads until the buffer is full or the file ends; returns the bytes read.</summary>
    public abstract int Read(Span<byte> buffer, long offset);

    public abstract void Write(ReadOnlySpan<byte> bytes, long offset);

    /// <summary>Writes the parts one after the other, in one call to the operating system where it can.</summary>
    public abstract void Write(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset);

    /// <summary>Returns when everything written is on the disk.</summary>
    /// <exception cref="IOException">
    /// The disk refused. What was written may be lost although a later sync succeeds (the kernel drops the error): never retry.
    /// </exception>
    public abstract void Sync();

    public abstract void SetLength(long length);

    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    protected abstract void Dispose(bool disposing);
}

/// <summary>The real file system.</summary>
public sealed class DiskFiles : LogFiles
{
    const UnixFileMode OwnerOnlyDirectory = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    public static DiskFiles Instance { get; } = new();

    public override void CreateDirectory(string path)
    {
        if (Directory.Exists(path)) return;
        var parent = Path.GetDirectoryName(Path.GetFullPath(path))!;
        CreateDirectory(parent);
        Directory.CreateDirectory(path, OwnerOnlyDirectory);
        SyncDirectory(parent);
    }

    public override bool DirectoryExists(string path) => Directory.Exists(path);

    public override IReadOnlyList<string> List(string directory)
    {
        var names = Directory.GetFiles(directory).Select(path => Path.GetFileName(path)).ToList();
        names.Sort(StringComparer.Ordinal);
        return names;
    }

    public override LogFile Create(string path)
    {
        var handle = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        File.SetUnixFileMode(handle, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return new DiskFile(handle, path);
    }

    public override LogFile Open(string path, bool writable) => new DiskFile(
        File.OpenHandle(path, FileMode.Open, writable ? FileAccess.ReadWrite : FileAccess.Read, FileShare.ReadWrite | FileShare.Delete), path);

    public override bool Exists(string path) => File.Exists(path);

    public override void Delete(string path) => HeldFile.Delete(path);

    public override void Rename(string from, string to) => File.Move(from, to, overwrite: true);

    public override void SyncDirectory(string path) => Posix.SyncDirectory(path);

    public override void DeleteDirectory(string path)
    {
        if (!Directory.Exists(path)) return;
        foreach (var file in Directory.EnumerateFiles(path)) Delete(file);
        Directory.Delete(path, recursive: true);
        SyncDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    sealed class DiskFile(SafeFileHandle handle, string path) : LogFile
    {
        public override long Length => RandomAccess.GetLength(handle);

        public override int Read(Span<byte> buffer, long offset)
        {
            var total = 0;
            while (total < buffer.Length)
            {
                var read = RandomAccess.Read(handle, buffer[total..], offset + total);
                if (read == 0) break;
                total += read;
            }
            return total;
        }

        public override void Write(ReadOnlySpan<byte> bytes, long offset) => RandomAccess.Write(handle, bytes, offset);

        public override void Write(IReadOnlyList<ReadOnlyMemory<byte>> parts, long offset) => RandomAccess.Write(handle, parts, offset);

        public override void Sync() => Posix.SyncData(handle, path);

        public override void SetLength(long length) => RandomAccess.SetLength(handle, length);

        protected override void Dispose(bool disposing)
        {
            if (disposing) handle.Dispose();
        }
    }
}

/// <summary>
/// The calls .NET gets wrong or lacks: on Linux .NET 10.0 returns normally from a failed fsync (dotnet/runtime issue 124722), cannot sync a
/// directory (issue 32600) and does not tell how many names a file has.
/// </summary>
static partial class Posix
{
    const int OpenReadOnly = 0;
    const int Interrupted = 4;
    const int EmptyPath = 0x1000; // AT_EMPTY_PATH: the file itself
    const uint LinkCount = 0x4; // STATX_NLINK

    /// <exception cref="IOException">fdatasync failed, with its errno.</exception>
    public static void SyncData(SafeFileHandle handle, string path)
    {
        while (FileDataSync(handle) != 0)
        {
            var errno = Marshal.GetLastPInvokeError();
            if (errno != Interrupted) throw Failure("fdatasync", path, errno);
        }
    }

    /// <exception cref="IOException">The directory cannot be opened or synced.</exception>
    public static void SyncDirectory(string path)
    {
        var descriptor = OpenFile(path, OpenReadOnly);
        if (descriptor < 0) throw Failure("open", path, Marshal.GetLastPInvokeError());
        try
        {
            if (FileSync(descriptor) != 0) throw Failure("fsync", path, Marshal.GetLastPInvokeError());
        }
        finally
        {
            _ = CloseFile(descriptor);
        }
    }

    /// <summary>How many names an open file has: 0 when it was deleted.</summary>
    /// <returns><c>null</c>: the system does not say.</returns>
    public static uint? CountNames(SafeFileHandle handle)
    {
        try
        {
            return StatX(handle, "", EmptyPath, LinkCount, out var status) == 0 && (status.Mask & LinkCount) != 0 ? status.Links : null;
        }
        catch (EntryPointNotFoundException)
        {
            return null; // not Linux
        }
    }

    /// <summary>The beginning of Linux' <c>struct statx</c>, the same on all processors.</summary>
    [StructLayout(LayoutKind.Sequential, Size = 256)]
    struct FileStatus
    {
        public uint Mask;
        public uint BlockSize;
        public ulong Attributes;
        public uint Links;
    }

    static IOException Failure(string call, string path, int errno) =>
        new($"{call} of {path} failed: {Marshal.GetPInvokeErrorMessage(errno)} (errno {errno})", errno);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int FileDataSync(SafeFileHandle handle);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FileSync(int descriptor);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int StatX(SafeFileHandle handle, string path, int flags, uint mask, out FileStatus status);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int CloseFile(int descriptor);
}
