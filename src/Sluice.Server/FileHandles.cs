using System.Globalization;

namespace Sluice.Server;

/// <summary>
/// How many connections the process's file handles are enough for. A connection that takes the last handle would cost more than itself: without handles
/// the runtime can start no thread, and ends the process.
/// </summary>
static class FileHandles
{
    /// <summary>Kept for the rest: the runtime holds one for each of some 300 assemblies, the others are for logs, databases and threads.</summary>
    const int Reserve = 640;

    const int FewestConnections = 64;

    /// <exception cref="StartupException">The process may open too few files to serve anybody.</exception>
    public static int LimitConnections(int wanted)
    {
        if (ReadLimit() is not { } limit || (long)wanted + Reserve <= limit)
            return wanted;

        return limit - Reserve >= FewestConnections
            ? (int)(limit - Reserve)
            : throw new StartupException(ExitCode.BadOptions, $"the process may open {limit} files; the server needs {Reserve + FewestConnections} (ulimit -n, LimitNOFILE)");
    }

    /// <summary>The hard limit: the runtime raises the soft one to it. <c>null</c>: there is none, or it is not told.</summary>
    static long? ReadLimit()
    {
        const string limits = "/proc/self/limits";
        var line = File.Exists(limits) ? File.ReadLines(limits).FirstOrDefault(it => it.StartsWith("Max open files", StringComparison.Ordinal)) : null;
        var hard = line?.Split(' ', StringSplitOptions.RemoveEmptyEntries).ElementAtOrDefault(4);
        return long.TryParse(hard, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) ? limit : null;
    }
}
