using Microsoft.EntityFrameworkCore;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;

namespace Sluice.Server;

sealed partial class ControlPlane
{
    /// <summary>The shape of a database that asks for none.</summary>
    public const string DefaultShape = "8GB-Development";

    const int MaxShapeLength = 100;

    /// <summary>Makes a database. Its store is made with its first table.</summary>
    /// <param name="shape">A size name of the original service, kept and shown without effect; <c>null</c>: <see cref="DefaultShape"/>.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.InvalidParameter"/>, <see cref="ErrorCode.AlreadyExists"/>, <see cref="ErrorCode.LimitExceeded"/>.
    /// </exception>
    public async Task<CatalogDatabase> CreateDatabaseAsync(Caller caller, string name, string? shape, CancellationToken cancellation)
    {
        RequireWrite(caller);
        ResourceNames.Check(name, "name", ResourceNames.MaxDatabaseNameLength);
        if (shape?.Length > MaxShapeLength)
            throw new SluiceException(ErrorCode.InvalidParameter, $"Parameter 'database_options.shape' may have at most {MaxShapeLength} characters.");
        var now = Now;
        var database = new CatalogDatabase
        {
            Id = Guid.CreateVersion7(now),
            Name = name,
            Shape = shape ?? DefaultShape,
            Status = DatabaseStatus.Running,
            Owner = caller.Email,
            CreatedAt = now,
            UpdatedAt = now,
            UpdatedBy = caller.Email,
        };
        await WriteAsync(
            async db =>
            {
                if (await db.Databases.AnyAsync(row => row.Name == name && row.DeletedAt == null))
                    throw new SluiceException(ErrorCode.AlreadyExists, $"There is a database named '{name}' already.");
                if (await db.Databases.CountAsync(row => row.DeletedAt == null) >= options.MaxDatabases)
                    throw new SluiceException(ErrorCode.LimitExceeded, $"There are {options.MaxDatabases} databases: the database limit has been reached");
                db.Databases.Add(database);
                return database;
            },
            cancellation);
        NoteChange(caller, "database", database.Id, name, "create");
        return database;
    }

    /// <summary>All databases, oldest first, those being deleted too.</summary>
    public Task<List<CatalogDatabase>> ListDatabasesAsync(Caller caller, CancellationToken cancellation)
    {
        RequireRead(caller);
        return ReadAsync(db => db.Databases.AsNoTracking().Where(row => row.DeletedAt == null).OrderBy(row => row.CreatedAt).ThenBy(row => row.Id).ToListAsync(cancellation));
    }

    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public Task<CatalogDatabase> GetDatabaseAsync(Caller caller, Guid id, CancellationToken cancellation)
    {
        RequireRead(caller);
        return ReadAsync(db => FindDatabaseAsync(db.Databases.AsNoTracking(), id, cancellation));
    }

    /// <summary>Deletes a database. Returns when it is gone; asked again after a failure, it goes on where it stopped.</summary>
    /// <param name="force">Drops its tables with it; their sinks become Failed.</param>
    /// <returns>The database as it was while being deleted.</returns>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.NotFound"/>; <see cref="ErrorCode.IncorrectState"/>: it has tables and <paramref name="force"/> is false.
    /// </exception>
    public async Task<CatalogDatabase> DeleteDatabaseAsync(Caller caller, Guid id, bool force, CancellationToken cancellation)
    {
        RequireWrite(caller);
        var database = await WriteAsync(
            async db =>
            {
                var row = await FindDatabaseAsync(db.Databases, id, CancellationToken.None);
                if (!force && row.Status != DatabaseStatus.Deleting && await db.Tables.AnyAsync(table => table.DatabaseId == id && table.DeletedAt == null))
                    throw new SluiceException(ErrorCode.IncorrectState, $"Database '{row.Name}' has tables: delete them first, or ask with force=true.");
                row.Status = DatabaseStatus.Deleting;
                row.UpdatedAt = Now;
                row.UpdatedBy = caller.Email;
                return row;
            },
            cancellation);
        await FinishDeletingDatabaseAsync(id, caller.Email);
        NoteChange(caller, "database", id, database.Name, "delete");
        return database;
    }

    async Task FinishDeletingDatabaseAsync(Guid id, string by)
    {
        var tables = await ReadAsync(db => db.Tables.Where(row => row.DatabaseId == id && row.DeletedAt == null).Select(row => row.Id).ToListAsync());
        foreach (var table in tables)
            await DropTableAsync(table, by, CancellationToken.None);
        await dropDatabaseStore(id, CancellationToken.None);
        await WriteAsync(
            async db =>
            {
                var row = await db.Databases.SingleAsync(it => it.Id == id);
                row.Status = DatabaseStatus.Deleted;
                row.DeletedAt ??= Now; // another call may have finished first
                return row;
            },
            CancellationToken.None);
    }

    static async Task<CatalogDatabase> FindDatabaseAsync(IQueryable<CatalogDatabase> databases, Guid id, CancellationToken cancellation) =>
        await databases.SingleOrDefaultAsync(row => row.Id == id && row.DeletedAt == null, cancellation)
        ?? throw new SluiceException(ErrorCode.NotFound, $"There is no database {id}.");

    static async Task<CatalogDatabase> FindRunningDatabaseAsync(CatalogContext db, Guid id)
    {
        var database = await FindDatabaseAsync(db.Databases, id, CancellationToken.None);
        return database.Status == DatabaseStatus.Running
            ? database
            : throw new SluiceException(ErrorCode.IncorrectState, $"Database '{database.Name}' is {database.Status.ToWire()}.");
    }
}
