using Microsoft.Extensions.Logging.Abstractions;
using Sluice.Schema;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Sluice.Server;
using Xunit;
using Plane = Sluice.Server.ControlPlane;

namespace Sluice.IntegrationTests.ControlPlane;

/// <summary>What the control plane decides without an engine: names, states, limits, roles.</summary>
public sealed class ControlPlaneTests : IAsyncLifetime
{
    static readonly Caller s_user = new(Guid.NewGuid(), "user@example.org", Role.User, null);
    static readonly Caller s_reader = s_user with { Role = Role.Reader };
    static readonly Caller s_ingestKey = s_user with { Role = Role.IngestKey };

    readonly List<Guid> _droppedStores = [];
    TestCatalog _catalog = null!;
    Plane _plane = null!;

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _catalog = await TestCatalog.OpenAsync();
        _plane = NewPlane(new ControlPlaneOptions { MaxDatabases = 3 });
    }

    public ValueTask DisposeAsync()
    {
        _plane.Dispose();
        _catalog.Dispose();
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task A_database_is_running_at_once_and_gone_after_its_deletion()
    {
        var made = await _plane.CreateDatabaseAsync(s_user, "db-1", "64GB-Development", Cancellation);

        var got = await _plane.GetDatabaseAsync(s_reader, made.Id, Cancellation);
        Assert.Equal(("db-1", "64GB-Development", DatabaseStatus.Running, s_user.Email), (got.Name, got.Shape, got.Status, got.Owner));
        Assert.Equal(made.Id, Assert.Single(await _plane.ListDatabasesAsync(s_reader, Cancellation)).Id);

        var deleted = await _plane.DeleteDatabaseAsync(s_user, made.Id, force: false, Cancellation);

        Assert.Equal(DatabaseStatus.Deleting, deleted.Status);
        Assert.Equal([made.Id], _droppedStores);
        await RefusedAsync(ErrorCode.NotFound, () => _plane.GetDatabaseAsync(s_reader, made.Id, Cancellation));
        await RefusedAsync(ErrorCode.NotFound, () => _plane.DeleteDatabaseAsync(s_user, made.Id, force: false, Cancellation));
        Assert.Empty(await _plane.ListDatabasesAsync(s_reader, Cancellation));
    }

    [Fact]
    public async Task A_name_is_free_again_after_the_deletion_and_the_id_is_new()
    {
        var first = await _plane.CreateDatabaseAsync(s_user, "db", null, Cancellation);
        await RefusedAsync(ErrorCode.AlreadyExists, () => _plane.CreateDatabaseAsync(s_user, "db", null, Cancellation));
        await _plane.DeleteDatabaseAsync(s_user, first.Id, force: false, Cancellation);

        var second = await _plane.CreateDatabaseAsync(s_user, "db", null, Cancellation);

        Assert.NotEqual(first.Id, second.Id);
    }

    [Fact]
    public async Task The_limit_of_databases_counts_those_that_exist()
    {
        var first = await _plane.CreateDatabaseAsync(s_user, "a", null, Cancellation);
        await _plane.CreateDatabaseAsync(s_user, "b", null, Cancellation);
        await _plane.CreateDatabaseAsync(s_user, "c", null, Cancellation);

        var refusal = await RefusedAsync(ErrorCode.LimitExceeded, () => _plane.CreateDatabaseAsync(s_user, "d", null, Cancellation));
        Assert.EndsWith("limit has been reached", refusal.Message, StringComparison.Ordinal);

        await _plane.DeleteDatabaseAsync(s_user, first.Id, force: false, Cancellation);
        await _plane.CreateDatabaseAsync(s_user, "d", null, Cancellation);
    }

    [Fact]
    public async Task One_of_many_concurrent_creations_gets_the_name()
    {
        var attempts = Enumerable.Range(0, 8).Select(_ => Record.ExceptionAsync(() => _plane.CreateDatabaseAsync(s_user, "db", null, Cancellation)).AsTask());

        var outcomes = await Task.WhenAll(attempts);

        Assert.Single(outcomes, outcome => outcome is null);
        Assert.All(outcomes.OfType<SluiceException>(), refusal => Assert.Equal(ErrorCode.AlreadyExists, refusal.Code));
    }

    [Fact]
    public async Task Readers_look_and_ingest_keys_do_not()
    {
        await RefusedAsync(ErrorCode.Forbidden, () => _plane.CreateDatabaseAsync(s_reader, "db", null, Cancellation));
        await RefusedAsync(ErrorCode.Forbidden, () => _plane.ListDatabasesAsync(s_ingestKey, Cancellation));
        await RefusedAsync(ErrorCode.Forbidden, () => _plane.ListSinksAsync(s_ingestKey, Cancellation));
        await RefusedAsync(ErrorCode.Forbidden, () => _plane.DeleteSinkAsync(s_reader, Guid.NewGuid(), Cancellation));
        await RefusedAsync(ErrorCode.Forbidden, () => _plane.DropColumnAsync(s_reader, Guid.NewGuid(), "t", "c", Cancellation));
        Assert.Empty(await _plane.ListSinksAsync(s_reader, Cancellation));
    }

    [Fact]
    public async Task Before_the_engine_is_open_changes_ask_to_come_again()
    {
        var database = await _plane.CreateDatabaseAsync(s_user, "db", null, Cancellation);

        await RefusedAsync(ErrorCode.Unavailable, () => _plane.CreateTableAsync(s_user, database.Id, new NewTable("t", KeyKind.Number, "", []), Cancellation));

        Assert.Empty(await _plane.ListTablesAsync(s_user, database.Id, Cancellation));
    }

    [Theory]
    [InlineData("Upper")]
    [InlineData("1st")]
    [InlineData("_id")]
    [InlineData("a b")]
    [InlineData("a\n")]
    [InlineData("\u00e4")]
    [InlineData("a\u0398")]
    public async Task Names_that_break_the_rules_are_refused(string name)
    {
        await RefusedAsync(ErrorCode.InvalidParameter, () => _plane.CreateDatabaseAsync(s_user, name, null, Cancellation));
        Assert.Throws<SluiceException>(() => ResourceNames.CheckColumn(name, "column"));
    }

    [Fact]
    public void Names_have_a_longest_length()
    {
        ResourceNames.Check("a" + new string('9', 229), "name");
        ResourceNames.Check("a" + new string('9', 299), "name", ResourceNames.MaxDatabaseNameLength);
        Assert.Throws<SluiceException>(() => ResourceNames.Check("a" + new string('9', 230), "name"));
        Assert.Throws<SluiceException>(() => ResourceNames.Check("a" + new string('9', 300), "name", ResourceNames.MaxDatabaseNameLength));
    }

    [Fact]
    public async Task Definitions_leave_out_what_is_being_made_or_dropped_and_fail_sinks_that_do_not_fit()
    {
        var database = await _plane.CreateDatabaseAsync(s_user, "db", null, Cancellation);
        var running = AddTable(database.Id, "running", TableStatus.Running);
        var making = AddTable(database.Id, "making", TableStatus.Creating);
        var dropping = AddTable(database.Id, "dropping", TableStatus.Deleting);
        var good = AddSink(running, "good", SinkStatus.Active, """[{"name":"_id","path":["i"]}]""");
        var unfit = AddSink(running, "unfit", SinkStatus.Active, """[{"name":"_id","path":["i"]},{"name":"gone","path":["g"]}]""");
        var failed = AddSink(dropping, "failed", SinkStatus.Failed, """[{"name":"_id","path":["i"]}]""");
        await SaveAsync([running, making, dropping], [good, unfit, failed]);

        var definitions = await _plane.LoadDefinitionsAsync(Cancellation);

        Assert.Equal(running.ToSchema(), Assert.Single(definitions.Tables).Schema);
        Assert.Equal(good.Id, Assert.Single(definitions.Sinks).Id);
        Assert.Equal(SinkStatus.Active, _plane.FindSinkStatus(good.Id));
        Assert.Equal(SinkStatus.Failed, _plane.FindSinkStatus(unfit.Id));
        Assert.Equal(SinkStatus.Failed, _plane.FindSinkStatus(failed.Id));
        Assert.Null(_plane.FindSinkStatus(Guid.NewGuid()));
        Assert.Contains("gone", (await _plane.GetSinkAsync(s_user, unfit.Id, Cancellation)).StatusReason, StringComparison.Ordinal);
    }

    /// <summary>Frames in the log name the mapping they were decoded with, which may be an earlier one.</summary>
    [Fact]
    public async Task The_engine_is_opened_with_the_earlier_mappings_that_still_fit()
    {
        var database = await _plane.CreateDatabaseAsync(s_user, "db", null, Cancellation);
        var table = AddTable(database.Id, "running", TableStatus.Running);
        var sink = AddSink(table, "sink", SinkStatus.Active, """[{"name":"_id","path":["first"]}]""");
        AddMapping(sink, """[{"name":"_id","path":["i"]},{"name":"gone","path":["g"]}]""");
        AddMapping(sink, """[{"name":"_id","path":["third"]}]""");
        await SaveAsync([table], [sink]);

        var sinks = (await _plane.LoadDefinitionsAsync(Cancellation)).Sinks;

        Assert.Equal([(1, "/first"), (3, "/third")], sinks.Select(definition => (definition.MappingVersion, definition.Fields[0].Pointer)).Order());
        Assert.Equal(SinkStatus.Active, _plane.FindSinkStatus(sink.Id));
    }

    [Fact]
    public async Task A_database_with_tables_is_kept()
    {
        var database = await _plane.CreateDatabaseAsync(s_user, "db", null, Cancellation);
        await SaveAsync([AddTable(database.Id, "t", TableStatus.Running)], []);

        await RefusedAsync(ErrorCode.IncorrectState, () => _plane.DeleteDatabaseAsync(s_user, database.Id, force: false, Cancellation));

        Assert.Equal(DatabaseStatus.Running, (await _plane.GetDatabaseAsync(s_user, database.Id, Cancellation)).Status);
    }

    [Fact]
    public async Task Tables_are_found_by_name_and_by_id()
    {
        var database = await _plane.CreateDatabaseAsync(s_user, "db", null, Cancellation);
        var table = AddTable(database.Id, "t", TableStatus.Running);
        // a name may look like the id of another table
        var decoy = AddTable(database.Id, "abcdefab-0000-0000-0000-000000000000", TableStatus.Running);
        await SaveAsync([table, decoy], []);

        Assert.Equal(table.Id, (await _plane.GetTableAsync(s_user, database.Id, "t", Cancellation)).Id);
        Assert.Equal(table.Id, (await _plane.GetTableAsync(s_user, database.Id, table.Id.ToString(), Cancellation)).Id);
        Assert.Equal(decoy.Id, (await _plane.GetTableAsync(s_user, database.Id, decoy.Name, Cancellation)).Id);
        await RefusedAsync(ErrorCode.NotFound, () => _plane.GetTableAsync(s_user, database.Id, "T", Cancellation));
        await RefusedAsync(ErrorCode.NotFound, () => _plane.GetTableAsync(s_user, Guid.NewGuid(), "t", Cancellation));
    }

    Plane NewPlane(ControlPlaneOptions options) => new(
        _catalog,
        options,
        new QuotaOptions(),
        TimeProvider.System,
        (id, _) =>
        {
            _droppedStores.Add(id);
            return ValueTask.CompletedTask;
        },
        _catalog.Audit,
        NullLogger<Plane>.Instance);

    static async Task<SluiceException> RefusedAsync(ErrorCode code, Func<Task> call)
    {
        var refusal = await Assert.ThrowsAsync<SluiceException>(call);
        Assert.Equal(code, refusal.Code);
        return refusal;
    }

    async Task SaveAsync(CatalogTable[] tables, CatalogSink[] sinks)
    {
        await using var db = _catalog.CreateDbContext();
        db.Tables.AddRange(tables);
        db.Sinks.AddRange(sinks);
        await db.SaveChangesAsync(Cancellation);
    }

    static CatalogTable AddTable(Guid databaseId, string name, TableStatus status) => new()
    {
        Id = Guid.NewGuid(),
        DatabaseId = databaseId,
        Name = name,
        Description = "",
        Key = KeyKind.Number,
        Status = status,
        SchemaVersion = 1,
        NextColumnId = 1,
        Owner = "",
        CreatedAt = DateTimeOffset.UnixEpoch,
        UpdatedAt = DateTimeOffset.UnixEpoch,
        UpdatedBy = "",
    };

    static CatalogSink AddSink(CatalogTable table, string name, SinkStatus status, string definition)
    {
        var sink = new CatalogSink
        {
            Id = Guid.NewGuid(),
            Name = name,
            DatabaseId = table.DatabaseId,
            TableId = table.Id,
            Status = status,
            MappingVersion = 0,
            Owner = "",
            CreatedAt = DateTimeOffset.UnixEpoch,
            UpdatedAt = DateTimeOffset.UnixEpoch,
            UpdatedBy = "",
        };
        AddMapping(sink, definition);
        return sink;
    }

    static void AddMapping(CatalogSink sink, string definition) =>
        sink.Mappings.Add(new CatalogSinkMapping
        {
            SinkId = sink.Id,
            Version = ++sink.MappingVersion,
            SchemaJson = $$"""{"type":"json","id_field":"_id","primary_key_fields":null,"allow_missing_fields":true,"definition":{{definition}}}""",
            RejectTruncation = false,
            MaxRecords = null,
            MaxBytes = null,
            CreatedAt = DateTimeOffset.UnixEpoch,
            CreatedBy = "",
        });
}
