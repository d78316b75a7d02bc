namespace Sluice.Load;

/// <summary>How much the loader takes at a time.</summary>
public sealed record LoadOptions
{
    /// <summary>Most records in one load. Defaults to 250,000: the store's rate hardly grows beyond (benchmarks/results/MICRO.md), its lock time and memory do.</summary>
    public int MaxRecords { get; init; } = 250_000;

    /// <summary>Most bytes of frames in one load. Defaults to 67,108,864 (64 MiB).</summary>
    public long MaxBytes { get; init; } = 64L * 1024 * 1024;

    /// <summary>
    /// Shortest time from one load to the next while nobody waits for a load. Defaults to 200 ms: small requests are gathered, and rows are
    /// queryable well within a second.
    /// </summary>
    public TimeSpan MinInterval { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>
    /// Records that the store is sure to write to its file at once; fewer go through its write-ahead log, and are written again by a checkpoint, which loads wait for. Defaults to 150,000: a row group of
    /// DuckDB has 122,880 rows, and records do not come evenly.
    /// </summary>
    public int WholeRecords { get; init; } = 150_000;

    /// <summary>
    /// Longest time from one load to the next for so many to gather, whoever waits; when they take longer to come, or the last load took all that one may, nobody waits for them. Defaults to 400 ms.
    /// </summary>
    public TimeSpan MaxWholeInterval { get; init; } = TimeSpan.FromMilliseconds(400);

    /// <summary>Time before a load that failed for a passing reason is tried again; doubled each time. Defaults to 100 ms.</summary>
    public TimeSpan FirstRetryDelay { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Time from one search for rows that have outlived the table's retention to the next. Defaults to 1 hour.</summary>
    public TimeSpan ExpiryInterval { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Most rows of one step of such a search; loads go on between two steps. Defaults to 100,000: well below a second (benchmarks/results/MICRO.md, replacing rows).</summary>
    public int MaxExpiredRows { get; init; } = 100_000;

    /// <summary>How long the version of a deleted row is remembered, so that older data that comes late does not bring the row back. Defaults to 24 h.</summary>
    public TimeSpan TombstoneWindow { get; init; } = TimeSpan.FromHours(24);

    /// <summary>Longest time between two tries. Defaults to 10 s.</summary>
    public TimeSpan MaxRetryDelay { get; init; } = TimeSpan.FromSeconds(10);
}
