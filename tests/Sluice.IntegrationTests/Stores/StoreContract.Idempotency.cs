using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Records;
using Sluice.Schema;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>The requests with keys that every store keeps.</summary>
public abstract partial class StoreContract
{
    [Fact]
    public async Task Requests_with_keys_are_kept_over_a_restart_until_they_are_too_old()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await store.LoadAsync(Keyed(2, 0, Request(2, "it's \"a\" key")), Cancellation);
        await store.LoadAsync(Keyed(4, FirstTime + 2, Request(3, "b"), Request(4, "c")), Cancellation);
        await ReopenAsync();
        store = await OpenAsync(_databaseId, _tableId);

        var kept = await store.FindRequestAsync(2, Cancellation);
        Assert.Equal(("it's \"a\" key", FirstTime + 2, TestRows.Sink), (kept!.Key, kept.ReceivedAtMicroseconds, kept.SinkId));
        Assert.Equal([1, 2, 255], kept.BodyHash.ToArray());
        Assert.Equal(("request 2", 2UL, 9), (kept.Outcome.RequestId, kept.Outcome.Sequence, kept.Outcome.RecordCount));
        Assert.Equal(Request(2, "").Outcome.Warnings, kept.Outcome.Warnings);
        Assert.Equal([(3, false), (4, true)], kept.Outcome.Rejected.Select(record => (record.Index, record.IsDiscarded)));
        Assert.Equal(Request(2, "").Outcome.Rejected[0].Errors, kept.Outcome.Rejected[0].Errors);
        Assert.Null(await store.FindRequestAsync(5, Cancellation));
        Assert.Equal([KeptKey.Of(TestRows.Sink, "b", 3, FirstTime + 3), KeptKey.Of(TestRows.Sink, "c", 4, FirstTime + 4)], (await KeysAsync(store, FirstTime + 3)).OrderBy(key => key.Sequence).ToList());

        await store.ReadStateAsync(Cancellation);
        await store.LoadAsync(Keyed(5, FirstTime + 4, Request(5, "d")), Cancellation);
        Assert.Equal([4UL, 5], (await KeysAsync(store, 0)).Select(key => key.Sequence).Order().ToList());
        Assert.Null(await store.FindRequestAsync(2, Cancellation));

        LoadBatch Keyed(ulong upTo, long forgetBefore, params KeptRequest[] requests) => Batch(schema, [], upTo) with { Idempotency = new IdempotencyBatch(requests, forgetBefore) };

        static KeptRequest Request(ulong sequence, string key) => new(
            TestRows.Sink, sequence, key, new byte[] { 1, 2, 255 }, FirstTime + (long)sequence,
            new BatchOutcome(
                $"request {sequence}", sequence, 9,
                [new RejectedRecord(3, false, [new FieldError("é", "/a", FieldErrorCode.NotABool, "bool", "string \"'\"")]), new RejectedRecord(4, true, [])],
                [new TruncationWarning(1, "é")]));

        static async Task<List<KeptKey>> KeysAsync(ITableStore store, long from)
        {
            var keys = new List<KeptKey>();
            await store.ReadRequestKeysAsync(from, keys.Add, Cancellation);
            return keys;
        }
    }
}
