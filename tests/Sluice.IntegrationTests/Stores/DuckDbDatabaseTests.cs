using System.Diagnostics;
using DuckDB.NET.Data;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Load;
using Sluice.Log;
using Sluice.Schema;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>Turns, settings, checkpoints, closing and recovery of an embedded database.</summary>
public sealed class DuckDbDatabaseTests : IAsyncLifetime
{
    const long MiB = 1024 * 1024;

    // keeps a hash table for as long as its rows are read; the load fits beside nothing else
    const string MemoryHolder = "SELECT a.range FROM range(100000000) a JOIN range(1500000) b ON a.range % 1500000 = b.range";
    const string MemoryLoad = "SELECT len(list(range)) FROM range(4000000)";
    static readonly DuckDbOptions s_tight = new() { MemoryBytes = 128 * MiB, MaxTempBytes = MiB, Threads = 1 };

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
    public async Task Open_databases_share_the_memory()
    {
        Assert.Equal(384, await MemoryMiBAsync(Database));
        var other = _databases.OpenDatabase(Guid.NewGuid());
        Assert.Equal(192, await MemoryMiBAsync(other));
        Assert.Equal(192, await MemoryMiBAsync(Database));
        await other.EndAsync();
        Assert.Equal(384, await MemoryMiBAsync(Database));

        static async Task<double> MemoryMiBAsync(DuckDbDatabase database)
        {
            var text = await database.RunAsync(
                db => db.Query("SELECT current_setting('memory_limit')", row => row.GetString(0))[0], Cancellation);
            return double.Parse(text.Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);
        }
    }

    [Fact]
    public async Task A_load_that_does_not_fit_in_its_share_gets_all_the_memory()
    {
        for (var i = 0; i < 8; i++) await _databases.OpenDatabase(Guid.NewGuid()).RunAsync(_ => 0, Cancellation);
        var attempts = 0;
        var length = await Database.RunAsync(
            db =>
            {
                attempts++;
                return db.Query("SELECT len(list(range)) FROM range(10000000)", row => row.GetInt64(0))[0];
            },
            Cancellation);
        Assert.Equal(10_000_000, length);
        Assert.Equal(2, attempts);
        var limit = await Database.RunAsync(db => db.Query("SELECT current_setting('memory_limit')", row => row.GetString(0))[0], Cancellation);
        Assert.Equal("64.0 MiB", limit);
    }

    [Fact]
    public async Task A_load_stops_the_queries_that_hold_its_memory_and_new_ones_wait_for_it()
    {
        await using var databases = Open(_directory.Path, s_tight);
        var database = databases.OpenDatabase(_databaseId);
        using var queries = new UserQuery(new QueryLimits { Time = TimeSpan.FromMinutes(5) }, TimeProvider.System);
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var query = queries.RunAsync(
            database.OpenQueryConnectionAsync, MemoryHolder, QueryForm.Rows, [],
            async result =>
            {
                Assert.True(await result.ReadChunkAsync());
                begun.SetResult();
                await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, result.Cancellation); // as a client that takes no more does
            },
            Cancellation);
        await await Task.WhenAny(begun.Task, query);

        var attempts = 0;
        Task<DuckDbReadConnection>? next = null;
        var length = await database.RunAsync(
            db =>
            {
                if (++attempts == 2) next = database.OpenQueryConnectionAsync(Cancellation).AsTask();
                var result = db.Query(MemoryLoad, row => row.GetInt64(0))[0];
                Assert.False(next?.IsCompleted);
                return result;
            },
            Cancellation);
        Assert.Equal((4_000_000, 2), (length, attempts));
        var error = await Assert.ThrowsAsync<QueryException>(() => query);
        Assert.Equal("the query was stopped: loading needed its memory; send it again", error.Message);
        Assert.Equal((1, 0), (queries.CountEnded(QueryEnd.Displaced), queries.RunningCount));
        (await next!).Dispose();
    }

    /// <summary>Also what shows that the queries above do hold the memory.</summary>
    [Fact]
    public async Task A_load_leaves_readers_of_our_own_alone_and_fails_beside_them()
    {
        await using var databases = Open(_directory.Path, s_tight);
        var database = databases.OpenDatabase(_databaseId);
        using (var reader = await database.OpenReadConnectionAsync(Cancellation))
        {
            using var command = reader.Connection.CreateCommand();
            command.CommandText = MemoryHolder;
            command.UseStreamingMode = true;
            using var rows = command.ExecuteReader();
            Assert.True(rows.Read());
            await Assert.ThrowsAsync<StoreException>(async () => await database.RunAsync(db => db.Query(MemoryLoad, row => row.GetInt64(0)), Cancellation));
            Assert.True(rows.Read());
        }
        Assert.Equal([4_000_000], await database.RunAsync(db => db.Query(MemoryLoad, row => row.GetInt64(0)), Cancellation));
    }

    [Fact]
    public async Task A_query_that_does_not_fit_in_memory_uses_the_temporary_directory()
    {
        await using var databases = Open(_directory.Path, new DuckDbOptions { MemoryBytes = 64 * MiB });
        using var reader = await databases.OpenDatabase(_databaseId).OpenReadConnectionAsync(Cancellation);
        Assert.Equal(6_000_000L, Query(reader, "SELECT count(*) FROM (SELECT DISTINCT hash(range) FROM range(6000000))"));
        Assert.True(Directory.Exists(Path.Combine(_directory.Path, "tmp", _databaseId.ToString())));
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
        using var disk = SmallDisk.TryMount(_directory.Path, 24 * MiB);
        Assert.SkipWhen(disk is null, "mounting a tmpfs takes root");
        await using var databases = Open(disk.Path, new DuckDbOptions { CheckpointBytes = 4 * MiB });
        var table = await TestTable.CreateAsync(databases, _databaseId, Cancellation);
        await table.LoadAsync(0, 1_000, Cancellation);
        var reader = await databases.OpenDatabase(_databaseId).OpenReadConnectionAsync(Cancellation);

        var loaded = 1_000;
        var filler = disk.Fill();
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

        System.IO.File.Delete(filler);
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

    /// <summary>A file system of its own with little space.</summary>
    sealed class SmallDisk : IDisposable
    {
        SmallDisk(string path) => Path = path;

        public string Path { get; }

        public static SmallDisk? TryMount(string parent, long bytes)
        {
            var path = Directory.CreateDirectory(System.IO.Path.Combine(parent, "disk")).FullName;
            return OperatingSystem.IsLinux() && Run("mount", "-t", "tmpfs", "-o", $"size={bytes}", "tmpfs", path) ? new SmallDisk(path) : null;
        }

        /// <summary>Takes all but 2 MiB.</summary>
        public string Fill()
        {
            var file = System.IO.Path.Combine(Path, "filler");
            using var stream = System.IO.File.Create(file);
            stream.Write(new byte[new DriveInfo(Path).AvailableFreeSpace - 2 * MiB]);
            return file;
        }

        public void Dispose() => Run("umount", "--lazy", Path);

        static bool Run(string program, params string[] arguments)
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode == 0;
        }
    }
}
