using System.Collections.Concurrent;
using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Log;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.IntegrationTests.ControlPlane;

/// <summary>Stores that keep schema, position and counts in memory and forget the rows; they outlive the engine, as files would.</summary>
sealed class SchemaStores
{
    readonly ConcurrentDictionary<Guid, SchemaStore> _stores = new();

    /// <summary>Not completed: schema changes wait for it, as behind a store that fails.</summary>
    public Task SchemaChangesMayGoOn { get; set; } = Task.CompletedTask;

    public bool Has(Guid tableId) => _stores.TryGetValue(tableId, out var store) && store.State is not null;

    public ValueTask<ITableStore> OpenAsync(Guid databaseId, Guid tableId, CancellationToken cancellation) =>
        new(_stores.GetOrAdd(tableId, _ => new SchemaStore(this)));

    sealed class SchemaStore(SchemaStores all) : ITableStore
    {
        public StoredTable? State { get; private set; }

        public ValueTask<StoredTable?> ReadStateAsync(CancellationToken cancellation) => new(State);

        public async ValueTask ApplySchemaAsync(TableSchema schema, LogPosition position, CancellationToken cancellation)
        {
            await all.SchemaChangesMayGoOn.WaitAsync(cancellation);
            State = new StoredTable(position, schema, State?.Counts ?? new Dictionary<Guid, SinkCounts>());
        }

        public ValueTask LoadAsync(LoadBatch batch, CancellationToken cancellation)
        {
            var counts = new Dictionary<Guid, SinkCounts>(State!.Counts);
            foreach (var (sink, more) in batch.Counts)
            {
                var sum = counts.GetValueOrDefault(sink);
                counts[sink] = new SinkCounts(sum.Loaded + more.Loaded, sum.Failed + more.Failed);
            }
            State = new StoredTable(batch.UpTo, batch.Schema, counts);
            return ValueTask.CompletedTask;
        }

        public ValueTask<DeletionOutcome> DeleteAsync(TableSchema schema, Deletion deletion, LogPosition position, CancellationToken cancellation)
        {
            State = State! with { Position = position };
            return new(new DeletionOutcome(0, Error: null));
        }

        public ValueTask<KeyState[]> ReadKeysAsync(TableSchema schema, ColumnBuffer keys, long tombstonesFromMicroseconds, CancellationToken cancellation) => throw new NotSupportedException();

        public ValueTask CheckAsync(LoadBatch batch, CancellationToken cancellation) => ValueTask.CompletedTask;

        public ValueTask<ExpiryStep> ExpireAsync(RowExpiry expiry, CancellationToken cancellation) => new(default(ExpiryStep));

        public ValueTask DropAsync(CancellationToken cancellation)
        {
            State = null;
            return ValueTask.CompletedTask;
        }

        public ValueTask<IReadOnlyList<LateError>> ReadErrorsAsync(Guid sinkId, int limit, CancellationToken cancellation) => new([]);

        public ValueTask<QuarantineOverview> ReadQuarantineAsync(Guid sinkId, long fromMicroseconds, CancellationToken cancellation) => new(new QuarantineOverview([], 0));

        public ValueTask<IReadOnlyList<QuarantineEntry>> ReadQuarantinedAsync(QuarantineSelection selection, int limit, CancellationToken cancellation) => new([]);

        public ValueTask<IReadOnlySet<ulong>> ReadReplayedAsync(IReadOnlyList<ulong> positions, CancellationToken cancellation) => new(new HashSet<ulong>());

        public ValueTask<long> DiscardAsync(QuarantineSelection selection, CancellationToken cancellation) => new(0);

        public ValueTask<IReadOnlyList<int>> FindChangedSinceAsync(TableSchema schema, ColumnBuffer keys, IReadOnlyList<ulong> origins, CancellationToken cancellation) => new([]);

        public ValueTask<KeptFate> ReadFateAsync(Guid sinkId, string requestId, ulong sequence, CancellationToken cancellation) => new(new KeptFate(null, [], HasAllErrors: true, [], IsOfOtherSink: false));

        public ValueTask<KeptRequest?> FindRequestAsync(ulong sequence, CancellationToken cancellation) => new((KeptRequest?)null);

        public ValueTask ReadRequestKeysAsync(long fromMicroseconds, Action<KeptKey> visit, CancellationToken cancellation) => ValueTask.CompletedTask;

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
