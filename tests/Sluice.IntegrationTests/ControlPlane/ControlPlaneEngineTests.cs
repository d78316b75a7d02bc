using System.Diagnostics.Metrics;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Schema;
using Sluice.Server;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Xunit;
using Plane = Sluice.Server.ControlPlane;

namespace Sluice.IntegrationTests.ControlPlane;

/// <summary>The control plane over a real engine: what the catalogue says and what the engine has agree, whatever stops in between.</summary>
public sealed class ControlPlaneEngineTests : IAsyncLifetime
{
    static readonly Caller s_user = new(Guid.NewGuid(), "user@example.org", Role.User, null);

    readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("sluice-plane-");
    readonly SchemaStores _stores = new();
    readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    TestCatalog _catalog = null!;
    Plane _plane = null!;
    Engine _engine = null!;
    Guid _database;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _catalog = await TestCatalog.OpenAsync();
        await StartAsync();
        _database = (await _plane.CreateDatabaseAsync(s_user, "db", null, Cancellation)).Id;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _catalog.Dispose();
        await _services.DisposeAsync();
        _directory.Delete(recursive: true);
    }

    [Fact]
    public async Task A_table_its_columns_and_its_sinks_are_there_after_a_restart()
    {
        var table = await CreateTableAsync("t", ("price", ColumnType.Decimal(2)));
        await _plane.AddColumnAsync(s_user, _database, "t", new NewColumn("tags", ColumnType.StringSet), Cancellation);
        var sink = await CreateSinkAsync("s", "t", "price", "tags");
        var schema = _engine.FindTable(table.Id)!.Schema;

        await RestartAsync();

        Assert.Equal(2, schema.Version);
        Assert.Equal(schema, _engine.FindTable(table.Id)!.Schema);
        Assert.Equal(schema, (await _plane.GetTableAsync(s_user, _database, "t", Cancellation)).ToSchema());
        Assert.Equal(["_id", "price", "tags"], _engine.FindSink(sink.Id)!.Definition.Fields.Select(field => field.Column));
        Assert.Equal(SinkStatus.Active, _plane.FindSinkStatus(sink.Id));
    }

    [Fact]
    public async Task Columns_are_refused_that_exist_or_do_not()
    {
        await CreateTableAsync("t", ("a", ColumnType.Id));

        await RefusedAsync(ErrorCode.AlreadyExists, () => _plane.AddColumnAsync(s_user, _database, "t", new NewColumn("a", ColumnType.Bool), Cancellation));
        await RefusedAsync(ErrorCode.NotFound, () => _plane.DropColumnAsync(s_user, _database, "t", "b", Cancellation));
        await RefusedAsync(ErrorCode.InvalidParameter, () => _plane.DropColumnAsync(s_user, _database, "t", "_id", Cancellation));
        await RefusedAsync(ErrorCode.InvalidParameter, () => _plane.AddColumnAsync(s_user, _database, "t", new NewColumn("_timeQuantum", ColumnType.Bool), Cancellation));
        await RefusedAsync(ErrorCode.NotFound, () => _plane.AddColumnAsync(s_user, _database, "other", new NewColumn("b", ColumnType.Bool), Cancellation));
        Assert.Equal(1, (await _plane.GetTableAsync(s_user, _database, "t", Cancellation)).SchemaVersion);
    }

    [Fact]
    public async Task A_column_added_again_has_a_new_id_and_mappings_follow_drops_and_renames()
    {
        var table = await CreateTableAsync("t", ("a", ColumnType.Id), ("b", ColumnType.Id));
        var sink = await CreateSinkAsync("s", "t", "a", "b");

        await _plane.DropColumnAsync(s_user, _database, "t", "a", Cancellation);
        await _plane.AddColumnAsync(s_user, _database, "t", new NewColumn("a", ColumnType.String), Cancellation);
        await _plane.RenameColumnAsync(s_user, _database, "t", "b", "c", Cancellation);

        Assert.Equal(["2:c", "3:a"], _engine.FindTable(table.Id)!.Schema.Columns.Select(column => $"{column.Id}:{column.Name}"));
        Assert.Equal(["_id", "c"], _engine.FindSink(sink.Id)!.Definition.Fields.Select(field => field.Column));
        var shown = await _plane.GetSinkAsync(s_user, sink.Id, Cancellation);
        Assert.Equal(["_id", "c"], shown.Mapping.ReadSchema().Definition.Select(field => field.Name));
        Assert.Equal(3, shown.MappingVersion);
        Assert.Equal("/b", _engine.FindSink(sink.Id)!.Definition.Fields[1].Pointer);
    }

    [Fact]
    public async Task A_column_does_not_take_the_name_of_a_part_of_a_key()
    {
        var table = await CreateTableAsync("k", KeyKind.String, ("a", ColumnType.String), ("b", ColumnType.String));
        var sink = await CreateJoinedSinkAsync("s", "k", ["x", "y"], "x", "y", "b");

        await RefusedAsync(ErrorCode.IncorrectState, () => _plane.RenameColumnAsync(s_user, _database, "k", "b", "x", Cancellation));
        await RestartAsync();

        Assert.Equal(["a", "b"], _engine.FindTable(table.Id)!.Schema.Columns.Select(column => column.Name));
        Assert.Equal(SinkStatus.Active, _plane.FindSinkStatus(sink.Id));
        await _plane.RenameColumnAsync(s_user, _database, "k", "a", "x", Cancellation); // no entry of the mapping
    }

    [Fact]
    public async Task A_column_that_is_added_with_the_name_of_a_part_of_a_key_is_filled_at_once()
    {
        await CreateTableAsync("k", KeyKind.String, ("b", ColumnType.String));
        var sink = await CreateJoinedSinkAsync("s", "k", ["x", "y"], "x", "y", "b");

        await _plane.AddColumnAsync(s_user, _database, "k", new NewColumn("x", ColumnType.String), Cancellation);
        var atOnce = _engine.FindSink(sink.Id)!.Definition;
        await RefusedAsync(ErrorCode.IncorrectState, () => _plane.AddColumnAsync(s_user, _database, "k", new NewColumn("y", ColumnType.StringSetQ("YMD")), Cancellation)); // it lacks _timeQuantum
        await RestartAsync();

        Assert.Equal(["_id", "_id", "x", "b"], atOnce.Fields.Select(field => field.Column));
        Assert.Equal(atOnce.Fields, _engine.FindSink(sink.Id)!.Definition.Fields);
        await _plane.DropColumnAsync(s_user, _database, "k", "x", Cancellation);
        Assert.Equal(["_id", "_id", "b"], _engine.FindSink(sink.Id)!.Definition.Fields.Select(field => field.Column));
    }

    [Fact]
    public async Task A_mapping_that_nothing_can_be_made_of_fails_its_sink_alone()
    {
        await CreateTableAsync("k", KeyKind.String, ("b", ColumnType.String));
        var sound = await CreateJoinedSinkAsync("sound", "k", ["x", "y"], "x", "y", "b");
        var broken = await CreateJoinedSinkAsync("broken", "k", ["x", "y"], "x", "y", "b");
        await StopAsync();
        await using (var db = _catalog.CreateDbContext())
        {
            var sent = (await db.SinkMappings.SingleAsync(row => row.SinkId == broken.Id, Cancellation)).SchemaJson;
            var json = sent.Replace("\"name\": \"b\"", "\"name\": \"x\"", StringComparison.Ordinal);
            Assert.NotEqual(sent, json);
            await db.SinkMappings.Where(row => row.SinkId == broken.Id).ExecuteUpdateAsync(set => set.SetProperty(row => row.SchemaJson, json), Cancellation);
        }

        await StartAsync();

        Assert.Equal(SinkStatus.Active, _plane.FindSinkStatus(sound.Id));
        Assert.Equal(SinkStatus.Failed, _plane.FindSinkStatus(broken.Id));
    }

    [Fact]
    public async Task Concurrent_changes_of_one_table_all_take_place_one_after_the_other()
    {
        var table = await CreateTableAsync("t");

        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => _plane.AddColumnAsync(s_user, _database, "t", new NewColumn($"c{i}", ColumnType.Bool), Cancellation)));

        var schema = _engine.FindTable(table.Id)!.Schema;
        Assert.Equal(9, schema.Version);
        Assert.Equal(Enumerable.Range(1, 8), schema.Columns.Select(column => column.Id));
        Assert.Equal(schema, (await _plane.GetTableAsync(s_user, _database, "t", Cancellation)).ToSchema());
    }

    [Fact]
    public async Task A_sink_is_made_changed_and_deleted()
    {
        await CreateTableAsync("t", ("a", ColumnType.Id), ("b", ColumnType.Id));
        var sink = await CreateSinkAsync("s", "t", "a");
        Assert.Equal(SinkStatus.Active, sink.Status);
        await RefusedAsync(ErrorCode.AlreadyExists, () => CreateSinkAsync("s", "t", "b"));
        await RefusedAsync(ErrorCode.RelatedNotFound, () => CreateSinkAsync("s2", "nope", "b"));
        await RefusedAsync(ErrorCode.RelatedNotFound, () => CreateSinkAsync("s2", "t", "nope"));

        var replaced = await _plane.UpdateSinkAsync(s_user, sink.Id, Body("s", "t", "b") with { MaxRecords = 5, RejectTruncation = true }, keepOthers: false, Cancellation);
        var patched = await _plane.UpdateSinkAsync(
            s_user, sink.Id, new SinkBody(null, null, null, null, null, null, 1_000), keepOthers: true, Cancellation);

        Assert.Equal((2, SinkStatus.Active), (replaced.MappingVersion, replaced.Status));
        Assert.Equal(3, patched.MappingVersion);
        var definition = _engine.FindSink(sink.Id)!.Definition;
        Assert.Equal((3, 5, 1_000, true), (definition.MappingVersion, definition.MaxRecordsPerRequest, definition.MaxRequestBytes, definition.RejectTruncation));
        Assert.Equal(["_id", "b"], definition.Fields.Select(field => field.Column));
        await RefusedAsync(ErrorCode.InvalidParameter, () => _plane.UpdateSinkAsync(s_user, sink.Id, Body("other", "t", "b"), keepOthers: false, Cancellation));

        var deleted = await _plane.DeleteSinkAsync(s_user, sink.Id, Cancellation);

        Assert.Equal(SinkStatus.Deleting, deleted.Status);
        Assert.Null(_engine.FindSink(sink.Id));
        Assert.Null(_plane.FindSinkStatus(sink.Id));
        await RefusedAsync(ErrorCode.NotFound, () => _plane.GetSinkAsync(s_user, sink.Id, Cancellation));
        await CreateSinkAsync("s", "t", "a");
    }

    [Fact]
    public async Task A_replay_and_a_discard_are_noted_whatever_comes_of_them()
    {
        await CreateTableAsync("t", ("a", ColumnType.Id));
        var sink = await CreateSinkAsync("s", "t", "a");
        var all = new QuarantineChoice(null, null);
        var left = new CancellationToken(canceled: true);
        await _plane.DiscardAsync(s_user, sink.Id, all, Cancellation);
        await _plane.ReplayAsync(s_user, sink.Id, all, trial: null, isDryRun: false, Cancellation);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _plane.ReplayAsync(s_user, sink.Id, all, trial: null, isDryRun: false, left));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _plane.ReplayAsync(s_user, sink.Id, all, trial: null, isDryRun: true, left)); // changes nothing
        await _engine.DrainAsync(Cancellation);
        await RefusedAsync(ErrorCode.Draining, () => _plane.ReplayAsync(s_user, sink.Id, all, trial: null, isDryRun: false, Cancellation));

        var lines = _catalog.Audit.Read(long.MaxValue, 4).Reverse().Select(line => $"{line.GetProperty("action")} {line.GetProperty("result")} {line.GetProperty("target_id")}");
        Assert.Equal([$"sink.discard ok {sink.Id}", $"sink.replay ok {sink.Id}", $"sink.replay unknown {sink.Id}", $"sink.replay failed {sink.Id}"], lines);
    }

    [Fact]
    public async Task Dropping_a_table_fails_its_sinks_and_frees_its_name()
    {
        var first = await CreateTableAsync("t", ("a", ColumnType.Id));
        var sink = await CreateSinkAsync("s", "t", "a");

        var dropped = await _plane.DeleteTableAsync(s_user, _database, "t", Cancellation);

        Assert.Equal(TableStatus.Deleting, dropped.Status);
        Assert.Null(_engine.FindTable(first.Id));
        Assert.False(_stores.Has(first.Id));
        Assert.Equal(SinkStatus.Failed, _plane.FindSinkStatus(sink.Id));
        Assert.Equal("table 't' was dropped", (await _plane.GetSinkAsync(s_user, sink.Id, Cancellation)).StatusReason);
        await RefusedAsync(ErrorCode.IncorrectState, () => _plane.UpdateSinkAsync(s_user, sink.Id, Body("s", "t", "a"), keepOthers: false, Cancellation));
        await RefusedAsync(ErrorCode.NotFound, () => _plane.GetTableAsync(s_user, _database, "t", Cancellation));

        var second = await CreateTableAsync("t");
        await RestartAsync();

        Assert.NotEqual(first.Id, second.Id);
        Assert.Equal(SinkStatus.Failed, _plane.FindSinkStatus(sink.Id));
        await _plane.DeleteSinkAsync(s_user, sink.Id, Cancellation);
    }

    [Fact]
    public async Task A_forced_deletion_takes_the_tables_of_a_database_with_it()
    {
        var table = await CreateTableAsync("t");
        await RefusedAsync(ErrorCode.IncorrectState, () => _plane.DeleteDatabaseAsync(s_user, _database, force: false, Cancellation));

        await _plane.DeleteDatabaseAsync(s_user, _database, force: true, Cancellation);

        Assert.Null(_engine.FindTable(table.Id));
        await RefusedAsync(ErrorCode.NotFound, () => _plane.ListTablesAsync(s_user, _database, Cancellation));
    }

    [Fact]
    public async Task A_creation_that_a_crash_interrupted_is_finished()
    {
        var table = await CreateTableAsync("t", ("a", ColumnType.Id));
        await StopAsync();
        await ChangeRowAsync(table.Id, row => row.Status = TableStatus.Creating); // the engine had it, the catalogue did not hear of it
        await StartAsync();
        Assert.Equal(TableStatus.Running, (await _plane.GetTableAsync(s_user, _database, "t", Cancellation)).Status);
        Assert.NotNull(_engine.FindTable(table.Id));

        await StopAsync();
        await ChangeRowAsync(table.Id, row => row.Status = TableStatus.Creating);
        Directory.Delete(Path.Combine(_directory.FullName, "logs"), recursive: true); // the engine never heard of it
        await ForgetStoreAsync(table.Id);
        await StartAsync();
        Assert.Equal(TableStatus.Running, (await _plane.GetTableAsync(s_user, _database, "t", Cancellation)).Status);
        Assert.True(_stores.Has(table.Id));
    }

    [Fact]
    public async Task A_drop_that_a_crash_interrupted_is_finished()
    {
        var table = await CreateTableAsync("t", ("a", ColumnType.Id));
        await StopAsync();
        await ChangeRowAsync(table.Id, row => row.Status = TableStatus.Deleting);

        await StartAsync();

        await RefusedAsync(ErrorCode.NotFound, () => _plane.GetTableAsync(s_user, _database, "t", Cancellation));
        Assert.False(_stores.Has(table.Id));
        await CreateTableAsync("t");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_schema_change_that_a_crash_interrupted_is_finished(bool engineHadIt)
    {
        var table = await CreateTableAsync("t", ("a", ColumnType.Id), ("b", ColumnType.Id));
        var sink = await CreateSinkAsync("s", "t", "a", "b");
        var changed = table.ToSchema().WithRenamedColumn("a", "c");
        if (engineHadIt)
            await _engine.ChangeTableAsync(changed, Cancellation);
        await StopAsync();
        await ChangeRowAsync(table.Id, row => row.PendingSchema = Encoding.UTF8.GetString(changed.ToJson()));

        await StartAsync();

        Assert.Equal(changed, _engine.FindTable(table.Id)!.Schema);
        var row = await _plane.GetTableAsync(s_user, _database, "t", Cancellation);
        Assert.Equal(changed, row.ToSchema());
        Assert.Null(row.PendingSchema);
        Assert.Equal(["_id", "c", "b"], _engine.FindSink(sink.Id)!.Definition.Fields.Select(field => field.Column));
    }

    [Fact]
    public async Task A_table_whose_schema_change_hangs_can_still_be_dropped()
    {
        await CreateTableAsync("t");
        var go = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _stores.SchemaChangesMayGoOn = go.Task;
        var hanging = _plane.AddColumnAsync(s_user, _database, "t", new NewColumn("a", ColumnType.Bool), Cancellation);
        Assert.False(hanging.IsCompleted);

        var dropping = _plane.DeleteTableAsync(s_user, _database, "t", Cancellation);
        await RefusedAsync(ErrorCode.IncorrectState, () => hanging);
        go.SetResult();
        await dropping.WaitAsync(TimeSpan.FromSeconds(20), Cancellation);

        await RefusedAsync(ErrorCode.NotFound, () => _plane.GetTableAsync(s_user, _database, "t", Cancellation));
    }

    async Task StartAsync()
    {
        _plane = new Plane(_catalog, new ControlPlaneOptions(), new QuotaOptions(), TimeProvider.System, (_, _) => ValueTask.CompletedTask, _catalog.Audit, NullLogger<Plane>.Instance);
        var definitions = await _plane.LoadDefinitionsAsync(Cancellation);
        _engine = await Engine.OpenAsync(
            new EngineOptions { DataDirectory = _directory.FullName },
            definitions.Tables,
            definitions.Sinks,
            _stores.OpenAsync,
            TimeProvider.System,
            NullLoggerFactory.Instance,
            _services.GetRequiredService<IMeterFactory>(),
            Cancellation);
        await _plane.ResumeAsync(_engine, Cancellation);
    }

    async Task StopAsync()
    {
        await _engine.DisposeAsync();
        _plane.Dispose();
    }

    async Task RestartAsync()
    {
        await StopAsync();
        await StartAsync();
    }

    Task<CatalogTable> CreateTableAsync(string name, params (string Name, ColumnType Type)[] columns) => CreateTableAsync(name, KeyKind.Number, columns);

    Task<CatalogTable> CreateTableAsync(string name, KeyKind key, params (string Name, ColumnType Type)[] columns) =>
        _plane.CreateTableAsync(s_user, _database, new NewTable(name, key, "", columns.Select(column => new NewColumn(column.Name, column.Type)).ToList()), Cancellation);

    /// <summary>With a key of several parts.</summary>
    Task<CatalogSink> CreateJoinedSinkAsync(string name, string table, string[] keys, params string[] entries)
    {
        var fields = string.Join(',', entries.Select(entry => $$"""{"name":"{{entry}}","path":["{{entry}}"]}"""));
        return _plane.CreateSinkAsync(
            s_user,
            SinkBody.ParseNew(JsonBody.Parse(Encoding.UTF8.GetBytes($$"""
                {"name":"{{name}}","sink_details":{"database_id":"{{_database}}","table":"{{table}}"},
                 "schema":{"primary_key_fields":["{{string.Join("\",\"", keys)}}"],"allow_missing_fields":true,"definition":[{{fields}}] } }
                """))),
            Cancellation);
    }

    Task<CatalogSink> CreateSinkAsync(string name, string table, params string[] columns) => _plane.CreateSinkAsync(s_user, Body(name, table, columns), Cancellation);

    /// <summary>Maps each column from the member of its name.</summary>
    SinkBody Body(string name, string table, params string[] columns)
    {
        var fields = columns.Prepend("_id").Select(column => $$"""{"name":"{{column}}","path":["{{column}}"]}""");
        return SinkBody.ParseNew(JsonBody.Parse(Encoding.UTF8.GetBytes($$"""
            {"name":"{{name}}","sink_details":{"database_id":"{{_database}}","table":"{{table}}"},
             "schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{{string.Join(',', fields)}}] } }
            """)));
    }

    async Task ChangeRowAsync(Guid tableId, Action<CatalogTable> change)
    {
        await using var db = _catalog.CreateDbContext();
        change(await db.Tables.SingleAsync(row => row.Id == tableId, Cancellation));
        await db.SaveChangesAsync(Cancellation);
    }

    async Task ForgetStoreAsync(Guid tableId)
    {
        await using var store = await _stores.OpenAsync(_database, tableId, Cancellation);
        await store.DropAsync(Cancellation);
    }

    static async Task RefusedAsync(ErrorCode code, Func<Task> call) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<SluiceException>(call)).Code);
}
