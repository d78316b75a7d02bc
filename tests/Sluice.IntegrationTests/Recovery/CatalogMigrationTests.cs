using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;
using Microsoft.Extensions.DependencyInjection;
using Sluice.IntegrationTests.Server;
using Sluice.Server;
using Sluice.Server.Catalog;
using Xunit;

namespace Sluice.IntegrationTests.Recovery;

/// <summary>A catalogue of an older version that has sums, migrated, and killed at every statement of that: it opens with the next start, and its sums hold.</summary>
public sealed class CatalogMigrationTests(ITestOutputHelper output) : IDisposable
{
    const string Older = "20261125165958_SinkQuarantine";
    const int Rows = 20;

    readonly TemporaryDirectory _directory = new();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task A_kill_at_any_statement_of_a_migration_is_no_damage_and_loses_nothing()
    {
        var data = await MakeOlderAsync("older");
        Assert.Null(await FaultOfAsync(data)); // the older one is sound, sums and mark

        var killed = new List<string>();
        using (var directory = DataDirectory.Open(data))
        await using (var services = Services(directory, () =>
        {
            var copy = Path.Combine(_directory.Path, $"killed-{killed.Count}"); // as a kill at this moment leaves it: what the process wrote is in the files
            Directory.CreateDirectory(copy);
            foreach (var file in Directory.GetFiles(data, "catalog*").Where(path => !path.EndsWith("-shm", StringComparison.Ordinal))) File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
            killed.Add(copy);
        }))
            await OpenAsync(services);
        await AssertMigratedAsync(data);
        Assert.True(killed.Count > 10, $"only {killed.Count} statements");

        var wasOlder = 0;
        foreach (var copy in killed)
        {
            if (await IsOlderAsync(copy)) wasOlder++;
            using (var directory = DataDirectory.Open(copy))
            await using (var services = Services(directory, () => { }))
                await OpenAsync(services);
            await AssertMigratedAsync(copy);
        }
        output.WriteLine($"{killed.Count} kills, {wasOlder} of them before the migration was committed");
        Assert.InRange(wasOlder, 1, killed.Count - 1);
    }

    /// <summary>The control: a row that is changed past the sum of an older catalogue keeps it from being migrated, and one changed behind the migration is found.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_row_that_was_changed_past_the_sum_is_told_before_and_after_a_migration(bool isMigrated)
    {
        var data = await MakeOlderAsync("damaged");
        if (isMigrated)
        {
            using var directory = DataDirectory.Open(data);
            await using var services = Services(directory, () => { });
            await OpenAsync(services);
        }
        await using (var catalog = new SqliteConnection($"Data Source={Path.Combine(data, "catalog.sqlite")};Pooling=False"))
        {
            await catalog.OpenAsync(Cancellation);
            catalog.CreateFunction<long>("sluice_sum", static (object?[] arguments) => (long)arguments[0]!);
            await using var command = catalog.CreateCommand();
            command.CommandText = "UPDATE databases SET Owner = Owner || 'x'";
            await command.ExecuteNonQueryAsync(Cancellation);
        }
        Assert.Contains("does not match its checksum", await FaultOfAsync(data), StringComparison.Ordinal);
        using (var directory = DataDirectory.Open(data))
        await using (var services = Services(directory, () => { }))
            Assert.Equal(ExitCode.DamagedData, (await Assert.ThrowsAsync<StartupException>(() => OpenAsync(services))).Code);
        Assert.Equal(!isMigrated, await IsOlderAsync(data));
    }

    /// <summary>A catalogue as the last server of an older version left it when it was killed, with its sums and its mark.</summary>
    async Task<string> MakeOlderAsync(string name)
    {
        var data = Path.Combine(_directory.Path, name);
        using var directory = DataDirectory.Open(data);
        await using var services = Services(directory, () => { });
        await using var context = await services.GetRequiredService<IDbContextFactory<CatalogContext>>().CreateDbContextAsync(Cancellation);
        await context.Database.OpenConnectionAsync(Cancellation);
        await context.GetService<IMigrator>().MigrateAsync(Older, Cancellation);
        await context.Database.ExecuteSqlRawAsync("PRAGMA journal_mode = WAL", Cancellation);
        var connection = (SqliteConnection)context.Database.GetDbConnection();
        CatalogSum.Keep(connection);
        services.GetRequiredService<CatalogMark>().Begin(connection);
        for (var n = 0; n < Rows; n++)
        {
            context.Databases.Add(new CatalogDatabase { Id = Guid.NewGuid(), Name = $"database {n}", Shape = "8GB", Status = DatabaseStatus.Running, Owner = "ann", CreatedAt = DateTimeOffset.UnixEpoch, UpdatedAt = DateTimeOffset.UnixEpoch, UpdatedBy = "ann" });
            await context.SaveChangesAsync(Cancellation);
        }
        await context.Database.CloseConnectionAsync();
        Assert.True(CatalogMark.Read(directory) > Rows);
        return data;
    }

    async Task AssertMigratedAsync(string data)
    {
        Assert.Null(await FaultOfAsync(data));
        using var directory = DataDirectory.Open(data);
        await using var services = Services(directory, () => { });
        await using var context = await services.GetRequiredService<IDbContextFactory<CatalogContext>>().CreateDbContextAsync(Cancellation);
        await context.Database.OpenConnectionAsync(Cancellation);
        Assert.Empty(await context.Database.GetPendingMigrationsAsync(Cancellation));
        Assert.True(CatalogSum.IsKept((SqliteConnection)context.Database.GetDbConnection()), "no sums are kept");
        Assert.Equal(Rows, await context.Databases.CountAsync(Cancellation));
    }

    /// <returns><c>null</c>: it matches its sums and its mark.</returns>
    static async Task<string?> FaultOfAsync(string data)
    {
        using var directory = DataDirectory.Open(data);
        await using var services = Services(directory, () => { });
        await using var context = await services.GetRequiredService<IDbContextFactory<CatalogContext>>().CreateDbContextAsync(Cancellation);
        await context.Database.OpenConnectionAsync(Cancellation);
        return Record.Exception(() => CatalogSum.Verify((SqliteConnection)context.Database.GetDbConnection(), directory, CatalogMark.Read(directory)))?.Message;
    }

    static async Task<bool> IsOlderAsync(string data)
    {
        using var directory = DataDirectory.Open(data);
        await using var services = Services(directory, () => { });
        await using var context = await services.GetRequiredService<IDbContextFactory<CatalogContext>>().CreateDbContextAsync(Cancellation);
        return (await context.Database.GetPendingMigrationsAsync(Cancellation)).Any();
    }

    static Task OpenAsync(ServiceProvider services) => CatalogFile.OpenAsync(
        services.GetRequiredService<IDbContextFactory<CatalogContext>>(), services.GetRequiredService<CatalogMark>(), services.GetRequiredService<DataDirectory>(), Cancellation);

    /// <param name="onStatement">Called before and after every statement.</param>
    static ServiceProvider Services(DataDirectory data, Action onStatement)
    {
        var services = new ServiceCollection();
        services.AddLogging();
        services.AddSingleton(data);
        services.AddCatalog();
        services.ConfigureDbContext<CatalogContext>(options => options.AddInterceptors(new Statements(onStatement)));
        return services.BuildServiceProvider();
    }

    sealed class Statements(Action onStatement) : DbCommandInterceptor
    {
        public override ValueTask<InterceptionResult<int>> NonQueryExecutingAsync(DbCommand command, CommandEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
        {
            onStatement();
            return ValueTask.FromResult(result);
        }

        public override ValueTask<int> NonQueryExecutedAsync(DbCommand command, CommandExecutedEventData eventData, int result, CancellationToken cancellationToken = default)
        {
            onStatement();
            return ValueTask.FromResult(result);
        }
    }
}
