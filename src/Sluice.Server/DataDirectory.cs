using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Sluice.Server;

/// <summary>Everything the server keeps, in one directory that one process owns at a time.</summary>
/// <remarks>The lock is the kernel's (flock on <c>lock</c>): it ends with the process, however that ends. Any thread.</remarks>
sealed class DataDirectory : IDisposable
{
    readonly SafeFileHandle _lock;

    DataDirectory(string path, SafeFileHandle @lock)
    {
        Path = path;
        _lock = @lock;
    }

    /// <summary>Absolute.</summary>
    public string Path { get; }

    public string CatalogFile => System.IO.Path.Combine(Path, "catalog.sqlite");

    public string TlsDirectory => System.IO.Path.Combine(Path, "tls");

    public string AuditDirectory => System.IO.Path.Combine(Path, "audit");

    public string KeysDirectory => System.IO.Path.Combine(Path, "keys");

    /// <summary>True: the directory held something else before, so its mode was left as it is. Everything in it that is ours is closed anyway.</summary>
    public bool IsOpenToOthers => (File.GetUnixFileMode(Path) & (UnixFileMode)0x3F) != 0; // 0077

    /// <summary>Makes the directory when it is missing (0700) and takes its lock.</summary>
    /// <exception cref="StartupException">
    /// <see cref="ExitCode.DataDirectoryInUse"/>: another process holds the lock. <see cref="ExitCode.BadOptions"/>: the path cannot be used.
    /// </exception>
    public static DataDirectory Open(string path)
    {
        Posix.CloseToOthers();
        var absolute = System.IO.Path.GetFullPath(path);

        try
        {
            if (IsOursToClose(absolute))
                SafeFile.MakeDirectory(absolute);

            return Lock(absolute);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartupException(ExitCode.BadOptions, $"the data directory {absolute} cannot be used: {e.Message}; set --data to another", e);
        }
    }

    public void Dispose() => _lock.Dispose();

    /// <summary>Missing, empty, or made by an earlier run. A directory with anything else in it keeps its mode.</summary>
    static bool IsOursToClose(string path) =>
        !Directory.Exists(path) || !Directory.EnumerateFileSystemEntries(path).Any() || File.Exists(System.IO.Path.Combine(path, "lock"));

    static DataDirectory Lock(string path)
    {
        var file = System.IO.Path.Combine(path, "lock");
        var handle = Posix.OpenUnlocked(file);

        if (!Posix.TryLock(handle, file))
        {
            using (handle)
                throw new StartupException(ExitCode.DataDirectoryInUse, $"the data directory {path} is in use by process {ReadHolder(handle)}");
        }

        RandomAccess.SetLength(handle, 0);
        RandomAccess.Write(handle, Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n"), 0);
        return new DataDirectory(path, handle);
    }

    static string ReadHolder(SafeFileHandle handle)
    {
        Span<byte> text = stackalloc byte[16];
        var length = RandomAccess.Read(handle, text, 0);
        return length == 0 ? "(unknown)" : Encoding.ASCII.GetString(text[..length]).Trim();
    }
}
