namespace Sluice.Stores.DuckDb;

/// <summary>Splits the memory of the process evenly over the databases that are open. Any thread.</summary>
/// <param name="maxBytes">For one database, when all of the total does not suffice.</param>
sealed class MemoryShares(long totalBytes, long maxBytes)
{
    // DuckDB cannot load with much less; with very many open databases the total is exceeded instead
    const long MinShareBytes = 64L * 1024 * 1024;

    readonly Lock _lock = new();
    readonly HashSet<DuckDbDatabase> _open = [];

    public long Total => totalBytes;

    /// <summary>The next limit to try when one did not suffice: the total, then a quarter more each time.</summary>
    /// <returns>The same: there is no more.</returns>
    public long Above(long limitBytes) =>
        limitBytes < totalBytes ? totalBytes : Math.Max(limitBytes, Math.Min(limitBytes + (limitBytes / 4), maxBytes));

    /// <summary>What each open database may use now; each takes it over before its next operation.</summary>
    public long Share
    {
        get
        {
            lock (_lock) return ShareOf(_open.Count);
        }
    }

    /// <returns>The share with the database among the open ones.</returns>
    public long Open(DuckDbDatabase database)
    {
        lock (_lock)
        {
            _open.Add(database);
            return ShareOf(_open.Count);
        }
    }

    public void Close(DuckDbDatabase database)
    {
        lock (_lock) _open.Remove(database);
    }

    long ShareOf(int databases) => Math.Max(MinShareBytes, totalBytes / Math.Max(1, databases));
}
