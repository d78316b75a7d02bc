using DuckDB.NET.Native;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Load;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>How open databases share the memory, and loads and queries of one.</summary>
public sealed class DuckDbMemoryTests : IDisposable
{
    const long MiB = 1024 * 1024;

    // keeps a hash table for as long as its rows are read; the load fits beside nothing else
    const string MemoryHolder = "SELECT a.range FROM range(100000000) a JOIN range(1500000) b ON a.range % 1500000 = b.range";
    const string MemoryLoad = "SELECT len(list(range)) FROM range(4000000)";
    static readonly DuckDbOptions s_tight = new() { MemoryBytes = 128 * MiB, MaxMemoryBytes = 128 * MiB, MaxTempBytes = MiB, Threads = 1 };

    readonly TempDirectory _directory = new();
    readonly Guid _databaseId = Guid.NewGuid();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Open_databases_share_the_memory()
    {
        await using var databases = Open(new DuckDbOptions());
        var database = databases.OpenDatabase(_databaseId);
        Assert.Equal(320, await MemoryMiBAsync(database));
        var other = databases.OpenDatabase(Guid.NewGuid());
        Assert.Equal(160, await MemoryMiBAsync(other));
        Assert.Equal(160, await MemoryMiBAsync(database));
        await other.EndAsync();
        Assert.Equal(320, await MemoryMiBAsync(database));

        static async Task<double> MemoryMiBAsync(DuckDbDatabase database)
        {
            var text = await database.RunAsync(
                db => db.Query("SELECT current_setting('memory_limit')", row => row.GetString(0))[0], Cancellation);
            return double.Parse(text.Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);
        }
    }

    [Fact]
    public async Task What_does_not_suffice_is_raised_to_that_of_all_then_by_quarters_up_to_the_most_of_those_that_need_more()
    {
        await using var databases = Open(new DuckDbOptions());
        var (one, other) = (databases.OpenDatabase(_databaseId), databases.OpenDatabase(Guid.NewGuid()));
        var shares = new MemoryShares(totalBytes: 400, maxBytes: 900);
        Assert.Equal([400, 500, 900, 900], new long[] { 100, 400, 800, 900 }.Select(limit => shares.Above(one, limit)));

        shares.Keep(other, 450);
        shares.Keep(other, 420); // is not lowered
        Assert.Equal([400, 450, 450], new long[] { 100, 400, 450 }.Select(limit => shares.Above(one, limit)));
        Assert.Equal(562, shares.Above(other, 450)); // its own does not count against it

        shares.Forget(other);
        Assert.Equal(562, shares.Above(one, 450));
        Assert.Equal(400, new MemoryShares(totalBytes: 400, maxBytes: 300).Above(one, 400)); // never lowered
    }

    [Fact]
    public async Task A_conflict_after_the_memory_ended_is_tried_again_in_another_instance_with_what_the_caller_had_exported()
    {
        await using var databases = Open(s_tight with { MaxMemoryBytes = 512 * MiB });
        var database = databases.OpenDatabase(_databaseId);
        var instances = new List<DuckDbInstance>();
        var limits = new List<long>();
        var exported = "";
        var result = await database.RunAsync(
            db =>
            {
                instances.Add(db);
                limits.Add(db.MemoryBytes / MiB);
                if (instances.Count == 1) File.WriteAllText(exported = Path.Combine(db.ExportDirectory, "keys"), "1");
                return instances.Count switch
                {
                    1 or 2 => throw new DuckDbNativeException(DuckDBErrorType.OutOfMemory, "Out of Memory Error: of a test"),
                    3 => throw new DuckDbNativeException(DuckDBErrorType.Transaction, "TransactionContext Error: Conflict on tuple deletion!"),
                    _ => File.ReadAllText(exported),
                };
            },
            Cancellation);
        Assert.Equal("1", result);
        Assert.Equal([128, 160, 200, 200], limits);
        Assert.True(instances[0] == instances[1] && instances[1] == instances[2] && instances[3] != instances[2]);
        Assert.Equal(200, await database.RunAsync(db => db.MemoryBytes / MiB, Cancellation)); // is kept
    }

    [Fact]
    public async Task A_conflict_closes_the_instance_whatever_came_before()
    {
        await using var databases = Open(s_tight);
        var database = databases.OpenDatabase(_databaseId);
        var first = await database.RunAsync(db => db, Cancellation);
        var conflict = new DuckDbNativeException(DuckDBErrorType.Transaction, "TransactionContext Error: Conflict on tuple deletion!");
        var failure = await Assert.ThrowsAsync<StoreException>(async () => await database.RunAsync<int>(_ => throw conflict, Cancellation));
        Assert.True(failure.IsTransient);
        Assert.NotSame(first, await database.RunAsync(db => db, Cancellation));
    }

    [Fact]
    public async Task What_a_database_needed_is_given_back_when_nobody_uses_it()
    {
        await using var databases = Open(s_tight with { MaxMemoryBytes = 512 * MiB, IdleTimeout = TimeSpan.Zero });
        var database = databases.OpenDatabase(_databaseId);
        var attempts = 0;
        await database.RunAsync(_ => ++attempts < 2 ? throw new DuckDbNativeException(DuckDBErrorType.OutOfMemory, "Out of Memory Error: of a test") : 0, Cancellation);
        await database.MaintainAsync();
        Assert.Equal(128, await database.RunAsync(db => db.MemoryBytes / MiB, Cancellation));
    }

    [Fact]
    public async Task A_load_that_does_not_fit_in_its_share_gets_all_the_memory_and_keeps_it()
    {
        await using var databases = Open(new DuckDbOptions());
        var database = databases.OpenDatabase(_databaseId);
        for (var i = 0; i < 8; i++) await databases.OpenDatabase(Guid.NewGuid()).RunAsync(_ => 0, Cancellation);
        var attempts = 0;
        var length = await database.RunAsync(
            db =>
            {
                attempts++;
                return db.Query("SELECT len(list(range)) FROM range(10000000)", row => row.GetInt64(0))[0];
            },
            Cancellation);
        Assert.Equal(10_000_000, length);
        Assert.Equal(2, attempts);
        var limit = await database.RunAsync(db => db.Query("SELECT current_setting('memory_limit')", row => row.GetString(0))[0], Cancellation);
        Assert.Equal("320.0 MiB", limit);
    }

    [Fact]
    public async Task A_load_stops_the_queries_that_hold_its_memory_and_new_ones_wait_for_it()
    {
        await using var databases = Open(s_tight);
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
        await using var databases = Open(s_tight);
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
        await using var databases = Open(new DuckDbOptions { MemoryBytes = 64 * MiB });
        using var reader = await databases.OpenDatabase(_databaseId).OpenReadConnectionAsync(Cancellation);
        using var command = reader.Connection.CreateCommand();
        command.CommandText = "SELECT count(*) FROM (SELECT DISTINCT hash(range) FROM range(6000000))";
        Assert.Equal(6_000_000L, command.ExecuteScalar());
        Assert.True(Directory.Exists(Path.Combine(_directory.Path, "tmp", _databaseId.ToString())));
    }

    DuckDbDatabases Open(DuckDbOptions options) => new(_directory.Path, options, TimeProvider.System, NullLoggerFactory.Instance);
}
