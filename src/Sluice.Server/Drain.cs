namespace Sluice.Server;

/// <summary>Counts the requests under way, and from <see cref="Begin"/> on lets no more in. Any thread.</summary>
sealed class Drain
{
    // one bit says that the server drains, the rest counts: a request is either counted before the drain began or refused
    const long DrainingBit = 1L << 62;

    readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    long _state;

    public bool IsDraining => (Interlocked.Read(ref _state) & DrainingBit) != 0;

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

        return _empty.Task;
    }
}
