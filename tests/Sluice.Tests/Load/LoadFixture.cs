using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Log;
using Sluice.Tests.Records;

namespace Sluice.Tests.Load;

/// <summary>Meters that nobody listens to.</summary>
sealed class SilentMeters : IMeterFactory
{
    public Meter Create(MeterOptions options) => new(options);

    public void Dispose()
    {
    }
}

/// <summary>A log in memory, a table in memory, and the loader between them, on a clock that stands still until it is moved.</summary>
sealed class LoadFixture : IDisposable
{
    readonly TestLog _log;
    Loader? _loader;

    LoadFixture(TestLog log, MemoryDatabase database, LoadOptions options) => (_log, Database, Options) = (log, database, options);

    public MemoryDatabase Database { get; }

    public LoadOptions Options { get; }

    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));

    public TableLedger Ledger { get; private set; } = new();

    public TableLog Log => _log.Log;

    public Loader Loader => _loader!;

    public static async Task<LoadFixture> CreateAsync(TableSchema schema, LoadOptions? options = null)
    {
        var fixture = CreateEmpty(options);
        await fixture.ChangeAsync(schema);
        return fixture;
    }

    /// <summary>Without a first schema in the log.</summary>
    public static LoadFixture CreateEmpty(LoadOptions? options = null)
    {
        var fixture = new LoadFixture(TestLog.Create(FileSystem.Memory), new MemoryDatabase(), options ?? new LoadOptions());
        fixture.Open();
        return fixture;
    }

    public Task<LogPosition> ChangeAsync(TableSchema schema) => Log.AppendAsync(BarrierFrame.Encode(schema, 0));

    /// <summary>Sends one request, as a sink does.</summary>
    public Task<LogPosition> SendAsync(TableSchema schema, params string[] values) => SendAsync(SampleTable.SinkOf(schema), schema, values);

    public Task<LogPosition> SendAsync(SinkDefinition sink, TableSchema schema, params string[] values) => Log.AppendAsync(Encode(sink, schema, values));

    public static FrameBuffer Encode(SinkDefinition sink, TableSchema schema, params string[] values)
    {
        var decoder = RecordDecoder.Compile(sink, schema);
        var rows = decoder.Rent();
        var body = SampleTable.Body(values);
        BatchReader.Read(body, BodyFormat.Records, RecordOperation.Upsert, decoder, sink.MaxRecordsPerRequest, rows);
        return RecordsFrame.Encode(decoder, sink.Id, receivedAtMicroseconds: 60_000_000, new RecordsFrame.Meta("caller", "", default, 0), rows, body);
    }

    /// <summary>Begins a request in parts.</summary>
    public TestUpload Upload(TableSchema schema, SinkDefinition? sink = null) => new(Log, sink ?? SampleTable.SinkOf(schema), schema);

    /// <summary>Sends one request in parts, one after the other.</summary>
    public async Task<LogPosition> SendPartsAsync(TableSchema schema, params string[][] parts)
    {
        await using var upload = Upload(schema);
        foreach (var part in parts[..^1]) await upload.AppendAsync(part);
        return await upload.CompleteAsync(parts[^1]);
    }

    /// <summary>Loads all that is in the log and stops; the clock runs as fast as anybody waits for it.</summary>
    public async Task LoadAllAsync()
    {
        await Log.CloseAsync();
        await PassTimeUntilAsync(Task.Run(() => Loader.RunAsync(CancellationToken.None)));
    }

    /// <summary>Moves the clock on until the task has ended.</summary>
    public async Task PassTimeUntilAsync(Task task)
    {
        var patience = Task.Delay(TimeSpan.FromSeconds(20), TimeProvider.System, CancellationToken.None);
        while (!task.IsCompleted)
        {
            Assert.False(patience.IsCompleted, "nothing happens any more");
            Time.Advance(TimeSpan.FromMilliseconds(10));
            await Task.Yield();
        }
        await task;
    }

    /// <summary>What a process finds that starts after this one was killed.</summary>
    public LoadFixture Restart()
    {
        _loader?.Dispose();
        var log = _log.On(_log.Memory.Kill());
        _log.Dispose();
        var fixture = new LoadFixture(log, Database, Options);
        fixture.Open();
        return fixture;
    }

    /// <summary>What a process finds after a repair of the log.</summary>
    /// <param name="damage">Given the bytes of the one segment, each with its frames' headers.</param>
    public LoadFixture Repair(Action<byte[], Dictionary<ulong, int>> damage)
    {
        _loader?.Dispose();
        var log = _log.On(_log.Memory.Kill());
        _log.Dispose();
        foreach (var path in log.Segments)
        {
            var bytes = log.ReadFile(path);
            var frames = new Dictionary<ulong, int>();
            for (var at = LogSegment.HeaderSize; at < bytes.Length; at += 8)
                if (FrameHeader.TryRead(bytes.AsSpan(at), out var header)) frames.Add(header.Position.Sequence, at);
            damage(bytes, frames);
            log.WriteFile(path, bytes);
        }
        LogRepair.Plan(log.Real, log.Directory, Database.Read(), 1).Apply($"{log.Directory}-aside-{Guid.NewGuid()}");
        var fixture = new LoadFixture(log, Database, Options);
        fixture.Open();
        return fixture;
    }

    /// <summary>received = accepted + rejected, and accepted = loaded + failed + pending, with nothing below zero.</summary>
    public SinkLedger AssertBalanced(Guid sinkId)
    {
        var ledger = Ledger.Read(sinkId);
        Assert.Equal(ledger.Received, ledger.Accepted + ledger.Rejected);
        Assert.Equal(ledger.Accepted, ledger.Loaded + ledger.Failed + ledger.Pending);
        Assert.True(ledger is { Rejected: >= 0, Loaded: >= 0, Failed: >= 0, Pending: >= 0 }, ledger.ToString());
        return ledger;
    }

    public void Dispose()
    {
        _loader?.Dispose();
        _log.Dispose();
    }

    void Open()
    {
        var summary = LogSummary.Read(_log.Real, _log.Directory);
        Ledger = new TableLedger();
        Ledger.AddSummary(summary.Sinks);
        _log.OnDurable = (in FrameHeader header, ReadOnlySpan<byte> payload) => Ledger.CountFrame(header, payload);
        _log.Log?.Dispose();
        _log.Open(summary.Sequence, summary.Torn);
        var store = Database.Open();
        var stored = Database.Read();
        if (stored is not null) Ledger.CountLoaded(stored.Counts);
        _loader = new Loader(Guid.Empty, Log, store, stored, Ledger, new IngestMeters(new SilentMeters()), Options, Time, NullLogger.Instance);
    }
}
