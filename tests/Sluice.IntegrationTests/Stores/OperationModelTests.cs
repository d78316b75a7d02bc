using System.Diagnostics.Metrics;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Quarantine;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>
/// Records of all operations, with and without versions, over two sinks of one table and two restarts: from JSON through log and loader to the
/// table, against a dictionary. 80 seeds; 5,000 with SLUICE_TEST_LONG=1.
/// </summary>
public sealed class OperationModelTests : IAsyncLifetime
{
    const int ControlSeeds = 60;

    readonly TempDirectory _directory = TempDirectory.InMemory();
    readonly Guid _databaseId = Guid.NewGuid();
    DuckDbDatabases _databases = null!;

    static int Seeds => Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1" ? 5_000 : 80;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        _databases = new DuckDbDatabases(_directory.Path, new DuckDbOptions(), TimeProvider.System, NullLoggerFactory.Instance);
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _databases.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Any_records_make_the_table_that_a_dictionary_makes()
    {
        for (var seed = 1; seed <= Seeds; seed++)
            if (await FindDifferenceAsync(seed, store => store) is { } difference) Assert.Fail($"seed {seed}: {difference}");
    }

    /// <summary>Negative control: each rule, broken on its way to the store, is found out.</summary>
    [Theory]
    [InlineData(BrokenRule.RemovesAreDropped)]
    [InlineData(BrokenRule.RowsAreNotReset)]
    [InlineData(BrokenRule.DeletesAreDropped)]
    [InlineData(BrokenRule.StoredVersionsAreIgnored)]
    [InlineData(BrokenRule.TombstonesAreDropped)]
    [InlineData(BrokenRule.TombstonesNeverEnd)]
    [InlineData(BrokenRule.VersionsAreNotWritten)]
    [InlineData(BrokenRule.EveryKeyIsMissing)]
    public async Task A_broken_rule_is_noticed(BrokenRule rule)
    {
        for (var seed = 1; seed <= ControlSeeds; seed++)
            if (await FindDifferenceAsync(seed, store => new BrokenStore(store, rule)) is not null) return;
        Assert.Fail($"{ControlSeeds} seeds did not notice: {rule}");
    }

    /// <summary>Runs one seed; <c>null</c>: table, counts and errors are those of the model.</summary>
    async Task<string?> FindDifferenceAsync(int seed, Func<ITableStore, ITableStore> wrap)
    {
        var records = new RandomRecords(seed);
        var run = new OperationRun(records, wrap(await _databases.OpenTableAsync(_databaseId, records.Schema.TableId, Cancellation)), Path.Combine(_directory.Path, "log"));
        try
        {
            for (var restart = 0; restart < 3; restart++)
            {
                await run.SendAndLoadAsync();
                var difference = run.FindDifference(await ReadRowsAsync(records.Schema), await run.ReadErrorsAsync());
                if (difference is not null) return $"after {restart} restarts: {difference}";
                run.PassTime();
            }
            return null;
        }
        finally
        {
            await run.DropAsync();
        }
    }

    async Task<Dictionary<string, StoredRow>> ReadRowsAsync(TableSchema schema)
    {
        using var reader = await _databases.OpenDatabase(_databaseId).OpenReadConnectionAsync(Cancellation);
        return DuckDbRows.Read(reader.Connection, schema);
    }

    /// <summary>One table of one seed: what was sent to it, and what it must hold.</summary>
    sealed class OperationRun(RandomRecords records, ITableStore store, string logDirectory)
    {
        readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));
        readonly TableModel _model = new();
        readonly Dictionary<Guid, SinkCounts> _counts = [];
        readonly Dictionary<ulong, LateErrorCode> _errors = [];
        readonly Dictionary<Guid, SinkLedger> _read = [];
        readonly SinkDefinition[] _sinks = [records.Sink(mapsAll: true), records.Sink(mapsAll: records.Random.Next(2) == 0)];
        readonly LoadOptions _options = new() { MaxRecords = records.Random.Next(6) == 0 ? 1 : records.Random.Next(1, 200), MinInterval = TimeSpan.Zero };

        /// <summary>Opens the log, sends some requests, and loads until nothing is left.</summary>
        public async Task SendAndLoadAsync()
        {
            var isNew = !TableLog.Exists(DiskFiles.Instance, logDirectory);
            if (isNew) TableLog.Create(DiskFiles.Instance, logDirectory);
            var ledger = new TableLedger();
            using var log = TableLog.Open(DiskFiles.Instance, logDirectory, new LogOptions(), summarised: 0, (in FrameHeader header, ReadOnlySpan<byte> payload) => ledger.CountFrame(header, payload));
            if (isNew) await log.AppendAsync(BarrierFrame.Encode(records.Schema, 0));
            await SendAsync(log);

            var stored = await store.ReadStateAsync(Cancellation);
            if (stored is not null) ledger.CountLoaded(stored.Counts);
            using var loader = new Loader(Guid.Empty, log, store, stored, ledger, new IngestMeters(new SilentMeters()), _options, _time, NullLogger.Instance);
            await log.CloseAsync();
            await loader.RunAsync(Cancellation);
            foreach (var sink in _sinks) _read[sink.Id] = ledger.Read(sink.Id);
        }

        /// <summary>Now and then so long that tombstones count no more.</summary>
        public void PassTime() => _time.Advance(records.Random.Next(2) == 0 ? TimeSpan.FromHours(1) : _options.TombstoneWindow + TimeSpan.FromSeconds(1));

        public async Task<List<LateError>> ReadErrorsAsync()
        {
            var errors = new List<LateError>();
            foreach (var sink in _sinks) errors.AddRange(await store.ReadErrorsAsync(sink.Id, 10_000, Cancellation));
            return errors;
        }

        public string? FindDifference(Dictionary<string, StoredRow> actual, List<LateError> errors)
        {
            var expected = _model.Rows(records.Schema);
            foreach (var key in expected.Keys.Union(actual.Keys).Order(StringComparer.Ordinal))
            {
                if (Text(expected.GetValueOrDefault(key)) is var wanted && Text(actual.GetValueOrDefault(key)) is var found && wanted != found)
                    return $"key {key} is {found}, not {wanted}";
            }
            if (!errors.Select(error => (error.Position, error.Code)).Order().SequenceEqual(_errors.Select(error => (error.Key, error.Value)).Order()))
                return "other late errors";
            foreach (var sink in _sinks)
            {
                var (counts, ledger) = (_counts.GetValueOrDefault(sink.Id), _read[sink.Id]);
                if ((counts.Loaded, counts.Failed, counts.Superseded, 0) != (ledger.Loaded, ledger.Failed, ledger.Superseded, ledger.Pending))
                    return $"the ledger is {ledger}, not {counts}";
            }
            return null;
        }

        public async Task DropAsync()
        {
            await store.DropAsync(Cancellation);
            Directory.Delete(logDirectory, recursive: true);
        }

        async Task SendAsync(TableLog log)
        {
            var sent = new List<(List<TestRecord> Records, int[] Indexes, SinkDefinition Sink, long ReceivedAt, Task<LogPosition> Position)>();
            for (var request = records.Random.Next(1, 7); request > 0; request--)
            {
                var sink = _sinks[records.Random.Next(2)];
                var made = records.Request(sink);
                var receivedAt = _time.GetUtcNow().ToUnixTimeMilliseconds() * 1_000 + request;
                sent.Add((made, Encode(sink, made, receivedAt, out var frame), sink, receivedAt, log.AppendAsync(frame)));
            }
            foreach (var (made, indexes, sink, receivedAt, position) in sent)
            {
                var sequence = (await position).Sequence;
                for (var i = 0; i < made.Count; i++) Expect(made[i], sink, receivedAt, LogPosition.OfRecord(sequence, indexes[i]));
            }
        }

        void Expect(TestRecord record, SinkDefinition sink, long receivedAt, ulong position)
        {
            var outcome = _model.Apply(records.Schema, record, new RowOrigin(sink.Id, receivedAt), position, _time.GetUtcNow(), _options.TombstoneWindow);
            var isFailed = outcome is ModelOutcome.KeyExists or ModelOutcome.KeyMissing;
            var counts = _counts.GetValueOrDefault(sink.Id);
            _counts[sink.Id] = new SinkCounts(counts.Loaded + (isFailed ? 0 : 1), counts.Failed + (isFailed ? 1 : 0))
            {
                Superseded = counts.Superseded + (outcome == ModelOutcome.Superseded ? 1 : 0),
            };
            if (isFailed) _errors.Add(position, Enum.Parse<LateErrorCode>(outcome.ToString()));
        }

        /// <summary>Decodes the request as a sink does, with wrong records between the good ones.</summary>
        /// <returns>Where each record stands in the request.</returns>
        int[] Encode(SinkDefinition sink, List<TestRecord> made, long receivedAt, out FrameBuffer frame)
        {
            var unnamed = records.Random.Next(2) == 0 ? RecordOperation.Upsert : (RecordOperation)records.Random.Next(6);
            var elements = new List<string>();
            var indexes = new int[made.Count];
            for (var i = 0; i < made.Count; i++)
            {
                if (records.Random.Next(10) == 0) elements.Add("""{"value":{"_id":[]}}""");
                indexes[i] = elements.Count;
                elements.Add(records.Json(made[i], unnamed));
            }
            var body = Encoding.UTF8.GetBytes($"{{\"records\":[{string.Join(',', elements)}]}}");
            var decoder = RecordDecoder.Compile(sink, records.Schema);
            var rows = decoder.Rent();
            BatchReader.Read(body, BodyFormat.Records, unnamed, decoder, sink.MaxRecordsPerRequest, rows);
            Assert.Equal(made.Count, rows.AcceptedCount);
            frame = RecordsFrame.Encode(decoder, sink.Id, receivedAt, new RecordsFrame.Meta("caller", "", default, body.Length), rows, body);
            return indexes;
        }

        static string Text(StoredRow? row) => row is null
            ? "not there"
            : $"{string.Join(' ', row.Values.Select(value => $"{value.Key}={value.Value ?? "null"}"))} version {row.Version} of {row.SinkId} at {row.IngestedAtMicroseconds}, {row.Position}";
    }

    sealed class SilentMeters : IMeterFactory
    {
        public Meter Create(MeterOptions options) => new(options);

        public void Dispose()
        {
        }
    }
}

/// <summary>A rule of operations and versions that a <see cref="BrokenStore"/> breaks.</summary>
public enum BrokenRule
{
    RemovesAreDropped,
    RowsAreNotReset,
    DeletesAreDropped,
    StoredVersionsAreIgnored,
    TombstonesAreDropped,
    TombstonesNeverEnd,
    VersionsAreNotWritten,
    EveryKeyIsMissing,
}

/// <summary>A store that breaks one rule.</summary>
sealed class BrokenStore(ITableStore store, BrokenRule rule) : ITableStore
{
    public ValueTask<StoredTable?> ReadStateAsync(CancellationToken cancellation) => store.ReadStateAsync(cancellation);

    public ValueTask ApplySchemaAsync(TableSchema schema, LogPosition position, CancellationToken cancellation) => store.ApplySchemaAsync(schema, position, cancellation);

    public async ValueTask<KeyState[]> ReadKeysAsync(TableSchema schema, ColumnBuffer keys, long tombstonesFromMicroseconds, CancellationToken cancellation)
    {
        var states = await store.ReadKeysAsync(schema, keys, rule == BrokenRule.TombstonesNeverEnd ? 0 : tombstonesFromMicroseconds, cancellation);
        return rule switch
        {
            BrokenRule.StoredVersionsAreIgnored => [.. states.Select(state => state with { RowVersion = RecordOperations.NoVersion })],
            BrokenRule.EveryKeyIsMissing => [.. states.Select(state => state with { IsPresent = false })],
            _ => states,
        };
    }

    public ValueTask LoadAsync(LoadBatch batch, CancellationToken cancellation) =>
        store.LoadAsync(batch with { Operations = batch.Operations is { } operations ? Break(batch, operations) : null }, cancellation);

    public ValueTask CheckAsync(LoadBatch batch, CancellationToken cancellation) => store.CheckAsync(batch, cancellation);

    public ValueTask<DeletionOutcome> DeleteAsync(TableSchema schema, Deletion deletion, LogPosition position, CancellationToken cancellation) =>
        store.DeleteAsync(schema, deletion, position, cancellation);

    public ValueTask<ExpiryStep> ExpireAsync(RowExpiry expiry, CancellationToken cancellation) => store.ExpireAsync(expiry, cancellation);

    public ValueTask DropAsync(CancellationToken cancellation) => store.DropAsync(cancellation);

    public ValueTask<IReadOnlyList<LateError>> ReadErrorsAsync(Guid sinkId, int limit, CancellationToken cancellation) => store.ReadErrorsAsync(sinkId, limit, cancellation);

    public ValueTask<QuarantineOverview> ReadQuarantineAsync(Guid sinkId, long fromMicroseconds, CancellationToken cancellation) =>
        store.ReadQuarantineAsync(sinkId, fromMicroseconds, cancellation);

    public ValueTask<IReadOnlyList<QuarantineEntry>> ReadQuarantinedAsync(QuarantineSelection selection, int limit, CancellationToken cancellation) =>
        store.ReadQuarantinedAsync(selection, limit, cancellation);

    public ValueTask<IReadOnlySet<ulong>> ReadReplayedAsync(IReadOnlyList<ulong> positions, CancellationToken cancellation) => store.ReadReplayedAsync(positions, cancellation);

    public ValueTask<long> DiscardAsync(QuarantineSelection selection, CancellationToken cancellation) => store.DiscardAsync(selection, cancellation);

    public ValueTask<IReadOnlyList<int>> FindChangedSinceAsync(TableSchema schema, ColumnBuffer keys, IReadOnlyList<ulong> origins, CancellationToken cancellation) =>
        store.FindChangedSinceAsync(schema, keys, origins, cancellation);

    public ValueTask<KeptFate> ReadFateAsync(Guid sinkId, string requestId, ulong sequence, CancellationToken cancellation) =>
        store.ReadFateAsync(sinkId, requestId, sequence, cancellation);

    public ValueTask<KeptRequest?> FindRequestAsync(ulong sequence, CancellationToken cancellation) => store.FindRequestAsync(sequence, cancellation);

    public ValueTask ReadRequestKeysAsync(long fromMicroseconds, Action<KeptKey> visit, CancellationToken cancellation) => store.ReadRequestKeysAsync(fromMicroseconds, visit, cancellation);

    public ValueTask DisposeAsync() => store.DisposeAsync();

    RowOperations Break(LoadBatch batch, RowOperations from)
    {
        var to = new RowOperations(batch.Schema.Key) { TimeMicroseconds = from.TimeMicroseconds, TombstonesCountFrom = rule == BrokenRule.TombstonesNeverEnd ? 0 : from.TombstonesCountFrom };
        if (rule != BrokenRule.DeletesAreDropped) Copy(from.DeletedKeys, to.DeletedKeys);
        if (rule != BrokenRule.TombstonesAreDropped)
        {
            Copy(from.TombstoneKeys, to.TombstoneKeys);
            Copy(from.TombstoneVersions, to.TombstoneVersions);
        }
        for (var row = 0; row < batch.Rows.RowCount; row++)
        {
            to.Resets.AddBool(from.Resets.Bytes[row] != 0 && rule != BrokenRule.RowsAreNotReset);
            if (rule == BrokenRule.VersionsAreNotWritten) to.Versions.AddAbsent();
            else to.Versions.AddFrom(from.Versions, row);
        }
        foreach (var removed in from.Removed.Where(_ => rule != BrokenRule.RemovesAreDropped)) Copy(removed, to.RemovedOf(removed.ColumnId, removed.Kind));
        return to;
    }

    static void Copy(ColumnBuffer from, ColumnBuffer to)
    {
        for (var row = 0; row < from.RowCount; row++) to.AddFrom(from, row);
    }
}
