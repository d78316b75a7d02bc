using System.Diagnostics;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice;

/// <summary>What all tables of an engine share.</summary>
sealed record TableContext(
    LogFiles Files, string LogsDirectory, EngineOptions Options, OpenTableStore OpenStore, IngestMeters Meters, Admission Admission, IdempotencyKeys Keys, KnownMappings Mappings, TimeProvider Time, ILogger Logger);

/// <summary>One table: its log, its loader, and its store. Any thread.</summary>
public sealed class Table : IAsyncDisposable
{
    readonly TableContext _context;
    readonly string _directory;
    readonly TableLedger _ledger;
    readonly LogSummary _summary; // as it was opened: what is lost does not change meanwhile
    readonly ITableStore _store;
    readonly Loader _loader;
    readonly CancellationTokenSource _stop = new();
    readonly SemaphoreSlim _schemaChange = new(1);
    readonly SemaphoreSlim _replay = new(1);
    readonly long _trimIntervalTimestamp;
    readonly Lock _trimming = new();
    int _logHolds; // under _trimming
    Task _running = Task.CompletedTask;
    long _lastTrim;
    TableSchema _schema;

    Table(TableContext context, TableDefinition definition, string directory, TableLog log, TableLedger ledger, ITableStore store, StoredTable? stored, LogSummary summary)
    {
        (_context, _directory, Log, _ledger, _store) = (context, directory, log, ledger, store);
        (Id, DatabaseId, _schema) = (definition.Schema.TableId, definition.DatabaseId, stored?.Schema ?? definition.Schema);
        _summary = summary;
        _trimIntervalTimestamp = 10 * context.Time.TimestampFrequency;
        _loader = new Loader(Id, log, store, stored, ledger, context.Meters, context.Options.Load, context.Time, context.Logger, context.Mappings.FindQuarantine, context.Mappings.Find)
        {
            OnLoaded = Trim,
            OldestKeptKey = context.Keys.OldestMicroseconds,
        };
    }

    public Guid Id { get; }

    public Guid DatabaseId { get; }

    /// <summary>The schema that new requests are decoded with.</summary>
    public TableSchema Schema => Volatile.Read(ref _schema);

    internal TableLog Log { get; }

    internal ITableStore Store => _store;

    internal TableLedger Ledger => _ledger;

    /// <summary>Faulted when the loader ended for a reason that is not the store's: the server must stop.</summary>
    internal Task Running => _running;

    /// <summary>One replay of the table runs at a time, and ends when it is loaded: so no two take the same records.</summary>
    internal SemaphoreSlim ReplayTurn => _replay;

    /// <summary>Bytes that the log takes on the disk.</summary>
    public long LogBytes => Log.BytesAfter(0);

    /// <summary>Bytes of the log that wait for the disk.</summary>
    public long WaitingBytes => Log.WaitingBytes;

    /// <summary>The database refuses loads for now, and the loader tries again and again.</summary>
    public bool IsLoadFailing => LoadRetryDelay is not null;

    /// <summary>Bytes of the log that are not loaded yet, an upper bound. Parts of requests that are still being received count until the loader has passed them.</summary>
    public long BacklogBytes => Log.BacklogBytes(_loader.Loaded);

    /// <summary>How long the loader needs for so many bytes, by what it did lately; <c>null</c>: not known.</summary>
    internal TimeSpan? TimeToDrain(long bytes) => _loader.DrainRate.TimeFor(bytes);

    /// <summary>The store fails, and the loader tries it again after this time; <c>null</c>: it does not.</summary>
    internal TimeSpan? LoadRetryDelay => _loader.RetryDelay;

    /// <summary>For one request that is not appended yet.</summary>
    internal LoadWatch WatchLoad() => new(_loader.Watches);

    /// <summary>The counters of all sinks of the table, SQL included, at one moment.</summary>
    public SinkLedger ReadLedger() => _ledger.ReadAll();

    /// <summary>Of what SQL wrote.</summary>
    public SinkLedger ReadSqlLedger() => _ledger.Read(Sink.SqlSinkId);

    public SinkVolume ReadVolume() => _ledger.ReadVolume();

    /// <inheritdoc cref="ReadVolume()"/>
    public SinkVolume ReadSqlVolume() => _ledger.ReadVolume(Sink.SqlSinkId);

    /// <summary>The position everything up to which is in the store.</summary>
    public ulong LoadedSequence => _loader.Loaded;

    /// <summary>Whether nothing has the accepted records of a request any more, after a repair or a rebuild.</summary>
    internal bool IsLost(ulong sequence) => _summary.IsLost(sequence);

    /// <summary>Rows that have outlived the table's retention since the table was made.</summary>
    public long ExpiredRows => _loader.ExpiredRows;

    /// <summary>
    /// Makes a table: an empty log, then the schema as its first frame. Returns when the store has it. Finishes what an interrupted
    /// creation left.
    /// </summary>
    internal static async Task<Table> CreateAsync(TableContext context, TableDefinition definition, CancellationToken cancellation)
    {
        var directory = DirectoryOf(context, definition.Schema.TableId);
        if (!TableLog.Exists(context.Files, directory)) TableLog.Create(context.Files, directory);
        var table = await OpenAsync(context, definition, cancellation);
        try
        {
            if (table.Log.DurablePosition.Sequence == 0) await table.Log.AppendAsync(BarrierFrame.Encode(definition.Schema, table.Now()));
            await table._loader.WaitAsync(1, cancellation);
            return table;
        }
        catch
        {
            await table.DisposeAsync();
            throw;
        }
    }

    /// <summary>Opens a table in recovery order: summary, log, store, then the loader from the store's own position.</summary>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.Corrupt"/>: the log is damaged, or does not belong to what the store has. <see cref="ErrorCode.DatabaseDamaged"/>: the log is
    /// fine, and the store cannot be read or lacks what the log has no more.
    /// </exception>
    internal static async Task<Table> OpenAsync(TableContext context, TableDefinition definition, CancellationToken cancellation)
    {
        var started = Stopwatch.GetTimestamp();
        var tableId = definition.Schema.TableId;
        var directory = DirectoryOf(context, tableId);
        if (!TableLog.Exists(context.Files, directory))
            throw new SluiceException(ErrorCode.Corrupt, $"{directory}: the log of table {definition.Schema.Name} is missing");
        var summary = LogSummary.Read(context.Files, directory);
        var ledger = new TableLedger();
        ledger.AddSummary(summary.Sinks);
        FrameVisitor count = (in FrameHeader header, ReadOnlySpan<byte> payload) =>
        {
            if (header.Position.Sequence <= summary.Sequence) return;
            ledger.CountFrame(header, payload);
            if (summary.Torn?.Contains(header.Position.Sequence) != true) context.Keys.Note(header, payload); // what is lost may be sent again
        };
        var log = TableLog.Open(context.Files, directory, context.Options.Log, summary.Sequence, count, summary.Torn, meters: context.Meters);
        log.OnFailed = context.Admission.FailLog;
        ITableStore? store = null;
        try
        {
            if (summary.Sequence > 0 && summary.LogId != log.Id)
                throw new SluiceException(ErrorCode.Corrupt, $"{directory}: the summary of trimmed frames is of log {summary.LogId}, but the log found is {log.Id}");
            store = await context.OpenStore(definition.DatabaseId, tableId, cancellation);
            var stored = await ReadStoredAsync(store, definition, cancellation);
            ThrowIfUnpaired(stored, log, summary, definition);
            if (stored is null && log.DurablePosition.Sequence > 1) context.Logger.TableRebuilding(tableId);
            if (stored is not null)
            {
                ledger.CountLoaded(stored.Counts);
                ledger.MoveTo(stored.Position.Sequence);
                await store.ReadRequestKeysAsync(context.Keys.OldestMicroseconds(), key => context.Keys.Add(key), cancellation);
            }
            if (log.DroppedBytes > 0) context.Logger.LogTailDropped(tableId, log.DroppedBytes);
            context.Logger.LogRecovered(tableId, log.BytesAfter(0), log.DurablePosition.Sequence, stored?.Position.Sequence ?? 0, (long)Stopwatch.GetElapsedTime(started).TotalMilliseconds);
            var table = new Table(context, definition, directory, log, ledger, store, stored, summary);
            table._running = Task.Factory.StartNew(table.RunAsync, CancellationToken.None, TaskCreationOptions.DenyChildAttach, TaskScheduler.Current).Unwrap();
            return table;
        }
        catch (Exception e)
        {
            log.Dispose();
            if (store is not null) await store.DisposeAsync();
            if (e is StoreException) throw new SluiceException(ErrorCode.DatabaseDamaged, $"the database {definition.DatabaseId} of table {definition.Schema.Name} cannot be read: {e.Message}", e);
            throw;
        }
    }

    /// <summary>Appends a schema barrier; returns when the store has the new schema and new requests are decoded with it.</summary>
    internal async Task ChangeAsync(TableSchema schema, IEnumerable<Sink> sinks, CancellationToken cancellation)
    {
        await _schemaChange.WaitAsync(cancellation);
        try
        {
            if (schema.Version <= Schema.Version) return;
            var position = await Log.AppendAsync(BarrierFrame.Encode(schema, Now()));
            await _loader.WaitAsync(position.Sequence, cancellation);
            Volatile.Write(ref _schema, schema);
            foreach (var sink in sinks) sink.Use(schema);
        }
        finally
        {
            _schemaChange.Release();
        }
    }

    /// <summary>
    /// Appends rows written with SQL and returns when they are loaded; all or nothing. <paramref name="values"/> is a JSON array of
    /// objects whose members are column names; the rules for values are those of a sink, but numbers for timestamps are seconds.
    /// </summary>
    /// <returns>The outcome; when any record is rejected nothing was stored.</returns>
    public async ValueTask<BatchOutcome> InsertAsync(
        ReadOnlyMemory<byte> values, IReadOnlyList<string> columns, RecordOperation operation, string caller, CancellationToken cancellation)
    {
        var schema = Schema;
        var sink = new Sink(SqlDefinition(schema, columns), this, _context);
        using var watch = WatchLoad();
        var outcome = await sink.InsertAsync(values, operation, caller, watch, cancellation);
        if (outcome.RejectedCount > 0) return outcome;
        await WaitForStatementAsync(outcome.Sequence, cancellation);
        return watch.Failures is not [var late, ..] ? outcome : throw new SluiceException(ErrorCode.InvalidParameter, $"The rows could not be stored: {late.Message}");
    }

    /// <summary>Appends a deletion and returns when it is applied to the rows that the log holds before it.</summary>
    /// <param name="predicate">Of SQL, proven to run; <c>null</c>: every row.</param>
    /// <returns>How many rows were deleted; <c>null</c> when that is not known.</returns>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: the predicate did not run when its turn came; nothing was deleted.</exception>
    public async Task<long?> DeleteAsync(string? predicate, CancellationToken cancellation)
    {
        _context.Admission.ThrowIfNotAdmitting(this);
        var deletion = new Deletion(Guid.NewGuid(), predicate);
        var outcome = await _loader.Deletions.RunAsync(
            deletion.Id, () => Log.AppendAsync(DeletionFrame.Encode(deletion, Schema.Version, Now())), sequence => WaitForStatementAsync(sequence, cancellation));
        return outcome.Error is null ? outcome.Rows : throw new SluiceException(ErrorCode.InvalidParameter, $"Nothing was deleted: {outcome.Error}");
    }

    async Task WaitForStatementAsync(ulong sequence, CancellationToken cancellation)
    {
        var patience = TimeSpan.FromSeconds(60); // twice what a query may take
        try
        {
            await _loader.WaitAsync(sequence, cancellation).WaitAsync(patience, _context.Time, cancellation);
        }
        catch (TimeoutException e)
        {
            throw new SluiceException(ErrorCode.Unavailable, $"The statement is durable, but was not applied within {patience.TotalSeconds} s; it will be.", e) { Outcome = RefusalOutcome.Unknown };
        }
    }

    /// <summary>Returns when everything up to and including the sequence is in the store.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Unavailable"/>: the table is closed or dropped before that.</exception>
    public Task WaitLoadedAsync(ulong sequence, CancellationToken cancellation) => _loader.WaitAsync(sequence, cancellation);

    /// <summary>Takes no more frames, loads what is there until cancelled, and stops.</summary>
    internal async Task DrainAsync(CancellationToken cancellation)
    {
        await Log.CloseAsync();
        try
        {
            await _running.WaitAsync(cancellation);
        }
        catch (OperationCanceledException)
        {
            // the rest stays in the log and is loaded at the next start
        }
    }

    /// <summary>Removes the table from its store and deletes its log.</summary>
    internal async Task DropAsync(CancellationToken cancellation)
    {
        await StopAsync();
        try
        {
            await _store.DropAsync(cancellation);
        }
        finally
        {
            await DisposeAsync(); // nobody finds this table again: what the store still has goes by DropRemainsAsync
        }
        _context.Files.DeleteDirectory(_directory);
    }

    /// <summary>Removes what an interrupted creation or drop left of a table that is not open.</summary>
    internal static async Task DropRemainsAsync(TableContext context, Guid databaseId, Guid tableId, CancellationToken cancellation)
    {
        await using var store = await context.OpenStore(databaseId, tableId, cancellation);
        await store.DropAsync(cancellation);
        context.Files.DeleteDirectory(DirectoryOf(context, tableId));
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _loader.Dispose();
        Log.Dispose();
        await _store.DisposeAsync();
        _stop.Dispose();
        _schemaChange.Dispose();
        _replay.Dispose();
    }

    internal static string DirectoryOf(TableContext context, Guid tableId) => Path.Combine(context.LogsDirectory, tableId.ToString());

    async Task StopAsync()
    {
        await Log.CloseAsync();
        if (!_stop.IsCancellationRequested) _stop.Cancel();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
    }

    async Task RunAsync()
    {
        try
        {
            await _loader.RunAsync(_stop.Token);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // stopped
        }
        catch (Exception e)
        {
            _context.Logger.LoaderFailed(e, Id);
            throw;
        }
        finally
        {
            _loader.End(new SluiceException(ErrorCode.Unavailable, "The table is being closed; what is durable is loaded when it is open again.") { Outcome = RefusalOutcome.Unknown });
        }
    }

    /// <summary>The store's own word on where it is. What is in a damaged file may be no schema any more.</summary>
    static async Task<StoredTable?> ReadStoredAsync(ITableStore store, TableDefinition definition, CancellationToken cancellation)
    {
        try
        {
            return await store.ReadStateAsync(cancellation);
        }
        catch (Exception e) when (e is JsonException or InvalidDataException or FormatException or InvalidOperationException)
        {
            throw new StoreException(isTransient: false, $"what it says of table {definition.Schema.Name} cannot be understood: {e.Message}", e);
        }
    }

    /// <summary>Holds the store's position against the log: neither may be ahead or of another life.</summary>
    internal static void ThrowIfUnpaired(StoredTable? stored, TableLog log, LogSummary summary, TableDefinition definition)
    {
        var name = definition.Schema.Name;
        if (stored is null)
        {
            if (summary.Sequence > 0)
                throw Lacks($"the store has no table {name}, and its log is trimmed up to sequence {summary.Sequence}: restore the database from a backup, or rebuild it from what the log has");
            return;
        }
        var position = stored.Position;
        if (position.LogId != log.Id)
            throw new SluiceException(ErrorCode.Corrupt, $"table {name} was loaded from log {position.LogId}, but the log found is {log.Id}: database and log do not belong together");
        if (position.Incarnation != log.DurablePosition.Incarnation)
            throw new SluiceException(ErrorCode.Corrupt, $"table {name} was loaded from incarnation {position.Incarnation} of its log, but the log found is incarnation {log.DurablePosition.Incarnation}: database and log do not belong together");
        if (position.Sequence > log.ClosedSequence)
            throw new SluiceException(ErrorCode.Corrupt, $"table {name} is loaded up to sequence {position.Sequence}, but its log ends at {log.DurablePosition.Sequence}: acknowledged frames are missing");
        if (position.Sequence < summary.Sequence)
            throw Lacks($"table {name} is loaded up to sequence {position.Sequence}, but its log is trimmed up to {summary.Sequence}: restore a newer backup of the database, or rebuild it from what the log has");
        if (log.OldestWaiting(position.Sequence) <= summary.Sequence)
            throw Lacks($"table {name} is loaded up to sequence {position.Sequence}, but parts of a later request are trimmed: restore a newer backup of the database, or rebuild it from what the log has");

        static SluiceException Lacks(string message) => new(ErrorCode.DatabaseDamaged, message);
    }

    static SinkDefinition SqlDefinition(TableSchema schema, IReadOnlyList<string> columns) => new()
    {
        Id = Sink.SqlSinkId,
        Name = "sql",
        TableId = schema.TableId,
        MappingVersion = schema.Version,
        AllowMissingFields = true,
        Fields = [.. columns.Select(column => new FieldMapping(column, [PathStep.Member(column)]) { Unit = TimeUnit.Second })],
        MaxRequestBytes = int.MaxValue,
        MaxRecordsPerRequest = 1 << LogPosition.RecordIndexBits,
    };

    /// <summary>Keeps the log from being trimmed until the result is disposed: what a store has not loaded now stays in it.</summary>
    public IDisposable HoldLog()
    {
        lock (_trimming) _logHolds++;
        return new LogHold(this);
    }

    /// <summary>Copies the log into a directory that has none: everything acknowledged before the call is in it.</summary>
    /// <remarks>While <see cref="HoldLog"/> is held. Appends go on meanwhile; a request that is being received in parts is not in the copy.</remarks>
    /// <returns>The last position that is in the copy for certain.</returns>
    /// <exception cref="IOException">The disk refused; what was written so far is there.</exception>
    public LogPosition CopyLog(string directory)
    {
        var position = Log.CopyTo(directory);
        var summary = LogSummary.Read(_context.Files, _directory);
        if (!summary.IsEmpty) summary.Write(_context.Files, directory);
        return position;
    }

    /// <summary>Deletes old segments, once their content is in the summary. Runs on the loader's thread.</summary>
    void Trim(ulong loaded)
    {
        var now = _context.Time.GetTimestamp();
        if (now - _lastTrim < _trimIntervalTimestamp) return;
        _lastTrim = now;
        lock (_trimming)
        {
            if (_logHolds > 0) return;
            var segments = Log.FindTrimmable(loaded, Now());
            if (segments.Count == 0) return;
            try
            {
                LogTrimming.Run(_context.Files, _directory, Log, segments);
                _context.Logger.LogTrimmed(Id, segments.Count, segments[^1].LastSequence);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or SluiceException)
            {
                _context.Logger.LogTrimFailed(e, Id);
            }
        }
    }

    long Now() => _context.Time.GetUtcNow().ToUnixTimeMilliseconds() * 1_000;

    sealed class LogHold(Table table) : IDisposable
    {
        Table? _table = table;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _table, null) is not { } held) return;
            lock (held._trimming) held._logHolds--;
        }
    }
}
