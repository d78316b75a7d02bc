using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Load;
using Sluice.Tests.Records;

namespace Sluice.Tests.Idempotency;

/// <summary>Requests with keys through a whole engine on a real directory, with the table in memory.</summary>
public sealed class IdempotencyTests : IDisposable
{
    const string Text = """{"records":[{"value":{"_id":1,"i":5}},{"value":{"_id":"x"}},{"value":{"_id":2,"i":1.5}}]}""";

    static readonly TableSchema Table = SampleTable.TableOf(KeyKind.Number, ("i", ColumnType.Int));
    static readonly SinkDefinition SinkDefinition = SampleTable.SinkOf(Table);

    readonly string _directory = Directory.CreateTempSubdirectory("sluice-keys-").FullName;
    readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));
    readonly MemoryDatabase _database = new();
    LogOptions _log = new();
    int _maxKeys = 1_000;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task The_same_request_is_answered_again_and_stored_once()
    {
        await using var engine = await CreateAsync();
        var first = await SendAsync(engine, "a");
        Assert.False(first.IsRepeated);
        AssertSame(first, await SendAsync(engine, "a")); // from the log or the store, whichever has it
        await LoadAsync(engine, first);
        AssertSame(first, await SendAsync(engine, "a"));
        Assert.Equal((1, 3, 2), Ledger(engine));
        Assert.False((await SendAsync(engine, "b")).IsRepeated);
        Assert.Equal((2, 6, 4), Ledger(engine));
    }

    [Fact]
    public async Task The_same_key_with_another_body_format_or_operation_is_refused()
    {
        await using var engine = await CreateAsync();
        await SendAsync(engine, "a");
        var sink = engine.FindSink(SinkDefinition.Id)!;
        Assert.Equal(ErrorCode.KeyReused, await CodeOfAsync(() => SendAsync(engine, "a", Text + " ")));
        Assert.Equal(ErrorCode.KeyReused, await CodeOfAsync(() => sink.IngestOnceAsync("a", new BodyWindow(Encoding.UTF8.GetBytes(Text)), BodyFormat.Records, RecordOperation.Patch, "caller", Cancellation).AsTask()));
        Assert.Equal(ErrorCode.KeyReused, await CodeOfAsync(() => sink.IngestOnceAsync("a", new BodyWindow(Encoding.UTF8.GetBytes(Text)), BodyFormat.Lines, RecordOperation.Upsert, "caller", Cancellation).AsTask()));
        Assert.Equal((1, 3, 2), Ledger(engine));
    }

    [Theory]
    [InlineData("")]
    [InlineData("é")]
    [InlineData("a\n")]
    public async Task A_key_that_is_none_is_refused(string key)
    {
        await using var engine = await CreateAsync();
        Assert.Equal(ErrorCode.InvalidParameter, await CodeOfAsync(() => SendAsync(engine, key)));
        Assert.Equal(ErrorCode.InvalidParameter, await CodeOfAsync(() => SendAsync(engine, new string('k', 256))));
        Assert.Equal((0, 0, 0), Ledger(engine));
    }

    [Fact]
    public async Task Requests_with_one_key_that_run_beside_each_other_make_one_frame()
    {
        await using var engine = await CreateAsync();
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => Task.Run(() => SendAsync(engine, "a"))));
        Assert.Single(outcomes, outcome => !outcome.IsRepeated);
        Assert.Single(outcomes.Select(outcome => outcome.RequestId).Distinct());
        Assert.Equal((1, 3, 2), Ledger(engine));
    }

    [Fact]
    public async Task A_refusal_frees_the_key()
    {
        await using var engine = await CreateAsync();
        Assert.Equal(ErrorCode.InvalidBody, await CodeOfAsync(() => SendAsync(engine, "a", "{")));
        Assert.False((await SendAsync(engine, "a")).IsRepeated);
    }

    [Fact]
    public async Task A_request_that_nobody_waits_for_any_more_keeps_its_key()
    {
        await using var engine = await CreateAsync();
        using var impatience = new CancellationTokenSource();
        await impatience.CancelAsync();
        await SendAsync(engine, "a"); // a key that is known does not hide the point
        var sink = engine.FindSink(SinkDefinition.Id)!;
        var outcome = await sink.IngestOnceAsync("b", new BodyWindow(Encoding.UTF8.GetBytes(Text)), BodyFormat.Records, RecordOperation.Upsert, "caller", impatience.Token);
        AssertSame(outcome, await SendAsync(engine, "b"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_key_survives_a_restart_before_and_after_loading(bool isLoaded)
    {
        BatchOutcome first;
        await using (var engine = await CreateAsync())
        {
            if (!isLoaded) _database.FailCalls(1, count: 1_000_000);
            first = await SendAsync(engine, "a");
            if (isLoaded) await LoadAsync(engine, first);
            else AssertSame(first, await SendAsync(engine, "a"));
        }
        await using var again = await OpenAsync();
        AssertSame(first, await SendAsync(again, "a"));
        Assert.Equal(ErrorCode.KeyReused, await CodeOfAsync(() => SendAsync(again, "a", "{}")));
        Assert.Equal((1, 3, 2), Ledger(again));
    }

    [Fact]
    public async Task A_request_that_is_lost_is_stored_when_it_comes_again_and_nothing_waits_for_it()
    {
        BatchOutcome lost;
        await using (var engine = await CreateAsync())
        {
            _database.FailCalls(1, count: 1_000_000);
            lost = await SendAsync(engine, "a");
        }
        _database.FailCalls(0, 0);
        var log = Assert.Single(Directory.GetDirectories(Path.Combine(_directory, "logs")));
        (LogSummary.Empty with { Torn = [lost.Sequence], Sinks = [new SummarisedSink(SinkDefinition.Id, 0, 0, 0, []) { Lost = 2, LostAt = 1 }] }).Write(DiskFiles.Instance, log); // as a repair says it
        await using var again = await OpenAsync();
        await LoadAsync(again, lost).WaitAsync(TimeSpan.FromSeconds(20), TimeProvider.System, Cancellation); // it is the last in the log
        Assert.Equal(new SinkVolume(Text.Length, 0, 0), again.FindSink(SinkDefinition.Id)!.ReadVolume());
        Assert.Empty(_database.Rows());

        var stored = await SendAsync(again, "a");
        Assert.False(stored.IsRepeated);
        await LoadAsync(again, stored);
        Assert.Equal(2, _database.Rows().Length);
        Assert.Equal((2, 6, 4), Ledger(again));
        AssertSame(stored, await SendAsync(again, "a"));
    }

    [Fact]
    public async Task A_key_survives_the_trimming_of_its_log()
    {
        _log = new LogOptions { SegmentBytes = 1, RetainedBytes = 1 };
        BatchOutcome first;
        await using (var engine = await CreateAsync())
        {
            first = await SendAsync(engine, "a");
            await LoadAsync(engine, first);
            for (var i = 0; LoggedRequest.Find(engine.FindTable(Table.TableId)!.Log, first.Sequence) is not null; i++)
            {
                Assert.True(i < 100, "the log is not trimmed");
                _time.Advance(TimeSpan.FromSeconds(11));
                await LoadAsync(engine, await SendAsync(engine, $"other {i}"));
            }
            AssertSame(first, await SendAsync(engine, "a"));
        }
        await using var again = await OpenAsync();
        AssertSame(first, await SendAsync(again, "a"));
    }

    [Fact]
    public async Task A_key_is_forgotten_after_a_day_and_the_oldest_when_there_are_too_many()
    {
        _maxKeys = 2;
        await using var engine = await CreateAsync();
        await SendAsync(engine, "a");
        Assert.Equal(TimeSpan.FromHours(24), engine.FindSink(SinkDefinition.Id)!.ReadIdempotencyWindow().Window);
        _time.Advance(TimeSpan.FromSeconds(10));
        await SendAsync(engine, "b");
        await SendAsync(engine, "c");
        Assert.Equal(new IdempotencyWindow(2, TimeSpan.FromSeconds(9)), engine.FindSink(SinkDefinition.Id)!.ReadIdempotencyWindow());
        Assert.True((await SendAsync(engine, "c")).IsRepeated);
        Assert.False((await SendAsync(engine, "a")).IsRepeated);
        _time.Advance(TimeSpan.FromHours(24) + TimeSpan.FromSeconds(1));
        Assert.False((await SendAsync(engine, "c")).IsRepeated);
    }

    [Fact]
    public async Task The_ledger_counts_bytes_and_what_waits()
    {
        await using var engine = await CreateAsync();
        _database.FailCalls(1, count: 1_000_000);
        var received = _time.GetUtcNow().ToUnixTimeSeconds() * 1_000_000;
        await SendAsync(engine, "a");
        _time.Advance(TimeSpan.FromSeconds(3));
        await SendAsync(engine, "b");
        var sink = engine.FindSink(SinkDefinition.Id)!;
        Assert.Equal(new SinkVolume(2 * Text.Length, 2 * Text.Length, received), sink.ReadVolume());
        Assert.Equal(4, sink.ReadLedger().Pending);
        Assert.Equal((sink.ReadLedger(), sink.ReadVolume()), (engine.FindTable(Table.TableId)!.ReadLedger(), engine.FindTable(Table.TableId)!.ReadVolume()));
    }

    [Fact]
    public async Task Bytes_are_counted_over_restarts_and_nothing_waits_that_is_loaded()
    {
        await using (var engine = await CreateAsync()) await LoadAsync(engine, await SendAsync(engine, "a"));
        await using var again = await OpenAsync();
        Assert.Equal(new SinkVolume(Text.Length, 0, 0), again.FindSink(SinkDefinition.Id)!.ReadVolume());
    }

    static void AssertSame(BatchOutcome first, BatchOutcome again)
    {
        Assert.True(again.IsRepeated);
        Assert.Equal((first.RequestId, first.RecordCount), (again.RequestId, again.RecordCount));
        Assert.Equal(first.Warnings, again.Warnings);
        Assert.Equal(first.Rejected.Select(record => (record.Index, record.IsDiscarded)), again.Rejected.Select(record => (record.Index, record.IsDiscarded)));
        Assert.Equal(first.Rejected.SelectMany(record => record.Errors), again.Rejected.SelectMany(record => record.Errors));
        Assert.NotEmpty(again.Warnings);
        Assert.NotEmpty(again.Rejected[0].Errors);
    }

    static async Task<ErrorCode> CodeOfAsync(Func<Task> send) => (await Assert.ThrowsAsync<SluiceException>(send)).Code;

    static (long, long, long) Ledger(Engine engine)
    {
        var ledger = engine.FindSink(SinkDefinition.Id)!.ReadLedger();
        return (ledger.Requests, ledger.Received, ledger.Accepted);
    }

    static Task<BatchOutcome> SendAsync(Engine engine, string key, string body = Text) =>
        engine.FindSink(SinkDefinition.Id)!.IngestOnceAsync(key, new BodyWindow(Encoding.UTF8.GetBytes(body)), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation).AsTask();

    static Task LoadAsync(Engine engine, BatchOutcome outcome) => engine.FindTable(Table.TableId)!.WaitLoadedAsync(outcome.Sequence, Cancellation);

    async Task<Engine> CreateAsync()
    {
        var engine = await OpenAsync(isNew: true);
        await engine.CreateTableAsync(new TableDefinition(Guid.NewGuid(), Table), Cancellation);
        engine.PutSink(SinkDefinition);
        return engine;
    }

    Task<Engine> OpenAsync(bool isNew = false) => Engine.OpenAsync(
        new EngineOptions { DataDirectory = _directory, Log = _log, Idempotency = new IdempotencyOptions { MaxKeys = _maxKeys } },
        isNew ? [] : [new TableDefinition(Guid.NewGuid(), Table)], isNew ? [] : [SinkDefinition],
        (_, _, _) => new ValueTask<ITableStore>(_database.Open()), _time, NullLoggerFactory.Instance, new SilentMeters(), Cancellation);
}
