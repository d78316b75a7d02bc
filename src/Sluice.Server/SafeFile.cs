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
