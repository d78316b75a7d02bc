using Microsoft.EntityFrameworkCore.Design;

namespace Sluice.Server;

/// <summary>Gives <c>dotnet ef</c> a catalogue without starting the server: <c>dotnet ef migrations add NAME -o Catalog/Migrations</c>.</summary>
sealed class CatalogDesignFactory : IDesignTimeDbContextFactory<CatalogContext>
{
    public CatalogContext CreateDbContext(string[] args) => new(CatalogFile.OptionsFor("catalog-design.db"));
}
