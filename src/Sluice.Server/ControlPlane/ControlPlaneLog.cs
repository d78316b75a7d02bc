namespace Sluice.Server;

/// <summary>The control plane's log messages. Ids 301 to 399; the highest is 305.</summary>
static partial class ControlPlaneLog
{
    [LoggerMessage(301, LogLevel.Information, "finished an interrupted {Operation} of {Resource} {Id}")]
    public static partial void InterruptedChangeFinished(this ILogger logger, string operation, string resource, Guid id);

    [LoggerMessage(302, LogLevel.Error, "could not finish an interrupted {Operation} of {Resource} {Id}; it is tried again at the next start or change")]
    public static partial void InterruptedChangeFailed(this ILogger logger, Exception exception, string operation, string resource, Guid id);

    [LoggerMessage(303, LogLevel.Error, "sink {SinkId} does not fit its table and is FAILED: {Reason}")]
    public static partial void SinkUnfit(this ILogger logger, Guid sinkId, string reason);

    [LoggerMessage(304, LogLevel.Information, "{Caller} changed {Resource} {Id} ({Name}): {Operation}")]
    public static partial void ResourceChanged(this ILogger logger, string caller, string resource, Guid id, string name, string operation);

    [LoggerMessage(305, LogLevel.Information, "removed {Count} catalogue rows of what was deleted before {Before}")]
    public static partial void DeletedRowsPurged(this ILogger logger, int count, DateTimeOffset before);
}
