using System.Collections.Concurrent;
using Sluice.Log;

namespace Sluice.Load;

/// <summary>What became of a deletion when its turn came.</summary>
/// <param name="Rows">How many rows were deleted; <c>null</c>: not known, because the store had done it before it lost its connection.</param>
/// <param name="Error">Why the predicate did not run: no row was deleted then, and none will be. <c>null</c>: it ran.</param>
public sealed record DeletionOutcome(long? Rows, string? Error);

/// <summary>Who waits for deletions to be applied. Any thread.</summary>
/// <remarks>Nothing of it outlives the process, and need not: whoever waits does not either.</remarks>
sealed class Deletions
{
    readonly ConcurrentDictionary<Guid, TaskCompletionSource<DeletionOutcome>> _waiting = [];

    /// <summary>Appends a deletion and returns when it is applied.</summary>
    public async Task<DeletionOutcome> RunAsync(Guid id, Func<Task<LogPosition>> append, Func<ulong, Task> waitLoaded)
    {
        var applied = new TaskCompletionSource<DeletionOutcome>(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting[id] = applied; // before the loader can meet it
        try
        {
            await waitLoaded((await append()).Sequence);
            return await applied.Task;
        }
        finally
        {
            _waiting.TryRemove(id, out _);
        }
    }

    public void Complete(Guid id, DeletionOutcome outcome)
    {
        if (_waiting.TryGetValue(id, out var waiting)) waiting.TrySetResult(outcome);
    }
}
