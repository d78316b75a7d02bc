using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace Sluice.Server.Catalog;

/// <summary>
/// Gives <c>dotnet ef</c> a catalogue without starting the server:
/// <c>dotnet ef migrations add NAME -p src/Sluice.Server -o Catalog/Migrations</c>.
/// </summary>
sealed class CatalogDesignFactory : IDesignTimeDbContextFactory<CatalogContext>
{
    public CatalogContext CreateDbContext(string[] args) =>
        new(new DbContextOptionsBuilder<CatalogContext>().UseSqlite("Data Source=catalog-design.sqlite").Options);
}
