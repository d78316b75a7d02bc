using Sluice.Load;
using Sluice.Log;
using Sluice.Schema;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

public abstract partial class StoreContract
{
    [Theory]
    [InlineData(KeyKind.Number)]
    [InlineData(KeyKind.String)]
    public async Task A_deletion_takes_the_rows_its_predicate_names_once(KeyKind key)
    {
        var schema = Schema(key, ("i", ColumnType.Int), ("ss", ColumnType.StringSet));
        object Key(int i) => key == KeyKind.Number ? (long)i : $"key {i}";
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, [.. Enumerable.Range(1, 5).Select(i => Row(schema, Key(i), ("i", (long)i), ("ss", Members("a", $"b{i}"))))], sequence: 2);

        Assert.Equal(new DeletionOutcome(2, null), await DeleteAsync(store, schema, "i >= 2 AND setcontainsany(ss, ['b1', 'b2', 'b3']) -- and no more", 3));
        Assert.Equal(["1", "4", "5"], await NumbersAsync(schema));

        // the same again, as after a COMMIT whose answer was lost: it has moved, and does not delete what came since
        await ReopenAsync();
        store = await OpenAsync(_databaseId, _tableId);
        Assert.Equal(At(3), (await store.ReadStateAsync(Cancellation))!.Position);
        await LoadAsync(store, schema, [Row(schema, Key(2), ("i", 2L))], sequence: 4);
        Assert.Equal(["1", "2", "4", "5"], await NumbersAsync(schema));

        Assert.Equal(new DeletionOutcome(4, null), await DeleteAsync(store, schema, null, 5));
        Assert.Empty(await NumbersAsync(schema));
        await LoadAsync(store, schema, [Row(schema, Key(1), ("i", 1L))], sequence: 6);
        Assert.Equal(["1"], await NumbersAsync(schema));
    }

    [Theory]
    [InlineData("gone = 1", "column 'gone' not found")]
    [InlineData("i = 'x'::BIGINT", "Could not convert string 'x' to INT64")]
    [InlineData("i = 1) OR (true", null)]
    [InlineData("true) UNION ALL (SELECT 1", "the predicate must be one expression")]
    [InlineData("true) LIMIT (1", "the predicate must be one expression")]
    [InlineData("i IN (SELECT 1)", "a subquery is not supported")]
    [InlineData("i > random()", "function 'random' is not supported")]
    [InlineData("read_text('/etc/passwd') = ''", "function 'read_text' is not allowed")]
    public async Task A_predicate_that_does_not_run_deletes_nothing_and_is_passed(string predicate, string? error)
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, [Row(schema, 1L, ("i", 1L)), Row(schema, 2L, ("i", 2L))], sequence: 2);

        var outcome = await DeleteAsync(store, schema, predicate, 3);

        if (error is null) Assert.Equal(new DeletionOutcome(2, null), outcome);
        else Assert.Contains(error, outcome.Error, StringComparison.Ordinal);
        Assert.Equal(error is null ? [] : ["1", "2"], await NumbersAsync(schema));
        Assert.Equal(At(3), (await store.ReadStateAsync(Cancellation))!.Position);
        await LoadAsync(store, schema, [Row(schema, 3L, ("i", 3L))], sequence: 4);
        Assert.Equal(error is null ? ["3"] : ["1", "2", "3"], await NumbersAsync(schema));
    }

    static async Task<DeletionOutcome> DeleteAsync(ITableStore store, TableSchema schema, string? predicate, ulong sequence) =>
        await store.DeleteAsync(schema, new Deletion(Guid.NewGuid(), predicate), At(sequence), Cancellation);

    async Task<string?[]> NumbersAsync(TableSchema schema) => [.. (await ReadRowsAsync(schema)).Values.Select(row => row.Values["i"]).Order(StringComparer.Ordinal)];
}
