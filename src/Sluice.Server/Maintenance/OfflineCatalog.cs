using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Sluice.Server.Catalog;

namespace Sluice.Server.Maintenance;

/// <summary>What the catalogue of a directory says, read without a server.</summary>
/// <param name="Tables">Those that are running.</param>
/// <param name="KnownTables">Ids of all tables there is a row of, deleted ones too.</param>
sealed record OfflineCatalog(IReadOnlyList<TableDefinition> Tables, IReadOnlySet<Guid> KnownTables)
{
    /// <summary>Reads a copy, so that nothing in the directory changes: to open a catalogue is to write to it.</summary>
    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>: missing or damaged.</exception>
    public static async Task<OfflineCatalog> ReadAsync(DataDirectory data, CancellationToken cancellation)
    {
        data.ThrowIfIncomplete();
        if (!File.Exists(data.CatalogFile)) throw new StartupException(ExitCode.BadOptions, $"{data.Path} is no data directory: it has no {Path.GetFileName(data.CatalogFile)}");
        CatalogSeal.Verify(data);
        var copy = Directory.CreateTempSubdirectory("sluice-catalogue-").FullName;
        try
        {
            var path = Path.Combine(copy, "catalog.sqlite");
            SafeFile.Copy(data.CatalogFile, path);
            if (File.Exists(data.CatalogFile + "-wal")) SafeFile.Copy(data.CatalogFile + "-wal", path + "-wal");
            var options = new DbContextOptionsBuilder<CatalogContext>().UseSqlite(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false }.ToString()).Options;
            await using var catalog = new CatalogContext(options);
            await catalog.Database.OpenConnectionAsync(cancellation);
            var connection = (SqliteConnection)catalog.Database.GetDbConnection();
            CatalogSum.Verify(connection, data, CatalogMark.Read(data));
            CatalogSum.Suspend(connection);
            await CatalogMigrations.ApplyAsync(catalog, cancellation);
            var tables = await catalog.Tables.AsNoTracking().Include(row => row.Columns.Where(column => column.DroppedAt == null)).ToListAsync(cancellation);
            return new OfflineCatalog(
                [.. tables.Where(row => row.DeletedAt == null && row.Status == TableStatus.Running).OrderBy(row => row.Name, StringComparer.Ordinal).Select(row => new TableDefinition(row.DatabaseId, row.ToSchema()))],
                tables.Select(row => row.Id).ToHashSet());
        }
        catch (SqliteException e)
        {
            throw CatalogSum.Damaged(data, e.Message, e);
        }
        finally
        {
            Directory.Delete(copy, recursive: true);
        }
    }
}
