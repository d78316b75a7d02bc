using Sluice.Load;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>What every <see cref="ITableStore"/> must do; one subclass a store.</summary>
public abstract partial class StoreContract : IAsyncLifetime
{
    static readonly Guid s_logId = Guid.Parse("11111111-2222-4333-8444-555555555555");

    readonly Guid _databaseId = Guid.NewGuid();
    readonly Guid _tableId = Guid.NewGuid();

    protected Guid DatabaseId => _databaseId;

    /// <summary>Prepares an empty place for databases.</summary>
    public abstract ValueTask InitializeAsync();

    public abstract ValueTask DisposeAsync();

    /// <summary>A store of a table, with no memory of earlier ones.</summary>
    protected abstract ValueTask<ITableStore> OpenAsync(Guid databaseId, Guid tableId);

    /// <summary>Closes all databases and opens the place again, as a restart of the process does.</summary>
    protected abstract ValueTask ReopenAsync();

    /// <summary>The rows of a table by the text of their key, read as a user of the database would read them.</summary>
    protected abstract ValueTask<Dictionary<string, StoredRow>> ReadRowsAsync(TableSchema schema);

    /// <summary>Makes the store refuse rows whose <paramref name="column"/> is negative, whatever this library checks.</summary>
    protected abstract ValueTask RefuseNegativeAsync(TableSchema schema, string column);

    protected static LogPosition At(ulong sequence) => new(s_logId, 1, sequence);

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_table_that_was_never_created_has_no_state()
    {
        var store = await OpenAsync(_databaseId, _tableId);
        Assert.Null(await store.ReadStateAsync(Cancellation));
        Assert.Empty(await store.ReadErrorsAsync(TestRows.Sink, 10, Cancellation));
        await store.DropAsync(Cancellation);
    }

    [Fact]
    public async Task Schema_and_position_survive_a_restart()
    {
        var schema = AllTypes(KeyKind.String);
        var store = await CreateAsync(schema, sequence: 7);
        await LoadAsync(store, schema, [], sequence: 9);
        await ReopenAsync();
        store = await OpenAsync(_databaseId, _tableId);
        var state = await store.ReadStateAsync(Cancellation);
        Assert.NotNull(state);
        Assert.Equal(At(9), state.Position);
        Assert.Equal(schema, state.Schema);
    }

    [Theory]
    [InlineData(KeyKind.Number)]
    [InlineData(KeyKind.String)]
    public async Task Every_type_keeps_its_extremes(KeyKind key)
    {
        var schema = AllTypes(key);
        var rows = ExtremeValues().Select((cells, i) => new TestRow(
            key == KeyKind.Number ? (i == 0 ? 0L : long.MaxValue - i) : i == 0 ? new string('k', TableSchema.MaxKeyBytes) : $"ключ {i}",
            schema.Columns.ToDictionary(column => column.Id, column => cells.TryGetValue(column.Name, out var cell) ? cell : Cell.Absent))).ToList();
        var store = await CreateAsync(schema, sequence: 1);

        // once into the empty table, then once more over itself, which takes stored values through a merge
        await LoadAsync(store, schema, rows, sequence: 2);
        await AssertRowsAsync(schema, ModelOf(schema, (rows, 2)));
        await LoadAsync(store, schema, rows, sequence: 3);
        await ReopenAsync();
        await AssertRowsAsync(schema, ModelOf(schema, (rows, 2), (rows, 3)));
    }

    [Fact]
    public async Task Absent_keeps_null_clears_and_sets_unite()
    {
        var schema = AllTypes(KeyKind.Number);
        var store = await CreateAsync(schema, sequence: 1);
        var full = Row(schema, 1, ("i", 5L), ("s", "text"), ("ss", Members("a", "b")), ("is", Members(1L, 2L)), ("b", true));
        await LoadAsync(store, schema, [full, Row(schema, 2, ("i", 6L))], sequence: 2);

        var partial = Row(schema, 1, ("s", null), ("ss", Members("b", "c", "c")), ("is", null), ("v", new[] { 1.0, 2, 3 }));
        var emptySet = Row(schema, 2, ("ss", Members()));
        await LoadAsync(store, schema, [partial, emptySet], sequence: 3);

        var rows = await ReadRowsAsync(schema);
        var one = rows["1"].Values;
        Assert.Equal("5", one["i"]);
        Assert.Null(one["s"]);
        Assert.Equal("{a;b;c}", one["ss"]);
        Assert.Equal("{1;2}", one["is"]);
        Assert.Equal("true", one["b"]);
        Assert.Equal("1,2,3", one["v"]);
        Assert.Equal("{}", rows["2"].Values["ss"]);
        Assert.Null(rows["2"].Values["is"]);
        Assert.Equal(LogPosition.OfRecord(3, 0), rows["1"].Position);
        Assert.Equal(LogPosition.OfRecord(3, 1), rows["2"].Position);
    }

    /// <summary>In a batch that has new and stored keys, of which some say nothing, some null, some a value.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_default_is_for_new_rows_that_say_nothing(bool leaveOutAbsentColumns)
    {
        var plain = AllTypes(KeyKind.Number);
        var schema = plain with { Version = plain.Version + 1, Columns = [.. plain.Columns.Select(column => column with { Default = TestRows.DefaultOf(column.Type).Json })] };
        var store = await CreateAsync(plain, sequence: 1);
        await LoadAsync(store, plain, [Row(plain, 1), Row(plain, 2, ("i", 6L))], sequence: 2);
        await store.ApplySchemaAsync(schema, At(3), Cancellation);

        var nulls = schema.Columns.Select(column => (column.Name, (object?)null)).ToArray();
        List<TestRow> mixed = [Row(schema, 2), Row(schema, 3), Row(schema, 4, nulls), Row(schema, 5, ("i", 8L), ("ss", Members("y")))];
        await LoadAsync(store, schema, mixed, sequence: 4, leaveOutAbsentColumns);
        await LoadAsync(store, schema, [Row(schema, 2), Row(schema, 0)], sequence: 5, leaveOutAbsentColumns); // no column is spoken of

        var rows = await ReadRowsAsync(schema);
        var fresh = schema.Columns.ToDictionary(column => column.Name, column => TestRows.Canonical(column.Type, TestRows.DefaultOf(column.Type).Value));
        Assert.All(rows["1"].Values, value => Assert.Null(value.Value)); // there before the defaults were
        Assert.Equal("6", rows["2"].Values["i"]);
        Assert.Null(rows["2"].Values["s"]);
        Assert.Equal(fresh, rows["3"].Values);
        Assert.All(rows["4"].Values, value => Assert.Null(value.Value));
        Assert.Equal(("8", "{y}", "a default"), (rows["5"].Values["i"], rows["5"].Values["ss"], rows["5"].Values["s"]));
        Assert.Equal(fresh, rows["0"].Values);
    }

    [Fact]
    public async Task Rows_whose_newest_record_is_too_old_go_in_steps_the_oldest_first()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, [Row(schema, 1), Row(schema, 2), Row(schema, 3)], sequence: 2);
        await LoadAsync(store, schema, [Row(schema, 4), Row(schema, 5)], sequence: 3);
        await LoadAsync(store, schema, [Row(schema, 6), Row(schema, 2, ("i", 7L))], sequence: 4);
        var expiry = new RowExpiry(schema, TestRows.OriginOf(4).ReceivedAtMicroseconds, [], MaxRows: 2);

        Assert.Equal(new ExpiryStep(2, HasMore: true), await store.ExpireAsync(expiry, Cancellation));
        Assert.Equal(["2", "4", "5", "6"], (await ReadRowsAsync(schema)).Keys.Order());
        Assert.Equal(new ExpiryStep(4, HasMore: true), await store.ExpireAsync(expiry, Cancellation));
        Assert.Equal(new ExpiryStep(4, HasMore: false), await store.ExpireAsync(expiry, Cancellation));
        Assert.Equal(["2", "6"], (await ReadRowsAsync(schema)).Keys.Order());

        // the position has not moved, and the keys are as new
        await LoadAsync(store, schema, [Row(schema, 1, ("i", 8L)), Row(schema, 6, ("i", 9L))], sequence: 5);
        await ReopenAsync();
        store = await OpenAsync(_databaseId, _tableId);
        Assert.Equal(4, (await store.ReadStateAsync(Cancellation))!.ExpiredRows);
        Assert.Equal(["1=8", "2=7", "6=9"], (await ReadRowsAsync(schema)).Select(row => $"{row.Key}={row.Value.Values["i"]}").Order());
        await store.DropAsync(Cancellation);
        await store.ApplySchemaAsync(schema, At(1), Cancellation);
        Assert.Equal(0, (await store.ReadStateAsync(Cancellation))!.ExpiredRows);
    }

    [Fact]
    public async Task Members_lose_times_that_are_over_and_stay()
    {
        var schema = Schema(KeyKind.String, ("x", ColumnType.StringSetQ("YMDH")), ("iq", ColumnType.IdSetQ("YMD")), ("i", ColumnType.Int));
        var (sq, iq) = (schema.FindColumn("x")!, schema.FindColumn("iq")!); // x: names of columns are not those that a statement uses
        var store = await CreateAsync(schema, sequence: 1);
        TestRow Row(string key, Cell texts, Cell ids) => new(key, new Dictionary<int, Cell> { [sq.Id] = texts, [iq.Id] = ids, [3] = Cell.Of(5L) });
        await LoadAsync(store, schema,
        [
            Row("a", Cell.Times(("x", 0), ("x", 7_200), ("y", 3_600), ("z", ColumnBuffer.NoTime), ("z", 0)), Cell.Times((1L, 0), (2L, 86_400))),
            Row("b", Cell.Times(("x", 7_200)), Cell.Null),
            Row("c", Cell.Null, Cell.Times((1L, 0), (1L, 86_400))),
            Row("d", Cell.Times(), Cell.Times((3L, 172_800))),
        ], sequence: 2);
        var before = await ReadRowsAsync(schema);
        var expiry = new RowExpiry(schema, null, [(sq, 7_200), (iq, 86_400)], MaxRows: 2);

        Assert.True((await store.ExpireAsync(expiry, Cancellation)).HasMore);
        Assert.False((await store.ExpireAsync(expiry, Cancellation)).HasMore);

        var rows = await ReadRowsAsync(schema);
        Assert.Equal(("{x;x@7200;y;z}", "{1;2@86400}"), (rows["a"].Values["x"], rows["a"].Values["iq"]));
        Assert.Equal(("{x@7200}", null), (rows["b"].Values["x"], rows["b"].Values["iq"]));
        Assert.Equal((null, "{1;1@86400}"), (rows["c"].Values["x"], rows["c"].Values["iq"]));
        Assert.Equal(("{}", "{3@172800}"), (rows["d"].Values["x"], rows["d"].Values["iq"]));
        Assert.All(rows, row => Assert.Equal(("5", before[row.Key].Position, before[row.Key].IngestedAtMicroseconds), (row.Value.Values["i"], row.Value.Position, row.Value.IngestedAtMicroseconds)));
    }

    [Fact]
    public async Task Quantum_sets_keep_each_pair_of_member_and_time_once()
    {
        var schema = AllTypes(KeyKind.Number);
        var column = schema.FindColumn("sq")!;
        var store = await CreateAsync(schema, sequence: 1);
        TestRow Row(params (object, long)[] members) => new(1L, new Dictionary<int, Cell> { [column.Id] = Cell.Times(members) });

        await LoadAsync(store, schema, [Row(("a", ColumnBuffer.NoTime), ("a", 0), ("a", 0))], sequence: 2);
        await LoadAsync(store, schema, [Row(("a", 0), ("a", 3_600), ("b", ColumnBuffer.NoTime))], sequence: 3);

        Assert.Equal("{a;a@0;a@3600;b}", (await ReadRowsAsync(schema))["1"].Values["sq"]);
    }

    [Fact]
    public async Task Large_sets_and_vectors_pass_whole()
    {
        var schema = Schema(KeyKind.Number, ("is", ColumnType.IdSet), ("sq", ColumnType.StringSetQ("YMDH")), ("v", ColumnType.Vector(5_000)));
        var store = await CreateAsync(schema, sequence: 1);
        var random = new Random(1);
        var rows = Enumerable.Range(0, 60).Select(i => new TestRow((long)i, new Dictionary<int, Cell>
        {
            [1] = Cell.Set([.. Enumerable.Range(0, 6_000).Select(_ => (object)random.NextInt64(4_000))]),
            [2] = Cell.Times([.. Enumerable.Range(0, 3_000).Select(n => ((object)$"member number {n % 1_000}", n % 2 == 0 ? ColumnBuffer.NoTime : (long)n % 7))]),
            [3] = i % 3 == 0 ? Cell.Null : Cell.Of(Enumerable.Range(0, 5_000).Select(n => (double)n * i).ToArray()),
        })).ToList();
        await LoadAsync(store, schema, rows, sequence: 2);
        await LoadAsync(store, schema, rows, sequence: 3);
        await AssertRowsAsync(schema, ModelOf(schema, (rows, 2), (rows, 3)));
    }

    /// <summary>Every way of loading must do the same: batches are mixed so that all of them come up (see the store's own tests).</summary>
    [Theory]
    [InlineData(KeyKind.Number, 80)]
    [InlineData(KeyKind.String, 40)]
    public async Task Random_batches_give_what_a_dictionary_gives(KeyKind key, int seeds)
    {
        if (Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1") seeds *= 10;
        for (var seed = 1; seed <= seeds; seed++)
        {
            var rows = new RandomRows(seed);
            var schema = RandomSchema(rows, key, Guid.NewGuid());
            var store = await OpenAsync(_databaseId, schema.TableId);
            await store.ApplySchemaAsync(schema, At(1), Cancellation);
            var model = new TableModel();
            for (var sequence = 2UL; sequence < 6; sequence++)
            {
                var batch = rows.Batch(schema, maxRows: 30, rows.Random.Next(3) * 0.2, rows.Random.Next(3) * 0.1);
                await LoadAsync(store, schema, batch, sequence, leaveOutAbsentColumns: rows.Random.Next(2) == 0);
                model.Load(schema, batch, sequence);
                await AssertRowsAsync(schema, model, $"seed {seed}, sequence {sequence}");
            }
            await store.DropAsync(Cancellation);
        }
    }

    /// <summary>Batches of several chunks of 2,048 rows.</summary>
    [Theory]
    [InlineData(KeyKind.Number)]
    [InlineData(KeyKind.String)]
    public async Task Large_random_batches_give_what_a_dictionary_gives(KeyKind key)
    {
        var rows = new RandomRows(4711);
        var schema = AllTypes(key);
        var store = await CreateAsync(schema, sequence: 1);
        var model = new TableModel();
        for (var sequence = 2UL; sequence < 6; sequence++)
        {
            var batch = rows.Batch(schema, maxRows: 9_000, absentShare: sequence % 2 * 0.3, nullShare: 0.2);
            await LoadAsync(store, schema, batch, sequence);
            model.Load(schema, batch, sequence);
        }
        await AssertRowsAsync(schema, model);
    }

    [Fact]
    public async Task Columns_follow_their_ids_through_changes_of_schema()
    {
        var first = Schema(KeyKind.Number, ("a", ColumnType.Int), ("b", ColumnType.Int), ("c", ColumnType.String));
        var store = await CreateAsync(first, sequence: 1);
        await LoadAsync(store, first, [Row(first, 1, ("a", 10L), ("b", 20L), ("c", "x"))], sequence: 2);

        // drop c, add another c of another type, swap a and b, all at once
        var second = first.WithoutColumn("c").WithColumn("c", ColumnType.Int)
            .WithRenamedColumn("a", "t").WithRenamedColumn("b", "a").WithRenamedColumn("t", "b").WithColumn("tags", ColumnType.StringSet);
        await store.ApplySchemaAsync(second, At(3), Cancellation);
        await LoadAsync(store, second, [Row(second, 2, ("a", 1L), ("b", 2L), ("c", 3L), ("tags", Members("m")))], sequence: 4);
        await LoadAsync(store, second, [Row(second, 1, ("c", 7L))], sequence: 5);

        await ReopenAsync();
        store = await OpenAsync(_databaseId, _tableId);
        Assert.Equal(second, (await store.ReadStateAsync(Cancellation))!.Schema);
        var rows = await ReadRowsAsync(second);
        Assert.Equal(["20", "10", "7", null], Values(rows["1"]));
        Assert.Equal(["1", "2", "3", "{m}"], Values(rows["2"]));

        static IEnumerable<string?> Values(StoredRow row) => new[] { "a", "b", "c", "tags" }.Select(column => row.Values[column]);
    }

    [Fact]
    public async Task A_schema_is_applied_once()
    {
        var schema = Schema(KeyKind.Number, ("a", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await store.ApplySchemaAsync(schema, At(1), Cancellation);
        var changed = schema.WithColumn("b", ColumnType.Int);
        await store.ApplySchemaAsync(changed, At(2), Cancellation);
        await store.ApplySchemaAsync(changed, At(2), Cancellation);
        Assert.Equal(changed, (await store.ReadStateAsync(Cancellation))!.Schema);
    }

    [Fact]
    public async Task A_refused_load_leaves_nothing()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int), ("ss", ColumnType.StringSet));
        var store = await CreateAsync(schema, sequence: 1);
        await RefuseNegativeAsync(schema, "i");
        await LoadAsync(store, schema, [Row(schema, 1, ("i", 1L), ("ss", Members("a")))], sequence: 2);
        var before = await ReadRowsAsync(schema);

        // a new key, a key to be replaced, and both
        foreach (var rows in new[] { new[] { Row(schema, 9, ("i", -1L)) }, [Row(schema, 1, ("i", -1L))], [Row(schema, 0, ("i", 3L)), Row(schema, 1, ("i", -1L))] })
        {
            var batch = Batch(schema, rows, sequence: 3) with { Errors = [Error(3, 0)] };
            var refusal = await Assert.ThrowsAsync<StoreException>(() => store.LoadAsync(batch, Cancellation).AsTask());
            Assert.False(refusal.IsTransient);
            refusal = await Assert.ThrowsAsync<StoreException>(() => store.CheckAsync(batch, Cancellation).AsTask());
            Assert.False(refusal.IsTransient);

            var state = await store.ReadStateAsync(Cancellation);
            Assert.Equal(At(2), state!.Position);
            Assert.Equal(new SinkCounts(1, 0), state.Counts[TestRows.Sink]);
            Assert.Empty(await store.ReadErrorsAsync(TestRows.Sink, 10, Cancellation));
            AssertRows(before, await ReadRowsAsync(schema), "");
        }

        await LoadAsync(store, schema, [Row(schema, 1, ("ss", Members("b"))), Row(schema, 9, ("i", 9L))], sequence: 3);
        Assert.Equal("{a;b}", (await ReadRowsAsync(schema))["1"].Values["ss"]);
        Assert.Equal(2, (await ReadRowsAsync(schema)).Count);
    }

    [Fact]
    public async Task Check_leaves_nothing_when_rows_are_good()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, [Row(schema, 5, ("i", 1L))], sequence: 2);
        var before = await ReadRowsAsync(schema);
        await store.CheckAsync(Batch(schema, [Row(schema, 5, ("i", 2L)), Row(schema, 6, ("i", 2L))], sequence: 3), Cancellation);
        AssertRows(before, await ReadRowsAsync(schema), "");
        Assert.Equal(At(2), (await store.ReadStateAsync(Cancellation))!.Position);

        // keys that were only checked are not taken for known
        await LoadAsync(store, schema, [Row(schema, 6, ("i", 3L))], sequence: 3);
        await LoadAsync(store, schema, [Row(schema, 6, ("i", 4L))], sequence: 4);
        Assert.Equal(2, (await ReadRowsAsync(schema)).Count);
    }

    [Fact]
    public async Task Counts_and_errors_survive_a_restart()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        var other = Guid.NewGuid();
        var first = Batch(schema, [Row(schema, 1, ("i", 1L))], sequence: 2) with
        {
            Counts = new Dictionary<Guid, SinkCounts> { [TestRows.Sink] = new(5, 1) { Superseded = 3 }, [other] = new(0, 2) },
            Errors = [Error(2, 1), Error(2, 2) with { SinkId = other, Value = null, Key = "it's\0", Message = "Grüße 🙂" }],
        };
        await store.LoadAsync(first, Cancellation);
        await store.LoadAsync(Batch(schema, [], sequence: 3) with
        {
            Counts = new Dictionary<Guid, SinkCounts> { [TestRows.Sink] = new(2, 1) { Superseded = 1 } },
            Errors = [Error(3, 0), Error(2, 1) with { Message = "written again" }],
        }, Cancellation);
        await ReopenAsync();

        store = await OpenAsync(_databaseId, _tableId);
        var counts = (await store.ReadStateAsync(Cancellation))!.Counts;
        Assert.Equal(new SinkCounts(7, 2) { Superseded = 4 }, counts[TestRows.Sink]);
        Assert.Equal(new SinkCounts(0, 2), counts[other]);
        Assert.Equal([Error(3, 0), Error(2, 1) with { Message = "written again" }], await store.ReadErrorsAsync(TestRows.Sink, 10, Cancellation));
        Assert.Equal([Error(3, 0)], await store.ReadErrorsAsync(TestRows.Sink, 1, Cancellation));
        Assert.Equal([first.Errors[1] with { Key = "it's\uFFFD" }], await store.ReadErrorsAsync(other, 10, Cancellation));
    }

    [Fact]
    public async Task Deleted_keys_are_gone_and_reset_rows_keep_nothing()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String), ("ss", ColumnType.StringSet));
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, [.. Enumerable.Range(1, 4).Select(key => Row(schema, key, ("i", (long)key), ("s", "text"), ("ss", Members("a"))))], sequence: 2);
        var operations = Operations((true, null), (false, null), (true, 5));
        foreach (var key in (long[])[3, 99]) operations.DeletedKeys.AddInt64(key);
        await store.LoadAsync(Batch(schema, [Row(schema, 1, ("ss", Members("b"))), Row(schema, 2, ("ss", Members("b"))), Row(schema, 5, ("i", 5L))], sequence: 3) with { Operations = operations }, Cancellation);
        var rows = await ReadRowsAsync(schema);
        Assert.Equal(["1", "2", "4", "5"], rows.Keys.Order());
        Assert.Equal([null, null, "{b}"], rows["1"].Values.Values);
        Assert.Equal(["2", "text", "{a;b}"], rows["2"].Values.Values);
        Assert.Equal(["5", null, null], rows["5"].Values.Values);
        Assert.Equal([null, null, null, 5L], rows.OrderBy(row => row.Key).Select(row => row.Value.Version));

        // what was deleted in a load that was only checked is there
        var all = Operations();
        foreach (var key in (long[])[1, 2, 4, 5]) all.DeletedKeys.AddInt64(key);
        await store.CheckAsync(Batch(schema, [], sequence: 4) with { Operations = all }, Cancellation);
        Assert.Equal(4, (await ReadRowsAsync(schema)).Count);
    }

    [Fact]
    public async Task Removed_members_go_before_the_rows_own_are_added()
    {
        var schema = Schema(KeyKind.Number, ("ss", ColumnType.StringSet), ("is", ColumnType.IdSet), ("sq", ColumnType.StringSetQ("YMD")));
        var store = await CreateAsync(schema, sequence: 1);
        TestRow Full(int key) => new((long)key, new Dictionary<int, Cell> { [1] = Cell.Set("a", "b", "c"), [2] = Cell.Set(1L, 2L), [3] = Cell.Times(("a", 0), ("a", 86_400), ("b", ColumnBuffer.NoTime)) });
        await LoadAsync(store, schema, [Full(1), Full(2), Full(3), Row(schema, 4)], sequence: 2);

        var operations = Operations((false, null), (false, null), (false, null), (false, null), (false, null));
        AddRemoved(1, PhysicalKind.TextList, ["a", "c", "nothing"], ["a", "b", "c"], null, ["a"], ["a"]);
        AddRemoved(2, PhysicalKind.Int64List, [1L], [1L, 2L], null, null, null);
        AddRemoved(3, PhysicalKind.TextList, ["a"], ["b"], ["a", "b"], null, null);
        var batch = Batch(
            schema, [Row(schema, 1, ("ss", Members("c", "d"))), Row(schema, 2), Row(schema, 3, ("sq", new[] { new Member("a", 172_800L) })), Row(schema, 4), Row(schema, 5)],
            sequence: 3, leaveOutAbsentColumns: false) with
        { Operations = operations };
        await store.LoadAsync(batch, Cancellation);

        var rows = await ReadRowsAsync(schema);
        Assert.Equal(["{b;c;d}", "{2}", "{b}"], rows["1"].Values.Values);
        Assert.Equal(["{}", "{}", "{a@0;a@86400}"], rows["2"].Values.Values);
        Assert.Equal(["{a;b;c}", "{1;2}", "{a@172800}"], rows["3"].Values.Values);
        Assert.All((string[])["4", "5"], key => Assert.All(rows[key].Values.Values, Assert.Null));

        void AddRemoved(int column, PhysicalKind kind, params object[]?[] members)
        {
            var removed = operations.RemovedOf(column, kind);
            foreach (var row in members)
            {
                if (row is null) removed.AddAbsent();
                else
                {
                    foreach (var member in row)
                    {
                        if (member is long id) removed.AddMember(id);
                        else removed.AddMember(System.Text.Encoding.UTF8.GetBytes((string)member));
                    }
                    removed.EndList();
                }
            }
        }
    }

    [Theory]
    [InlineData(KeyKind.Number)]
    [InlineData(KeyKind.String)]
    public async Task The_state_of_keys_is_their_row_their_version_and_their_tombstone(KeyKind key)
    {
        var schema = Schema(key, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        object K(int number) => key == KeyKind.Number ? (long)number : $"it's key {number}, longer than 12 bytes";
        Assert.Equal([KeyState.Unknown, KeyState.Unknown], await ReadAsync(0, 1, 2));
        await LoadWithAsync([(1, false, null), (2, false, 7), (3, false, 8)], [], sequence: 2, at: 1_000);
        await LoadWithAsync([(2, false, null)], [(3, 9L), (9, 4L)], sequence: 3, at: 2_000);
        Assert.Equal([new(true, -1, -1), new(true, 7, -1), new(false, -1, 9), new(false, -1, 4), KeyState.Unknown], await ReadAsync(2_000, 1, 2, 3, 9, 10));

        await ReopenAsync();
        store = await OpenAsync(_databaseId, _tableId);
        await store.ReadStateAsync(Cancellation);
        Assert.Equal([new(true, 7, -1), new(false, -1, 9)], await ReadAsync(2_000, 2, 3));
        Assert.Equal([KeyState.Unknown], await ReadAsync(2_001, 3));

        // whole rows without version keep it; a tombstone is replaced, and others are forgotten when their time is over
        await LoadAsync(store, schema, [new TestRow(K(2), new Dictionary<int, Cell> { [1] = Cell.Of(1L) })], sequence: 4);
        await LoadWithAsync([(3, true, 12)], [(3, 11L)], sequence: 5, at: 5_000, countFrom: 2_001);
        Assert.Equal([new(true, 7, -1), new(true, 12, 11), KeyState.Unknown], await ReadAsync(0, 2, 3, 9));

        await store.DropAsync(Cancellation);
        await store.ApplySchemaAsync(schema, At(6), Cancellation);
        Assert.Equal([KeyState.Unknown, KeyState.Unknown], await ReadAsync(0, 2, 3));

        async Task<KeyState[]> ReadAsync(long from, params int[] numbers)
        {
            var keys = ColumnBuffer.ForKey(key);
            foreach (var number in numbers) AddKey(keys, K(number));
            return await store.ReadKeysAsync(schema, keys, from, Cancellation);
        }

        async Task LoadWithAsync((int Key, bool IsReset, long? Version)[] rows, (int Key, long Version)[] tombstones, ulong sequence, long at, long countFrom = 0)
        {
            var operations = Operations(key, at, countFrom, [.. rows.Select(row => (row.IsReset, row.Version))]);
            foreach (var (deleted, version) in tombstones)
            {
                if (rows.All(row => row.Key != deleted)) AddKey(operations.DeletedKeys, K(deleted));
                AddKey(operations.TombstoneKeys, K(deleted));
                operations.TombstoneVersions.AddInt64(version);
            }
            await store.LoadAsync(Batch(schema, [.. rows.Select(row => new TestRow(K(row.Key), new Dictionary<int, Cell>()))], sequence) with { Operations = operations }, Cancellation);
        }

        static void AddKey(ColumnBuffer keys, object value)
        {
            if (value is long number) keys.AddInt64(number);
            else keys.AddText(System.Text.Encoding.UTF8.GetBytes((string)value));
        }
    }

    /// <summary>From 32,768 keys on the statements are others.</summary>
    [Fact]
    public async Task Very_many_keys_are_found_and_deleted()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, [.. Enumerable.Range(0, 50_000).Select(key => Row(schema, key * 2, ("i", 1L)))], sequence: 2);
        var operations = Operations();
        for (var key = 0L; key < 40_000; key++) operations.DeletedKeys.AddInt64(key);
        var states = await store.ReadKeysAsync(schema, operations.DeletedKeys, 0, Cancellation);
        Assert.Equal(Enumerable.Range(0, 40_000).Select(key => key % 2 == 0), states.Select(state => state.IsPresent));
        await store.LoadAsync(Batch(schema, [], sequence: 3) with { Operations = operations }, Cancellation);
        Assert.Equal(30_000, (await ReadRowsAsync(schema)).Count);
    }

    [Fact]
    public async Task The_newest_10_000_errors_of_a_table_are_kept()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        for (var sequence = 2UL; sequence < 7; sequence++)
            await store.LoadAsync(
                Batch(schema, [], sequence) with { Errors = [.. Enumerable.Range(0, 3_000).Select(i => Error(sequence, i))] }, Cancellation);
        var errors = await store.ReadErrorsAsync(TestRows.Sink, 20_000, Cancellation);
        Assert.Equal(10_000, errors.Count);
        Assert.Equal(Error(6, 2_999), errors[0]);
        Assert.Equal(Error(3, 2_000), errors[^1]);
    }

    [Fact]
    public async Task A_dropped_table_is_gone_and_can_be_made_again()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await store.LoadAsync(Batch(schema, [Row(schema, 9, ("i", 1L))], sequence: 2) with { Errors = [Error(2, 0)] }, Cancellation);
        await store.DropAsync(Cancellation);
        Assert.Null(await store.ReadStateAsync(Cancellation));
        Assert.Empty(await store.ReadErrorsAsync(TestRows.Sink, 10, Cancellation));

        await store.ApplySchemaAsync(schema, At(3), Cancellation);
        await LoadAsync(store, schema, [Row(schema, 1, ("i", 2L))], sequence: 4);
        await LoadAsync(store, schema, [Row(schema, 1, ("i", 3L))], sequence: 5);
        Assert.Equal(["3"], (await ReadRowsAsync(schema)).Values.Select(row => row.Values["i"]));
        Assert.Equal(new SinkCounts(2, 0), (await store.ReadStateAsync(Cancellation))!.Counts[TestRows.Sink]);
    }

    /// <summary>As after a COMMIT that took effect and reported an error.</summary>
    [Fact]
    public async Task A_batch_that_is_in_the_table_already_is_not_loaded_again()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var stale = await CreateAsync(schema, sequence: 1);
        var store = await OpenAsync(_databaseId, _tableId);
        var batch = Batch(schema, [Row(schema, 1, ("i", 1L))], sequence: 2);
        await store.LoadAsync(batch, Cancellation);

        var larger = Batch(schema, [Row(schema, 1, ("i", 1L)), Row(schema, 2, ("i", 1L))], sequence: 3);
        var refusal = await Assert.ThrowsAsync<StoreException>(() => stale.LoadAsync(larger, Cancellation).AsTask());
        Assert.True(refusal.IsTransient);
        await stale.LoadAsync(batch, Cancellation);

        Assert.Equal(new SinkCounts(1, 0), (await stale.ReadStateAsync(Cancellation))!.Counts[TestRows.Sink]);
        await LoadAsync(stale, schema, [Row(schema, 2, ("i", 1L))], sequence: 3);
        Assert.Equal(2, (await ReadRowsAsync(schema)).Count);
    }

    [Fact]
    public async Task A_request_that_is_loaded_in_several_moves_the_position_by_records()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        var first = Batch(schema, [Row(schema, 1, ("i", 1L))], sequence: 1) with { UpTo = At(1) with { RecordsAhead = 1 } };
        var second = Batch(schema, [Row(schema, 2, ("i", 2L))], sequence: 1) with { UpTo = At(1) with { RecordsAhead = 5 } };
        await store.LoadAsync(first, Cancellation);
        await store.CheckAsync(second, Cancellation);
        await store.LoadAsync(second, Cancellation);
        await store.LoadAsync(second, Cancellation);
        await ReopenAsync();
        store = await OpenAsync(_databaseId, _tableId);
        Assert.Equal(second.UpTo, (await store.ReadStateAsync(Cancellation))!.Position);
        await store.LoadAsync(second, Cancellation);
        await LoadAsync(store, schema, [Row(schema, 3, ("i", 3L))], sequence: 4);

        var state = (await store.ReadStateAsync(Cancellation))!;
        Assert.Equal(At(4), state.Position);
        Assert.Equal(new SinkCounts(3, 0), state.Counts[TestRows.Sink]);
        Assert.Equal(["1", "2", "3"], (await ReadRowsAsync(schema)).Keys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Tables_of_one_database_do_not_meet()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var other = Schema(KeyKind.String, ("i", ColumnType.Int)) with { TableId = Guid.NewGuid(), Name = "other \"table\"; drop table t; --" };
        var store = await CreateAsync(schema, sequence: 1);
        var otherStore = await OpenAsync(_databaseId, other.TableId);
        await otherStore.ApplySchemaAsync(other, At(50), Cancellation);
        await Task.WhenAll(
            LoadManyAsync(store, schema, i => Row(schema, i, ("i", (long)i)), from: 2),
            LoadManyAsync(otherStore, other, i => new TestRow($"k{i}", new Dictionary<int, Cell> { [1] = Cell.Of(-(long)i) }), from: 51));

        Assert.Equal(At(21), (await store.ReadStateAsync(Cancellation))!.Position);
        Assert.Equal(At(70), (await otherStore.ReadStateAsync(Cancellation))!.Position);
        Assert.Equal(20, (await ReadRowsAsync(schema)).Count);
        await store.DropAsync(Cancellation);
        Assert.Equal(20, (await ReadRowsAsync(other)).Count);
        Assert.Equal("-7", (await ReadRowsAsync(other))["k7"].Values["i"]);

        async Task LoadManyAsync(ITableStore target, TableSchema of, Func<int, TestRow> row, ulong from)
        {
            for (var i = 0; i < 20; i++) await LoadAsync(target, of, [row(i)], from + (ulong)i);
        }
    }

    /// <summary>A column of each kind.</summary>
    protected TableSchema AllTypes(KeyKind key) => Schema(
        key,
        ("id", ColumnType.Id), ("is", ColumnType.IdSet), ("iq", ColumnType.IdSetQ("YMD")), ("i", ColumnType.Int),
        ("d0", ColumnType.Decimal(0)), ("d2", ColumnType.Decimal(2)), ("d18", ColumnType.Decimal(18)), ("b", ColumnType.Bool),
        ("s", ColumnType.String), ("ss", ColumnType.StringSet), ("sq", ColumnType.StringSetQ("YMDH")),
        ("t0", ColumnType.Timestamp(TimeUnit.Second)), ("t3", ColumnType.Timestamp(TimeUnit.Millisecond)),
        ("t6", ColumnType.Timestamp(TimeUnit.Microsecond)), ("t9", ColumnType.Timestamp(TimeUnit.Nanosecond)), ("v", ColumnType.Vector(3)));

    protected TableSchema Schema(KeyKind key, params (string Name, ColumnType Type)[] columns)
    {
        var schema = new TableSchema { TableId = _tableId, Name = "orders-2024", Key = key, Version = 1, Columns = [], NextColumnId = 1 };
        return columns.Aggregate(schema, (made, column) => made.WithColumn(column.Name, column.Type));
    }

    protected async Task<ITableStore> CreateAsync(TableSchema schema, ulong sequence)
    {
        var store = await OpenAsync(_databaseId, schema.TableId);
        await store.ApplySchemaAsync(schema, At(sequence), Cancellation);
        return store;
    }

    protected static async Task LoadAsync(
        ITableStore store, TableSchema schema, IReadOnlyList<TestRow> rows, ulong sequence, bool leaveOutAbsentColumns = true) =>
        await store.LoadAsync(Batch(schema, rows, sequence, leaveOutAbsentColumns), Cancellation);

    protected static LoadBatch Batch(TableSchema schema, IReadOnlyList<TestRow> rows, ulong sequence, bool leaveOutAbsentColumns = true) => new(
        schema, TestRows.ToBatch(schema, rows, sequence, leaveOutAbsentColumns), At(sequence),
        new Dictionary<Guid, SinkCounts> { [TestRows.Sink] = new(rows.Count, 0) }, []);

    protected static TestRow Row(TableSchema schema, object key, params (string Column, object? Value)[] cells) => new(
        key is int number ? (long)number : key,
        cells.ToDictionary(cell => schema.FindColumn(cell.Column)!.Id, cell => cell.Value is null ? Cell.Null : Cell.Of(cell.Value)));

    protected static Member[] Members(params object[] members) => [.. members.Select(member => new Member(member))];

    protected static LateError Error(ulong sequence, int index) => new(
        TestRows.Sink, LogPosition.OfRecord(sequence, index), $"request {sequence}", index, $"key {index}", index % 2 == 0 ? LateErrorCode.StoreRefused : LateErrorCode.KeyExists, "refused", "{\"i\":1}",
        1_700_000_000_000_000 + (long)sequence * 1_000_000 + 123_456);

    TableSchema RandomSchema(RandomRows rows, KeyKind key, Guid tableId)
    {
        var all = AllTypes(key);
        var withSets = rows.Random.Next(2) == 0;
        var columns = all.Columns.Where(column => (withSets || !column.Type.IsSet) && rows.Random.Next(2) == 0);
        return columns.Aggregate(all with { TableId = tableId, Columns = [] }, (made, column) => made.WithColumn(
            column with { Default = rows.Random.Next(3) == 0 ? TestRows.DefaultOf(column.Type).Json : null }));
    }

    static TableModel ModelOf(TableSchema schema, params (IReadOnlyList<TestRow> Rows, ulong Sequence)[] loads)
    {
        var model = new TableModel();
        foreach (var (rows, sequence) in loads) model.Load(schema, rows, sequence);
        return model;
    }

    async Task AssertRowsAsync(TableSchema schema, TableModel model, string when = "") =>
        AssertRows(model.Rows(schema), await ReadRowsAsync(schema), when);

    /// <summary>The operations of a load: of each row whether it is reset, and its version.</summary>
    protected static RowOperations Operations(params (bool IsReset, long? Version)[] rows) => Operations(KeyKind.Number, at: 0, countFrom: 0, rows);

    static RowOperations Operations(KeyKind key, long at, long countFrom, params (bool IsReset, long? Version)[] rows)
    {
        var operations = new RowOperations(key) { TimeMicroseconds = at, TombstonesCountFrom = countFrom };
        foreach (var (isReset, version) in rows)
        {
            operations.Resets.AddBool(isReset);
            if (version is { } number) operations.Versions.AddInt64(number);
            else operations.Versions.AddAbsent();
        }
        return operations;
    }

    static void AssertRows(Dictionary<string, StoredRow> expected, Dictionary<string, StoredRow> actual, string when)
    {
        Assert.True(expected.Keys.Order().SequenceEqual(actual.Keys.Order()), $"other keys {when}");
        foreach (var (key, row) in expected)
        {
            foreach (var (column, value) in row.Values)
                Assert.True(value == actual[key].Values[column], $"{when} key {key} column {column}: expected {value}, is {actual[key].Values[column]}");
            Assert.Equal(
                (row.SinkId, row.IngestedAtMicroseconds, row.Position, row.Version),
                (actual[key].SinkId, actual[key].IngestedAtMicroseconds, actual[key].Position, actual[key].Version));
        }
    }

    static IEnumerable<Dictionary<string, Cell>> ExtremeValues()
    {
        const long largestDecimal = 999_999_999_999_999_999;
        yield return new()
        {
            ["id"] = Cell.Of(long.MaxValue),
            ["is"] = Cell.Set(0L, long.MaxValue),
            ["iq"] = Cell.Times((0L, ColumnBuffer.NoTime), (long.MaxValue, 0)),
            ["i"] = Cell.Of(long.MinValue),
            ["d0"] = Cell.Of(largestDecimal),
            ["d2"] = Cell.Of(-largestDecimal),
            ["d18"] = Cell.Of(largestDecimal),
            ["b"] = Cell.Of(false),
            ["s"] = Cell.Of(""),
            ["ss"] = Cell.Set(""),
            ["sq"] = Cell.Times(("", -1)),
            ["t0"] = Cell.Of(-62_135_596_800),
            ["t3"] = Cell.Of(-62_135_596_800_000),
            ["t6"] = Cell.Of(-62_135_596_800_000_000),
            ["t9"] = Cell.Of(-9_223_286_400_000_000_000),
            ["v"] = Cell.Of(new[] { double.MaxValue, -0.0, double.Epsilon }),
        };
        yield return new()
        {
            ["id"] = Cell.Of(0L),
            ["is"] = Cell.Set(),
            ["iq"] = Cell.Times(),
            ["i"] = Cell.Of(long.MaxValue),
            ["d0"] = Cell.Of(0L),
            ["d2"] = Cell.Of(1L),
            ["d18"] = Cell.Of(-1L),
            ["b"] = Cell.Of(true),
            ["s"] = Cell.Of("Zażółć gęślą jaźń 🙂 漢字"),
            ["ss"] = Cell.Set("漢字", "a text that is longer than twelve bytes", "漢字"),
            ["sq"] = Cell.Times(("漢字", 253_402_300_799)),
            ["t0"] = Cell.Of(253_402_300_799),
            ["t3"] = Cell.Of(253_402_300_799_999),
            ["t6"] = Cell.Of(253_402_300_799_999_999),
            ["t9"] = Cell.Of(9_223_372_036_854_775_806),
            ["v"] = Cell.Of(new[] { 0.1, 1e-300, -1e300 }),
        };
        yield return new() { ["s"] = Cell.Of(new string('x', 1_000_000)), ["ss"] = Cell.Null, ["i"] = Cell.Null };
        yield return [];
    }
}
