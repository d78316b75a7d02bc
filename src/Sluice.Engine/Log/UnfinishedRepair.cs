using System.Text;

namespace Sluice.Log;

/// <summary>
/// The new files of a log on their way into its place. They are made whole in a directory below the log's; then a mark names all files that the log will have, and
/// from there on there is only one way: while the mark stands no server starts on the log, and whoever finds it finishes what it says.
/// </summary>
public static class UnfinishedRepair
{
    const string MarkName = "repair.unfinished";
    const string DirectoryName = "repaired";

    public static bool Exists(LogFiles files, string directory) => files.Exists(Path.Combine(directory, MarkName));

    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: a repair was interrupted.</exception>
    public static void ThrowIfExists(LogFiles files, string directory)
    {
        if (Exists(files, directory)) throw new SluiceException(ErrorCode.Corrupt, $"{directory}: a repair was interrupted: repair the log once more, which finishes it");
    }

    /// <summary>An empty directory for the new files. Nothing of the log has changed.</summary>
    internal static string Prepare(LogFiles files, string directory)
    {
        var prepared = Path.Combine(directory, DirectoryName);
        files.DeleteDirectory(prepared); // of a repair that was interrupted before its mark
        files.CreateDirectory(prepared);
        return prepared;
    }

    /// <summary>Decides for the new files, which are durable, and puts them into their place.</summary>
    /// <param name="names">All files of the new log; those that are not prepared stay as they are.</param>
    internal static void Run(LogFiles files, string directory, IEnumerable<string> names)
    {
        files.Replace(Path.Combine(directory, MarkName), Encoding.UTF8.GetBytes(string.Join('\n', names)));
        Finish(files, directory);
    }

    /// <summary>Goes on where an interrupted repair ended. Interrupted itself, it can be called again.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: what the mark says and what is there do not fit; nothing was changed.</exception>
    public static void Finish(LogFiles files, string directory)
    {
        var (mark, prepared) = (Path.Combine(directory, MarkName), Path.Combine(directory, DirectoryName));
        var names = ReadNames(files, mark);
        var left = files.DirectoryExists(prepared) ? files.List(prepared) : [];
        if (left.Except(names).FirstOrDefault() is { } unnamed) throw Damaged(mark, $"does not name {unnamed}, which was prepared");
        if (names.Except(left).FirstOrDefault(name => !files.Exists(Path.Combine(directory, name))) is { } missing) throw Damaged(mark, $"names {missing}, which is not there");

        foreach (var name in names.Where(left.Contains)) files.Rename(Path.Combine(prepared, name), Path.Combine(directory, name));
        foreach (var name in files.List(directory).Where(name => LogSegment.IsName(name) && !names.Contains(name))) files.Delete(Path.Combine(directory, name));
        if (files.DirectoryExists(prepared)) files.SyncDirectory(prepared);
        files.SyncDirectory(directory); // before the mark goes
        files.Delete(mark);
        files.SyncDirectory(directory);
        files.DeleteDirectory(prepared);
    }

    static string[] ReadNames(LogFiles files, string mark)
    {
        using var file = files.Open(mark, writable: false);
        var bytes = new byte[file.Length];
        file.Read(bytes, 0);
        return Encoding.UTF8.GetString(bytes).Split('\n');
    }

    static SluiceException Damaged(string mark, string what) => new(ErrorCode.Corrupt, $"{mark}: {what}; the log as it was before the repair is in dropped/logs");
}
