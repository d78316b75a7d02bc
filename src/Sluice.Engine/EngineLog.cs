using Microsoft.Extensions.Logging;

namespace Sluice;

/// <summary>Every log message of the engine. The highest id is 15. Normal operation logs nothing per request or per load.</summary>
static partial class EngineLog
{
    [LoggerMessage(1, LogLevel.Information, "LogRecovered table {TableId}: {SegmentBytes} bytes, durable up to sequence {Sequence}, loaded up to {LoadedSequence}, {ElapsedMilliseconds} ms")]
    public static partial void LogRecovered(this ILogger logger, Guid tableId, long segmentBytes, ulong sequence, ulong loadedSequence, long elapsedMilliseconds);

    [LoggerMessage(2, LogLevel.Warning, "LogTailDropped table {TableId}: {DroppedBytes} bytes at the end of the log were written and never acknowledged")]
    public static partial void LogTailDropped(this ILogger logger, Guid tableId, long droppedBytes);

    [LoggerMessage(3, LogLevel.Critical, "LogFailed table {TableId}: the log takes nothing more until the process has restarted")]
    public static partial void LogFailed(this ILogger logger, Exception exception, Guid tableId);

    [LoggerMessage(4, LogLevel.Warning, "LoadDelayed table {TableId}: try {Attempt} failed, next in {DelayMilliseconds} ms")]
    public static partial void LoadDelayed(this ILogger logger, Exception exception, Guid tableId, int attempt, long delayMilliseconds);

    [LoggerMessage(5, LogLevel.Information, "LoadResumed table {TableId} after {Attempts} failed tries")]
    public static partial void LoadResumed(this ILogger logger, Guid tableId, int attempts);

    [LoggerMessage(6, LogLevel.Warning, "RecordsRefused table {TableId}: the store refused {Count} records of request {RequestId}; they are listed under the sink's errors")]
    public static partial void RecordsRefused(this ILogger logger, Guid tableId, int count, string requestId);

    [LoggerMessage(7, LogLevel.Information, "SchemaApplied table {TableId}: version {SchemaVersion}")]
    public static partial void SchemaApplied(this ILogger logger, Guid tableId, int schemaVersion);

    [LoggerMessage(8, LogLevel.Critical, "LoaderFailed table {TableId}: the loader ended")]
    public static partial void LoaderFailed(this ILogger logger, Exception exception, Guid tableId);

    [LoggerMessage(9, LogLevel.Information, "LogTrimmed table {TableId}: {Count} segments up to sequence {Sequence}")]
    public static partial void LogTrimmed(this ILogger logger, Guid tableId, int count, ulong sequence);

    [LoggerMessage(10, LogLevel.Warning, "TableRebuilding table {TableId}: its store has no data, the complete log is loaded again")]
    public static partial void TableRebuilding(this ILogger logger, Guid tableId);

    [LoggerMessage(11, LogLevel.Warning, "LogTrimFailed table {TableId}: old segments stay for now")]
    public static partial void LogTrimFailed(this ILogger logger, Exception exception, Guid tableId);

    [LoggerMessage(12, LogLevel.Information, "RowsExpired table {TableId}: {Count} rows have outlived its retention")]
    public static partial void RowsExpired(this ILogger logger, Guid tableId, long count);

    [LoggerMessage(13, LogLevel.Warning, "ExpiryDelayed table {TableId}: what has outlived its retention stays for now")]
    public static partial void ExpiryDelayed(this ILogger logger, Exception exception, Guid tableId);

    [LoggerMessage(14, LogLevel.Warning, "DeletionFailed table {TableId}: a DELETE was passed over: {Reason}")]
    public static partial void DeletionFailed(this ILogger logger, Guid tableId, string reason);

    [LoggerMessage(15, LogLevel.Critical, "TableClosed table {TableId}: {Reason}")]
    public static partial void TableClosed(this ILogger logger, Exception exception, Guid tableId, string reason);
}
