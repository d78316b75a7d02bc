using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace Sluice.Server.Catalog;

/// <summary>Stand-in: the catalogue's own part of this class replaces the file.</summary>
public sealed partial class CatalogContext(DbContextOptions<CatalogContext> options) : DbContext(options)
{
    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder)
    {
        configurationBuilder.Properties<Enum>().HaveConversion<string>().HaveMaxLength(32);
        configurationBuilder.Properties<DateTimeOffset>().HaveConversion<UtcTimeConverter>();
    }

    protected override void OnModelCreating(ModelBuilder modelBuilder) => ConfigureAccounts(modelBuilder);

    sealed class UtcTimeConverter() : ValueConverter<DateTimeOffset, DateTime>(
        time => time.UtcDateTime, stored => new DateTimeOffset(DateTime.SpecifyKind(stored, DateTimeKind.Utc)));
}
