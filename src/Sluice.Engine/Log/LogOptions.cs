namespace Sluice.Log;

/// <summary>Limits of one table's log.</summary>
public sealed record LogOptions
{
    /// <summary>A segment is closed when it has this many bytes. Defaults to 67,108,864 (64 MiB): the unit of trimming and of re-reading.</summary>
    public long SegmentBytes { get; init; } = 64L * 1024 * 1024;

    /// <summary>Loaded segments are deleted, oldest first, while the log is larger. Defaults to 1,073,741,824 bytes (1 GiB).</summary>
    public long RetainedBytes { get; init; } = 1024L * 1024 * 1024;

    /// <summary>Loaded segments are deleted when they are older. Defaults to 24 hours.</summary>
    public TimeSpan RetainedAge { get; init; } = TimeSpan.FromHours(24);

    /// <summary>Requests are refused while this much of the log is not loaded yet. Defaults to 4,294,967,296 bytes (4 GiB).</summary>
    public long MaxBacklogBytes { get; init; } = 4L * 1024 * 1024 * 1024;

    /// <summary>Longest time in which a large body may arrive: as long, its parts keep the log from being trimmed. Defaults to 1 hour.</summary>
    public TimeSpan MaxReceiveTime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>
    /// Requests are refused while appends of this size wait for the disk, so that memory stays bounded. Defaults to 268,435,456 bytes (256 MiB).
    /// </summary>
    public long MaxWaitingBytes { get; init; } = 256L * 1024 * 1024;
}
