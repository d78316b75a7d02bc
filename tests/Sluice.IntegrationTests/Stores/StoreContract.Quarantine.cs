using System.Text;
using Sluice.Load;
using Sluice.Log;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Schema;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>The quarantine that every store keeps.</summary>
public abstract partial class StoreContract
{
    const long FirstTime = 1_700_000_000_000_000;

    static readonly ErrorSignature s_group = new("/price", "NotADecimal", "decimal(2)", "string");
    static readonly ErrorSignature s_other = new("/it's", "NotABool", "bool", "num\"ber");

    [Fact]
    public async Task Failures_are_kept_one_by_one_and_counted_over_a_restart()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        byte[] raw = [(byte)'{', 0, 0xFF, (byte)'\'', (byte)'"'];
        var first = Failures(2, new QuarantinePolicy(), Failed(2, 0, s_group, raw) with { Key = "ключ", Form = new RecordForm(true, RecordOperation.Insert) }, Failed(2, 3, s_other));
        await LoadAsync(store, schema, 2, first);
        await LoadAsync(store, schema, 2, first); // again after a crash: nothing twice
        await LoadAsync(store, schema, 3, Failures(3, new QuarantinePolicy(), Failed(3, 1, s_group)) with { Groups = [new GroupCount(TestRows.Sink, s_group, 250_000, 249_999, FirstTime + 5, FirstTime + 9)] });
        await ReopenAsync();
        store = await OpenAsync(_databaseId, _tableId);

        var overview = await store.ReadQuarantineAsync(TestRows.Sink, 0, Cancellation);
        Assert.Equal(
            [(s_group, 250_001L, 2L, 249_999L, FirstTime + 2, FirstTime + 9), (s_other, 1, 1, 0, FirstTime + 2, FirstTime + 2)],
            overview.Groups.Select(group => (group.Signature, group.Count, group.Waiting, group.RawOmitted, group.FirstMicroseconds, group.LastMicroseconds)));
        Assert.Equal(LogPosition.OfRecord(3, 1), overview.Groups[0].Sample!.Position);
        var entries = await store.ReadQuarantinedAsync(new QuarantineSelection(TestRows.Sink), 10, Cancellation);
        Assert.Equal([LogPosition.OfRecord(2, 0), LogPosition.OfRecord(2, 3), LogPosition.OfRecord(3, 1)], entries.Select(entry => entry.Position));
        Assert.Equal(raw, entries[0].Raw);
        Assert.Equal(
            ("request 2", 0, s_group.Id, "ключ", "[]", new RecordForm(true, RecordOperation.Insert), false, FirstTime + 2),
            (entries[0].RequestId, entries[0].RecordIndex, entries[0].GroupId, entries[0].Key, entries[0].Errors, entries[0].Form, entries[0].IsReplayed, entries[0].TimeMicroseconds));
        Assert.Single(await store.ReadQuarantinedAsync(new QuarantineSelection(TestRows.Sink, s_group.Id, After: entries[0].Position), 10, Cancellation));
        Assert.Empty(await store.ReadQuarantinedAsync(new QuarantineSelection(Guid.NewGuid()), 10, Cancellation));
        Assert.Equal(entries.Sum(entry => entry.Raw!.Length + entry.Errors.Length), overview.KeptBytes);
    }

    [Fact]
    public async Task Over_the_budget_the_error_stays_and_the_text_is_counted_as_omitted()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        var policy = new QuarantinePolicy { MaxBytes = 300 };
        await LoadAsync(store, schema, 2, Failures(2, policy, Failed(2, 0, s_group, new byte[98]), Failed(2, 1, s_group, new byte[98])));
        await LoadAsync(store, schema, 3, Failures(3, policy, Failed(3, 0, s_group, new byte[98]), Failed(3, 1, s_group, new byte[98])));
        var entries = await store.ReadQuarantinedAsync(new QuarantineSelection(TestRows.Sink), 10, Cancellation);
        Assert.Equal([98, 98, 98, null], entries.Select(entry => entry.Raw?.Length));
        Assert.Equal(1, Assert.Single((await store.ReadQuarantineAsync(TestRows.Sink, 0, Cancellation)).Groups).RawOmitted);
    }

    [Fact]
    public async Task What_is_too_old_goes_and_stays_counted()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, 2, Failures(2, new QuarantinePolicy(), Failed(2, 0, s_group)));
        var aged = Failures(3, new QuarantinePolicy { MaxAge = TimeSpan.FromHours(1) }, Failed(3, 0, s_group)) with { NowMicroseconds = FirstTime + 3 + 3_600_000_000 };
        Assert.Empty(await store.ReadQuarantinedAsync(new QuarantineSelection(TestRows.Sink) { FromMicroseconds = FirstTime + 3 }, 10, Cancellation));
        await LoadAsync(store, schema, 3, aged);
        Assert.Equal(LogPosition.OfRecord(3, 0), Assert.Single(await store.ReadQuarantinedAsync(new QuarantineSelection(TestRows.Sink), 10, Cancellation)).Position);
        Assert.Equal((2, 1), Assert.Single((await store.ReadQuarantineAsync(TestRows.Sink, 0, Cancellation)).Groups) is var group ? (group.Count, group.Waiting) : default);
    }

    [Fact]
    public async Task Replayed_records_give_their_text_up_and_are_known_and_counted()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, 2, Failures(2, new QuarantinePolicy(), Failed(2, 0, s_group), Failed(2, 1, s_group), Failed(2, 2, s_other)));
        var replay = new QuarantineBatch([], [], [LogPosition.OfRecord(2, 1), LogPosition.OfRecord(2, 2), LogPosition.OfRecord(1, 7)], new Dictionary<Guid, QuarantinePolicy>(), FirstTime);
        var counts = new Dictionary<Guid, SinkCounts> { [TestRows.Sink] = new() { Replayed = 3 } };
        await store.LoadAsync(Batch(schema, [Row(schema, 5, ("i", 1L))], 3) with { Counts = counts, Quarantine = replay }, Cancellation);

        ulong[] asked = [LogPosition.OfRecord(2, 0), LogPosition.OfRecord(2, 1), LogPosition.OfRecord(2, 2), 77];
        Assert.Equal([asked[1], asked[2]], (await store.ReadReplayedAsync(asked, Cancellation)).Order());
        Assert.Equal([(2L, 1L, 1L), (1, 0, 1)], (await store.ReadQuarantineAsync(TestRows.Sink, 0, Cancellation)).Groups.Select(group => (group.Count, group.Waiting, group.Replayed)));
        Assert.Equal([(false, false), (true, true), (true, true)], (await store.ReadQuarantinedAsync(new QuarantineSelection(TestRows.Sink), 10, Cancellation)).Select(entry => (entry.IsReplayed, entry.Raw is null)));
        Assert.Single(await store.ReadQuarantinedAsync(new QuarantineSelection(TestRows.Sink) { OnlyWaiting = true }, 10, Cancellation));
        for (var sequence = 4UL; sequence < 220; sequence++) await LoadAsync(store, schema, [], sequence); // long enough for sums to be made
        await ReopenAsync();
        store = await OpenAsync(_databaseId, _tableId);
        Assert.Equal(3, (await store.ReadStateAsync(Cancellation))!.Counts[TestRows.Sink].Replayed);
        Assert.Equal([(2L, 1L, 1L), (1, 0, 1)], (await store.ReadQuarantineAsync(TestRows.Sink, 0, Cancellation)).Groups.Select(group => (group.Count, group.Waiting, group.Replayed)));
    }

    [Fact]
    public async Task Discarding_takes_what_waits_and_counts_it()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, 2, Failures(2, new QuarantinePolicy(), Failed(2, 0, s_group), Failed(2, 1, s_group), Failed(2, 2, s_other)));
        Assert.Equal(0, await store.DiscardAsync(new QuarantineSelection(Guid.NewGuid(), s_group.Id), Cancellation));
        Assert.Equal(1, await store.DiscardAsync(new QuarantineSelection(TestRows.Sink, Positions: [LogPosition.OfRecord(2, 0)]), Cancellation));
        Assert.Equal(1, await store.DiscardAsync(new QuarantineSelection(TestRows.Sink, s_group.Id), Cancellation));
        Assert.Equal(0, await store.DiscardAsync(new QuarantineSelection(TestRows.Sink, s_group.Id), Cancellation));
        Assert.Equal([(2L, 0L, 2L), (1, 1, 0)], (await store.ReadQuarantineAsync(TestRows.Sink, 0, Cancellation)).Groups.Select(group => (group.Count, group.Waiting, group.Discarded)));
        await LoadAsync(store, schema, [Row(schema, 5, ("i", 1L))], 3); // the position did not move
    }

    [Theory]
    [InlineData(KeyKind.Number)]
    [InlineData(KeyKind.String)]
    public async Task Keys_that_were_written_since_are_found(KeyKind key)
    {
        var schema = Schema(key, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        TestRow Of(int i) => new(key == KeyKind.Number ? (long)i : $"it's {i}", new Dictionary<int, Cell>());
        await LoadAsync(store, schema, [Of(1), Of(2)], 5);
        var keys = TestRows.ToBatch(schema, [Of(1), Of(2), Of(3)], 9, true).Key;
        Assert.Equal([1], await store.FindChangedSinceAsync(schema, keys, [LogPosition.OfRecord(6, 0), LogPosition.OfRecord(4, 0), LogPosition.OfRecord(4, 1)], Cancellation));
    }

    static QuarantinedRecord Failed(ulong sequence, int index, ErrorSignature group, byte[]? raw = null) => new(
        TestRows.Sink, LogPosition.OfRecord(sequence, index), $"request {sequence}", index, group.Id, default, "", "[]", raw ?? Encoding.UTF8.GetBytes("{}"), FirstTime + (long)sequence);

    static QuarantineBatch Failures(ulong sequence, QuarantinePolicy policy, params QuarantinedRecord[] records)
    {
        var groups = records.GroupBy(record => record.GroupId)
            .Select(group => new GroupCount(TestRows.Sink, group.Key == s_group.Id ? s_group : s_other, group.Count(), 0, FirstTime + (long)sequence, FirstTime + (long)sequence));
        return new QuarantineBatch(records, [.. groups], [], new Dictionary<Guid, QuarantinePolicy> { [TestRows.Sink] = policy }, FirstTime + (long)sequence);
    }

    static async Task LoadAsync(ITableStore store, TableSchema schema, ulong sequence, QuarantineBatch quarantine) =>
        await store.LoadAsync(Batch(schema, [], sequence) with { Quarantine = quarantine }, Cancellation);
}
