using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;
using Xunit;

namespace Sluice.IntegrationTests.ControlPlane;

/// <summary>A catalogue file in a directory of its own.</summary>
sealed class TestCatalog : IDbContextFactory<CatalogContext>, IDisposable
{
    readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("sluice-catalog-");

    public TestCatalog() => Audit = AuditLog.Open(Path.Combine(_directory.FullName, "audit"), new AuditOptions(), TimeProvider.System, NullLogger.Instance);

    public AuditLog Audit { get; }

    // without a pool: a closed context has left the file
    public CatalogContext CreateDbContext() => new(new DbContextOptionsBuilder<CatalogContext>()
        .UseSqlite(new SqliteConnectionStringBuilder { DataSource = Path.Combine(_directory.FullName, "catalog.sqlite"), Pooling = false }.ConnectionString)
        .Options);

    public static async Task<TestCatalog> OpenAsync()
    {
        var catalog = new TestCatalog();
        await catalog.MigrateAsync();
        return catalog;
    }

    public async Task MigrateAsync()
    {
        await using var db = CreateDbContext();
        await CatalogMigrations.ApplyAsync(db, TestContext.Current.CancellationToken);
    }

    public async Task ExecuteAsync(string sql)
    {
        await using var db = CreateDbContext();
        await db.Database.ExecuteSqlRawAsync(sql, TestContext.Current.CancellationToken);
    }

    public void Dispose()
    {
        Audit.Dispose();
        _directory.Delete(recursive: true);
    }
}
