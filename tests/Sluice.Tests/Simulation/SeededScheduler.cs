namespace Sluice.Tests.Simulation;

/// <summary>
/// One thread that runs the tasks of a simulated process in an order that a random number generator gives. What runs on it and awaits goes on on it, so the
/// same numbers give the same history.
/// </summary>
sealed class SeededScheduler(Random random) : TaskScheduler
{
    readonly List<Task> _ready = [];
    readonly int _thread = Environment.CurrentManagedThreadId;
    volatile bool _hasStrayTask;

    /// <summary>A task came from another thread and will not run: whoever reads this must know why.</summary>
    public bool HasStrayTask => _hasStrayTask;

    public bool IsIdle => _ready.Count == 0;

    public override int MaximumConcurrencyLevel => 1;

    /// <summary>Runs one of the tasks that are ready; false: there is none.</summary>
    public bool RunOne()
    {
        if (IsIdle) return false;
        var i = random.Next(_ready.Count);
        var task = _ready[i];
        _ready[i] = _ready[^1];
        _ready.RemoveAt(_ready.Count - 1);
        TryExecuteTask(task);
        return true;
    }

    /// <summary>The process is dead: nothing of it runs any more.</summary>
    public void Clear() => _ready.Clear();

    protected override void QueueTask(Task task)
    {
        if (Environment.CurrentManagedThreadId == _thread) _ready.Add(task);
        else _hasStrayTask = true;
    }

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => false;

    protected override IEnumerable<Task> GetScheduledTasks() => _ready;
}
