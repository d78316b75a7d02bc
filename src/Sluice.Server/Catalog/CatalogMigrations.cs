using Microsoft.EntityFrameworkCore;

namespace Sluice.Server.Catalog;

/// <summary>Brings the catalogue's tables to this version of the server.</summary>
static class CatalogMigrations
{
    /// <summary>Makes the tables, or changes them to this version. Does nothing when they are up to date.</summary>
    /// <remarks>The caller owns the data directory: no other process may have the catalogue open.</remarks>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: a later version wrote the catalogue; nothing was changed.</exception>
    public static async Task ApplyAsync(CatalogContext catalog, CancellationToken cancellation)
    {
        string[] applied = [.. await catalog.Database.GetAppliedMigrationsAsync(cancellation)], known = [.. catalog.Database.GetMigrations()];
        if (applied.Except(known).LastOrDefault() is { } unknown)
            throw new SluiceException(ErrorCode.Corrupt, $"the catalogue was written by a later version of the server (migration {unknown})");
        if (applied.Length == known.Length) return;

        // On SQLite, EF takes a lock row before it migrates and waits for ever when a killed process left one. This process owns the
        // directory, so such a row is always stale.
        if (catalog.Database.IsSqlite())
            await catalog.Database.ExecuteSqlRawAsync("DROP TABLE IF EXISTS \"__EFMigrationsLock\"", cancellation);
        await catalog.Database.MigrateAsync(cancellation);
    }
}
