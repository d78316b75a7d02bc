using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Metadata;
using Sluice.Schema;
using Sluice.Server.Catalog;
using Sluice.Server.Catalog.Compiled;
using Xunit;

namespace Sluice.IntegrationTests.ControlPlane;

public sealed class CatalogTests : IDisposable
{
    readonly TestCatalog _catalog = new();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _catalog.Dispose();

    [Fact]
    public async Task Migrations_make_every_table_of_the_model_and_leave_nothing_to_change()
    {
        await _catalog.MigrateAsync();

        await using var db = _catalog.CreateDbContext();
        Assert.False(db.Database.HasPendingModelChanges(), "the model differs from its migrations: run dotnet ef migrations add");
        Assert.Empty(await db.Sinks.ToListAsync(Cancellation));
    }

    [Fact]
    public void The_compiled_model_is_the_model()
    {
        using var db = _catalog.CreateDbContext();
        var configured = db.GetService<IModelRuntimeInitializer>().Initialize(db.GetService<IDesignTimeModel>().Model, designTime: false, validationLogger: null);

        Assert.IsType<CatalogContextModel>(db.Model);
        Assert.True(configured.ToDebugString(MetadataDebugStringOptions.LongDefault) == db.Model.ToDebugString(MetadataDebugStringOptions.LongDefault),
            "the compiled model differs from CatalogContext: run dotnet ef dbcontext optimize as its remarks say");
    }

    [Fact]
    public async Task Rows_survive_a_second_opening()
    {
        await _catalog.MigrateAsync();
        var table = NewTable(NewDatabase());
        var type = ColumnType.Timestamp(TimeUnit.Nanosecond) with { Epoch = new DateTimeOffset(2020, 1, 2, 3, 4, 5, TimeSpan.FromHours(2)) };
        table.Columns.Add(CatalogColumn.From(table.Id, new Column(1, "at", type), DateTimeOffset.UnixEpoch));
        table.Columns.Add(CatalogColumn.From(table.Id, new Column(2, "tags", ColumnType.StringSetQ("YMD") with { TimeToLive = TimeSpan.FromDays(30) }), DateTimeOffset.UnixEpoch));
        await AddAsync(table);

        await _catalog.MigrateAsync();

        await using var db = _catalog.CreateDbContext();
        var read = await db.Tables.Include(row => row.Columns).SingleAsync(Cancellation);
        Assert.Equal(table.ToSchema(), read.ToSchema());
        Assert.Equal(TimeSpan.Zero, read.CreatedAt.Offset);
    }

    [Fact]
    public async Task A_lock_row_that_a_killed_migration_left_does_not_stop_the_next_one()
    {
        await _catalog.ExecuteAsync("CREATE TABLE IF NOT EXISTS \"__EFMigrationsLock\" (\"Id\" INTEGER NOT NULL PRIMARY KEY, \"Timestamp\" TEXT NOT NULL)");
        await _catalog.ExecuteAsync("INSERT OR REPLACE INTO \"__EFMigrationsLock\" VALUES (1, '2020-01-01')");

        await _catalog.MigrateAsync().WaitAsync(TimeSpan.FromSeconds(20), Cancellation);
    }

    [Fact]
    public async Task A_catalogue_of_a_later_version_is_refused()
    {
        await _catalog.MigrateAsync();
        await _catalog.ExecuteAsync("INSERT INTO \"__EFMigrationsHistory\" VALUES ('99990101000000_Later', '99.0.0')");

        var refusal = await Assert.ThrowsAsync<SluiceException>(_catalog.MigrateAsync);

        Assert.Equal(ErrorCode.Corrupt, refusal.Code);
        Assert.Contains("99990101000000_Later", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_name_is_taken_until_its_row_is_deleted()
    {
        await _catalog.MigrateAsync();
        var first = NewDatabase();
        await AddAsync(first);
        await Assert.ThrowsAsync<DbUpdateException>(() => AddAsync(NewDatabase()));

        await using (var db = _catalog.CreateDbContext())
        {
            var row = await db.Databases.SingleAsync(Cancellation);
            row.DeletedAt = DateTimeOffset.UnixEpoch;
            await db.SaveChangesAsync(Cancellation);
        }

        await AddAsync(NewDatabase());
    }

    [Fact]
    public void Confirming_a_schema_adds_drops_and_renames_by_id_and_twice_is_once()
    {
        var table = NewTable(NewDatabase());
        var start = table.ToSchema().WithColumn("a", ColumnType.Id).WithColumn("b", ColumnType.String);
        table.Confirm(start, DateTimeOffset.UnixEpoch);
        var end = start.WithoutColumn("a").WithRenamedColumn("b", "c").WithColumn("a", ColumnType.Bool);

        table.Confirm(end, DateTimeOffset.UnixEpoch);
        table.Confirm(end, DateTimeOffset.UnixEpoch.AddDays(1));

        Assert.Equal(end, table.ToSchema());
        Assert.Equal([1, 2, 3], table.Columns.Select(row => row.ColumnId));
        Assert.Equal(DateTimeOffset.UnixEpoch, table.Columns[0].DroppedAt);
    }

    async Task AddAsync(CatalogDatabase database)
    {
        await using var db = _catalog.CreateDbContext();
        db.Databases.Add(database);
        await db.SaveChangesAsync(Cancellation);
    }

    async Task AddAsync(CatalogTable table)
    {
        await AddAsync(NewDatabase(table.DatabaseId));
        await using var db = _catalog.CreateDbContext();
        db.Tables.Add(table);
        await db.SaveChangesAsync(Cancellation);
    }

    static CatalogDatabase NewDatabase(Guid? id = null) => new()
    {
        Id = id ?? Guid.NewGuid(),
        Name = "db",
        Shape = "",
        Status = DatabaseStatus.Running,
        Owner = "a@b",
        CreatedAt = DateTimeOffset.UnixEpoch,
        UpdatedAt = DateTimeOffset.UnixEpoch,
        UpdatedBy = "a@b",
    };

    static CatalogTable NewTable(CatalogDatabase database) => new()
    {
        Id = Guid.NewGuid(),
        DatabaseId = database.Id,
        Name = "t",
        Description = "",
        Key = KeyKind.Number,
        Status = TableStatus.Running,
        SchemaVersion = 1,
        NextColumnId = 1,
        Owner = "a@b",
        CreatedAt = DateTimeOffset.UnixEpoch,
        UpdatedAt = DateTimeOffset.UnixEpoch,
        UpdatedBy = "a@b",
    };
}
