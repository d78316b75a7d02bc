using System.Text;

namespace Sluice.Server;

/// <summary>Small files that are written whole or not at all, and survive a power loss once written.</summary>
static class SafeFile
{
    const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    const UnixFileMode ReadableByAll = OwnerOnly | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>Replaces the file by one that only its owner can read (0600).</summary>
    public static void WriteSecret(string path, string text) => Write(path, text, OwnerOnly);

    /// <summary>Replaces the file by one that everybody can read (0644).</summary>
    public static void WritePublic(string path, string text) => Write(path, text, ReadableByAll);

    /// <summary>Copies a file into a new one with the mode of the old, but closed to others unless that is open to all; durable.</summary>
    /// <exception cref="IOException">The target exists, or the disk refused.</exception>
    public static void Copy(string from, string to)
    {
        var mode = File.GetUnixFileMode(from) == ReadableByAll ? ReadableByAll : OwnerOnly;
        using (var source = new FileStream(from, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete))
        using (var target = new FileStream(to, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = OwnerOnly }))
        {
            File.SetUnixFileMode(target.SafeFileHandle, mode);
            source.CopyTo(target, bufferSize: 1 << 20);
            target.Flush();
            Posix.Sync(target.SafeFileHandle, to);
        }
        Posix.SyncDirectory(Path.GetDirectoryName(Path.GetFullPath(to))!);
    }

    /// <summary>Makes the directory with mode 0700 when it is missing; a wider mode is narrowed.</summary>
    public static void MakeDirectory(string path)
    {
        const UnixFileMode mode = OwnerOnly | UnixFileMode.UserExecute;
        Directory.CreateDirectory(path, mode);
        File.SetUnixFileMode(path, mode);
    }

    static void Write(string path, string text, UnixFileMode mode)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        var unfinished = path + ".new";

        File.Delete(unfinished);
        using (var file = File.OpenHandle(unfinished, FileMode.CreateNew, FileAccess.Write, FileShare.None))
        {
            // before the first byte, so that a secret is never readable for a moment
            File.SetUnixFileMode(file, mode);
            RandomAccess.Write(file, bytes, 0);
            Posix.Sync(file, unfinished);
        }

        File.Move(unfinished, path, overwrite: true);
        Posix.SyncDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }
}
