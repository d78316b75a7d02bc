namespace Sluice.Stores.DuckDb;

/// <summary>How the embedded databases of one data directory use the machine.</summary>
public sealed record DuckDbOptions
{
    /// <summary>
    /// Memory of all open databases together, each gets an equal share, at least 64 MiB. Defaults to 335,544,320 bytes (320 MiB).
    /// DuckDB's limit is soft: strings and lists being computed are not counted. A load that does not fit in its share is done again
    /// with all of it, and with more if need be (<see cref="MaxMemoryBytes"/>).
    /// </summary>
    // a load of 400,000 rows into a table of 3 million needs 128 MiB, and twice the time it takes with 256 MiB; with more, the whole server is over 1 GiB at full load (ADR 16)
    public long MemoryBytes { get; init; } = 320L * 1024 * 1024;

    /// <summary>
    /// Most memory of all databases together whose loads do not fit in <see cref="MemoryBytes"/>; each keeps what it was found to need until it is closed for want of use. Defaults to half of what .NET says that the
    /// process may use (of a container's limit it may use three quarters).
    /// </summary>
    // what is deleted takes some 13 bytes a row of the table in memory until a checkpoint, and DuckDB can evict none of it: loads that replace rows of a large table fail for ever below that (ADR 16)
    public long MaxMemoryBytes { get; init; } = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 2;

    /// <summary>
    /// Threads that work on one load or query of a database, with the one that asked for it. Defaults to half of the machine's processors, at least 1; the other half is left to
    /// ingest (ADR 8).
    /// </summary>
    public int Threads { get; init; } = Math.Max(1, Environment.ProcessorCount / 2);

    /// <summary>
    /// Length of a write-ahead log from which the database is checkpointed, between loads. Defaults to 67,108,864 bytes (64 MiB).
    /// </summary>
    // until then everything that was deleted stays in memory and is read by every load; opening after a crash replays 60 MiB a second (ADR 16)
    public long CheckpointBytes { get; init; } = 64L * 1024 * 1024;

    /// <summary>Where intermediate results go that do not fit in memory; one folder a database. <c>null</c>: <c>tmp</c> in the data directory.</summary>
    public string? TempDirectory { get; init; }

    /// <summary>Most bytes of intermediate results of one database. Defaults to 4,294,967,296 bytes (4 GiB).</summary>
    public long MaxTempBytes { get; init; } = 4L * 1024 * 1024 * 1024;

    /// <summary>
    /// Longest time to find the rows of one DELETE; meanwhile nothing of its table is loaded. Defaults to 10 s.
    /// </summary>
    public TimeSpan DeletionTime { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a database stays open that nobody uses. Defaults to 5 minutes.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromMinutes(5);
}
