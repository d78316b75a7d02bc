using System.Diagnostics.Metrics;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.FaultyServer;
using Sluice.Load;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>A table whose store fails, hangs or has much to do costs no other table anything but its fair turns (design rule 10). Counts events, not time.</summary>
public sealed class TableIsolationTests : IAsyncLifetime
{
    const int Requests = 20;

    readonly TempDirectory _directory = new();
    readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    readonly (Guid First, Guid Second) _databases = (Guid.NewGuid(), Guid.NewGuid());
    readonly Dictionary<Guid, Func<ITableStore, ITableStore>> _around = [];
    DuckDbDatabases _stores = null!;
    Engine _engine = null!;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _stores = new DuckDbDatabases(_directory.Path, new DuckDbOptions(), TimeProvider.System, NullLoggerFactory.Instance);
        _engine = await Engine.OpenAsync(
            new EngineOptions { DataDirectory = _directory.Path, DiskReserveBytes = 0, Load = new LoadOptions { MaxRecords = 500, MinInterval = TimeSpan.Zero } }, [], [], OpenAsync,
            TimeProvider.System, NullLoggerFactory.Instance, _services.GetRequiredService<IMeterFactory>(), Cancellation);
    }

    public async ValueTask DisposeAsync()
    {
        await _engine.DisposeAsync();
        await _stores.DisposeAsync();
        await _services.DisposeAsync();
        _directory.Dispose();
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task A_table_whose_store_fails_or_hangs_holds_up_no_other(bool isSameDatabase, bool fails)
    {
        var (tries, works) = (0, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        var bad = await MakeTableAsync(_databases.First, store => SteeredStore.Around(store, (_, cancellation) =>
        {
            Interlocked.Increment(ref tries);
            return works.Task.IsCompleted || !fails ? works.Task.WaitAsync(cancellation) : Task.FromException(new StoreException(isTransient: true, "cannot be reached"));
        }));
        var good = await MakeTableAsync(isSameDatabase ? _databases.First : _databases.Second);
        var held = await SendAsync(bad, 10);
        while (Volatile.Read(ref tries) < (fails ? 2 : 1)) await Task.Yield();

        for (var request = 0; request < Requests; request++)
        {
            held = await SendAsync(bad, 10); // is taken all the same
            var sent = await SendAsync(good, 10);
            await good.Table.WaitLoadedAsync(sent.Sequence, Cancellation);
        }
        Assert.Equal((0, 10 * (Requests + 1)), (bad.ReadLedger().Loaded, bad.ReadLedger().Pending));
        Assert.Equal((10 * Requests, 0), (good.ReadLedger().Loaded, good.ReadLedger().Pending));

        works.SetResult();
        await bad.Table.WaitLoadedAsync(held.Sequence, Cancellation);
        Assert.Equal((10 * (Requests + 1), 0), (bad.ReadLedger().Loaded, bad.ReadLedger().Pending));
    }

    /// <summary>The control of the test above: whoever keeps the turn of a database does hold up its tables, and those of another database not.</summary>
    [Fact]
    public async Task Whoever_keeps_the_turn_of_a_database_holds_up_its_tables_alone()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var same = await MakeTableAsync(_databases.First, store => SteeredStore.Around(store, (_, _) =>
        {
            asked.TrySetResult();
            return Task.CompletedTask;
        }));
        var other = await MakeTableAsync(_databases.Second);
        using var gate = new ManualResetEventSlim();
        var keeping = _stores.OpenDatabase(_databases.First).RunAsync(
            _ =>
            {
                gate.Wait(Cancellation);
                return 0;
            },
            Cancellation).AsTask();
        var held = await SendAsync(same, 10);
        await asked.Task;
        for (var request = 0; request < Requests; request++) await other.Table.WaitLoadedAsync((await SendAsync(other, 10)).Sequence, Cancellation);
        Assert.Equal((0, 10 * Requests), (same.ReadLedger().Loaded, other.ReadLedger().Loaded));

        gate.Set();
        await keeping;
        await same.Table.WaitLoadedAsync(held.Sequence, Cancellation);
    }

    [Fact]
    public async Task A_table_with_a_long_backlog_lets_another_of_its_database_load_after_one_turn()
    {
        const int backlog = 200;
        var (begun, open) = (0, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        var busy = await MakeTableAsync(_databases.First, store => SteeredStore.Around(store, async (_, cancellation) =>
        {
            await open.Task.WaitAsync(cancellation);
            Interlocked.Increment(ref begun);
        }));
        var turns = new List<int>();
        var (asked, isWatched) = (0, false);
        var other = await MakeTableAsync(
            _databases.First,
            store => SteeredStore.Around(
                store,
                (_, _) =>
                {
                    asked = Volatile.Read(ref begun);
                    return Task.CompletedTask;
                },
                () =>
                {
                    if (Volatile.Read(ref isWatched)) turns.Add(Volatile.Read(ref begun) - asked);
                }));
        BatchOutcome last = null!;
        for (var request = 0; request < backlog; request++) last = await SendAsync(busy, 500); // a load each
        Volatile.Write(ref isWatched, true);
        open.SetResult();
        while (Volatile.Read(ref begun) == 0) await Task.Yield();
        for (var request = 0; request < 5; request++) await other.Table.WaitLoadedAsync((await SendAsync(other, 10)).Sequence, Cancellation);
        Assert.InRange(Volatile.Read(ref begun), 1, backlog - 1); // it was busy all the time

        Assert.Equal(5, turns.Count);
        Assert.All(turns, count => Assert.InRange(count, 0, 2)); // the one that was due before, and the one that asked behind
        await busy.Table.WaitLoadedAsync(last.Sequence, Cancellation);
        Assert.Equal(500 * backlog, busy.ReadLedger().Loaded);
    }

    async ValueTask<ITableStore> OpenAsync(Guid databaseId, Guid tableId, CancellationToken cancellation)
    {
        var store = await _stores.OpenTableAsync(databaseId, tableId, cancellation);
        return _around.TryGetValue(tableId, out var around) ? around(store) : store;
    }

    async Task<Sink> MakeTableAsync(Guid databaseId, Func<ITableStore, ITableStore>? around = null)
    {
        var id = Guid.NewGuid();
        if (around is not null) _around[id] = around;
        var schema = new TableSchema { TableId = id, Name = $"t{id:n}", Key = KeyKind.Number, Version = 1, Columns = [new Column(1, "n", ColumnType.Int)], NextColumnId = 2 };
        await _engine.CreateTableAsync(new TableDefinition(databaseId, schema), Cancellation);
        var sink = new SinkDefinition
        {
            Id = Guid.NewGuid(),
            Name = schema.Name,
            TableId = id,
            MappingVersion = 1,
            AllowMissingFields = true,
            Fields = [new FieldMapping("_id", [PathStep.Member("id")]), new FieldMapping("n", [PathStep.Member("n")])],
        };
        _engine.PutSink(sink);
        return _engine.FindSink(sink.Id)!;
    }

    static async Task<BatchOutcome> SendAsync(Sink sink, int records) => await sink.IngestAsync(
        Encoding.UTF8.GetBytes($"[{string.Join(',', Enumerable.Range(0, records).Select(id => $"{{\"id\":{id},\"n\":{id}}}"))}]"), BodyFormat.Values, RecordOperation.Upsert, "caller", Cancellation);
}
