using Microsoft.Extensions.Logging;

namespace Sluice.Stores.DuckDb;

/// <summary>Every log message of the stores.</summary>
static partial class StoresLog
{
    [LoggerMessage(2001, LogLevel.Warning, "database {Path} was closed and opened again because it could not go on")]
    public static partial void DatabaseReopened(ILogger log, string path);

    [LoggerMessage(2002, LogLevel.Warning, "database {Path} could not be checkpointed; tried again later")]
    public static partial void CheckpointFailed(ILogger log, string path, Exception error);

    [LoggerMessage(2003, LogLevel.Warning, "database {Path} could not be maintained; tried again later")]
    public static partial void MaintenanceFailed(ILogger log, string path, Exception error);

    [LoggerMessage(2004, LogLevel.Error, "database {Path} could not be closed")]
    public static partial void CloseFailed(ILogger log, string path, Exception error);

    [LoggerMessage(2005, LogLevel.Warning, "{Count} queries were stopped because a load into database {Path} needed their memory")]
    public static partial void QueriesStoppedForLoad(ILogger log, int count, string path);

    [LoggerMessage(2006, LogLevel.Warning, "database {Path} needs more memory than its share: it has {Bytes} bytes until it is closed")]
    public static partial void MemoryRaised(ILogger log, string path, long bytes);

    // highest id is 2006
}
