namespace Sluice.Load;

/// <summary>How far a table is loaded, and who waits for it. Any thread.</summary>
sealed class LoadProgress(ulong sequence)
{
    readonly Lock _lock = new();
    readonly PriorityQueue<TaskCompletionSource, ulong> _waiting = new(); // under _lock
    TaskCompletionSource? _delay; // of the loader, while it gathers; under _lock
    ulong _sequence = sequence;
    SluiceException? _ended; // under _lock

    public ulong Sequence => Volatile.Read(ref _sequence);

    /// <summary>Returns when the sequence is loaded; the next load does not dawdle.</summary>
    public Task WaitAsync(ulong sequence, CancellationToken cancellation)
    {
        lock (_lock)
        {
            if (_sequence >= sequence) return Task.CompletedTask;
            if (_ended is not null) return Task.FromException(_ended);
            var loaded = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Enqueue(loaded, sequence);
            _delay?.TrySetResult();
            return loaded.Task.WaitAsync(cancellation);
        }
    }

    public void MoveTo(ulong sequence)
    {
        lock (_lock)
        {
            Volatile.Write(ref _sequence, sequence);
            while (_waiting.TryPeek(out var loaded, out var wanted) && wanted <= sequence)
            {
                _waiting.Dequeue();
                loaded.TrySetResult();
            }
        }
    }

    /// <summary>Nothing more will be loaded: fails those who wait, and those who come later.</summary>
    public void End(SluiceException reason)
    {
        lock (_lock)
        {
            _ended ??= reason;
            while (_waiting.TryDequeue(out var loaded, out _)) loaded.TrySetException(_ended);
        }
    }

    /// <summary>Returns after the delay, or at once when somebody waits or begins to. One caller at a time.</summary>
    public async Task DelayUnlessUrgentAsync(TimeSpan delay, TimeProvider time, CancellationToken cancellation)
    {
        var over = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lock)
        {
            if (_waiting.Count > 0) return;
            _delay = over;
        }
        await using var timer = time.CreateTimer(static over => ((TaskCompletionSource)over!).TrySetResult(), over, delay, Timeout.InfiniteTimeSpan);
        using var stop = cancellation.UnsafeRegister(static (over, cancellation) => ((TaskCompletionSource)over!).TrySetCanceled(cancellation), over);
        await over.Task;
    }
}
