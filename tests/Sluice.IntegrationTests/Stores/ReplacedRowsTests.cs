using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Load;
using Sluice.Log;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>
/// DuckDB keeps in memory which rows of a table are deleted, evicts none of it, and leaves rows that no transaction can delete any more when the memory ends while it deletes:
/// a table whose rows are replaced must not stop loading for ever at any size.
/// </summary>
public sealed class ReplacedRowsTests : IDisposable
{
    const int RowCount = 2_000_000;
    const int ChangedRows = 130_000;
    const int MaxLoads = 60;
    const double ShareMiB = 64;

    // nothing is given back by a checkpoint
    static readonly DuckDbOptions s_options = new() { MemoryBytes = (long)ShareMiB << 20, Threads = 1, CheckpointBytes = long.MaxValue };

    readonly TempDirectory _directory = new();
    readonly Guid _databaseId = Guid.NewGuid();
    readonly Random _random = new(20_261_128);
    readonly long[] _values = new long[RowCount];
    readonly TableSchema _schema = new TableSchema { TableId = Guid.NewGuid(), Name = "t", Key = KeyKind.Number, Version = 1, Columns = [], NextColumnId = 1 }
        .WithColumn("value", ColumnType.Int);

    LogPosition _position = new(Guid.NewGuid(), 1, 1);

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Loads_get_the_memory_they_need()
    {
        await using var databases = Open(_directory.Path, s_options);
        var store = await CreateAsync(databases);
        var load = 0;
        while (await LimitMiBAsync(databases) == ShareMiB)
        {
            Assert.True(++load <= MaxLoads, "the memory of its share sufficed: nothing is proved");
            await LoadAsync(store, RandomKeys(), load);
        }
        Assert.True(load > 0, "to fill the table took more than its share: nothing is proved");
        for (var more = 0; more < 5; more++) await LoadAsync(store, RandomKeys(), ++load);
        await AssertRowsAsync(databases);
    }

    [Fact]
    public async Task So_does_opening_the_file_again_after_a_crash()
    {
        var (first, crashed) = (Path.Combine(_directory.Path, "first"), Path.Combine(_directory.Path, "crashed"));
        await using (var databases = Open(first, s_options with { MemoryBytes = 1 << 30 }))
        {
            var store = await CreateAsync(databases);
            for (var load = 1; load <= 60; load++) await LoadAsync(store, RandomKeys(), load);
            Directory.CreateDirectory(Path.Combine(crashed, "databases"));
            await databases.OpenDatabase(_databaseId).RunAsync(_ => CopyFiles(), Cancellation); // no checkpoint falls into it
        }
        await using var again = Open(crashed, s_options);
        Assert.True(await LimitMiBAsync(again) > ShareMiB, "the memory of its share sufficed: nothing is proved");
        await AssertRowsAsync(again);
        await LoadAsync(await again.OpenTableAsync(_databaseId, _schema.TableId, Cancellation), RandomKeys(), 1_000);
        await AssertRowsAsync(again);

        int CopyFiles()
        {
            var files = Directory.GetFiles(Path.Combine(first, "databases"));
            foreach (var file in files) File.Copy(file, file.Replace(first, crashed, StringComparison.Ordinal));
            return files.Length;
        }
    }

    static DuckDbDatabases Open(string directory, DuckDbOptions options) => new(directory, options, TimeProvider.System, NullLoggerFactory.Instance);

    async Task<ITableStore> CreateAsync(DuckDbDatabases databases)
    {
        var store = await databases.OpenTableAsync(_databaseId, _schema.TableId, Cancellation);
        await store.ApplySchemaAsync(_schema, _position, Cancellation);
        for (var key = 0; key < RowCount; key += 200_000) await LoadAsync(store, Enumerable.Range(key, 200_000), value: 0);
        return store;
    }

    HashSet<int> RandomKeys()
    {
        var keys = new HashSet<int>();
        while (keys.Count < ChangedRows) keys.Add(_random.Next(RowCount));
        return keys;
    }

    async Task LoadAsync(ITableStore store, IEnumerable<int> keys, long value)
    {
        _position = _position with { Sequence = _position.Sequence + 1 };
        var rows = new RowBatch(_schema.Key);
        rows.Origins.Add(TestRows.OriginOf(_position.Sequence));
        var column = ColumnBuffer.For(_schema.Columns[0]);
        rows.AddColumn(column);
        foreach (var key in keys)
        {
            rows.AddRowOrigin(LogPosition.OfRecord(_position.Sequence, rows.RowCount), 0);
            rows.Key.AddInt64(key);
            column.AddInt64(value);
            _values[key] = value;
        }
        await store.LoadAsync(new LoadBatch(_schema, rows, _position, new Dictionary<Guid, SinkCounts>(), []), Cancellation);
    }

    async Task AssertRowsAsync(DuckDbDatabases databases)
    {
        var found = await databases.OpenDatabase(_databaseId).RunAsync(
            db => db.Query("SELECT count(*), sum(value), sum(value * _id)::BIGINT FROM t", row => (row.GetInt64(0), (long)row.GetFieldValue<System.Numerics.BigInteger>(1), row.GetInt64(2)))[0], Cancellation);
        Assert.Equal((RowCount, _values.Sum(), _values.Select((value, key) => value * key).Sum()), found);
    }

    async Task<double> LimitMiBAsync(DuckDbDatabases databases)
    {
        var text = await databases.OpenDatabase(_databaseId).RunAsync(db => db.Query("SELECT current_setting('memory_limit')", row => row.GetString(0))[0], Cancellation);
        Assert.EndsWith(" MiB", text, StringComparison.Ordinal);
        return double.Parse(text.Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture);
    }
}
