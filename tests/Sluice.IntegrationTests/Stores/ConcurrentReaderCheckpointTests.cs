using System.Diagnostics;
using DuckDB.NET.Data;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Load;
using Sluice.Log;
using Sluice.Schema;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>
/// A query that stays open, a checkpoint at any moment from another connection, and a loader that replaces rows: DuckDB moves rows
/// at a checkpoint, so a loader that read where rows are before it wrote anything deletes others. 40 rounds; 200 with
/// SLUICE_TEST_LONG=1.
/// </summary>
public sealed class ConcurrentReaderCheckpointTests : IAsyncLifetime
{
    const int RowCount = 60_000;
    const int ChangedRows = 5_000;

    readonly TempDirectory _directory = new();
    readonly Guid _databaseId = Guid.NewGuid();
    readonly Random _random = new(20_240_501);
    DuckDbDatabases _databases = null!;
    DuckDbDatabase _database = null!;
    int _checkpoints;
    int _refusedCheckpoints;

    static int Rounds => Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1" ? 200 : 40;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        _databases = new DuckDbDatabases(_directory.Path, new DuckDbOptions(), TimeProvider.System, NullLoggerFactory.Instance);
        _database = _databases.OpenDatabase(_databaseId);
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _databases.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Each_key_stands_once_with_its_newest_value()
    {
        var schema = new TableSchema { TableId = Guid.NewGuid(), Name = "t", Key = KeyKind.Number, Version = 1, Columns = [], NextColumnId = 1 }
            .WithColumn("round", ColumnType.Int).WithColumn("note", ColumnType.String);
        var store = await _databases.OpenTableAsync(_databaseId, schema.TableId, Cancellation);
        var position = new LogPosition(Guid.NewGuid(), 1, 1);
        await store.ApplySchemaAsync(schema, position, Cancellation);
        var roundOfKey = new long[RowCount];
        await LoadAsync(Enumerable.Range(0, RowCount), round: 0);

        for (var round = 1; round <= Rounds; round++)
        {
            using var query = await OpenQueryAsync("t");
            using var stop = new CancellationTokenSource();
            var checkpoints = CheckpointUntilAsync(stop.Token);
            try
            {
                await LoadAsync(RandomKeys(round % 4 == 0 ? RowCount / 1_200 : ChangedRows), round); // few rows are merged another way
            }
            finally
            {
                await stop.CancelAsync();
                await checkpoints;
            }
            query.ReadToEnd();
            Assert.Empty(await WrongRowsAsync("t", roundOfKey));
        }
        Assert.True(_checkpoints > Rounds && _refusedCheckpoints > 0, $"{_checkpoints} checkpoints ran, {_refusedCheckpoints} met a load");

        async Task LoadAsync(IEnumerable<int> keys, long round)
        {
            var rows = keys.Select(key => new TestRow((long)key, Values(key, round))).ToList();
            position = position with { Sequence = position.Sequence + 1 };
            await store.LoadAsync(
                new LoadBatch(schema, TestRows.ToBatch(schema, rows, position.Sequence, leaveOutAbsentColumns: true), position,
                    new Dictionary<Guid, SinkCounts>(), []),
                Cancellation);
            foreach (var row in rows) roundOfKey[(long)row.Key] = round;
        }

        // every third row without a note, so that whole and partial rows take turns
        Dictionary<int, Cell> Values(int key, long round) => round % 3 == 0 && round > 0
            ? new() { [1] = Cell.Of(round) }
            : new() { [1] = Cell.Of(round), [2] = Cell.Of($"note of {key}") };
    }

    /// <summary>The negative control: if this does not go wrong, the test above proves nothing.</summary>
    [Fact]
    public async Task Deleting_by_rowid_before_anything_is_written_does_go_wrong()
    {
        var loader = new RowIdLoader(_database, RowCount);
        await loader.CreateAsync(Cancellation);
        var clock = Stopwatch.StartNew();
        for (var round = 1; clock.Elapsed < TimeSpan.FromMinutes(2); round++)
        {
            using var query = await OpenQueryAsync(RowIdLoader.Table);
            var keys = RandomKeys(ChangedRows);
            await loader.LoadAsync(keys, round, checkpointBetween: CheckpointAsync, Cancellation);
            query.ReadToEnd();
            if ((await WrongRowsAsync(RowIdLoader.Table, loader.RoundOfKey)).Count > 0) return;
        }
        Assert.Fail("the careless loader got everything right");
    }

    HashSet<int> RandomKeys(int count)
    {
        var keys = new HashSet<int>();
        while (keys.Count < count) keys.Add(_random.Next(RowCount));
        return keys;
    }

    async Task CheckpointUntilAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await CheckpointAsync();
            await Task.Delay(TimeSpan.FromMilliseconds(_random.Next(3)), TimeProvider.System, CancellationToken.None);
        }
    }

    /// <summary>A checkpoint from a connection of its own, as a careless query could ask for it; refused beside a write.</summary>
    async Task CheckpointAsync()
    {
        using var connection = await _database.OpenReadConnectionAsync(Cancellation);
        await Task.Run(
            () =>
            {
                using var command = connection.Connection.CreateCommand();
                command.CommandText = "CHECKPOINT";
                try
                {
                    command.ExecuteNonQuery();
                    _checkpoints++;
                }
                catch (DuckDBException e) when (e.Message.Contains("Cannot CHECKPOINT", StringComparison.Ordinal))
                {
                    _refusedCheckpoints++;
                }
            },
            Cancellation);
    }

    async Task<OpenQuery> OpenQueryAsync(string table) => new(await _database.OpenReadConnectionAsync(Cancellation), table);

    /// <summary>Keys that do not stand in the table exactly once with the round they were last written in.</summary>
    async Task<List<long>> WrongRowsAsync(string table, long[] roundOfKey)
    {
        using var connection = await _database.OpenReadConnectionAsync(Cancellation);
        using var command = connection.Connection.CreateCommand();
        command.CommandText = $"SELECT _id, round FROM main.{table}";
        using var reader = command.ExecuteReader();
        var seen = new int[roundOfKey.Length];
        var wrong = new List<long>();
        while (reader.Read())
        {
            var key = (long)reader.GetFieldValue<ulong>(0);
            if (reader.GetInt64(1) != roundOfKey[key] || ++seen[key] > 1) wrong.Add(key);
        }
        return [.. wrong, .. Enumerable.Range(0, seen.Length).Where(key => seen[key] == 0).Select(key => (long)key)];
    }

    /// <summary>A query that has read its first rows and holds its snapshot.</summary>
    sealed class OpenQuery : IDisposable
    {
        readonly DuckDbReadConnection _connection;
        readonly DuckDBCommand _command;
        readonly DuckDBDataReader _reader;

        public OpenQuery(DuckDbReadConnection connection, string table)
        {
            _connection = connection;
            _command = connection.Connection.CreateCommand();
            _command.CommandText = $"SELECT * FROM main.{table}";
            _command.UseStreamingMode = true;
            _reader = _command.ExecuteReader();
            Assert.True(_reader.Read());
        }

        public void ReadToEnd()
        {
            var count = 1;
            while (_reader.Read()) count++;
            Assert.Equal(RowCount, count); // whatever was loaded meanwhile
        }

        public void Dispose()
        {
            _reader.Dispose();
            _command.Dispose();
            _connection.Dispose();
        }
    }

    /// <summary>What must not be done: rowids are read first, rows deleted by them, and the position is written last.</summary>
    sealed class RowIdLoader(DuckDbDatabase database, int rowCount)
    {
        public const string Table = "careless";

        public long[] RoundOfKey { get; } = new long[rowCount];

        public async Task CreateAsync(CancellationToken cancellation) => await database.RunAsync(
            db => db.Execute($"""
                CREATE TABLE main.{Table} (_id UBIGINT, round BIGINT, note VARCHAR);
                INSERT INTO main.{Table} SELECT range, 0, 'note of ' || range FROM range({RoundOfKey.Length});
                CREATE TABLE main.careless_position (position BIGINT);
                INSERT INTO main.careless_position VALUES (0)
                """),
            cancellation);

        public async Task LoadAsync(IReadOnlyCollection<int> keys, long round, Func<Task> checkpointBetween, CancellationToken cancellation)
        {
            await database.RunAsync(
                db =>
                {
                    db.Execute($"""
                        BEGIN TRANSACTION;
                        CREATE OR REPLACE TEMP TABLE keys AS SELECT unnest([{string.Join(',', keys)}])::UBIGINT AS _id;
                        CREATE OR REPLACE TEMP TABLE found AS SELECT old.rowid AS row FROM main.{Table} AS old JOIN temp.keys AS new ON old._id = new._id
                        """);
                    checkpointBetween().Wait(cancellation);
                    return db.Execute($"""
                        DELETE FROM main.{Table} WHERE rowid IN (SELECT row FROM temp.found);
                        INSERT INTO main.{Table} SELECT _id, {round}, 'note of ' || _id FROM temp.keys;
                        UPDATE main.careless_position SET position = {round};
                        COMMIT
                        """);
                },
                cancellation);
            foreach (var key in keys) RoundOfKey[key] = round;
        }
    }
}
