namespace Sluice.Stores.DuckDb;

/// <summary>
/// Splits the memory of the process evenly over the databases that are open, and knows which of them were found to need more than their share. Any thread.
/// </summary>
/// <param name="maxBytes">What all databases that need more may have together.</param>
sealed class MemoryShares(long totalBytes, long maxBytes)
{
    // DuckDB cannot load with much less; with very many open databases the total is exceeded instead
    const long MinShareBytes = 64L * 1024 * 1024;

    readonly Lock _lock = new();
    readonly HashSet<DuckDbDatabase> _open = [];
    readonly Dictionary<DuckDbDatabase, long> _needed = [];

    public long Total => totalBytes;

    /// <summary>What a database may use now; each takes it over before its next operation.</summary>
    public long LimitOf(DuckDbDatabase database)
    {
        lock (_lock) return Math.Max(Math.Max(MinShareBytes, totalBytes / Math.Max(1, _open.Count)), _needed.GetValueOrDefault(database));
    }

    /// <summary>The next limit to try when one did not suffice: the total, then a quarter more each time.</summary>
    /// <returns>The same: there is no more.</returns>
    public long Above(DuckDbDatabase database, long limitBytes)
    {
        if (limitBytes < totalBytes) return totalBytes;
        lock (_lock)
        {
            var left = maxBytes - _needed.Where(other => other.Key != database).Sum(other => other.Value);
            return Math.Max(limitBytes, Math.Min(limitBytes + (limitBytes / 4), left));
        }
    }

    /// <summary>A database did with this and not with less: it would fail with less again.</summary>
    public void Keep(DuckDbDatabase database, long bytes)
    {
        lock (_lock) _needed[database] = Math.Max(bytes, _needed.GetValueOrDefault(database));
    }

    /// <summary>What a database needed says nothing of what it will.</summary>
    public void Forget(DuckDbDatabase database)
    {
        lock (_lock) _needed.Remove(database);
    }

    public void Open(DuckDbDatabase database)
    {
        lock (_lock) _open.Add(database);
    }

    public void Close(DuckDbDatabase database)
    {
        lock (_lock) _open.Remove(database);
    }
}
