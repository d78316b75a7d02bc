using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace Sluice.Server.Catalog;

/// <summary>
/// The catalogue: databases, tables, columns, sinks and accounts. Not on the record path: the engine gets immutable definitions.
/// </summary>
/// <remarks>
/// The model names no provider: enums are text, times are UTC, ids are made by the server. Rows of deleted things are kept for the
/// retention time, so an id that stands in a log always has its row; what is deleted gives its name free (the unique indexes leave
/// deleted rows out). Building the model takes a quarter of the server's start, so the server uses the one in Compiled, which
/// <c>dotnet ef dbcontext optimize -p src/Sluice.Server -o Catalog/Compiled -n Sluice.Server.Catalog.Compiled</c> makes of this class.
/// </remarks>
public sealed partial class CatalogContext(DbContextOptions<CatalogContext> options) : DbContext(options)
{
    // SQLite and PostgreSQL read this alike
    const string NotDeleted = "\"DeletedAt\" IS NULL";

    public DbSet<CatalogDatabase> Databases => Set<CatalogDatabase>();

    public DbSet<CatalogTable> Tables => Set<CatalogTable>();

    public DbSet<CatalogColumn> Columns => Set<CatalogColumn>();

    public DbSet<CatalogSink> Sinks => Set<CatalogSink>();

    public DbSet<CatalogSinkMapping> SinkMappings => Set<CatalogSinkMapping>();

    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder)
    {
        configurationBuilder.Properties<Enum>().HaveConversion<string>().HaveMaxLength(32);
        configurationBuilder.Properties<DateTimeOffset>().HaveConversion<UtcTimeConverter>();
    }

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        ConfigureDatabases(modelBuilder);
        ConfigureTables(modelBuilder);
        ConfigureSinks(modelBuilder);
        ConfigureAccounts(modelBuilder);
    }

    static void ConfigureDatabases(ModelBuilder model)
    {
        var database = model.Entity<CatalogDatabase>().ToTable("databases");
        database.Property(row => row.Id).ValueGeneratedNever();
        database.Property(row => row.Name).HasMaxLength(ResourceNames.MaxDatabaseNameLength);
        database.HasIndex(row => row.Name).IsUnique().HasFilter(NotDeleted);
    }

    static void ConfigureTables(ModelBuilder model)
    {
        var table = model.Entity<CatalogTable>().ToTable("tables");
        table.Property(row => row.Id).ValueGeneratedNever();
        table.Property(row => row.Name).HasMaxLength(ResourceNames.MaxNameLength);
        table.HasOne<CatalogDatabase>().WithMany().HasForeignKey(row => row.DatabaseId).OnDelete(DeleteBehavior.Restrict);
        table.HasMany(row => row.Columns).WithOne().HasForeignKey(row => row.TableId).OnDelete(DeleteBehavior.Cascade);
        table.HasIndex(row => new { row.DatabaseId, row.Name }).IsUnique().HasFilter(NotDeleted);

        var column = model.Entity<CatalogColumn>().ToTable("columns");
        column.HasKey(row => new { row.TableId, row.ColumnId });
        column.Property(row => row.ColumnId).ValueGeneratedNever();
        column.Property(row => row.Name).HasMaxLength(ResourceNames.MaxNameLength);
        column.HasIndex(row => new { row.TableId, row.Name }).IsUnique().HasFilter("\"DroppedAt\" IS NULL");
    }

    static void ConfigureSinks(ModelBuilder model)
    {
        var sink = model.Entity<CatalogSink>().ToTable("sinks");
        sink.Property(row => row.Id).ValueGeneratedNever();
        sink.Property(row => row.Name).HasMaxLength(ResourceNames.MaxNameLength);
        sink.HasOne<CatalogDatabase>().WithMany().HasForeignKey(row => row.DatabaseId).OnDelete(DeleteBehavior.Restrict);
        sink.HasOne(row => row.Table).WithMany().HasForeignKey(row => row.TableId).OnDelete(DeleteBehavior.Restrict);
        sink.HasMany(row => row.Mappings).WithOne().HasForeignKey(row => row.SinkId).OnDelete(DeleteBehavior.Cascade);
        sink.Ignore(row => row.Mapping);
        sink.HasIndex(row => new { row.DatabaseId, row.Name }).IsUnique().HasFilter(NotDeleted);

        var mapping = model.Entity<CatalogSinkMapping>().ToTable("sink_mappings");
        mapping.HasKey(row => new { row.SinkId, row.Version });
        mapping.Property(row => row.Version).ValueGeneratedNever();
    }

    // as DateTime, because SQLite cannot compare or order the text of an offset; the compiled model uses it too
    internal sealed class UtcTimeConverter() : ValueConverter<DateTimeOffset, DateTime>(
        time => time.UtcDateTime, stored => new DateTimeOffset(DateTime.SpecifyKind(stored, DateTimeKind.Utc)));
}
