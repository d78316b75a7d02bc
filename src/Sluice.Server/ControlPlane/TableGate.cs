namespace Sluice.Server;

/// <summary>Lets one change of a table run at a time. Any thread.</summary>
sealed class TableGate : IDisposable
{
    readonly SemaphoreSlim _turn = new(1);
    readonly CancellationTokenSource _dropping = new();

    /// <summary>
    /// Cancelled once the table is to be dropped. A schema change waits for the loader, which may be stuck on a store that fails;
    /// a drop must not wait behind it.
    /// </summary>
    public CancellationToken Dropping => _dropping.Token;

    /// <summary>Ends the waiting of a schema change under way, for good: a drop is never taken back.</summary>
    public Task BeginDropAsync() => _dropping.CancelAsync();

    /// <summary>Waits for the turn; disposing the result gives it on.</summary>
    public async Task<IDisposable> EnterAsync(CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation);
        return new Turn(_turn);
    }

    public void Dispose()
    {
        _turn.Dispose();
        _dropping.Dispose();
    }

    sealed class Turn(SemaphoreSlim turn) : IDisposable
    {
        public void Dispose() => turn.Release();
    }
}
