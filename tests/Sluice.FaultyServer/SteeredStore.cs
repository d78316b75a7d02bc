using System.Reflection;
using Sluice.Load;
using Sluice.Records;

namespace Sluice.FaultyServer;

/// <summary>A store whose loads are held up or refused from outside; everything else goes to the real one.</summary>
public class SteeredStore : DispatchProxy
{
    ITableStore _store = null!;
    Func<LoadBatch, CancellationToken, Task> _beforeLoad = null!;
    Action? _afterLoad;
    Func<LoadBatch, LoadBatch> _change = batch => batch;

    /// <param name="beforeLoad">Awaited before each load; what it throws is what the load throws.</param>
    /// <param name="afterLoad">Called after each load that went well.</param>
    public static ITableStore Around(ITableStore store, Func<LoadBatch, CancellationToken, Task> beforeLoad, Action? afterLoad = null)
    {
        var proxy = Create<ITableStore, SteeredStore>();
        var steered = (SteeredStore)proxy;
        (steered._store, steered._beforeLoad, steered._afterLoad) = (store, beforeLoad, afterLoad);
        return proxy;
    }

    /// <summary>Loads no faster than so many records a second.</summary>
    public static ITableStore Slow(ITableStore store, double recordsPerSecond) => Around(store, (batch, cancellation) =>
        Task.Delay(TimeSpan.FromSeconds(batch.Counts.Values.Sum(count => count.Loaded + count.Failed) / recordsPerSecond), TimeProvider.System, cancellation));

    /// <summary>Refuses every load as long as a file is there, as a database does that cannot be reached.</summary>
    public static ITableStore FailingWhile(ITableStore store, string file) => Around(store, (_, _) =>
        File.Exists(file) ? Task.FromException(new StoreException(isTransient: true, $"{file} is there")) : Task.CompletedTask);

    /// <summary>Says of every n-th load with rows that it was made, and drops the rows.</summary>
    public static ITableStore Forgetting(ITableStore store, int n)
    {
        var loads = 0;
        var proxy = Around(store, (_, _) => Task.CompletedTask);
        ((SteeredStore)proxy)._change = batch => batch.Rows.RowCount > 0 && ++loads % n == 0 ? batch with { Rows = new RowBatch(batch.Schema.Key) } : batch;
        return proxy;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => targetMethod!.Name == nameof(ITableStore.LoadAsync)
        ? new ValueTask(LoadAsync((LoadBatch)args![0]!, (CancellationToken)args[1]!))
        : targetMethod.Invoke(_store, BindingFlags.DoNotWrapExceptions, binder: null, args, culture: null);

    async Task LoadAsync(LoadBatch batch, CancellationToken cancellation)
    {
        await _beforeLoad(batch, cancellation);
        await _store.LoadAsync(_change(batch), cancellation);
        _afterLoad?.Invoke();
    }
}
