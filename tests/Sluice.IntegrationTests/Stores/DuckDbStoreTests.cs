using System.Globalization;
using DuckDB.NET.Data;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Load;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Stores;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

public sealed class DuckDbStoreTests : StoreContract
{
    readonly TempDirectory _directory = new();
    DuckDbDatabases _databases = null!;

    public override ValueTask InitializeAsync()
    {
        _databases = new DuckDbDatabases(_directory.Path, new DuckDbOptions(), TimeProvider.System, NullLoggerFactory.Instance);
        return ValueTask.CompletedTask;
    }

    public override async ValueTask DisposeAsync()
    {
        await _databases.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task The_times_of_the_newest_loads_are_kept_and_the_oldest_forgotten()
    {
        var cancellation = TestContext.Current.CancellationToken;
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        const ulong last = KeptFate.MaxLoadTimes + 500;
        var store = await CreateAsync(schema, sequence: last);
        await _databases.OpenDatabase(DatabaseId).RunAsync(
            db => db.Execute(string.Create(CultureInfo.InvariantCulture, $"INSERT INTO _sluice.load_times SELECT '{schema.TableId}', i, i + 1, make_timestamp(i) FROM range({last}) AS earlier(i)")), cancellation);
        for (var load = 1UL; load <= 100; load++) await store.LoadAsync(Batch(schema, [], last + load) with { TimeMicroseconds = (long)(last + load - 1) }, cancellation);

        const ulong oldest = last + 100 - KeptFate.MaxLoadTimes + 1;
        Assert.Null(await TimeOfAsync(oldest - 1));
        foreach (var sequence in new[] { oldest, last, last + 1, last + 100 }) Assert.Equal((long)sequence - 1, await TimeOfAsync(sequence));

        async Task<long?> TimeOfAsync(ulong sequence) => (await store.ReadFateAsync(TestRows.Sink, "", sequence, cancellation)).LoadedAtMicroseconds;
    }

    /// <summary>Format 1 had no versions, no tombstones, no codes of late errors and no count of superseded records.</summary>
    [Theory]
    [InlineData(KeyKind.Number)]
    [InlineData(KeyKind.String)]
    public async Task A_database_of_format_1_is_brought_to_this_one(KeyKind key)
    {
        var cancellation = TestContext.Current.CancellationToken;
        var rows = new RandomRows(7);
        var schema = AllTypes(key);
        var other = Schema(key, ("i", ColumnType.Int)) with { TableId = Guid.NewGuid(), Name = "other" };
        var store = await CreateAsync(schema, sequence: 1);
        await CreateAsync(other, sequence: 5);
        var model = new TableModel();
        List<LateError> errors = [Error(2, 0), Error(2, 1) with { RecordIndex = -1, Code = LateErrorCode.BatchDiscarded }];
        var first = rows.Batch(schema, 3_000, absentShare: 0.2, nullShare: 0.1);
        model.Load(schema, first, 2);
        await store.LoadAsync(Batch(schema, first, 2) with { Errors = errors }, cancellation);
        await _databases.OpenDatabase(DatabaseId).RunAsync(
            db => db.Execute(
                """
                ALTER TABLE main."orders-2024" DROP COLUMN _version;
                ALTER TABLE main.other DROP COLUMN _version;
                ALTER TABLE _sluice.sink_counts DROP COLUMN superseded;
                ALTER TABLE _sluice.late_errors DROP COLUMN code;
                DROP TABLE _sluice.tombstones;
                UPDATE _sluice.format SET version = 1
                """),
            cancellation);

        for (var sequence = 3UL; sequence < 5; sequence++)
        {
            await ReopenAsync();
            store = await OpenAsync(DatabaseId, schema.TableId);
            Assert.Equal(At(sequence - 1), (await store.ReadStateAsync(cancellation))!.Position);
            AssertSame(model.Rows(schema), await ReadRowsAsync(schema));
            Assert.Equal(errors.OrderBy(error => error.Position), (await store.ReadErrorsAsync(TestRows.Sink, 10, cancellation)).OrderBy(error => error.Position));
            var batch = rows.Batch(schema, 3_000, absentShare: 0.2, nullShare: 0.1);
            model.Load(schema, batch, sequence);
            await LoadAsync(store, schema, batch, sequence);
        }
        AssertSame(model.Rows(schema), await ReadRowsAsync(schema));
        Assert.Equal(new SinkCounts(model.RecordCount, 0), (await store.ReadStateAsync(cancellation))!.Counts[TestRows.Sink]);
        await LoadAsync(await OpenAsync(DatabaseId, other.TableId), other, [Row(other, key == KeyKind.Number ? 1L : "k", ("i", 1L))], sequence: 6);
        Assert.Equal("1", Assert.Single(await ReadRowsAsync(other)).Value.Values["i"]);
    }

    [Fact]
    public async Task A_database_of_a_newer_format_is_refused()
    {
        var cancellation = TestContext.Current.CancellationToken;
        await CreateAsync(Schema(KeyKind.Number), sequence: 1);
        await _databases.OpenDatabase(DatabaseId).RunAsync(db => db.Execute("UPDATE _sluice.format SET version = version + 1"), cancellation);
        await ReopenAsync();
        var store = await OpenAsync(DatabaseId, Guid.NewGuid());
        var refusal = await Assert.ThrowsAsync<StoreException>(() => store.ReadStateAsync(cancellation).AsTask());
        Assert.Contains("has format", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Each_way_of_loading_is_chosen()
    {
        var plain = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var sets = Schema(KeyKind.Number, ("i", ColumnType.Int), ("ss", ColumnType.StringSet));
        var whole = Row(plain, 5, ("i", 1L));

        Assert.Equal(LoadWay.Append, Choose(plain, largestKey: 4, whole));
        Assert.Equal(LoadWay.Append, Choose(sets, largestKey: 4, Row(sets, 5)));
        Assert.Equal(LoadWay.Replace, Choose(plain, largestKey: 5, whole));
        Assert.Equal(LoadWay.Replace, Choose(plain, largestKey: 5, Row(plain, 5, ("i", null)), Row(plain, 6, ("i", 1L))));
        Assert.Equal(LoadWay.Merge, Choose(plain, largestKey: 5, whole, Row(plain, 6)));
        Assert.Equal(LoadWay.Merge, Choose(sets, largestKey: 5, Row(sets, 5, ("i", 1L), ("ss", Members("a")))));
        // rows keep the version that a table may have of them; rows of which nothing is kept need no stored one
        Assert.Equal(LoadWay.Append, ChooseWith(hasVersions: true, largestKey: 4, null, whole));
        Assert.Equal(LoadWay.Merge, ChooseWith(hasVersions: true, largestKey: 5, null, whole));
        Assert.Equal(LoadWay.Merge, ChooseWith(hasVersions: true, largestKey: 5, Operations((false, null)), whole));
        Assert.Equal(LoadWay.Replace, ChooseWith(hasVersions: true, largestKey: 5, Operations((false, 3)), whole));
        Assert.Equal(LoadWay.Replace, ChooseWith(hasVersions: true, largestKey: 5, Operations((true, null), (true, 4)), Row(plain, 5), Row(plain, 6)));
        Assert.Equal(LoadWay.Merge, ChooseWith(hasVersions: false, largestKey: 5, Operations((true, null), (false, 4)), Row(plain, 5), Row(plain, 6)));
        Assert.True(RowLoad.AreFew(storedRows: 5, tableRows: 5_000));
        Assert.False(RowLoad.AreFew(storedRows: 5, tableRows: 4_999));

        static LoadWay Choose(TableSchema schema, long largestKey, params TestRow[] rows) => RowLoad.Choose(
            schema, TestRows.ToBatch(schema, rows, 1, leaveOutAbsentColumns: true), null, KnownKeys.OfNumbers(estimatedRows: 5, largestKey));

        LoadWay ChooseWith(bool hasVersions, long largestKey, RowOperations? operations, params TestRow[] rows) => RowLoad.Choose(
            plain, TestRows.ToBatch(plain, rows, 1, leaveOutAbsentColumns: true), operations, KnownKeys.OfNumbers(estimatedRows: 5, largestKey, hasVersions));
    }

    [Fact]
    public async Task A_predicate_that_takes_too_long_is_stopped_and_passed()
    {
        await _databases.DisposeAsync();
        _databases = new DuckDbDatabases(_directory.Path, new DuckDbOptions { DeletionTime = TimeSpan.FromMilliseconds(100) }, TimeProvider.System, NullLoggerFactory.Instance);
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, [.. Enumerable.Range(0, 100_000).Select(i => Row(schema, (long)i, ("i", (long)i)))], sequence: 2);

        var slow = await store.DeleteAsync(schema, new Deletion(Guid.NewGuid(), "list_sum(list_transform(range(1000), lambda x: x * i)) >= 0"), At(3), TestContext.Current.CancellationToken);
        var fast = await store.DeleteAsync(schema, new Deletion(Guid.NewGuid(), "i < 10"), At(4), TestContext.Current.CancellationToken);

        Assert.Equal(new DeletionOutcome(0, "the predicate took longer than 0.1 s and was stopped"), slow);
        Assert.Equal(new DeletionOutcome(10, null), fast);
    }

    [Fact]
    public async Task A_deletion_that_searches_long_does_not_hold_up_other_tables_of_its_database()
    {
        var cancellation = TestContext.Current.CancellationToken;
        await _databases.DisposeAsync();
        _databases = new DuckDbDatabases(_directory.Path, new DuckDbOptions { DeletionTime = TimeSpan.FromSeconds(3) }, TimeProvider.System, NullLoggerFactory.Instance);
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        await _databases.OpenDatabase(DatabaseId).RunAsync(
            db => db.Execute($"INSERT INTO main.{SqlTypes.Quote(schema.Name)} (_id, _ingested_at, _sink_id, _position, _version, i) SELECT range, TIMESTAMP 'epoch', uuid(), 1, 0, range FROM range(1_000_000)"),
            cancellation);
        var other = schema with { TableId = Guid.NewGuid(), Name = "other" };
        var neighbour = await OpenAsync(DatabaseId, other.TableId);
        await neighbour.ApplySchemaAsync(other, At(1), cancellation);

        // longer than the 3 s that it has
        var deleting = store.DeleteAsync(schema, new Deletion(Guid.NewGuid(), "list_sum(list_transform(range(1000), lambda x: x * i)) < 0"), At(2), cancellation).AsTask();
        await LoadAsync(neighbour, other, [Row(other, 1L, ("i", 1L))], sequence: 2);
        Assert.False(deleting.IsCompleted);
        Assert.Equal(new DeletionOutcome(0, "the predicate took longer than 3 s and was stopped"), await deleting);
    }

    /// <summary>Few rows of a table of many thousands go another way than all others; here against the same model.</summary>
    [Theory]
    [InlineData(KeyKind.Number)]
    [InlineData(KeyKind.String)]
    public async Task Small_changes_of_a_large_table_give_what_a_dictionary_gives(KeyKind key)
    {
        var rows = new RandomRows(99);
        var schema = AllTypes(key);
        var store = await CreateAsync(schema, sequence: 1);
        var model = new TableModel();
        await LoadBothAsync([.. Enumerable.Range(0, 12_000).Select(i => rows.Row(schema, key == KeyKind.Number ? (long)i * 2 : $"key {i * 2}"))], 2);
        for (var sequence = 3UL; sequence < 23; sequence++)
            await LoadBothAsync(rows.Batch(schema, maxRows: 10, absentShare: 0.4, nullShare: 0.2), sequence);
        AssertSame(model.Rows(schema), await ReadRowsAsync(schema));

        async Task LoadBothAsync(List<TestRow> batch, ulong sequence)
        {
            await LoadAsync(store, schema, batch, sequence);
            model.Load(schema, batch, sequence);
        }
    }

    /// <summary>From 32,768 keys on the statements are others.</summary>
    [Fact]
    public async Task Changes_of_very_many_rows_leave_each_key_once()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int), ("ss", ColumnType.StringSet));
        var plain = schema.WithoutColumn("ss");
        var store = await CreateAsync(schema, sequence: 1);
        await LoadAsync(store, schema, Rows(0, "a"), sequence: 2);
        await LoadAsync(store, schema, Rows(20_000, "b"), sequence: 3);
        await store.ApplySchemaAsync(plain, At(4), TestContext.Current.CancellationToken);
        await LoadAsync(store, plain, Rows(40_000, null), sequence: 5);
        var stored = await ReadRowsAsync(plain);
        Assert.Equal(80_000, stored.Count);
        Assert.All(stored, row => Assert.Equal(row.Key, row.Value.Values["i"]));

        List<TestRow> Rows(int from, string? member) => [.. Enumerable.Range(from, 40_000).Select(i => new TestRow(
            (long)i, member is null ? new Dictionary<int, Cell> { [1] = Cell.Of((long)i) } : new() { [1] = Cell.Of((long)i), [2] = Cell.Set(member) }))];
    }

    [Fact]
    public async Task Totals_stay_right_and_small_over_many_loads()
    {
        var schema = Schema(KeyKind.Number, ("i", ColumnType.Int));
        var store = await CreateAsync(schema, sequence: 1);
        for (var i = 0; i < 250; i++) await LoadAsync(store, schema, [Row(schema, i, ("i", 1L))], sequence: 2 + (ulong)i);
        var cancellation = TestContext.Current.CancellationToken;
        Assert.Equal(new SinkCounts(250, 0), (await store.ReadStateAsync(cancellation))!.Counts[TestRows.Sink]);
        var rows = await _databases.OpenDatabase(DatabaseId).RunAsync(
            db => db.Query("SELECT count(*) FROM _sluice.sink_counts", row => row.GetInt64(0))[0], cancellation);
        Assert.InRange(rows, 1, 100);
    }

    protected override ValueTask<ITableStore> OpenAsync(Guid databaseId, Guid tableId) =>
        _databases.OpenTableAsync(databaseId, tableId, TestContext.Current.CancellationToken);

    protected override async ValueTask ReopenAsync()
    {
        await _databases.DisposeAsync();
        await InitializeAsync();
    }

    protected override async ValueTask<Dictionary<string, StoredRow>> ReadRowsAsync(TableSchema schema)
    {
        using var reader = await _databases.OpenDatabase(DatabaseId).OpenReadConnectionAsync(TestContext.Current.CancellationToken);
        return DuckDbRows.Read(reader.Connection, schema);
    }

    protected override async ValueTask RefuseNegativeAsync(TableSchema schema, string column)
    {
        var table = SqlTypes.Quote(schema.Name);
        var columns = schema.Columns.Select(c => $"{SqlTypes.Quote(c.Name)} {SqlTypes.DuckDb(c.Type)}");
        await _databases.OpenDatabase(DatabaseId).RunAsync(
            db => db.Execute($"""
                DROP TABLE main.{table};
                CREATE TABLE main.{table} (_id UBIGINT, _ingested_at TIMESTAMP, _sink_id UUID, _position UBIGINT, _version BIGINT, {string.Join(", ", columns)},
                    CHECK ({SqlTypes.Quote(column)} >= 0))
                """),
            TestContext.Current.CancellationToken);
    }

    static void AssertSame(Dictionary<string, StoredRow> expected, Dictionary<string, StoredRow> actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        foreach (var (key, row) in expected)
            foreach (var (column, value) in row.Values) Assert.Equal((key, column, value), (key, column, actual[key].Values[column]));
    }
}

/// <summary>Reads a table with plain SQL.</summary>
static class DuckDbRows
{
    public static Dictionary<string, StoredRow> Read(DuckDBConnection connection, TableSchema schema)
    {
        var columns = schema.Columns.Select(column => Expression(column));
        using var command = connection.CreateCommand();
        command.CommandText =
            $"SELECT {string.Join(", ", ["_id", "_sink_id", "epoch_us(_ingested_at)", "_position", "_version", .. columns])} FROM main.{SqlTypes.Quote(schema.Name)}";
        using var reader = command.ExecuteReader();
        var rows = new Dictionary<string, StoredRow>();
        while (reader.Read())
        {
            var values = schema.Columns.Select((column, i) => (column.Name, Text: Canonical(column.Type, reader, 5 + i)));
            rows.Add(
                Convert.ToString(reader.GetValue(0), CultureInfo.InvariantCulture)!, // throws on a key that stands twice
                new StoredRow(values.ToDictionary(value => value.Name, value => value.Text), reader.GetGuid(1), reader.GetInt64(2), reader.GetFieldValue<ulong>(3))
                {
                    Version = reader.IsDBNull(4) ? null : reader.GetInt64(4),
                });
        }
        return rows;
    }

    static string Expression(Column column)
    {
        var name = SqlTypes.Quote(column.Name);
        return column.Type.Kind switch
        {
            ColumnKind.Timestamp => column.Type.Unit switch
            {
                TimeUnit.Second => $"epoch_us({name}) // 1000000",
                TimeUnit.Millisecond => $"epoch_ms({name})",
                TimeUnit.Microsecond => $"epoch_us({name})",
                _ => $"epoch_ns({name})",
            },
            ColumnKind.IdSetQ or ColumnKind.StringSetQ => $"list_transform({name}, p -> {{'m': p.m, 'ts': epoch_us(p.ts) // 1000000}})",
            _ => name,
        };
    }

    static string? Canonical(ColumnType type, DuckDBDataReader reader, int at)
    {
        if (reader.IsDBNull(at)) return null;
        return type.Kind switch
        {
            ColumnKind.Id => reader.GetFieldValue<ulong>(at).ToString(CultureInfo.InvariantCulture),
            ColumnKind.Decimal => Unscaled(reader.GetDecimal(at), type.Scale),
            ColumnKind.Bool => reader.GetBoolean(at) ? "true" : "false",
            ColumnKind.String => reader.GetString(at),
            ColumnKind.IdSet => TestRows.Canonical(reader.GetFieldValue<List<ulong>>(at).Select(id => new Member((long)id))) + TwiceMark(reader.GetFieldValue<List<ulong>>(at)),
            ColumnKind.StringSet => TestRows.Canonical(reader.GetFieldValue<List<string>>(at).Select(text => new Member(text))) + TwiceMark(reader.GetFieldValue<List<string>>(at)),
            ColumnKind.IdSetQ or ColumnKind.StringSetQ => Pairs((System.Collections.IEnumerable)reader.GetValue(at)),
            ColumnKind.Vector => TestRows.Canonical(type, reader.GetFieldValue<List<double>>(at).ToArray()),
            _ => reader.GetInt64(at).ToString(CultureInfo.InvariantCulture),
        };
    }

    static string Unscaled(decimal value, int scale)
    {
        for (var i = 0; i < scale; i++) value *= 10;
        return ((long)value).ToString(CultureInfo.InvariantCulture);
    }

    static string Pairs(System.Collections.IEnumerable pairs)
    {
        var members = pairs.Cast<Dictionary<string, object?>>().Select(pair => new Member(
            pair["m"] is ulong id ? (long)id : pair["m"]!, pair["ts"] is long time ? time : ColumnBuffer.NoTime)).ToList();
        return TestRows.Canonical(members) + TwiceMark(members);
    }

    // a canonical set has each member once; this makes one that does not differ from it
    static string TwiceMark<T>(List<T> members) => members.Distinct().Count() == members.Count ? "" : " with a member twice";
}
