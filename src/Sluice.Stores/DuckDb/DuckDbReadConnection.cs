using DuckDB.NET.Data;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// A connection for queries to a database that is being loaded. One thread at a time. Dispose of its commands and readers first,
/// then of it, soon: while it lives the database can neither be closed nor recover from a fatal error.
/// </summary>
/// <remarks>
/// DuckDB cannot make it read-only: what runs here must be a statement that was proven to be a SELECT, or a read-only transaction.
/// When the database recovers or is dropped, what runs is interrupted.
/// </remarks>
public sealed class DuckDbReadConnection : IDisposable
{
    readonly Action<DuckDbReadConnection> _returned;
    bool _isDisposed;

    internal DuckDbReadConnection(DuckDBConnection connection, Action<DuckDbReadConnection> returned)
    {
        Connection = connection;
        _returned = returned;
    }

    public DuckDBConnection Connection { get; }

    /// <summary>The one directory that the instance may write files to, for <see cref="UserQuery.ExportAsync"/>; for its owner alone.</summary>
    public required string ExportDirectory { get; init; }

    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        _returned(this);
    }
}
