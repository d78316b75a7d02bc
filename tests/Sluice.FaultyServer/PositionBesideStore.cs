using System.Globalization;
using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Log;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.FaultyServer;

/// <summary>
/// A store whose position is not in its transaction, as if the loader kept a bookmark in a file: what design rule and ADR 4 forbid.
/// </summary>
/// <param name="stays">After a few loads it stays between the two writes for ever, and says so with an empty file: whoever waits for that kills in between.</param>
sealed class PositionBesideStore(ITableStore store, string file, bool isBefore, bool stays) : ITableStore
{
    const int GoodLoads = 3; // of each start: what comes after them is loaded wrongly

    int _loads;

    public async ValueTask<StoredTable?> ReadStateAsync(CancellationToken cancellation)
    {
        var stored = await store.ReadStateAsync(cancellation);
        return stored is null || !File.Exists(file) ? stored : stored with { Position = stored.Position with { Sequence = ReadSequence() } };
    }

    public async ValueTask ApplySchemaAsync(TableSchema schema, LogPosition position, CancellationToken cancellation)
    {
        await store.ApplySchemaAsync(schema, position, cancellation);
        WriteSequence(position.Sequence);
    }

    public async ValueTask LoadAsync(LoadBatch batch, CancellationToken cancellation)
    {
        if (isBefore)
        {
            WriteSequence(batch.UpTo.Sequence);
            await StayAsync(batch, cancellation);
        }
        await LoadRowsAsync(batch, cancellation);
        if (!isBefore)
        {
            await StayAsync(batch, cancellation);
            WriteSequence(batch.UpTo.Sequence);
        }
    }

    public async ValueTask<DeletionOutcome> DeleteAsync(TableSchema schema, Deletion deletion, LogPosition position, CancellationToken cancellation)
    {
        var outcome = await store.DeleteAsync(schema, deletion, position, cancellation);
        WriteSequence(position.Sequence);
        return outcome;
    }

    public ValueTask<KeyState[]> ReadKeysAsync(TableSchema schema, ColumnBuffer keys, long tombstonesFromMicroseconds, CancellationToken cancellation) =>
        store.ReadKeysAsync(schema, keys, tombstonesFromMicroseconds, cancellation);

    public ValueTask CheckAsync(LoadBatch batch, CancellationToken cancellation) => store.CheckAsync(batch, cancellation);

    public ValueTask<ExpiryStep> ExpireAsync(RowExpiry expiry, CancellationToken cancellation) => store.ExpireAsync(expiry, cancellation);

    public ValueTask DropAsync(CancellationToken cancellation) => store.DropAsync(cancellation);

    public ValueTask<IReadOnlyList<LateError>> ReadErrorsAsync(Guid sinkId, int limit, CancellationToken cancellation) => store.ReadErrorsAsync(sinkId, limit, cancellation);

    public ValueTask<QuarantineOverview> ReadQuarantineAsync(Guid sinkId, long fromMicroseconds, CancellationToken cancellation) =>
        store.ReadQuarantineAsync(sinkId, fromMicroseconds, cancellation);

    public ValueTask<IReadOnlyList<QuarantineEntry>> ReadQuarantinedAsync(QuarantineSelection selection, int limit, CancellationToken cancellation) =>
        store.ReadQuarantinedAsync(selection, limit, cancellation);

    public ValueTask<IReadOnlySet<ulong>> ReadReplayedAsync(IReadOnlyList<ulong> positions, CancellationToken cancellation) =>
        store.ReadReplayedAsync(positions, cancellation);

    public ValueTask<long> DiscardAsync(QuarantineSelection selection, CancellationToken cancellation) => store.DiscardAsync(selection, cancellation);

    public ValueTask<IReadOnlyList<int>> FindChangedSinceAsync(TableSchema schema, ColumnBuffer keys, IReadOnlyList<ulong> origins, CancellationToken cancellation) =>
        store.FindChangedSinceAsync(schema, keys, origins, cancellation);

    public ValueTask<KeptFate> ReadFateAsync(Guid sinkId, string requestId, ulong sequence, CancellationToken cancellation) =>
        store.ReadFateAsync(sinkId, requestId, sequence, cancellation);

    public ValueTask<KeptRequest?> FindRequestAsync(ulong sequence, CancellationToken cancellation) => store.FindRequestAsync(sequence, cancellation);

    public ValueTask ReadRequestKeysAsync(long fromMicroseconds, Action<KeptKey> visit, CancellationToken cancellation) => store.ReadRequestKeysAsync(fromMicroseconds, visit, cancellation);

    public ValueTask DisposeAsync() => store.DisposeAsync();

    /// <summary>The inner store refuses to go back; a number of its own that only grows keeps its check out of the way.</summary>
    async ValueTask LoadRowsAsync(LoadBatch batch, CancellationToken cancellation)
    {
        var inner = await store.ReadStateAsync(cancellation) ?? throw new InvalidOperationException("the table was never created");
        await store.LoadAsync(batch with { UpTo = inner.Position with { Sequence = inner.Position.Sequence + 1 } }, cancellation);
    }

    async Task StayAsync(LoadBatch batch, CancellationToken cancellation)
    {
        if (!stays || batch.Rows.RowCount == 0 || ++_loads <= GoodLoads) return;
        await File.WriteAllTextAsync(file + ".between", "", cancellation);
        await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellation);
    }

    ulong ReadSequence() => ulong.Parse(File.ReadAllText(file), CultureInfo.InvariantCulture);

    void WriteSequence(ulong sequence)
    {
        File.WriteAllText(file + ".new", sequence.ToString(CultureInfo.InvariantCulture));
        File.Move(file + ".new", file, overwrite: true);
    }
}
