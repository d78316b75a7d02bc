using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Sluice.Client;
using Sluice.Quotas;
using Sluice.Schema;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;

namespace Sluice.Server;

sealed partial class ControlPlane
{
    /// <summary>Makes a sink. It is Active when this returns.</summary>
    /// <param name="body">From <see cref="SinkBody.ParseNew"/>.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.RelatedNotFound"/>: no such database, table or column; <see cref="ErrorCode.InvalidParameter"/>: the mapping
    /// does not fit the table; <see cref="ErrorCode.IncorrectState"/>: the table is not Running; <see cref="ErrorCode.AlreadyExists"/>.
    /// </exception>
    public async Task<CatalogSink> CreateSinkAsync(Caller caller, SinkBody body, CancellationToken cancellation)
    {
        RequireWrite(caller);
        var engine = Engine;
        var (databaseId, tableId) = await FindTargetAsync(body, cancellation);
        var gate = GateOf(tableId);
        using var turn = await gate.EnterAsync(cancellation);
        await SettleSchemaAsync(engine, tableId, gate.Dropping);
        var sink = await WriteAsync(db => AddSinkRowAsync(db, caller, databaseId, tableId, body), cancellation);
        _sinkStatuses[sink.Id] = SinkStatus.Creating;
        try
        {
            engine.PutSink(ToDefinition(sink, sink.Table!.ToSchema()));
        }
        catch
        {
            _sinkStatuses.TryRemove(sink.Id, out _);
            await SetSinkStatusAsync(sink.Id, SinkStatus.Deleted);
            throw;
        }
        var made = await ActivateAsync(sink.Id);
        NoteChange(caller, "sink", sink.Id, sink.Name, "create");
        return made;
    }

    /// <summary>
    /// Makes a sink as the first version did: columns that its definition describes and the table lacks are added to the table first, in one step. What the
    /// sink would be refused for is refused before.
    /// </summary>
    /// <inheritdoc cref="CreateSinkAsync" path="/param"/>
    /// <inheritdoc cref="CreateSinkAsync" path="/exception"/>
    public async Task<CatalogSink> CreateSinkWithColumnsAsync(Caller caller, SinkBody body, CancellationToken cancellation)
    {
        RequireWrite(caller);
        body = body with { Schema = SinkColumns.NameRecordTime(body.Schema!) };
        var (databaseId, tableId) = await FindTargetAsync(body, cancellation);
        var table = (await GetTableAsync(caller, databaseId, tableId.ToString(), cancellation)).ToSchema();
        if (SinkColumns.Missing(body.Schema, table).Count > 0)
        {
            SinkMapping.Resolve(body.Schema, WithMissing(table));
            await ReadAsync(async db => await RefuseNameTakenAsync(db, databaseId, body.Name!));
            await ChangeSchemaAsync(caller, databaseId, tableId.ToString(), WithMissing, cancellation);
        }
        return await CreateSinkAsync(caller, body, cancellation);

        TableSchema WithMissing(TableSchema schema) =>
            SinkColumns.Missing(body.Schema, schema).Aggregate(schema, (made, column) => made.WithColumn(column.ToColumn())) with { Version = schema.Version + 1 };
    }

    /// <summary>All sinks, oldest first, failed ones too.</summary>
    public Task<List<CatalogSink>> ListSinksAsync(Caller caller, CancellationToken cancellation)
    {
        RequireRead(caller);
        return ReadAsync(db => LiveSinks(db).OrderBy(row => row.CreatedAt).ThenBy(row => row.Id).ToListAsync(cancellation));
    }

    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public Task<CatalogSink> GetSinkAsync(Caller caller, Guid id, CancellationToken cancellation)
    {
        RequireRead(caller);
        return ReadAsync(db => FindSinkAsync(db, id, cancellation));
    }

    /// <summary>
    /// Changes mapping and limits in one step: each request is decoded wholly with the old or wholly with the new mapping, and none is
    /// refused meanwhile. Name, database and table cannot change.
    /// </summary>
    /// <param name="body">From <see cref="SinkBody.ParseChange"/>.</param>
    /// <param name="keepOthers">What the body leaves out stays as it is; false: it gets its default.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.NotFound"/>; <see cref="ErrorCode.IncorrectState"/>: the sink is Failed; else as <see cref="CreateSinkAsync"/>.
    /// </exception>
    public async Task<CatalogSink> UpdateSinkAsync(Caller caller, Guid id, SinkBody body, bool keepOthers, CancellationToken cancellation)
    {
        RequireWrite(caller);
        var engine = Engine;
        var tableId = (await GetSinkAsync(caller, id, cancellation)).TableId;
        var gate = GateOf(tableId);
        using var turn = await gate.EnterAsync(cancellation);
        await SettleSchemaAsync(engine, tableId, gate.Dropping);
        var sink = await WriteAsync(db => AddMappingRowAsync(db, caller, id, body, keepOthers), cancellation);
        _sinkStatuses[id] = SinkStatus.Restarting;
        engine.PutSink(ToDefinition(sink, sink.Table!.ToSchema())); // has been checked; were it to fail, the new mapping begins at the next start
        var changed = await ActivateAsync(id);
        NoteChange(caller, "sink", id, sink.Name, "update", $"mapping version {sink.MappingVersion}");
        return changed;
    }

    /// <summary>Deletes a sink. Records it has accepted are still loaded; its errors and counters are no longer shown.</summary>
    /// <returns>The sink as it was while being deleted.</returns>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public async Task<CatalogSink> DeleteSinkAsync(Caller caller, Guid id, CancellationToken cancellation)
    {
        RequireWrite(caller);
        var engine = Engine;
        var tableId = (await GetSinkAsync(caller, id, cancellation)).TableId;
        using var turn = await GateOf(tableId).EnterAsync(cancellation);
        var sink = await SetSinkStatusAsync(id, SinkStatus.Deleting);
        _sinkStatuses[id] = SinkStatus.Deleting;
        engine.RemoveSink(id);
        await SetSinkStatusAsync(id, SinkStatus.Deleted);
        _sinkStatuses.TryRemove(id, out _);
        NoteChange(caller, "sink", id, sink.Name, "delete");
        return sink;
    }

    async Task<CatalogSink> ActivateAsync(Guid id)
    {
        var sink = await SetSinkStatusAsync(id, SinkStatus.Active);
        _sinkStatuses[id] = SinkStatus.Active;
        return sink;
    }

    Task<CatalogSink> SetSinkStatusAsync(Guid id, SinkStatus status) => WriteAsync(
        async db =>
        {
            var sink = await LiveSinks(db).AsTracking().SingleOrDefaultAsync(row => row.Id == id) ?? throw NoSink(id);
            sink.Status = status;
            sink.DeletedAt = status == SinkStatus.Deleted ? Now : null;
            return sink;
        },
        CancellationToken.None);

    /// <summary>The ids of the database and table that a new sink names.</summary>
    Task<(Guid DatabaseId, Guid TableId)> FindTargetAsync(SinkBody body, CancellationToken cancellation) => ReadAsync(async db =>
    {
        var databaseId = body.DatabaseId ?? throw new SluiceException(ErrorCode.MissingParameter, "Parameter 'sink_details.database_id' is required.");
        var table = body.Table ?? throw new SluiceException(ErrorCode.MissingParameter, "Parameter 'sink_details.table' is required.");
        try
        {
            await FindDatabaseAsync(db.Databases.AsNoTracking(), databaseId, cancellation);
            return (databaseId, (await FindTableAsync(db, databaseId, table, cancellation)).Id);
        }
        catch (SluiceException e) when (e.Code == ErrorCode.NotFound)
        {
            throw new SluiceException(ErrorCode.RelatedNotFound, e.Message, e);
        }
    });

    static async Task<bool> RefuseNameTakenAsync(CatalogContext db, Guid databaseId, string name) =>
        await db.Sinks.AnyAsync(row => row.DatabaseId == databaseId && row.Name == name && row.DeletedAt == null)
            ? throw new SluiceException(ErrorCode.AlreadyExists, $"There is a sink named '{name}' in this database already.")
            : true;

    async Task<CatalogSink> AddSinkRowAsync(CatalogContext db, Caller caller, Guid databaseId, Guid tableId, SinkBody body)
    {
        await FindRunningDatabaseAsync(db, databaseId);
        var table = await LiveTables(db).AsTracking().SingleOrDefaultAsync(row => row.Id == tableId);
        RequireRunning(table);
        SinkMapping.Resolve(body.Schema!, table.ToSchema());
        await RefuseNameTakenAsync(db, databaseId, body.Name!);
        var now = Now;
        var sink = new CatalogSink
        {
            Id = Guid.CreateVersion7(now),
            Name = body.Name!,
            DatabaseId = databaseId,
            TableId = tableId,
            Table = table,
            Status = SinkStatus.Creating,
            MappingVersion = 0,
            Owner = caller.Email,
            CreatedAt = now,
            UpdatedAt = now,
            UpdatedBy = caller.Email,
        };
        AddMapping(sink, body.Schema!, SinkSettings.Of(body), caller.Email);
        db.Sinks.Add(sink);
        return sink;
    }

    async Task<CatalogSink> AddMappingRowAsync(CatalogContext db, Caller caller, Guid id, SinkBody body, bool keepOthers)
    {
        var sink = await LiveSinks(db).AsTracking().SingleOrDefaultAsync(row => row.Id == id) ?? throw NoSink(id);
        if (sink.Status is not (SinkStatus.Active or SinkStatus.Restarting))
            throw new SluiceException(ErrorCode.IncorrectState, $"Sink '{sink.Name}' is {sink.Status.ToWire()}.");
        RefuseMove(sink, body);
        var old = sink.Mapping;
        var schema = body.Schema ?? old.ReadSchema();
        SinkMapping.Resolve(schema, sink.Table!.ToSchema());
        var given = SinkSettings.Of(body);
        AddMapping(sink, schema, keepOthers ? given.Or(SinkSettings.Of(old)) : given, caller.Email);
        sink.Status = SinkStatus.Restarting;
        return sink;
    }

    static void RefuseMove(CatalogSink sink, SinkBody body)
    {
        if (body.Name is { } name && name != sink.Name)
            throw new SluiceException(ErrorCode.InvalidParameter, "Parameter 'name' cannot change.");
        if (body.DatabaseId is { } database && database != sink.DatabaseId)
            throw new SluiceException(ErrorCode.InvalidParameter, "Parameter 'sink_details.database_id' cannot change.");
        if (body.Table is { } table && table != sink.Table!.Name && table != sink.TableId.ToString())
            throw new SluiceException(ErrorCode.InvalidParameter, "Parameter 'sink_details.table' cannot change.");
    }

    void AddMapping(CatalogSink sink, SinkSchema schema, SinkSettings settings, string by)
    {
        sink.MappingVersion++;
        sink.UpdatedAt = Now;
        sink.UpdatedBy = by;
        sink.Mappings.Add(new CatalogSinkMapping
        {
            SinkId = sink.Id,
            Version = sink.MappingVersion,
            SchemaJson = JsonSerializer.Serialize(schema, WireJson.Default.SinkSchema),
            RejectTruncation = settings.RejectTruncation ?? false,
            MaxRecords = settings.MaxRecords,
            MaxBytes = settings.MaxBytes,
            QuarantineKeepRaw = settings.KeepRaw,
            QuarantineMaxBytes = settings.QuarantineMaxBytes,
            QuarantineMaxAgeSeconds = settings.QuarantineMaxAgeSeconds,
            KeepsSample = settings.KeepsSample,
            QuotaRecordsPerSecond = settings.Quota.RecordsPerSecond,
            QuotaBytesPerSecond = settings.Quota.BytesPerSecond,
            QuotaBurstSeconds = settings.Quota.BurstSeconds,
            CreatedAt = Now,
            CreatedBy = by,
        });
    }

    /// <summary>The quota of a sink, with the server's defaults where it sets none.</summary>
    public Quota QuotaOf(CatalogSink sink) => sink.Mapping.Quota.Or(quotas.Sink);

    /// <summary>What is left of the quota of a sink; all of it while it takes nothing.</summary>
    public (double Records, double Bytes) QuotaLeftOf(CatalogSink sink)
    {
        try
        {
            return Volatile.Read(ref _engine)?.FindSink(sink.Id)?.QuotaLeft ?? QuotaOf(sink).Burst;
        }
        catch (SluiceException e) when (e.Code == ErrorCode.DatabaseDamaged)
        {
            return QuotaOf(sink).Burst; // closed: it takes nothing
        }
    }

    SinkDefinition ToDefinition(CatalogSink sink, TableSchema table) => ToDefinition(sink, sink.Mapping, table);

    SinkDefinition ToDefinition(CatalogSink sink, CatalogSinkMapping mapping, TableSchema table)
    {
        var schema = mapping.ReadSchema();
        var definition = new SinkDefinition
        {
            Id = sink.Id,
            Name = sink.Name,
            TableId = sink.TableId,
            MappingVersion = mapping.Version,
            AllowMissingFields = schema.AllowMissingFields,
            Fields = SinkMapping.Resolve(schema, table),
            RejectTruncation = mapping.RejectTruncation,
        };
        return definition with
        {
            MaxRecordsPerRequest = mapping.MaxRecords ?? definition.MaxRecordsPerRequest,
            MaxRequestBytes = mapping.MaxBytes ?? definition.MaxRequestBytes,
            Quarantine = mapping.ReadQuarantine(),
            KeepsSample = mapping.KeepsSample ?? definition.KeepsSample,
            Quota = mapping.Quota.Or(quotas.Sink),
        };
    }

    /// <summary>Sinks that are not deleted, with their newest mapping and their table and its columns; not tracked.</summary>
    static IQueryable<CatalogSink> LiveSinks(CatalogContext db) =>
        db.Sinks.AsNoTracking()
            .AsSingleQuery() // one mapping a sink: nothing multiplies; and a sink is read at one moment
            .Include(row => row.Mappings.OrderByDescending(mapping => mapping.Version).Take(1))
            .Include(row => row.Table).ThenInclude(table => table!.Columns.Where(column => column.DroppedAt == null))
            .Where(row => row.DeletedAt == null);

    static async Task<CatalogSink> FindSinkAsync(CatalogContext db, Guid id, CancellationToken cancellation) =>
        await LiveSinks(db).SingleOrDefaultAsync(row => row.Id == id, cancellation) ?? throw NoSink(id);

    static SluiceException NoSink(Guid id) => new(ErrorCode.NotFound, $"There is no sink {id}.");
}
