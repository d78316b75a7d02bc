using DuckDB.NET.Data;

namespace Sluice.Stores.DuckDb;

/// <summary>
/// A connection for queries to a database that is being loaded. One thread at a time. Dispose of its commands and readers first,
/// then of it, soon: while it lives the database can neither be closed nor recover from a fatal error.
/// </summary>
/// <remarks>
/// DuckDB cannot make it read-only: what runs here must be a statement that was proven to be a SELECT, or a read-only transaction.
/// When the database recovers or is dropped, what runs is interrupted; when a load needs its memory, so are queries of users.
/// </remarks>
public sealed class DuckDbReadConnection : IDisposable
{
    readonly Action<DuckDbReadConnection> _returned;
    readonly CancellationTokenSource _stopped = new(); // has no timer, so there is nothing to dispose of, and it may be cancelled late
    bool _isDisposed;

    internal DuckDbReadConnection(DuckDBConnection connection, bool yieldsToLoads, Action<DuckDbReadConnection> returned)
    {
        Connection = connection;
        YieldsToLoads = yieldsToLoads;
        _returned = returned;
    }

    public DuckDBConnection Connection { get; }

    /// <summary>The one directory that the instance may write files to, for <see cref="UserQuery.ExportAsync"/>; for its owner alone.</summary>
    public required string ExportDirectory { get; init; }

    /// <summary>Whether what runs here is stopped when a load needs its memory.</summary>
    public bool YieldsToLoads { get; }

    /// <summary>Cancelled when whoever runs something here must end: interrupt it, and dispose of this.</summary>
    public CancellationToken Stopped => _stopped.Token;

    /// <summary>Why <see cref="Stopped"/> was cancelled, as a fragment for the author of the query; <c>null</c>: it was not.</summary>
    public string? StopReason { get; private set; }

    /// <summary>Asks whoever runs something here to end. Any thread; not within a lock that <see cref="Dispose"/> takes.</summary>
    internal void Stop(string reason)
    {
        StopReason ??= reason;
        _ = _stopped.CancelAsync(); // what goes on then does not on this thread, which may have the turn
    }

    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        _returned(this);
    }
}
