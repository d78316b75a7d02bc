using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Sluice.Server.Catalog;

/// <summary>The catalogue's SQLite file: where it is, how its connections are set up, and how it is opened.</summary>
static class CatalogFile
{
    const int NotPermitted = 3;
    const int ReadOnly = 8;
    const int InputOutput = 10;
    const int Full = 13;
    const int CannotOpen = 14;

    // the client library tries again for so long, on top of what SQLite itself waits; its own 30 s are longer than senders wait for an answer
    const int BusySeconds = 5;

    public static void AddCatalog(this IServiceCollection services)
    {
        services.AddSingleton<CatalogMark>();
        services.AddDbContextFactory<CatalogContext>((provider, options) => options
            .UseSqlite(new SqliteConnectionStringBuilder { DataSource = provider.GetRequiredService<DataDirectory>().CatalogFile, DefaultTimeout = BusySeconds }.ToString())
            // that the migrations lead to this model is shown by a test; here the model would have to be built for it
            .ConfigureWarnings(warnings => warnings.Ignore(RelationalEventId.PendingModelChangesWarning))
            .AddInterceptors(new ConnectionSettings(provider.GetRequiredService<CatalogMark>())));
    }

    /// <summary>Whether the disk has no room for what was to be written to the catalogue.</summary>
    public static bool IsDiskFull(Exception fault) => fault.GetBaseException() is SqliteException { SqliteErrorCode: Full };

    /// <summary>Makes the catalogue, or verifies and then migrates it.</summary>
    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>: the file is not a sound SQLite database, cannot be read or written, or does not hold what was written.</exception>
    public static async Task OpenAsync(IDbContextFactory<CatalogContext> catalog, CatalogMark mark, DataDirectory data, CancellationToken cancellation)
    {
        try
        {
            await using var context = await catalog.CreateDbContextAsync(cancellation);
            await context.Database.OpenConnectionAsync(cancellation);
            var connection = (SqliteConnection)context.Database.GetDbConnection();
            CatalogSum.Verify(connection, data, CatalogMark.Read(data));
            if ((await context.Database.GetPendingMigrationsAsync(cancellation)).Any()) CatalogSum.Suspend(connection);
            await CatalogMigrations.ApplyAsync(context, cancellation);
            await context.Database.ExecuteSqlRawAsync("PRAGMA journal_mode = WAL", cancellation);
            if (!CatalogSum.IsKept(connection)) CatalogSum.Keep(connection);
            mark.Begin(connection);
            File.SetUnixFileMode(data.CatalogFile, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }
        catch (SqliteException e) when (CatalogSum.IsDamage(e))
        {
            throw CatalogSum.Damaged(data, e.Message, e);
        }
        catch (SqliteException e) when (e.SqliteErrorCode is NotPermitted or ReadOnly or InputOutput or CannotOpen)
        {
            throw new StartupException(ExitCode.DamagedData, $"the catalogue {data.CatalogFile} cannot be used: {e.Message}; it must be a file that the server may read and write, in a directory where it may make others", e);
        }
    }

    /// <summary>What SQLite forgets with each connection: a commit returns after fsync, references are checked, a lock is waited for, rows are summed.</summary>
    sealed class ConnectionSettings(CatalogMark mark) : DbConnectionInterceptor
    {
        const string Settings = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000";

        public override void ConnectionOpened(DbConnection connection, ConnectionEndEventData eventData)
        {
            CatalogSum.Register((SqliteConnection)connection);
            using var command = connection.CreateCommand();
            command.CommandText = Settings;
            command.ExecuteNonQuery();
        }

        public override async Task ConnectionOpenedAsync(DbConnection connection, ConnectionEndEventData eventData, CancellationToken cancellationToken = default)
        {
            CatalogSum.Register((SqliteConnection)connection);
            await using var command = connection.CreateCommand();
            command.CommandText = Settings;
            await command.ExecuteNonQueryAsync(cancellationToken);
        }

        public override InterceptionResult ConnectionClosing(DbConnection connection, ConnectionEventData eventData, InterceptionResult result)
        {
            mark.Advance((SqliteConnection)connection);
            return result;
        }

        public override ValueTask<InterceptionResult> ConnectionClosingAsync(DbConnection connection, ConnectionEventData eventData, InterceptionResult result)
        {
            mark.Advance((SqliteConnection)connection); // a few reads of a page in memory, and after a change a write of 30 bytes
            return ValueTask.FromResult(result);
        }
    }
}
