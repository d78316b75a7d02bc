using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Sluice.Server.Catalog;

/// <summary>The catalogue's SQLite file: where it is, how its connections are set up, and how it is opened.</summary>
static class CatalogFile
{
    const int Corrupt = 11;
    const int NotADatabase = 26;

    // the client library tries again for so long, on top of what SQLite itself waits; its own 30 s are longer than senders wait for an answer
    const int BusySeconds = 5;

    public static void AddCatalog(this IServiceCollection services) =>
        services.AddDbContextFactory<CatalogContext>((provider, options) => options
            .UseSqlite(new SqliteConnectionStringBuilder { DataSource = provider.GetRequiredService<DataDirectory>().CatalogFile, DefaultTimeout = BusySeconds }.ToString())
            .AddInterceptors(new ConnectionSettings()));

    /// <summary>Makes or migrates the catalogue.</summary>
    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>: the file is not a sound SQLite database.</exception>
    public static async Task OpenAsync(IDbContextFactory<CatalogContext> catalog, DataDirectory data, CancellationToken cancellation)
    {
        try
        {
            await using var context = await catalog.CreateDbContextAsync(cancellation);
            await CatalogMigrations.ApplyAsync(context, cancellation);
            await context.Database.ExecuteSqlRawAsync("PRAGMA journal_mode = WAL", cancellation);
            File.SetUnixFileMode(data.CatalogFile, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }
        catch (SqliteException e) when (e.SqliteErrorCode is Corrupt or NotADatabase)
        {
            throw new StartupException(ExitCode.DamagedData, $"the catalogue {data.CatalogFile} is damaged: {e.Message}", e);
        }
    }

    /// <summary>What SQLite forgets with each connection: a commit returns after fsync, references are checked, a lock is waited for.</summary>
    sealed class ConnectionSettings : DbConnectionInterceptor
    {
        const string Settings = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000";

        public override void ConnectionOpened(DbConnection connection, ConnectionEndEventData eventData)
        {
            using var command = connection.CreateCommand();
            command.CommandText = Settings;
            command.ExecuteNonQuery();
        }

        public override async Task ConnectionOpenedAsync(DbConnection connection, ConnectionEndEventData eventData, CancellationToken cancellationToken = default)
        {
            await using var command = connection.CreateCommand();
            command.CommandText = Settings;
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
    }
}
