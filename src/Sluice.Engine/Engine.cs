using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using Microsoft.Extensions.Logging;
using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice;

/// <summary>A table as the catalogue knows it.</summary>
public sealed record TableDefinition(Guid DatabaseId, TableSchema Schema);

/// <summary>Whether the engine takes records. <paramref name="Reasons"/> says why not.</summary>
public sealed record EngineHealth(bool IsReady, IReadOnlyList<string> Reasons);

/// <summary>A table that is not open, because its database is lost, damaged, or of another time than its log. Its log is untouched.</summary>
/// <param name="Reason">For the operator: what is wrong and what to do.</param>
/// <param name="IsDamaged">False: something around the database's file is at fault, and what is in it may be as good as ever.</param>
public sealed record ClosedTable(Guid TableId, Guid DatabaseId, string Reason, bool IsDamaged);

/// <summary>All tables and sinks of one data directory. Any thread; schema changes of one table wait for each other.</summary>
public sealed class Engine : IAsyncDisposable
{
    readonly TableContext _context;
    readonly ConcurrentDictionary<Guid, Table> _tables = [];
    readonly ConcurrentDictionary<Guid, Sink> _sinks = [];
    readonly ConcurrentDictionary<Guid, ClosedTable> _closedTables = [];
    readonly ConcurrentDictionary<Guid, Guid> _closedSinks = []; // the tables of sinks
    readonly TaskCompletionSource<SluiceException> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    Engine(TableContext context) => _context = context;

    /// <summary>Recovers every table from disk, then makes the sinks.</summary>
    /// <param name="tables">Tables that exist; one that was never created is made by <see cref="CreateTableAsync"/>.</param>
    /// <param name="sinks">Of each sink the newest mapping, which is used, and those before, which frames in the logs may have been decoded with.</param>
    /// <returns>A table whose database is damaged is among <see cref="ClosedTables"/>; it keeps none of the others from working.</returns>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Corrupt"/>: something acknowledged is missing or damaged. Nothing was changed.</exception>
    public static Task<Engine> OpenAsync(
        EngineOptions options,
        IReadOnlyCollection<TableDefinition> tables,
        IReadOnlyCollection<SinkDefinition> sinks,
        OpenTableStore openStore,
        TimeProvider time,
        ILoggerFactory loggers,
        IMeterFactory meters,
        CancellationToken cancellation) =>
        OpenAsync(DiskFiles.Instance, options, tables, sinks, openStore, time, loggers, meters, cancellation);

    /// <inheritdoc cref="OpenAsync(EngineOptions, IReadOnlyCollection{TableDefinition}, IReadOnlyCollection{SinkDefinition}, OpenTableStore, TimeProvider, ILoggerFactory, IMeterFactory, CancellationToken)"/>
    /// <param name="files">Where the logs are; of tests, in memory.</param>
    internal static async Task<Engine> OpenAsync(
        LogFiles files,
        EngineOptions options,
        IReadOnlyCollection<TableDefinition> tables,
        IReadOnlyCollection<SinkDefinition> sinks,
        OpenTableStore openStore,
        TimeProvider time,
        ILoggerFactory loggers,
        IMeterFactory meters,
        CancellationToken cancellation)
    {
        var logs = Path.Combine(options.DataDirectory, "logs");
        files.CreateDirectory(logs);
        var engine = new Engine(new TableContext(
            files, logs, options, openStore, new IngestMeters(meters), new Admission(options, time), new IdempotencyKeys(options.Idempotency, time), new KnownMappings(), time, loggers.CreateLogger<Engine>()));
        try
        {
            foreach (var sink in sinks) engine._context.Mappings.Add(sink); // loading begins with the tables
            foreach (var table in tables) await engine.OpenTableAsync(table, cancellation);
            engine._context.Keys.EndRecovery();
            foreach (var versions in sinks.GroupBy(sink => sink.Id))
            {
                var newest = versions.MaxBy(sink => sink.MappingVersion)!;
                if (engine._closedTables.ContainsKey(newest.TableId)) engine._closedSinks[newest.Id] = newest.TableId;
                else engine.PutSink(newest);
            }
            return engine;
        }
        catch
        {
            await engine.DisposeAsync();
            throw;
        }
    }

    public EngineHealth Health
    {
        get
        {
            var reasons = new List<string>();
            if (_context.Admission.IsDraining) reasons.Add("draining");
            if (_failed.Task.IsCompleted) reasons.Add("log_failed");
            if (_context.Admission.IsDiskLow) reasons.Add("disk_low");
            return new EngineHealth(reasons.Count == 0, reasons);
        }
    }

    /// <summary>Tables whose database is damaged or could not be opened, in no order: they take no records and answer no queries until the server has started again.</summary>
    public IReadOnlyCollection<ClosedTable> ClosedTables => [.. _closedTables.Values];

    /// <summary>Completes when a log or loader has failed for good: the process must end and recover from disk.</summary>
    public Task<SluiceException> Failed => _failed.Task;

    /// <summary>Makes the table, or finishes making it; returns when its store has it.</summary>
    public async Task CreateTableAsync(TableDefinition table, CancellationToken cancellation)
    {
        if (!_tables.ContainsKey(table.Schema.TableId)) Add(await Table.CreateAsync(_context, table, cancellation));
    }

    /// <summary>
    /// Appends a schema barrier; returns when the store has the new schema. Does nothing when the table has that version or a later one.
    /// </summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>: no such table.</exception>
    public Task ChangeTableAsync(TableSchema schema, CancellationToken cancellation) =>
        TableOf(schema.TableId).ChangeAsync(schema, _sinks.Values.Where(sink => sink.Definition.TableId == schema.TableId), cancellation);

    /// <summary>Ends the table's sinks, drops its data and its log. Does nothing when there is no such table.</summary>
    public async Task DropTableAsync(Guid databaseId, Guid tableId, CancellationToken cancellation)
    {
        foreach (var sink in _sinks.Values)
            if (sink.Definition.TableId == tableId) _sinks.TryRemove(sink.Definition.Id, out _);
        if (_tables.TryRemove(tableId, out var table)) await table.DropAsync(cancellation);
        else await Table.DropRemainsAsync(_context, databaseId, tableId, cancellation);
        _closedTables.TryRemove(tableId, out _);
        foreach (var (sinkId, _) in _closedSinks.Where(sink => sink.Value == tableId)) _closedSinks.TryRemove(sinkId, out Guid _);
        _context.Mappings.RemoveTable(tableId);
    }

    /// <summary>Adds a sink or replaces its mapping in one step; requests under way finish with the mapping they began with.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>: no such table.</exception>
    public void PutSink(SinkDefinition sink)
    {
        var table = TableOf(sink.TableId);
        if (_sinks.TryGetValue(sink.Id, out var present)) present.Use(sink);
        else _sinks[sink.Id] = new Sink(sink, table, _context);
    }

    public void RemoveSink(Guid sinkId)
    {
        _sinks.TryRemove(sinkId, out _);
        _closedSinks.TryRemove(sinkId, out _);
    }

    /// <exception cref="SluiceException"><see cref="ErrorCode.DatabaseDamaged"/>: its table is closed.</exception>
    public Sink? FindSink(Guid sinkId)
    {
        if (_sinks.TryGetValue(sinkId, out var sink)) return sink;
        if (_closedSinks.TryGetValue(sinkId, out var tableId)) ThrowIfClosed(tableId);
        return null;
    }

    /// <summary>All open tables at this moment, in no order.</summary>
    public IReadOnlyList<Table> Tables => [.. _tables.Values];

    /// <summary>All sinks at this moment, in no order.</summary>
    public IEnumerable<Sink> Sinks => _sinks.Select(sink => sink.Value);

    /// <exception cref="SluiceException"><see cref="ErrorCode.DatabaseDamaged"/>: the table is closed.</exception>
    public Table? FindTable(Guid tableId)
    {
        if (_tables.TryGetValue(tableId, out var table)) return table;
        ThrowIfClosed(tableId);
        return null;
    }

    /// <exception cref="SluiceException"><see cref="ErrorCode.DatabaseDamaged"/>: the table's database is damaged, or could not be opened.</exception>
    public void ThrowIfClosed(Guid tableId)
    {
        if (!_closedTables.TryGetValue(tableId, out var closed)) return;
        throw new SluiceException(
            ErrorCode.DatabaseDamaged,
            closed.IsDamaged
                ? "The table's database is damaged: the table is closed until the operator has restored or rebuilt it. Nothing that was acknowledged has been removed from its log."
                : "The table's database could not be opened: the table is closed until the operator has mended the cause, which the server's log tells, and started the server again. Nothing that was acknowledged has been removed from its log.");
    }

    /// <summary>Returns when everything up to and including the requests is in the store, and so visible to queries.</summary>
    /// <param name="requestIds">Of answers (<see cref="BatchOutcome.RequestId"/>), each of a table of the database.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.InvalidParameter"/>: an id that no answer of the database had, or whose records are lost. <see cref="ErrorCode.RequestTimeout"/>: not within
    /// <paramref name="timeout"/>. <see cref="ErrorCode.Unavailable"/>: a table is closed or dropped before that.
    /// </exception>
    public async Task WaitLoadedAsync(Guid databaseId, IReadOnlyCollection<string> requestIds, TimeSpan timeout, CancellationToken cancellation)
    {
        var loads = requestIds.Select(requestId => WaitLoadedAsync(databaseId, requestId, cancellation)).ToList();
        try
        {
            await Task.WhenAll(loads).WaitAsync(timeout, _context.Time, cancellation);
        }
        catch (TimeoutException e)
        {
            var late = requestIds.Where((_, i) => !loads[i].IsCompleted);
            throw new SluiceException(
                ErrorCode.RequestTimeout, $"Not all rows were visible within {timeout.TotalSeconds.ToString(CultureInfo.InvariantCulture)} s: {string.Join(", ", late)}. They are durable and will be; nothing was run.", e);
        }
    }

    /// <summary>Takes no more requests, waits for those under way, and lets the loaders load what is left until cancelled.</summary>
    public async Task DrainAsync(CancellationToken cancellation)
    {
        _context.Admission.Drain();
        while (_context.Admission.UnderWay > 0 && !cancellation.IsCancellationRequested)
            await Task.Delay(TimeSpan.FromMilliseconds(10), _context.Time, CancellationToken.None);
        await Task.WhenAll(_tables.Values.Select(table => table.DrainAsync(cancellation)));
    }

    public async ValueTask DisposeAsync()
    {
        _context.Admission.Drain();
        foreach (var table in _tables.Values) await table.DisposeAsync();
    }

    Task WaitLoadedAsync(Guid databaseId, string requestId, CancellationToken cancellation)
    {
        if (!FrameHeader.TryParseRequestId(requestId, out var logId, out var sequence))
            throw new SluiceException(ErrorCode.InvalidParameter, $"'{requestId}' is no request id: it must be a request_id as an answer had it.");
        var table = _tables.Values.FirstOrDefault(table => table.DatabaseId == databaseId && table.Log.Id == logId);
        if (table is null || sequence == 0 || sequence > table.Log.DurablePosition.Sequence || (table.Log.IsLeftOut(sequence) && !table.IsLost(sequence)))
            throw new SluiceException(ErrorCode.InvalidParameter, $"No table of this database has a request {requestId}.");
        return table.IsLost(sequence)
            ? throw new SluiceException(ErrorCode.InvalidParameter, $"The records of request {requestId} were lost with a repaired log or a rebuilt database and will never be visible.")
            : table.WaitLoadedAsync(sequence, cancellation);
    }

    async Task OpenTableAsync(TableDefinition table, CancellationToken cancellation)
    {
        try
        {
            Add(await Table.OpenAsync(_context, table, cancellation));
        }
        catch (SluiceException e) when (e.Code == ErrorCode.DatabaseDamaged)
        {
            _closedTables[table.Schema.TableId] = new ClosedTable(table.Schema.TableId, table.DatabaseId, e.Message, e.InnerException is not StoreException { IsOfSurroundings: true });
            _context.Logger.TableClosed(e, table.Schema.TableId, e.Message);
        }
    }

    void Add(Table table)
    {
        _tables[table.Id] = table;
        _ = WatchAsync(table);
    }

    /// <summary>A log that failed or a loader that ended makes the whole engine failed.</summary>
    async Task WatchAsync(Table table)
    {
        var logFailed = table.Log.Failed;
        await Task.WhenAny(logFailed, table.Running);
        if (logFailed.IsCompleted)
        {
            var failure = await logFailed;
            _context.Logger.LogFailed(failure, table.Id);
            _failed.TrySetResult(failure);
        }
        else if (table.Running.Exception is { } exception)
        {
            _failed.TrySetResult(exception.InnerException as SluiceException
                ?? new SluiceException(ErrorCode.Corrupt, $"The loader of table {table.Id} ended: {exception.InnerException?.Message}", exception));
        }
    }

    Table TableOf(Guid tableId) => FindTable(tableId) ?? throw new SluiceException(ErrorCode.NotFound, $"There is no table {tableId}.");
}
