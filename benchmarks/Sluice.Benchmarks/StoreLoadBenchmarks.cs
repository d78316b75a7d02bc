using System.Buffers.Text;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Engines;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Load;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Stores.DuckDb;

namespace Sluice.Benchmarks;

/// <summary>
/// One load into an embedded table of a million rows with six columns: how long until it is committed. Changed keys are random.
/// A slow iteration among fast ones has a checkpoint in it.
/// </summary>
[MemoryDiagnoser]
[Config(typeof(OneLoadAnIteration))]
public class StoreLoadBenchmarks
{
    const int TableRows = 1_000_000;
    const int FillRows = 100_000;

    readonly Random _random = new(1);
    readonly string _directory = Directory.CreateTempSubdirectory("sluice-bench-").FullName;
    readonly Guid _sinkId = Guid.NewGuid();
    DuckDbDatabases _databases = null!;
    TableSchema _schema = null!;
    ITableStore _store = null!;
    LogPosition _position;
    long _nextKey = 1;
    LoadBatch _batch = null!;

    [Params(100, 1_000, 10_000, 100_000)]
    public int BatchRows { get; set; }

    /// <summary>With a set, no batch says all of a row.</summary>
    [Params(false, true)]
    public bool HasSet { get; set; }

    [GlobalSetup]
    public async Task FillAsync()
    {
        _databases = new DuckDbDatabases(_directory, new DuckDbOptions(), TimeProvider.System, NullLoggerFactory.Instance);
        _schema = new TableSchema { TableId = Guid.NewGuid(), Name = "t", Key = KeyKind.Number, Version = 1, Columns = [], NextColumnId = 1 }
            .WithColumn("name", ColumnType.String).WithColumn("quantity", ColumnType.Int).WithColumn("price", ColumnType.Decimal(2))
            .WithColumn("at", ColumnType.Timestamp(TimeUnit.Millisecond)).WithColumn("paid", ColumnType.Bool)
            .WithColumn("last", HasSet ? ColumnType.StringSet : ColumnType.Int);
        _store = await _databases.OpenTableAsync(Guid.NewGuid(), _schema.TableId, CancellationToken.None);
        _position = new LogPosition(Guid.NewGuid(), 1, 1);
        await _store.ApplySchemaAsync(_schema, _position, CancellationToken.None);
        while (_nextKey <= TableRows)
        {
            Prepare(NewKeys(FillRows), isPartial: false);
            await _store.LoadAsync(_batch, CancellationToken.None);
        }
    }

    [GlobalCleanup]
    public async Task CleanUpAsync()
    {
        await _databases.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [IterationSetup(Target = nameof(NewRows))]
    public void PrepareNewRows() => Prepare(NewKeys(BatchRows), isPartial: false);

    [IterationSetup(Target = nameof(AllOfStoredRows))]
    public void PrepareAllOfStoredRows() => Prepare(StoredKeys(BatchRows), isPartial: false);

    [IterationSetup(Target = nameof(HalfNewHalfStored))]
    public void PrepareHalfNewHalfStored() => Prepare([.. StoredKeys(BatchRows / 2), .. NewKeys(BatchRows / 2)], isPartial: false);

    [IterationSetup(Target = nameof(PartOfStoredRows))]
    public void PreparePartOfStoredRows() => Prepare(StoredKeys(BatchRows), isPartial: true);

    [Benchmark(Baseline = true)]
    public async Task NewRows() => await _store.LoadAsync(_batch, CancellationToken.None);

    [Benchmark]
    public async Task AllOfStoredRows() => await _store.LoadAsync(_batch, CancellationToken.None);

    [Benchmark]
    public async Task HalfNewHalfStored() => await _store.LoadAsync(_batch, CancellationToken.None);

    [Benchmark]
    public async Task PartOfStoredRows() => await _store.LoadAsync(_batch, CancellationToken.None);

    // each load changes the table, so each is prepared by itself
    sealed class OneLoadAnIteration : ManualConfig
    {
        public OneLoadAnIteration() => AddJob(Job.Default
            .WithToolchain(InProcessEmitToolchain.Instance).WithStrategy(RunStrategy.Monitoring)
            .WithWarmupCount(3).WithIterationCount(15).WithInvocationCount(1).WithUnrollFactor(1))
            .AddColumn(StatisticColumn.Median, StatisticColumn.Max);
    }

    long[] NewKeys(int count)
    {
        var keys = new long[count];
        for (var i = 0; i < count; i++) keys[i] = _nextKey++;
        return keys;
    }

    long[] StoredKeys(int count)
    {
        var keys = new HashSet<long>(count);
        while (keys.Count < count) keys.Add(_random.NextInt64(1, TableRows + 1));
        return [.. keys];
    }

    void Prepare(long[] keys, bool isPartial)
    {
        _position = _position with { Sequence = _position.Sequence + 1 };
        var rows = new RowBatch(KeyKind.Number);
        rows.Origins.Add(new RowOrigin(_sinkId, 1_700_000_000_000_000));
        for (var i = 0; i < keys.Length; i++)
        {
            rows.Key.AddInt64(keys[i]);
            rows.AddRowOrigin(LogPosition.OfRecord(_position.Sequence, i), 0);
        }
        foreach (var column in _schema.Columns)
        {
            if (isPartial && column.Name is not ("quantity" or "price" or "last")) continue;
            rows.AddColumn(Cells(column, keys, everySecondIsAbsent: isPartial && column.Name == "price"));
        }
        var counts = new Dictionary<Guid, SinkCounts> { [_sinkId] = new(keys.Length, 0) };
        _batch = new LoadBatch(_schema, rows, _position, counts, []);
    }

    static ColumnBuffer Cells(Schema.Column column, long[] keys, bool everySecondIsAbsent)
    {
        var cells = ColumnBuffer.For(column);
        Span<byte> text = stackalloc byte[40];
        "customer number "u8.CopyTo(text);
        foreach (var key in keys)
        {
            if (everySecondIsAbsent && key % 2 == 0)
            {
                cells.AddAbsent();
                continue;
            }
            switch (column.Type.Kind)
            {
                case ColumnKind.String:
                    Utf8Formatter.TryFormat(key, text[16..], out var digits);
                    cells.AddText(text[..(16 + digits)]);
                    break;
                case ColumnKind.StringSet:
                    cells.AddMember("red"u8);
                    cells.AddMember(key % 3 == 0 ? "green"u8 : "blue"u8);
                    cells.EndList();
                    break;
                case ColumnKind.Bool:
                    cells.AddBool(key % 2 == 0);
                    break;
                default:
                    cells.AddInt64(key);
                    break;
            }
        }
        return cells;
    }
}
