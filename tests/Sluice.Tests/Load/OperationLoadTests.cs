using System.Text;
using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Load;

/// <summary>Operations and versions from log to store: conditions that hold or not, and failures on the way. OperationModelTests has the rules at large.</summary>
public sealed class OperationLoadTests
{
    static readonly TableSchema Table = TableOf(KeyKind.Number, ("i", ColumnType.Int), ("ss", ColumnType.StringSet));
    static readonly Guid SinkId = SinkOf(Table).Id;

    [Fact]
    public async Task Conditions_see_what_the_records_before_them_did()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await SendAsync(load, """{"op":"insert","value":{"_id":1,"i":1}}""", """{"op":"insert","value":{"_id":1,"i":2}}""", """{"op":"patch","value":{"_id":2,"i":3}}""");
        await SendAsync(load, """{"op":"delete","value":{"_id":1}}""", """{"op":"patch","value":{"_id":1,"i":4}}""", """{"op":"insert","value":{"_id":1,"ss":["a"]}}""", """{"op":"patch","value":{"_id":1,"i":5}}""");
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "load 1 rows @3"], load.Database.Calls);
        Assert.Equal(["1: 1=5 2=['a']"], load.Database.Rows());
        Assert.Equal(
            [(1, "1", LateErrorCode.KeyExists, """{"_id":1,"i":2}"""), (2, "2", LateErrorCode.KeyMissing, """{"_id":2,"i":3}"""), (1, "1", LateErrorCode.KeyMissing, """{"_id":1,"i":4}""")],
            load.Database.Errors.Select(error => (error.RecordIndex, error.Key, error.Code, error.Value!)));
        Assert.Equal(new SinkLedger(2, 7, 7, 0, 4, 3, 0), load.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task Conditions_see_what_is_stored()
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = 1 });
        await SendAsync(load, """{"value":{"_id":1,"i":1},"version":5}""");
        await SendAsync(load, """{"op":"insert","value":{"_id":1}}""");
        await SendAsync(load, """{"value":{"_id":1,"i":2},"version":4}""");
        await SendAsync(load, """{"value":{"_id":1,"i":3},"version":5}""");
        await SendAsync(load, """{"op":"delete","value":{"_id":1},"version":6}""");
        await SendAsync(load, """{"value":{"_id":1,"i":4},"version":5}""");
        await SendAsync(load, """{"op":"patch","value":{"_id":1}}""");
        await load.LoadAllAsync();
        Assert.Empty(load.Database.Rows());
        Assert.Equal([LateErrorCode.KeyExists, LateErrorCode.KeyMissing], load.Database.Errors.Select(error => error.Code));
        Assert.Equal(new SinkLedger(7, 7, 7, 0, 5, 2, 0) { Superseded = 2 }, load.AssertBalanced(SinkId));
        Assert.Equal(new SinkCounts(5, 2) { Superseded = 2 }, load.Database.CountsOf(SinkId));
    }

    [Fact]
    public async Task Only_the_keys_whose_state_counts_are_asked_for()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await SendAsync(load, """{"value":{"_id":1}}""", """{"op":"delete","value":{"_id":2}}""", """{"op":"delete","value":{"_id":2}}""");
        await load.LoadAllAsync();
        Assert.Empty(load.Database.AskedKeys);

        using var asking = await LoadFixture.CreateAsync(Table);
        await SendAsync(
            asking, """{"value":{"_id":1}}""", """{"op":"insert","value":{"_id":2}}""", """{"op":"patch","value":{"_id":3}}""", """{"op":"remove","value":{"_id":4}}""",
            """{"value":{"_id":5},"version":0}""", """{"op":"delete","value":{"_id":6}}""", """{"op":"patch","value":{"_id":1}}""", """{"op":"patch","value":{"_id":2}}""",
            """{"op":"replace","value":{"_id":7}}""");
        await asking.LoadAllAsync();
        Assert.Equal(["1", "2", "3", "4", "5", "7"], asking.Database.AskedKeys.Order());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(100)]
    public async Task A_replaced_row_has_what_its_record_says_and_its_version(int maxRecords)
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = maxRecords });
        await SendAsync(load, """{"value":{"_id":1,"i":1,"ss":["a","b"]},"version":5}""");
        await SendAsync(load, """{"value":{"_id":2,"i":2,"ss":["a"]}}""");
        await SendAsync(load, """{"op":"replace","value":{"_id":1,"ss":["c"]}}""");
        await SendAsync(load, """{"op":"replace","value":{"_id":2,"i":3}}""");
        await SendAsync(load, """{"op":"replace","value":{"_id":3,"i":4}}""");
        await SendAsync(load, """{"op":"replace","value":{"_id":1,"i":5},"version":4}""");
        await SendAsync(load, """{"value":{"_id":1,"ss":["d"]}}""");
        await SendAsync(load, """{"op":"insert","value":{"_id":3}}""");
        await load.LoadAllAsync();
        Assert.Equal(["1: 2=['c','d']", "2: 1=3", "3: 1=4"], load.Database.Rows());
        Assert.Equal([LateErrorCode.KeyExists], load.Database.Errors.Select(error => error.Code));
        Assert.Equal(new SinkLedger(8, 8, 8, 0, 7, 1, 0) { Superseded = 1 }, load.AssertBalanced(SinkId));
    }

    /// <summary>What took effect must not be judged by the state that it made itself: the insert would find its own row.</summary>
    [Fact]
    public async Task A_load_that_took_effect_and_reported_a_failure_is_not_folded_again()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await SendAsync(load, """{"op":"insert","value":{"_id":1,"i":1}}""", """{"op":"patch","value":{"_id":1,"i":2}}""", """{"op":"patch","value":{"_id":2}}""");
        load.Database.FailAfterEffectInCall(2);
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "load 1 rows @2 failed"], load.Database.Calls);
        Assert.Equal(["1: 1=2"], load.Database.Rows());
        Assert.Equal([LateErrorCode.KeyMissing], load.Database.Errors.Select(error => error.Code));
        Assert.Equal(new SinkLedger(1, 3, 3, 0, 2, 1, 0), load.AssertBalanced(SinkId));
        Assert.Equal(2UL, load.Loader.Loaded);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_crash_in_a_load_changes_no_outcome(bool afterCommit)
    {
        var load = await LoadFixture.CreateAsync(Table);
        await SendAsync(load, """{"op":"insert","value":{"_id":1,"i":1},"version":3}""", """{"op":"insert","value":{"_id":1,"i":2}}""", """{"value":{"_id":1,"i":3},"version":2}""");
        load.Database.CrashInCall(2, afterCommit);
        await Assert.ThrowsAsync<SimulatedCrashException>(load.LoadAllAsync);
        using var again = load.Restart();
        await again.LoadAllAsync();
        Assert.Equal(["1: 1=1"], again.Database.Rows());
        Assert.Equal([LateErrorCode.KeyExists], again.Database.Errors.Select(error => error.Code));
        Assert.Equal(new SinkLedger(1, 3, 3, 0, 2, 1, 0) { Superseded = 1 }, again.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task Records_the_store_refuses_are_found_among_those_that_depend_on_each_other()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        load.Database.Refuses = (rows, row) => rows.FindColumn(1) is { } column && column.States[row] == CellState.Value && column.Int64s[row] < 0;
        await SendAsync(
            load, """{"op":"insert","value":{"_id":1,"i":1}}""", """{"op":"patch","value":{"_id":1,"i":-1}}""", """{"op":"patch","value":{"_id":1,"ss":["a"]}}""",
            """{"op":"insert","value":{"_id":2,"i":-2}}""", """{"op":"patch","value":{"_id":2,"ss":["b"]}}""", """{"op":"insert","value":{"_id":3,"i":-3}}""",
            """{"op":"patch","value":{"_id":3,"i":3}}""");
        await load.LoadAllAsync();

        // the refused insert made no row, so the patch after it finds none; what was corrected before the store saw it is no fault
        Assert.Equal(["1: 1=1 2=['a']", "3: 1=3"], load.Database.Rows());
        Assert.Equal(
            [(1, LateErrorCode.StoreRefused), (3, LateErrorCode.StoreRefused), (4, LateErrorCode.KeyMissing)],
            load.Database.Errors.Select(error => (error.RecordIndex, error.Code)).Order());
        Assert.Equal(new SinkLedger(1, 7, 7, 0, 4, 3, 0), load.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task A_tombstone_counts_for_its_window_and_no_longer()
    {
        var options = new LoadOptions { TombstoneWindow = TimeSpan.FromHours(2), MaxRecords = 1 };
        foreach (var (hours, rows) in new[] { (1, 0), (3, 1) })
        {
            var load = await LoadFixture.CreateAsync(Table, options);
            await SendAsync(load, """{"op":"delete","value":{"_id":1},"version":9}""");
            await load.LoadAllAsync();
            using var later = load.Restart();
            later.Time.Advance(load.Time.GetUtcNow() - later.Time.GetUtcNow() + TimeSpan.FromHours(hours));
            await SendAsync(later, """{"value":{"_id":1,"i":1},"version":8}""");
            await later.LoadAllAsync();
            Assert.Equal(rows, later.Database.Rows().Length);
            Assert.Equal(1 - rows, later.AssertBalanced(SinkId).Superseded);
        }
    }

    [Fact]
    public async Task Frames_without_operations_among_others_are_upserts()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await load.SendAsync(Table, """{"_id":1,"ss":["a","b"]}""", """{"_id":2,"ss":["a"]}""");
        await SendAsync(load, """{"op":"remove","value":{"_id":1,"ss":["a"]}}""", """{"op":"remove","value":{"_id":3,"ss":["a"]}}""");
        await load.SendAsync(Table, """{"_id":2,"ss":["c"]}""");
        await load.LoadAllAsync();
        Assert.Equal(["1: 2=['b']", "2: 2=['a','c']"], load.Database.Rows());
        Assert.Equal(["schema 1 @1", "load 2 rows @4"], load.Database.Calls);

        // the next batch has none
        using var again = load.Restart();
        await again.SendAsync(Table, """{"_id":1,"ss":["a"]}""");
        await again.LoadAllAsync();
        Assert.Equal(["1: 2=['a','b']", "2: 2=['a','c']"], again.Database.Rows());
    }

    static Task<LogPosition> SendAsync(LoadFixture load, params string[] elements)
    {
        var sink = SinkOf(Table);
        var decoder = RecordDecoder.Compile(sink, Table);
        var rows = decoder.Rent();
        var body = Encoding.UTF8.GetBytes($"{{\"records\":[{string.Join(',', elements)}]}}");
        BatchReader.Read(body, BodyFormat.Records, RecordOperation.Upsert, decoder, 100, rows);
        return load.Log.AppendAsync(RecordsFrame.Encode(decoder, sink.Id, 0, new RecordsFrame.Meta("caller", "", default, 0), rows, body));
    }
}
