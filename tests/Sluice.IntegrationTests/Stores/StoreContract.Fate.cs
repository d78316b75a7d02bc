using Sluice.Load;
using Sluice.Schema;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>What every store tells of one request.</summary>
public abstract partial class StoreContract
{
    [Fact]
    public async Task The_fate_of_a_request_is_known_over_a_restart()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        var failed = Failures(2, new QuarantinePolicy(), Failed(2, 4, s_group, [1]), Failed(2, 0, s_other), Failed(3, 0, s_other));
        await store.LoadAsync(
            Batch(schema, [], 3) with { TimeMicroseconds = FirstTime + 30, Errors = [Error(2, 3), Error(2, 1), Error(3, 1)], Quarantine = failed }, Cancellation);
        await store.LoadAsync(Batch(schema, [], 3) with { UpTo = At(3) with { RecordsAhead = 9 }, TimeMicroseconds = FirstTime + 40 }, Cancellation); // of a request in parts
        await store.LoadAsync(Batch(schema, [], 6) with { TimeMicroseconds = FirstTime + 60 }, Cancellation);
        await store.LoadAsync(Batch(schema, [], 7), Cancellation); // passed over
        await ReopenAsync();
        store = await OpenAsync(_databaseId, _tableId);

        var fate = await FateAsync(2);
        Assert.Equal([1, 3], fate.Errors.Select(error => error.RecordIndex));
        Assert.Equal(Error(2, 1), fate.Errors[0]);
        Assert.Equal([0, 4], fate.Quarantined.Select(entry => entry.RecordIndex));
        Assert.Equal((s_group.Id, null, "[]"), (fate.Quarantined[1].GroupId, fate.Quarantined[1].Raw, fate.Quarantined[1].Errors));
        Assert.True(fate.HasAllErrors);
        Assert.False(fate.IsOfOtherSink);

        long?[] times = [null, FirstTime + 30, FirstTime + 30, FirstTime + 60, FirstTime + 60, FirstTime + 60, null, null];
        for (var sequence = 1UL; sequence <= 8; sequence++) Assert.Equal((sequence, times[sequence - 1]), (sequence, (await FateAsync(sequence)).LoadedAtMicroseconds));

        var others = await store.ReadFateAsync(Guid.NewGuid(), "request 3", 3, Cancellation);
        Assert.Equal((0, 0, true), (others.Errors.Count, others.Quarantined.Count, others.IsOfOtherSink));
        Assert.False((await store.ReadFateAsync(Guid.NewGuid(), "request 4", 4, Cancellation)).IsOfOtherSink);

        await store.ReadStateAsync(Cancellation);
        await store.DropAsync(Cancellation);
        Assert.Null((await FateAsync(2)).LoadedAtMicroseconds);
        Assert.Empty((await FateAsync(2)).Errors);

        ValueTask<KeptFate> FateAsync(ulong sequence) => store.ReadFateAsync(TestRows.Sink, $"request {sequence}", sequence, Cancellation);
    }

    [Fact]
    public async Task It_is_known_when_errors_of_a_request_may_have_made_room_for_newer_ones()
    {
        const int mostErrors = 10_000;
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        for (var sequence = 2UL; sequence <= 4; sequence++)
        {
            var time = FirstTime + (long)sequence;
            var errors = Enumerable.Range(0, sequence == 4 ? mostErrors - 1 : 2).Select(index => Error(sequence, index) with { TimeMicroseconds = time });
            await store.LoadAsync(Batch(schema, [], sequence) with { TimeMicroseconds = time, Errors = [.. errors] }, Cancellation);
        }
        // the two of 2 and one of 3 are gone
        Assert.Equal([(false, 0), (false, 1), (true, mostErrors - 1)], await Task.WhenAll(new ulong[] { 2, 3, 4 }.Select(async sequence =>
        {
            var fate = await store.ReadFateAsync(TestRows.Sink, $"request {sequence}", sequence, Cancellation);
            return (fate.HasAllErrors, fate.Errors.Count);
        })));
        // loaded at an unknown time
        Assert.False((await store.ReadFateAsync(TestRows.Sink, "request 1", 1, Cancellation)).HasAllErrors);
    }
}
