using System.Data.Common;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Sluice.Server;

/// <summary>
/// The catalogue's SQLite file. A committed change survives power loss: write-ahead log, one fsync a commit. Only the owner may
/// read the file (it holds password and key hashes). Any thread.
/// </summary>
sealed class CatalogFile : IDbContextFactory<CatalogContext>
{
    public const string FileName = "catalog.db";

    // a commit takes milliseconds; a writer that waits longer than this waits for a fault, not for a turn
    const int BusyTimeoutSeconds = 10;

    readonly DbContextOptions<CatalogContext> _options;

    CatalogFile(DbContextOptions<CatalogContext> options) => _options = options;

    /// <summary>Makes the file when missing and brings its tables to this version.</summary>
    /// <param name="path">In a directory that this process has locked: no other process may use the file.</param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: the file was written by a later version; nothing was changed.</exception>
    public static async Task<CatalogFile> OpenAsync(string path, CancellationToken cancellation)
    {
        RestrictToOwner(path);
        var file = new CatalogFile(OptionsFor(path));
        await using var catalog = file.CreateDbContext();
        await MigrateAsync(catalog, path, cancellation);
        return file;
    }

    public CatalogContext CreateDbContext() => new(_options);

    internal static DbContextOptions<CatalogContext> OptionsFor(string path)
    {
        var connection = new SqliteConnectionStringBuilder
        {
            DataSource = path,
            Mode = SqliteOpenMode.ReadWrite,
            ForeignKeys = true,
            DefaultTimeout = BusyTimeoutSeconds,
        };
        return new DbContextOptionsBuilder<CatalogContext>()
            .UseSqlite(connection.ConnectionString)
            .AddInterceptors(new DurableConnections())
            .Options;
    }

    static void RestrictToOwner(string path)
    {
        const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = OwnerOnly;
        using (File.Open(path, options))
        {
            // SQLite gives its -wal and -shm files the mode of this one, so it must be right before SQLite opens it
        }
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(path, OwnerOnly);
    }

    static async Task MigrateAsync(CatalogContext catalog, string path, CancellationToken cancellation)
    {
        var applied = await catalog.Database.GetAppliedMigrationsAsync(cancellation);
        if (applied.Except(catalog.Database.GetMigrations()).LastOrDefault() is { } unknown)
            throw new SluiceException(ErrorCode.Corrupt, $"{path} was written by a later version (migration {unknown})");

        // EF takes a lock row before it migrates and waits for ever when a killed process left one. This process owns the
        // directory, so such a row is always stale.
        await catalog.Database.ExecuteSqlRawAsync("DROP TABLE IF EXISTS \"__EFMigrationsLock\"", cancellation);
        await catalog.Database.MigrateAsync(cancellation);
    }

    /// <summary>Settings that SQLite keeps per connection, or in the file once set.</summary>
    sealed class DurableConnections : DbConnectionInterceptor
    {
        const string Settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";

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
