using DuckDB.NET.Data;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.IntegrationTests.Faults;
using Sluice.Load;
using Sluice.Log;
using Sluice.Schema;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>Turns, isolation of queries, checkpoints, closing and recovery of an embedded database. Its memory: <see cref="DuckDbMemoryTests"/>.</summary>
public sealed class DuckDbDatabaseTests : IAsyncLifetime
{
    const long MiB = 1024 * 1024;

    readonly TempDirectory _directory = new();
    readonly Guid _databaseId = Guid.NewGuid();
    DuckDbDatabases _databases = null!;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    DuckDbDatabase Database => _databases.OpenDatabase(_databaseId);

    string File => Path.Combine(_directory.Path, "databases", $"{_databaseId}.duckdb");

    public ValueTask InitializeAsync()
    {
        _databases = Open(_directory.Path, new DuckDbOptions());
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _databases.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Operations_run_one_at_a_time_in_the_order_they_were_asked_for()
    {
        using var gate = new ManualResetEventSlim();
        var order = new List<int>(); // not thread-safe, and need not be
        var first = Database.RunAsync(_ => { gate.Wait(Cancellation); return 0; }, Cancellation).AsTask();
        var others = Enumerable.Range(0, 200).Select(i => Database.RunAsync(_ => { order.Add(i); return i; }, Cancellation).AsTask()).ToList();
        gate.Set();
        await Task.WhenAll([first, .. others]);
        Assert.Equal(Enumerable.Range(0, 200), order);
    }

    [Fact]
    public async Task An_operation_that_is_cancelled_while_it_waits_does_not_run()
    {
        using var gate = new ManualResetEventSlim();
        using var cancellation = new CancellationTokenSource();
        var first = Database.RunAsync(_ => { gate.Wait(Cancellation); return 0; }, Cancellation).AsTask();
        var hasRun = false;
        var second = Database.RunAsync(_ => hasRun = true, cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);
        gate.Set();
        await first;
        Assert.False(hasRun);
        Assert.Equal(1, await Database.RunAsync(_ => 1, Cancellation));
    }

    [Theory]
    [InlineData("SET threads = 1")]
    [InlineData("SET enable_external_access = true")]
    [InlineData("SET checkpoint_threshold = '1MB'")]
    [InlineData("SET allowed_configs = ['threads']")]
    [InlineData("SELECT * FROM read_csv('/etc/passwd')")]
    [InlineData("COPY (SELECT 1) TO '/tmp/sluice-test-copy.csv'")]
    [InlineData("ATTACH '/tmp/sluice-test-attach.duckdb'")]
    [InlineData("INSTALL httpfs")]
    public async Task Queries_cannot_reach_outside_or_change_settings(string sql)
    {
        using var reader = await Database.OpenReadConnectionAsync(Cancellation);
        Assert.Throws<DuckDBException>(() => Query(reader, sql));
    }

    [Fact]
    public async Task A_database_nobody_uses_is_closed_and_opens_again()
    {
        await using var databases = Open(_directory.Path, new DuckDbOptions { IdleTimeout = TimeSpan.Zero });
        var database = databases.OpenDatabase(Guid.NewGuid());
        await database.RunAsync(db => db.Execute("CREATE TABLE t AS SELECT 1 AS x"), Cancellation);
        var reader = await database.OpenReadConnectionAsync(Cancellation);
        var first = await database.RunAsync(db => db, Cancellation);

        await database.MaintainAsync();
        Assert.Same(first, await database.RunAsync(db => db, Cancellation)); // a query is open
        reader.Dispose();
        await database.MaintainAsync();
        Assert.NotSame(first, await database.RunAsync(db => db, Cancellation));

        using var again = await database.OpenReadConnectionAsync(Cancellation);
        Assert.Equal(1, Query(again, "SELECT x FROM t"));
    }

    [Fact]
    public async Task The_write_ahead_log_stays_bounded_while_a_query_is_open()
    {
        const long threshold = 4 * MiB;
        await using var databases = Open(_directory.Path, new DuckDbOptions { CheckpointBytes = threshold });
        var table = await TestTable.CreateAsync(databases, _databaseId, Cancellation);
        await table.LoadAsync(0, 1_000, Cancellation);
        using var reader = await databases.OpenDatabase(_databaseId).OpenReadConnectionAsync(Cancellation);
        Query(reader, "BEGIN TRANSACTION");
        Query(reader, "SELECT count(*) FROM t");

        var largest = 0L;
        var written = 0L;
        for (var i = 0; i < 60; i++)
        {
            var before = WalBytes();
            await table.LoadAsync(i % 4 * 5_000, 5_000, Cancellation);
            written += Math.Max(0, WalBytes() - before);
            largest = Math.Max(largest, WalBytes());
        }
        Assert.Equal(1_000L, Query(reader, "SELECT count(*) FROM t"));
        Assert.True(written > 3 * threshold, $"{written} bytes were not enough to tell");
        Assert.True(largest < 2 * threshold, $"the log grew to {largest} bytes");

        long WalBytes() => new FileInfo(File + ".wal") is { Exists: true } wal ? wal.Length : 0;
    }

    /// <summary>Freed at once, a large one holds up every sync of a file system that tells the device of it.</summary>
    [Fact]
    public async Task The_write_ahead_log_that_a_checkpoint_deletes_is_freed_step_by_step()
    {
        const long threshold = 6 * MiB;
        await using var databases = Open(_directory.Path, new DuckDbOptions { CheckpointBytes = threshold });
        var table = await TestTable.CreateAsync(databases, _databaseId, Cancellation);
        await table.LoadAsync(0, 5_000, Cancellation);
        using var wal = new FileStream(File + ".wal", FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        var largest = 0L;
        for (var i = 1; wal.Length >= largest; i++)
        {
            Assert.True(i < 200, $"no checkpoint at {wal.Length} bytes");
            largest = wal.Length;
            await table.LoadAsync(i * 5_000, 5_000, Cancellation);
        }

        Assert.InRange(largest, threshold / 2, 2 * threshold);
        var started = TimeProvider.System.GetTimestamp();
        while (wal.Length > MiB)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(30), $"{wal.Length} bytes are left");
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, Cancellation);
        }
        Assert.True(await table.CountAsync(Cancellation) > 5_000);
    }

    [Fact]
    public async Task Closing_leaves_no_write_ahead_log()
    {
        var table = await TestTable.CreateAsync(_databases, _databaseId, Cancellation);
        await table.LoadAsync(0, 10, Cancellation);
        Assert.True(System.IO.File.Exists(File + ".wal"));
        await _databases.DisposeAsync();
        Assert.False(System.IO.File.Exists(File + ".wal"));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => table.LoadAsync(10, 10, Cancellation)); // nothing opens it again
        _databases = Open(_directory.Path, new DuckDbOptions());
        Assert.Equal(10, await table.In(_databases).CountAsync(Cancellation));
    }

    /// <summary>What a killed process leaves: the file as of the last checkpoint, and the write-ahead log.</summary>
    [Fact]
    public async Task Files_copied_between_two_loads_hold_the_first()
    {
        var table = await TestTable.CreateAsync(_databases, _databaseId, Cancellation);
        await table.LoadAsync(0, 3_000, Cancellation);
        using var copy = new TempDirectory();
        var directory = Directory.CreateDirectory(Path.Combine(copy.Path, "databases")).FullName;
        foreach (var file in Directory.GetFiles(Path.GetDirectoryName(File)!))
            System.IO.File.Copy(file, Path.Combine(directory, Path.GetFileName(file)));
        await table.LoadAsync(3_000, 10, Cancellation);

        await using var databases = Open(copy.Path, new DuckDbOptions());
        Assert.Equal(3_000, await table.In(databases).CountAsync(Cancellation));
        var state = await (await databases.OpenTableAsync(_databaseId, table.Id, Cancellation)).ReadStateAsync(Cancellation);
        Assert.Equal(2UL, state!.Position.Sequence);
    }

    [Fact]
    public async Task A_dropped_database_leaves_nothing_and_waits_for_its_queries()
    {
        var table = await TestTable.CreateAsync(_databases, _databaseId, Cancellation);
        await table.LoadAsync(0, 10, Cancellation);
        var reader = await Database.OpenReadConnectionAsync(Cancellation);
        var query = Task.Run(() => Query(reader, "SELECT count(*) FROM range(100000000000) a, range(1000000) b"), Cancellation);
        var drop = _databases.DropDatabaseAsync(_databaseId, Cancellation).AsTask();
        var interrupted = await Assert.ThrowsAnyAsync<Exception>(() => query);
        Assert.True(interrupted is OperationCanceledException || interrupted.Message.Contains("INTERRUPT", StringComparison.Ordinal), interrupted.Message);
        reader.Dispose();
        await drop;
        Assert.Empty(Directory.GetFileSystemEntries(Path.GetDirectoryName(File)!));
        Assert.False(await Database.RunAsync(db => db.Query("FROM duckdb_tables() WHERE table_name = 't'", _ => 1).Count > 0, Cancellation));
    }

    /// <summary>DuckDB refuses everything after a failed write until all connections are closed; the store does that by itself.</summary>
    [Fact]
    public async Task Loading_goes_on_when_a_full_disk_has_space_again()
    {
        SmallVolume.Need();
        await using var disk = await SmallVolume.CreateAsync(24 * MiB);
        await using var databases = Open(disk.Path, new DuckDbOptions { CheckpointBytes = 4 * MiB });
        var table = await TestTable.CreateAsync(databases, _databaseId, Cancellation);
        await table.LoadAsync(0, 1_000, Cancellation);
        var reader = await databases.OpenDatabase(_databaseId).OpenReadConnectionAsync(Cancellation);

        var loaded = 1_000;
        disk.FillBut(2 * MiB);
        StoreException? failure = null;
        for (var i = 0; i < 200 && failure is null; i++)
        {
            try
            {
                await table.LoadAsync(loaded, 1_000, Cancellation);
                loaded += 1_000;
            }
            catch (StoreException e)
            {
                failure = e;
            }
        }
        Assert.NotNull(failure);
        Assert.True(failure.IsTransient, failure.ToString());

        disk.Empty();
        reader.Dispose();
        await table.Store.ReadStateAsync(Cancellation);
        await table.LoadAsync(loaded, 1_000, Cancellation);
        Assert.Equal(loaded + 1_000, await table.CountAsync(Cancellation));
    }

    static DuckDbDatabases Open(string directory, DuckDbOptions options) =>
        new(directory, options, TimeProvider.System, NullLoggerFactory.Instance);

    static object? Query(DuckDbReadConnection reader, string sql)
    {
        using var command = reader.Connection.CreateCommand();
        command.CommandText = sql;
        return command.ExecuteScalar();
    }

    /// <summary>A table of numbers and texts, loaded in ranges of keys.</summary>
    sealed class TestTable
    {
        readonly Guid _databaseId;
        readonly DuckDbDatabases _databases;
        readonly TableSchema _schema;
        LogPosition _position;

        TestTable(DuckDbDatabases databases, Guid databaseId, TableSchema schema, ITableStore store, LogPosition position)
        {
            (_databases, _databaseId, _schema, Store, _position) = (databases, databaseId, schema, store, position);
        }

        public ITableStore Store { get; }

        public Guid Id => _schema.TableId;

        public static async Task<TestTable> CreateAsync(DuckDbDatabases databases, Guid databaseId, CancellationToken cancellation)
        {
            var schema = new TableSchema { TableId = Guid.NewGuid(), Name = "t", Key = KeyKind.Number, Version = 1, Columns = [], NextColumnId = 1 }
                .WithColumn("text", ColumnType.String);
            var store = await databases.OpenTableAsync(databaseId, schema.TableId, cancellation);
            var position = new LogPosition(Guid.NewGuid(), 1, 1);
            await store.ApplySchemaAsync(schema, position, cancellation);
            return new TestTable(databases, databaseId, schema, store, position);
        }

        public TestTable In(DuckDbDatabases databases) => new(databases, _databaseId, _schema, Store, _position);

        public async Task LoadAsync(int firstKey, int count, CancellationToken cancellation)
        {
            var next = _position with { Sequence = _position.Sequence + 1 };
            var rows = Enumerable.Range(firstKey, count)
                .Select(key => new TestRow((long)key, new Dictionary<int, Cell> { [1] = Cell.Of($"{Guid.NewGuid()} {Guid.NewGuid()}") })).ToList();
            await Store.LoadAsync(
                new LoadBatch(_schema, TestRows.ToBatch(_schema, rows, next.Sequence, true), next, new Dictionary<Guid, SinkCounts>(), []), cancellation);
            _position = next;
        }

        public async Task<long> CountAsync(CancellationToken cancellation)
        {
            using var reader = await _databases.OpenDatabase(_databaseId).OpenReadConnectionAsync(cancellation);
            return (long)Query(reader, "SELECT count(DISTINCT _id) FROM t")!;
        }
    }
}
