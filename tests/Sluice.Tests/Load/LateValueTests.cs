using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sluice.Load;
using Sluice.Records;
using Sluice.Schema;
using Sluice.Tests.Records;

namespace Sluice.Tests.Load;

/// <summary>The values of records that were accepted and not loaded: as they were sent, so that they can be sent again.</summary>
public sealed class LateValueTests : IDisposable
{
    readonly string _directory = Directory.CreateTempSubdirectory("sluice-late-").FullName;
    readonly ConcurrentDictionary<Guid, MemoryDatabase> _databases = [];
    readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    MemoryDatabase Database => _databases.Values.Single();

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Theory]
    [InlineData("""{"order":{"id":7,"lines":[null,{"price":1.50}]},"at":"2026-01-02T00:00:00Z","ok":true,"tags":["a","b"]}""")]
    [InlineData("""{"order":{"id":7},"ok":null}""")]
    [InlineData("""{"order":{"id":7,"lines":[null,{"price":1.50},"text"]}}""")]
    [InlineData("""{"order":{"id":7,"lines":[null,{},"text"]}}""")]
    [InlineData("""{"order":{"id":7},"a.b":{"v":[1,2,3]}}""")]
    [InlineData("""{"order":{"id":7},"tags":[]}""")]
    public async Task A_value_stands_at_the_path_that_it_came_from(string value)
    {
        var schema = SampleTable.TableOf(
            KeyKind.Number, ("price", ColumnType.Decimal(2)), ("at", ColumnType.Timestamp(TimeUnit.Millisecond)), ("ok", ColumnType.Bool), ("tags", ColumnType.StringSet), ("text", ColumnType.String),
            ("v", ColumnType.Vector(3)));
        var sink = SampleTable.SinkWith(
            schema, allowMissing: true, ("_id", "/order/id"), ("price", "/order/lines/1/price"), ("text", "/order/lines/2"), ("at", "/at"), ("ok", "/ok"), ("tags", "/tags"), ("v", "/a.b/v"));
        await AssertReplayedAsync(schema, sink, value, value);
    }

    [Fact]
    public async Task A_joined_key_is_taken_apart_again()
    {
        var schema = SampleTable.TableOf(KeyKind.String, ("n", ColumnType.Int));
        var sink = SampleTable.SinkWith(schema, allowMissing: false, ("_id", "/site/name"), ("_id", "/n"), ("n", "/n"));
        await AssertReplayedAsync(schema, sink, """{"site":{"name":"north"},"n":8}""", """{"site":{"name":"north"},"n":"8"}""");
    }

    [Fact]
    public async Task Members_of_quantum_sets_keep_the_time_of_their_record()
    {
        var schema = SampleTable.TableOf(KeyKind.Number, ("q", ColumnType.IdSetQ("YMD")));
        var sink = SampleTable.SinkWith(schema, allowMissing: false, ("_id", "/k"), ("q", "/set"), (SinkDefinition.TimeQuantumName, "/meta/time"));
        await AssertReplayedAsync(schema, sink, """{"k":1,"set":[4,5],"meta":{"time":"2026-01-02T10:00:00Z"}}""", """{"k":1,"set":[4,5],"meta":{"time":"2026-01-02T00:00:00+00:00"}}""");
    }

    [Fact]
    public async Task A_key_that_cannot_be_taken_apart_is_shown_by_its_column()
    {
        var schema = SampleTable.TableOf(KeyKind.String, ("n", ColumnType.Int));
        var sink = SampleTable.SinkWith(schema, allowMissing: false, ("_id", "/a"), ("_id", "/b"), ("n", "/n"));
        Assert.Equal("""{"_id":"x|y|z","n":8}""", await FailAsync(schema, sink, """{"a":"x|y","b":"z","n":8}"""));
    }

    /// <summary>The mapping of the frame counts, not the present one, also after a restart; one that nobody knows any more leaves the names of the columns.</summary>
    [Theory]
    [InlineData(true, """{"old":{"key":3},"deep":{"er":5}}""")]
    [InlineData(false, """{"_id":3,"i":5}""")]
    public async Task What_is_loaded_after_a_restart_is_rendered_by_the_mapping_it_was_decoded_with(bool isKnown, string expected)
    {
        var schema = SampleTable.TableOf(KeyKind.Number, ("i", ColumnType.Int));
        var old = SampleTable.SinkWith(schema, allowMissing: true, ("_id", "/old/key"), ("i", "/deep/er"));
        var present = SampleTable.SinkWith(schema, allowMissing: true, ("_id", "/id"), ("i", "/i")) with { MappingVersion = 2 };
        await using (var engine = await OpenAsync(schema, create: true, old))
        {
            Database.FailCalls(1, int.MaxValue); // nothing is loaded in this life
            await engine.FindSink(old.Id)!.IngestAsync(SampleTable.Body("""{"old":{"key":3},"deep":{"er":5}}"""), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation);
        }
        Database.FailCalls(0, 0);
        Database.Refuses = (_, _) => true;
        await using var again = await OpenAsync(schema, create: false, isKnown ? [old, present] : [present]);
        var sink = again.FindSink(old.Id)!;
        Assert.Equal(2, sink.Definition.MappingVersion);
        await sink.Table.WaitLoadedAsync(2, Cancellation);
        Assert.Equal(expected, Assert.Single(await sink.ReadErrorsAsync(10, Cancellation)).Value);
    }

    [Fact]
    public void The_oldest_versions_are_forgotten_and_those_of_a_dropped_table()
    {
        var schema = SampleTable.TableOf(KeyKind.Number);
        var mappings = new KnownMappings();
        for (var version = 1; version <= KnownMappings.MostPerSink + 1; version++) mappings.Add(SampleTable.SinkOf(schema) with { MappingVersion = version });
        var sinkId = SampleTable.SinkOf(schema).Id;
        Assert.Null(mappings.Find(sinkId, 1));
        Assert.Equal(2, mappings.Find(sinkId, 2)!.MappingVersion);
        mappings.RemoveTable(Guid.NewGuid());
        Assert.NotNull(mappings.Find(sinkId, 2));
        mappings.RemoveTable(schema.TableId);
        Assert.Null(mappings.Find(sinkId, 2));
    }

    /// <summary>What a record leaves when the store refuses it, and the row it makes when it is replayed, must be those of the record itself.</summary>
    async Task AssertReplayedAsync(TableSchema schema, SinkDefinition definition, string value, string expected)
    {
        Assert.Equal(expected, await FailAsync(schema, definition, value));
        await using var engine = await OpenAsync(schema, create: false, definition);
        Database.Refuses = (_, _) => false;
        var outcome = await engine.FindSink(definition.Id)!.ReplayAsync(null, null, null, false, "caller", Cancellation);
        Assert.Equal((1, 0, 0), (outcome.Passed, outcome.Failed, outcome.NotLoaded));
        var replayed = Database.Rows();
        await SendAsync(engine.FindSink(definition.Id)!, value);
        Assert.Equal(Database.Rows(), replayed);
    }

    async Task<string?> FailAsync(TableSchema schema, SinkDefinition definition, string value)
    {
        await using var engine = await OpenAsync(schema, create: true, definition);
        Database.Refuses = (_, _) => true;
        await SendAsync(engine.FindSink(definition.Id)!, value);
        return Assert.Single(await engine.FindSink(definition.Id)!.ReadErrorsAsync(10, Cancellation)).Value;
    }

    static async Task SendAsync(Sink sink, string value)
    {
        var outcome = await sink.IngestAsync(SampleTable.Body(value), BodyFormat.Records, RecordOperation.Upsert, "caller", Cancellation);
        Assert.Empty(outcome.Rejected);
        await sink.Table.WaitLoadedAsync(outcome.Sequence, Cancellation);
    }

    async Task<Engine> OpenAsync(TableSchema schema, bool create, params SinkDefinition[] sinks)
    {
        var table = new TableDefinition(new Guid("33333333-3333-3333-3333-333333333333"), schema);
        var engine = await Engine.OpenAsync(
            new EngineOptions { DataDirectory = _directory, DiskReserveBytes = 0 }, create ? [] : [table], create ? [] : sinks,
            (_, id, _) => new ValueTask<ITableStore>(_databases.GetOrAdd(id, _ => new MemoryDatabase()).Open()),
            _time, NullLoggerFactory.Instance, new SilentMeters(), Cancellation);
        if (!create) return engine;
        await engine.CreateTableAsync(table, Cancellation);
        foreach (var sink in sinks) engine.PutSink(sink);
        return engine;
    }
}
