using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Load;
using Sluice.Quotas;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Load;
using Sluice.Tests.Records;

namespace Sluice.Tests.Quotas;

/// <summary>What a sink charges for, through the engine on a real directory with a table in memory.</summary>
public sealed class SinkQuotaTests : IDisposable
{
    const int Rate = 10;

    static readonly TableSchema Table = SampleTable.TableOf(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String));
    static readonly Quota ByRecords = new() { RecordsPerSecond = Rate, BurstSeconds = 1 };
    static readonly SinkDefinition Definition = SampleTable.SinkOf(Table) with { Quota = ByRecords };

    readonly string _directory = Directory.CreateTempSubdirectory("sluice-quota-").FullName;
    readonly MemoryDatabase _database = new();
    readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData("whole")]
    [InlineData("large")]
    [InlineData("once")]
    public async Task A_request_is_charged_for_its_records_right_and_wrong_and_the_next_waits_for_it(string door)
    {
        await using var engine = await OpenAsync();
        var sink = engine.FindSink(Definition.Id)!;
        Assert.Null(sink.FindRefusal("caller"));
        var outcome = await SendAsync(sink, "caller", door, good: 20, bad: 15);
        Assert.Equal((20, 15), (outcome.AcceptedCount, outcome.RejectedCount));

        var refused = sink.FindRefusal("caller")!;
        Assert.Equal((ErrorCode.QuotaExceeded, RefusalOutcome.NotStored), (refused.Code, refused.Outcome));
        Assert.Equal((35 - Rate + 1) / (double)Rate, refused.RetryAfter!.Value.TotalSeconds, 0.0001);
        sink.ThrowIfNotAdmitting(); // the server itself has room

        _time.Advance(refused.RetryAfter.Value);
        Assert.Null(sink.FindRefusal("caller"));
    }

    [Theory]
    [InlineData("whole")]
    [InlineData("large")]
    public async Task Bytes_are_those_of_the_body(string door)
    {
        await using var engine = await OpenAsync(Definition with { Quota = new Quota { BytesPerSecond = 100, BurstSeconds = 1 } });
        var sink = engine.FindSink(Definition.Id)!;
        await SendAsync(sink, "caller", door, good: 50, bad: 0);
        Assert.Equal((Body(50, 0).Length - 100 + 1) / 100.0, Wait(sink, "caller").TotalSeconds, 0.0001);
    }

    [Theory]
    [InlineData("whole")]
    [InlineData("large")]
    public async Task What_was_decoded_is_charged_also_when_the_request_is_refused_for_it(string door)
    {
        await using var engine = await OpenAsync();
        var sink = engine.FindSink(Definition.Id)!;
        var broken = Encoding.UTF8.GetBytes($"{{\"records\":[{string.Join(',', Enumerable.Range(0, 30).Select(id => $"{{\"value\":{{\"_id\":{id}}}}}"))},");
        await Assert.ThrowsAsync<SluiceException>(() => SendAsync(sink, "caller", door, broken));
        Assert.Equal((30 - Rate + 1) / (double)Rate, Wait(sink, "caller").TotalSeconds, 0.0001);
    }

    [Fact]
    public async Task A_large_body_is_charged_while_it_arrives()
    {
        await using var engine = await OpenAsync(Definition with { MaxRecordsPerRequest = 1_000_000, MaxRequestBytes = 1L << 30 });
        var sink = engine.FindSink(Definition.Id)!;
        var line = Encoding.UTF8.GetBytes($"{{\"_id\":7,\"unknown\":\"{new string('x', 1_000)}\"}}\n");
        var (left, midway) = (12_000L * line.Length, TimeSpan.Zero);
        using var body = new BodyWindow(PooledBody.Rent(1 << 20, new BodyBudget(64 << 20)), 1L << 30, new BodyBudget(64 << 20), (room, _) =>
        {
            if (left < 6_000L * line.Length && midway == TimeSpan.Zero) midway = Wait(sink, "caller");
            var rest = line.AsMemory()[^(int)(left % line.Length == 0 ? Math.Min(line.Length, left) : left % line.Length)..];
            var count = Math.Min(rest.Length, room.Length);
            rest[..count].CopyTo(room);
            left -= count;
            return new ValueTask<int>(count);
        });
        await sink.IngestLargeAsync(body, BodyFormat.Lines, RecordOperation.Upsert, "caller", Cancellation);
        Assert.InRange(midway.TotalSeconds, 100, 6_000 / Rate);
        Assert.Equal((12_000 - Rate + 1) / (double)Rate, Wait(sink, "caller").TotalSeconds, 0.0001);
    }

    [Fact]
    public async Task Another_mapping_or_schema_does_not_refill_the_bucket()
    {
        await using var engine = await OpenAsync();
        var sink = engine.FindSink(Definition.Id)!;
        await SendAsync(sink, "caller", "whole", good: 100, bad: 0);
        var owed = Wait(sink, "caller");
        engine.PutSink(Definition with { MappingVersion = 2, AllowMissingFields = false });
        await engine.ChangeTableAsync(Table.WithColumn("new", ColumnType.Int), Cancellation);
        Assert.Same(sink, engine.FindSink(Definition.Id));
        Assert.Equal(owed, Wait(sink, "caller"));

        engine.PutSink(Definition with { MappingVersion = 3, Quota = new Quota() });
        Assert.Null(sink.FindRefusal("caller"));
    }

    [Fact]
    public async Task A_sender_has_a_quota_of_its_own_over_all_sinks()
    {
        var other = Definition with { Id = Guid.NewGuid(), Name = "other", Quota = new Quota() };
        await using var engine = await OpenAsync(Definition with { Quota = new Quota() });
        engine.PutSink(other);
        var (sink, next) = (engine.FindSink(Definition.Id)!, engine.FindSink(other.Id)!);
        var sender = new Sender("key", new QuotaBucket(ByRecords, _time));
        await SendAsync(sink, sender, "whole", good: 35, bad: 0);

        Assert.Equal((35 - Rate + 1) / (double)Rate, Wait(next, sender).TotalSeconds, 0.0001);
        Assert.Contains("The key may send", sink.FindRefusal(sender)!.Message, StringComparison.Ordinal);
        Assert.Null(next.FindRefusal("another"));
    }

    [Fact]
    public async Task Who_is_over_both_quotas_is_told_the_longer_time()
    {
        await using var engine = await OpenAsync();
        var sink = engine.FindSink(Definition.Id)!;
        var sender = new Sender("key", new QuotaBucket(new Quota { RecordsPerSecond = 1, BurstSeconds = 1 }, _time));
        await SendAsync(sink, sender, "whole", good: 20, bad: 0);
        Assert.Equal(20, Wait(sink, sender).TotalSeconds, 0.0001);
    }

    [Fact]
    public async Task Sql_dry_runs_and_repeated_answers_are_not_charged()
    {
        await using var engine = await OpenAsync();
        var sink = engine.FindSink(Definition.Id)!;
        await engine.FindTable(Table.TableId)!.InsertAsync("""[{"_id":1},{"_id":2}]"""u8.ToArray(), ["_id"], RecordOperation.Upsert, "caller", Cancellation);
        sink.Check(Body(500, 0), BodyFormat.Records, RecordOperation.Upsert);
        Assert.Null(sink.FindRefusal("caller"));

        await SendAsync(sink, "caller", "once", good: 20, bad: 0);
        var owed = Wait(sink, "caller");
        Assert.True((await SendAsync(sink, "caller", "once", good: 20, bad: 0)).IsRepeated);
        Assert.Equal(owed, Wait(sink, "caller"));
    }

    static TimeSpan Wait(Sink sink, Sender sender) => sink.FindRefusal(sender)!.RetryAfter!.Value;

    static Task<BatchOutcome> SendAsync(Sink sink, Sender sender, string door, int good, int bad) => SendAsync(sink, sender, door, Body(good, bad));

    static async Task<BatchOutcome> SendAsync(Sink sink, Sender sender, string door, byte[] body) => door switch
    {
        "large" => await sink.IngestLargeAsync(new BodyWindow(body), BodyFormat.Records, RecordOperation.Upsert, sender, Cancellation),
        "once" => await sink.IngestOnceAsync("key", new BodyWindow(body), BodyFormat.Records, RecordOperation.Upsert, sender, Cancellation),
        _ => await sink.IngestAsync(body, BodyFormat.Records, RecordOperation.Upsert, sender, Cancellation),
    };

    static byte[] Body(int good, int bad) =>
        SampleTable.Body([.. Enumerable.Range(0, good).Select(id => $"{{\"_id\":{id}}}"), .. Enumerable.Repeat("""{"_id":"x"}""", bad)]);

    async Task<Engine> OpenAsync(SinkDefinition? definition = null)
    {
        var engine = await Engine.OpenAsync(
            new EngineOptions { DataDirectory = _directory, DiskReserveBytes = 0 }, [], [], (_, _, _) => new ValueTask<ITableStore>(_database.Open()), _time, NullLoggerFactory.Instance, new SilentMeters(), Cancellation);
        await engine.CreateTableAsync(new TableDefinition(Guid.NewGuid(), Table), Cancellation);
        engine.PutSink(definition ?? Definition);
        return engine;
    }
}
