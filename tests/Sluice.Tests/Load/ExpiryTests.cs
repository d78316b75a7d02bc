using Sluice.Load;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Load;

/// <summary>What a table keeps no longer goes at the start and every hour, in steps, and never in the way of loads.</summary>
public sealed class ExpiryTests
{
    static readonly DateTimeOffset s_now = new(2026, 1, 2, 3, 4, 5, TimeSpan.Zero); // of the fixture
    static readonly DateTimeOffset s_received = DateTimeOffset.UnixEpoch.AddMinutes(1); // every record of the fixture

    /// <summary>Rows of the fixture go this long after its clock begins.</summary>
    static TableSchema TableThatKeepsFor(TimeSpan rest) => TableOf(KeyKind.Number, ("i", ColumnType.Int)) with { Retention = s_now - s_received + rest };

    [Fact]
    public async Task Rows_go_when_they_have_outlived_the_retention_and_are_counted()
    {
        var schema = TableThatKeepsFor(TimeSpan.FromMinutes(90));
        using var load = await LoadFixture.CreateAsync(schema);
        var sent = await load.SendAsync(schema, """{"_id":1}""", """{"_id":2}""");
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => load.Loader.RunAsync(stop.Token), TestContext.Current.CancellationToken);
        await load.Loader.WaitAsync(sent.Sequence, CancellationToken.None);

        await AdvanceUntilAsync(load, () => load.Database.Calls.Count(call => call == "expire 0 rows") == 2); // at the start, and after an hour
        Assert.Equal(2, load.Database.Rows().Length);
        await AdvanceUntilAsync(load, () => load.Loader.ExpiredRows == 2);

        Assert.Empty(load.Database.Rows());
        Assert.Equal(2, load.AssertBalanced(SinkOf(schema).Id).Loaded);
        await stop.CancelAsync();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);
        using var again = load.Restart();
        Assert.Equal(2, again.Loader.ExpiredRows);
    }

    [Fact]
    public async Task Many_rows_go_in_steps_between_which_loads_go_on()
    {
        var schema = TableThatKeepsFor(TimeSpan.Zero);
        using var load = await LoadFixture.CreateAsync(schema, new LoadOptions { MaxExpiredRows = 2, MaxRecords = 1 });
        for (var i = 0; i < 5; i++) await load.SendAsync(schema, $"{{\"_id\":{i}}}");
        load.Time.Advance(TimeSpan.FromMinutes(1));
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => load.Loader.RunAsync(stop.Token), TestContext.Current.CancellationToken);

        await AdvanceUntilAsync(load, () => load.Loader.ExpiredRows == 5);

        Assert.Equal(6UL, load.Loader.Loaded);
        Assert.All(load.Database.Calls, call => Assert.DoesNotContain("expire 3", call, StringComparison.Ordinal));
        await stop.CancelAsync();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);
    }

    [Fact]
    public async Task A_store_that_refuses_to_expire_delays_no_load_and_is_asked_again()
    {
        var schema = TableThatKeepsFor(TimeSpan.Zero);
        using var load = await LoadFixture.CreateAsync(schema);
        var sent = await load.SendAsync(schema, """{"_id":1}""");
        load.Time.Advance(TimeSpan.FromMinutes(1));
        load.Database.FailCalls(2); // the first is the schema
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => load.Loader.RunAsync(stop.Token), TestContext.Current.CancellationToken);

        await AdvanceUntilAsync(load, () => load.Loader.ExpiredRows == 1);

        Assert.Equal(sent.Sequence, load.Loader.Loaded);
        Assert.Equal(["schema 1 @1", "expire 0 rows failed", "load 1 rows @2", "expire 1 rows"], load.Database.Calls.Take(4));
        await stop.CancelAsync();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);
    }

    [Fact]
    public async Task A_table_that_is_to_keep_less_is_searched_at_once()
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int));
        using var load = await LoadFixture.CreateAsync(schema);
        await load.SendAsync(schema, """{"_id":1}""");
        var changed = await load.ChangeAsync(schema.WithRetention(TimeSpan.FromDays(1)));
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => load.Loader.RunAsync(stop.Token), TestContext.Current.CancellationToken);
        await load.PassTimeUntilAsync(load.Loader.WaitAsync(changed.Sequence, CancellationToken.None));

        await AdvanceUntilAsync(load, () => load.Loader.ExpiredRows == 1, TimeSpan.FromSeconds(1));

        Assert.Equal(["schema 1 @1", "load 1 rows @2", "schema 2 @3", "expire 1 rows"], load.Database.Calls);
        await stop.CancelAsync();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);
    }

    [Theory]
    [InlineData("YMD", "24:00:00", "2026-01-01T00:00:00Z")]
    [InlineData("YMDH", "00:00:01", "2026-01-02T03:00:00Z")]
    [InlineData("YMDH", "01:00:00", "2026-01-02T02:00:00Z")]
    [InlineData("YM", "24:00:00", "2026-01-01T00:00:00Z")]
    [InlineData("YM", "48:00:00", "2025-12-01T00:00:00Z")]
    [InlineData("Y", "48:00:00", "2025-01-01T00:00:00Z")]
    public void A_time_goes_when_its_period_has_ended_as_long_ago_as_the_columns_time_to_live(string quantum, string timeToLive, string before)
    {
        var ttl = TimeSpan.FromSeconds(timeToLive.Split(':').Select((part, i) => int.Parse(part, null) * (i == 0 ? 3_600 : i == 1 ? 60 : 1)).Sum());
        var schema = TableOf(KeyKind.Number, ("q", ColumnType.StringSetQ(quantum) with { TimeToLive = ttl }), ("p", ColumnType.StringSetQ(quantum)));

        var expiry = RowExpiry.Of(schema, s_now, maxRows: 7)!;

        Assert.Null(expiry.RowsBeforeMicroseconds);
        var (column, seconds) = Assert.Single(expiry.TimesBefore);
        Assert.Equal(("q", DateTimeOffset.Parse(before, null)), (column.Name, DateTimeOffset.FromUnixTimeSeconds(seconds)));
        Assert.Null(RowExpiry.Of(TableOf(KeyKind.Number, ("p", ColumnType.StringSetQ(quantum))), s_now, maxRows: 7));
    }

    [Fact]
    public void What_is_kept_longer_than_there_have_been_dates_is_kept_for_ever()
    {
        var kept = TimeSpan.FromDays(10_000_000);
        var schema = TableOf(KeyKind.Number, ("q", ColumnType.StringSetQ("YMD") with { TimeToLive = kept })) with { Retention = kept };

        Assert.Null(RowExpiry.Of(schema, s_now, maxRows: 7));
    }

    static async Task AdvanceUntilAsync(LoadFixture load, Func<bool> condition, TimeSpan? step = null)
    {
        for (var i = 0; !condition(); i++)
        {
            Assert.True(i < 5_000, $"nothing happens any more: {string.Join(", ", load.Database.Calls)}");
            load.Time.Advance(step ?? TimeSpan.FromMinutes(1));
            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System, TestContext.Current.CancellationToken);
        }
    }
}
