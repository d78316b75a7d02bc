namespace Sluice.Server;

/// <summary>Counts the requests under way, and from <see cref="Begin"/> on lets no more in. Any thread.</summary>
sealed class Drain : IDisposable
{
    // one bit says that the server drains, the rest counts: a request is either counted before the drain began or refused
    const long DrainingBit = 1L << 62;

    readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    readonly CancellationTokenSource _stopping = new();
    long _state;

    public bool IsDraining => (Interlocked.Read(ref _state) & DrainingBit) != 0;

    /// <summary>Cancelled when the drain begins: for answers that have no end of their own.</summary>
    public CancellationToken Stopping => _stopping.Token;

    /// <returns>False: refuse the request, and do not call <see cref="Leave"/>.</returns>
    public bool TryEnter()
    {
        if ((Interlocked.Increment(ref _state) & DrainingBit) == 0)
            return true;

        Leave();
        return false;
    }

    public void Leave()
    {
        if (Interlocked.Decrement(ref _state) == DrainingBit)
            _empty.TrySetResult();
    }

    /// <summary>Lets no more requests in.</summary>
    /// <returns>Completes when the last one under way has been answered.</returns>
    public Task Begin()
    {
        if (Interlocked.Or(ref _state, DrainingBit) is 0 or DrainingBit)
            _empty.TrySetResult();

        _stopping.Cancel();
        return _empty.Task;
    }

    public void Dispose() => _stopping.Dispose();
}
