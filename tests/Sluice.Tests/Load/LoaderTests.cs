using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Load;

/// <summary>From log to store: once each, in order, whatever fails on the way.</summary>
public sealed class LoaderTests
{
    static readonly TableSchema Table = TableOf(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String), ("ss", ColumnType.StringSet));
    static readonly Guid SinkId = SinkOf(Table).Id;

    [Fact]
    public async Task Frames_that_wait_are_loaded_together_as_one_row_a_key()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await load.SendAsync(Table, """{"_id":1,"i":1,"ss":["a"]}""", """{"_id":2,"i":2}""");
        await load.SendAsync(Table, """{"_id":1,"s":"x","ss":["b"]}""");
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "load 2 rows @3"], load.Database.Calls);
        Assert.Equal(["1: 1=1 2='x' 3=['a','b']", "2: 1=2"], load.Database.Rows());
        Assert.Equal(new SinkLedger(2, 3, 3, 0, 3, 0, 0), load.AssertBalanced(SinkId));
        Assert.Equal(3UL, load.Loader.Loaded);
    }

    [Fact]
    public async Task Ids_that_the_server_makes_are_the_places_of_the_records_in_the_log()
    {
        var schema = TableOf(KeyKind.Number, ("i", ColumnType.Int)) with { IsAutoId = true };
        var sink = SinkWith(schema, true, ("i", "/i"));
        using var load = await LoadFixture.CreateAsync(schema);
        await load.SendAsync(sink, schema, """{"i":7}""", """{"i":"x"}""", """{"i":7}""");
        await load.SendAsync(sink, schema, """{"i":7}""");
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "load 3 rows @3"], load.Database.Calls);
        Assert.Equal(["262144: 1=7", "262146: 1=7", "393216: 1=7"], load.Database.Rows());
        Assert.Equal(3, load.AssertBalanced(sink.Id).Loaded);
    }

    [Fact]
    public async Task A_default_is_for_new_rows_whose_first_record_says_nothing_of_it_wherever_a_batch_ends()
    {
        var schema = TableOf(KeyKind.Number) with { Columns = [new(1, "i", ColumnType.Int) { Default = "5" }, new(2, "ss", ColumnType.StringSet) { Default = "[\"x\"]" }] };
        using var load = await LoadFixture.CreateAsync(schema);
        await load.SendAsync(schema, """{"_id":1}""", """{"_id":2,"i":null}""", """{"_id":3}""", """{"_id":3,"i":8}""", """{"_id":2,"ss":["y"]}""");
        await load.LoadAllAsync();
        Assert.Equal(["1: 1=5 2=['x']", "2: 2=['x','y']", "3: 1=8 2=['x']"], load.Database.Rows());
    }

    [Fact]
    public async Task Any_records_load_to_what_one_after_the_other_makes()
    {
        var seed = Random.Shared.Next();
        for (var round = 0; round < 60; round++)
        {
            var random = new Random(seed + round);
            var options = new LoadOptions { MaxRecords = random.Next(1, 100), MaxBytes = random.Next(1, 10_000) };
            using var load = await LoadFixture.CreateAsync(Table, options);
            var model = new ModelTable();
            for (var request = random.Next(20); request > 0; request--)
                await load.SendAsync(Table, [.. Enumerable.Range(0, random.Next(20)).Select(_ => model.Next(random, Table))]);
            await load.LoadAllAsync();
            Assert.True(model.Rows().SequenceEqual(load.Database.Rows()), $"seed {seed + round}");
            Assert.Equal(model.RecordCount, load.AssertBalanced(SinkId).Loaded);
            Assert.Equal(load.Database.CountsOf(SinkId).Loaded, model.RecordCount);
        }
    }

    [Fact]
    public async Task The_cap_of_records_and_of_bytes_ends_a_load()
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = 4 });
        for (var i = 0; i < 5; i++) await load.SendAsync(Table, $"{{\"_id\":{i * 2}}}", $"{{\"_id\":{(i * 2) + 1}}}");
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "load 4 rows @3", "load 4 rows @5", "load 2 rows @6"], load.Database.Calls);

        using var bytes = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxBytes = 1 });
        for (var i = 0; i < 3; i++) await bytes.SendAsync(Table, $"{{\"_id\":{i}}}");
        await bytes.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "load 1 rows @2", "load 1 rows @3", "load 1 rows @4"], bytes.Database.Calls);
    }

    [Fact]
    public async Task A_request_without_accepted_records_moves_the_position_and_counts()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await load.SendAsync(Table, """{"_id":"x"}""", "{}");
        await load.SendAsync(Table);
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "load 0 rows @3"], load.Database.Calls);
        Assert.Equal(new SinkLedger(2, 2, 0, 2, 0, 0, 0), load.AssertBalanced(SinkId));
        Assert.Empty(load.Database.Errors);
    }

    [Fact]
    public async Task The_position_moves_with_the_rows_only()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await load.SendAsync(Table, """{"_id":1}""");
        load.Database.FailCalls(2, count: 1_000);
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => load.Loader.RunAsync(stop.Token), TestContext.Current.CancellationToken);
        await load.PassTimeUntilAsync(UntilAsync(() => load.Database.CallCount >= 6));
        Assert.Equal(1UL, load.Database.Position.Sequence);
        Assert.Equal(1UL, load.Loader.Loaded);
        Assert.False(load.Loader.WaitAsync(2, CancellationToken.None).IsCompleted);
        Assert.Empty(load.Database.Rows());
        Assert.Equal(1, load.AssertBalanced(SinkId).Pending);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => load.PassTimeUntilAsync(running));
    }

    [Fact]
    public async Task Waiting_for_a_sequence_ends_when_it_is_in_the_store()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => load.Loader.RunAsync(stop.Token), TestContext.Current.CancellationToken);
        for (var i = 0; i < 5; i++)
        {
            var position = await load.SendAsync(Table, $"{{\"_id\":{i}}}");
            await load.Loader.WaitAsync(position.Sequence, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(10), TimeProvider.System, TestContext.Current.CancellationToken); // the clock stands still: who waits is not kept waiting
            Assert.Equal(i + 1, load.Database.Rows().Length);
        }
        await stop.CancelAsync();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);
    }

    [Fact]
    public async Task Loads_nobody_waits_for_are_gathered_for_a_while()
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MinInterval = TimeSpan.FromSeconds(1) });
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => load.Loader.RunAsync(stop.Token), TestContext.Current.CancellationToken);
        await load.Loader.WaitAsync(1, CancellationToken.None);
        for (var i = 0; i < 50; i++) await load.SendAsync(Table, $"{{\"_id\":{i}}}");
        await load.PassTimeUntilAsync(UntilAsync(() => load.Loader.Loaded == 51));
        Assert.Equal(["schema 1 @1", "load 50 rows @51"], load.Database.Calls);
        await stop.CancelAsync();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);
    }

    [Fact]
    public async Task What_the_store_can_write_at_once_is_gathered_whoever_waits_where_it_comes_within_a_moment()
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MinInterval = TimeSpan.Zero, WholeRecords = 10, MaxWholeInterval = TimeSpan.FromSeconds(1) });
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => load.Loader.RunAsync(stop.Token), TestContext.Current.CancellationToken);
        await WaitAsync(1);

        load.Time.Advance(TimeSpan.FromMilliseconds(100));
        await load.SendAsync(Table, [.. Enumerable.Range(0, 4).Select(i => $"{{\"_id\":{i}}}")]);
        await WaitAsync(2); // 4 in 100 ms: 10 in 250
        await load.SendAsync(Table, """{"_id":4}""");
        var waiting = WaitAsync(3);
        load.Time.Advance(TimeSpan.FromMilliseconds(200));
        await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, TestContext.Current.CancellationToken); // time enough for a load that does not wait
        Assert.Equal(["schema 1 @1", "load 4 rows @2"], load.Database.Calls);
        await load.SendAsync(Table, """{"_id":5}""", """{"_id":6}""");
        while (!waiting.IsCompleted)
        {
            load.Time.Advance(TimeSpan.FromMilliseconds(10));
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, TestContext.Current.CancellationToken);
        }
        await WaitAsync(4);
        Assert.Equal(["schema 1 @1", "load 4 rows @2", "load 3 rows @4"], load.Database.Calls);

        load.Time.Advance(TimeSpan.FromSeconds(10));
        foreach (var id in (int[])[7, 8]) // 1 in 10 s: the clock stands still, and neither is kept waiting
        {
            var sent = await load.SendAsync(Table, $"{{\"_id\":{id}}}");
            await WaitAsync(sent.Sequence);
        }
        await stop.CancelAsync();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);

        Task WaitAsync(ulong sequence) => load.Loader.WaitAsync(sequence, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(10), TimeProvider.System, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task After_a_load_of_all_that_one_may_take_nothing_is_waited_for()
    {
        var options = new LoadOptions { MinInterval = TimeSpan.Zero, MaxRecords = 4, WholeRecords = 10, MaxWholeInterval = TimeSpan.FromSeconds(1) };
        using var load = await LoadFixture.CreateAsync(Table, options);
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => load.Loader.RunAsync(stop.Token), TestContext.Current.CancellationToken);
        await WaitAsync(1);

        load.Time.Advance(TimeSpan.FromMilliseconds(100));
        await load.SendAsync(Table, [.. Enumerable.Range(0, 4).Select(i => $"{{\"_id\":{i}}}")]);
        await WaitAsync(2);
        await load.SendAsync(Table, """{"_id":4}"""); // 4 in 100 ms: as above it would wait for 10, and the clock stands still
        await WaitAsync(3);
        Assert.Equal(["schema 1 @1", "load 4 rows @2", "load 1 rows @3"], load.Database.Calls);
        await stop.CancelAsync();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);

        Task WaitAsync(ulong sequence) => load.Loader.WaitAsync(sequence, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(10), TimeProvider.System, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Passing_failures_are_tried_again_ever_slower_and_nothing_is_doubled()
    {
        var options = new LoadOptions { MaxRetryDelay = TimeSpan.FromSeconds(1) };
        using var load = await LoadFixture.CreateAsync(Table, options);
        await load.SendAsync(Table, """{"_id":1,"i":1}""", """{"_id":2,"ss":["a"]}""");
        load.Database.FailCalls(2, count: 7);
        var times = new List<DateTimeOffset>();
        load.Database.OnCall = () => times.Add(load.Time.GetUtcNow());
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", .. Enumerable.Repeat("load 2 rows @2 failed", 7), "load 2 rows @2"], load.Database.Calls);
        Assert.Equal(["1: 1=1", "2: 3=['a']"], load.Database.Rows());
        Assert.Equal(new SinkCounts(2, 0), load.Database.CountsOf(SinkId));
        double[] wanted = [100, 200, 400, 800, 1_000, 1_000, 1_000];
        foreach (var (delay, i) in wanted.Select((delay, i) => (delay, i)))
            Assert.InRange((times[i + 2] - times[i + 1]).TotalMilliseconds, delay, double.MaxValue); // the clock overshoots, never falls short
    }

    [Theory]
    [InlineData(1, 100)]
    [InlineData(2, 200)]
    [InlineData(7, 6_400)]
    [InlineData(8, 10_000)]
    [InlineData(1_000_000, 10_000)]
    public void Delays_double_up_to_the_longest(int failures, double milliseconds) =>
        Assert.Equal(milliseconds, LoadRetry.DelayAfter(failures, new LoadOptions()).TotalMilliseconds);

    [Fact]
    public async Task Passing_failures_during_the_search_for_bad_records_change_nothing()
    {
        for (var n = 2; n < 25; n++)
        {
            using var load = await LoadFixture.CreateAsync(Table);
            load.Database.Refuses = Bad;
            for (var request = 0; request < 4; request++)
                await load.SendAsync(Table, [.. Enumerable.Range(0, 4).Select(i => Record((request * 4) + i, isBad: (request, i) is (1, 2) or (3, 0)))]);
            load.Database.FailCalls(n, count: 2);
            await load.LoadAllAsync();
            Assert.Equal(14, load.Database.Rows().Length);
            Assert.Equal([6L, 12L], load.Database.Errors.Select(error => long.Parse(error.Key, null)));
            Assert.Equal(new SinkLedger(4, 16, 16, 0, 14, 2, 0), load.AssertBalanced(SinkId));
        }
    }

    [Fact]
    public async Task Bad_records_are_found_exactly_and_told_once_each()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        load.Database.Refuses = Bad;
        await load.SendAsync(Table, Record(1), Record(2));
        var second = await load.SendAsync(Table, Record(3), """{"_id":"no id"}""", Record(4, isBad: true), Record(5));
        await load.SendAsync(Table, Record(6));
        var fourth = await load.SendAsync(Table, """{"_id":7,"i":1,"s":"bad","ss":["a","b"]}""");
        await load.LoadAllAsync();
        Assert.Equal(["1", "2", "3", "5", "6"], load.Database.Rows().Select(row => row[..1]));
        var now = load.Database.Errors.Select(error => error.TimeMicroseconds).First();
        Assert.Equal(
            [
                new LateError(SinkId, LogPosition.OfRecord(second.Sequence, 2), FrameHeader.FormatRequestId(second), 2, "4", LateErrorCode.StoreRefused, "row 4 violates a constraint", """{"_id":4,"i":4,"s":"bad"}""", now),
                new LateError(SinkId, LogPosition.OfRecord(fourth.Sequence, 0), FrameHeader.FormatRequestId(fourth), 0, "7", LateErrorCode.StoreRefused, "row 7 violates a constraint", """{"_id":7,"i":1,"s":"bad","ss":["a","b"]}""", load.Database.Errors[1].TimeMicroseconds),
            ],
            load.Database.Errors);
        Assert.Equal(new SinkLedger(4, 8, 7, 1, 5, 2, 0), load.AssertBalanced(SinkId));
        Assert.Equal(new SinkCounts(5, 2), load.Database.CountsOf(SinkId));
    }

    [Fact]
    public async Task Bad_records_are_found_wherever_they_stand()
    {
        var seed = Random.Shared.Next();
        for (var round = 0; round < 100; round++)
        {
            var random = new Random(seed + round);
            using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = random.Next(1, 60) });
            load.Database.Refuses = Bad;
            var bad = new List<long>();
            var key = 0;
            for (var request = random.Next(1, 8); request > 0; request--)
            {
                var values = new List<string>();
                for (var i = random.Next(0, 15); i > 0; i--)
                {
                    var isBad = random.Next(6) == 0;
                    if (isBad) bad.Add(key);
                    values.Add(Record(key++, isBad));
                }
                await load.SendAsync(Table, [.. values]);
            }
            await load.LoadAllAsync();
            Assert.True(bad.SequenceEqual(load.Database.Errors.Select(error => long.Parse(error.Key, null))), $"seed {seed + round}");
            Assert.Equal(key - bad.Count, load.Database.Rows().Length);
            var ledger = load.AssertBalanced(SinkId);
            Assert.Equal((key - bad.Count, bad.Count, 0), (ledger.Loaded, ledger.Failed, ledger.Pending));
        }
    }

    [Fact]
    public async Task A_bad_record_takes_no_other_record_of_its_key_with_it()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        load.Database.Refuses = Bad;
        var request = await load.SendAsync(
            Table, """{"_id":1,"i":1,"ss":["a"]}""", """{"_id":1,"s":"bad","ss":["b"]}""", """{"_id":1,"i":3,"ss":["c"]}""", """{"_id":2,"s":"bad"}""", """{"_id":2,"s":"good"}""");
        await load.LoadAllAsync();
        // the second value of key 1 stays "bad" in the fold and is told; the one of key 2 is superseded before it could do harm
        Assert.Equal(["1: 1=3 3=['a','c']", "2: 2='good'"], load.Database.Rows());
        var error = Assert.Single(load.Database.Errors);
        Assert.Equal((request.Sequence, 1, "1"), (error.Position >> LogPosition.RecordIndexBits, error.RecordIndex, error.Key));
        Assert.Equal(new SinkLedger(1, 5, 5, 0, 4, 1, 0), load.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task Records_that_are_refused_only_together_all_fail_and_are_told()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        load.Database.Refuses = (rows, _) => rows.RowCount > 2;
        await load.SendAsync(Table, Record(1), Record(2), Record(3));
        await load.SendAsync(Table, Record(4));
        await load.LoadAllAsync();
        Assert.Equal(["4: 1=4 2='good'"], load.Database.Rows());
        Assert.Equal(["1", "2", "3"], load.Database.Errors.Select(error => error.Key));
        Assert.Equal(new SinkLedger(2, 4, 4, 0, 1, 3, 0), load.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task Values_of_late_errors_are_readable_json_of_every_kind()
    {
        var schema = TableOf(
            KeyKind.String, ("i", ColumnType.Int), ("d", ColumnType.Decimal(2)), ("b", ColumnType.Bool), ("s", ColumnType.String), ("ss", ColumnType.StringSet), ("is", ColumnType.IdSet),
            ("v", ColumnType.Vector(2)), ("t", ColumnType.Timestamp(TimeUnit.Millisecond)), ("id", ColumnType.Id), ("n", ColumnType.Int));
        using var load = await LoadFixture.CreateAsync(schema);
        load.Database.Refuses = (_, _) => true;
        await load.SendAsync(schema, """{"_id":"é\n\"<","i":-1,"d":-0.05,"b":false,"s":"ü","ss":["x","y"],"is":[2,1],"v":[1.5,-2],"t":"1969-12-31T23:59:59.5Z","id":9223372036854775807,"n":null}""");
        await load.LoadAllAsync();
        var error = Assert.Single(load.Database.Errors);
        Assert.Equal("é\n\"<", error.Key);
        Assert.Equal(
            """{"_id":"é\n\"<","i":-1,"d":-0.05,"b":false,"s":"ü","ss":["x","y"],"is":[2,1],"v":[1.5,-2],"t":"1969-12-31T23:59:59.5Z","id":9223372036854775807,"n":null}""", error.Value);
    }

    [Fact]
    public async Task A_discarded_request_gives_one_late_error()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        var request = await load.SendAsync(SinkOf(Table, allowMissing: false), Table, """{"_id":1,"i":1,"s":"a","ss":[]}""", """{"_id":2}""");
        await load.LoadAllAsync();
        var error = Assert.Single(load.Database.Errors);
        Assert.Equal((SinkId, FrameHeader.FormatRequestId(request), -1, "", null), (error.SinkId, error.RequestId, error.RecordIndex, error.Key, error.Value));
        Assert.Contains("the whole request of 2 records was discarded", error.Message, StringComparison.Ordinal);
        Assert.Equal(new SinkLedger(1, 2, 0, 2, 0, 0, 0), load.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task A_barrier_is_applied_between_the_frames_around_it()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await load.SendAsync(Table, """{"_id":1,"i":1}""");
        await load.SendAsync(Table, """{"_id":2,"i":2}""");
        var next = Table.WithColumn("n", ColumnType.Int);
        await load.ChangeAsync(next);
        await load.SendAsync(Table, """{"_id":3,"i":3}"""); // decoded before the change, appended after it
        await load.SendAsync(next, """{"_id":1,"n":4}""");
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "load 2 rows @3", "schema 2 @4", "load 2 rows @6"], load.Database.Calls);
        Assert.Equal(["1: 1=1 4=4", "2: 1=2", "3: 1=3"], load.Database.Rows());
        Assert.Equal(next, load.Loader.Schema);
    }

    [Fact]
    public async Task A_dropped_column_loses_nothing_but_itself()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await load.SendAsync(Table, """{"_id":1,"i":1,"s":"a","ss":["x"]}""");
        var without = Table.WithoutColumn("s");
        await load.ChangeAsync(without);
        await load.SendAsync(Table, """{"_id":2,"i":2,"s":"gone","ss":["y"]}""", """{"_id":3,"s":"gone"}""");
        var again = without.WithColumn("s", ColumnType.IdSet); // the name comes back as another column
        await load.ChangeAsync(again);
        await load.SendAsync(Table, """{"_id":4,"s":"gone","ss":["z"]}""");
        await load.SendAsync(again, """{"_id":4,"s":[7]}""");
        await load.LoadAllAsync();
        Assert.Equal(["1: 1=1 3=['x']", "2: 1=2 3=['y']", "3:", "4: 3=['z'] 4=[7]"], load.Database.Rows());
        Assert.Equal(new SinkLedger(4, 5, 5, 0, 5, 0, 0), load.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task A_barrier_written_twice_is_applied_once()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        var next = Table.WithColumn("n", ColumnType.Int);
        await load.ChangeAsync(next);
        await load.ChangeAsync(next);
        await load.ChangeAsync(Table);
        await load.SendAsync(next, """{"_id":1,"n":1}""");
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "schema 2 @2", "load 0 rows @3", "load 0 rows @4", "load 1 rows @5"], load.Database.Calls);
        Assert.Equal(["1: 4=1"], load.Database.Rows());
    }

    [Fact]
    public async Task A_log_that_begins_without_a_schema_ends_the_loader()
    {
        using var load = LoadFixture.CreateEmpty();
        await load.SendAsync(Table, """{"_id":1}""");
        Assert.Equal(ErrorCode.Corrupt, (await Assert.ThrowsAsync<SluiceException>(load.LoadAllAsync)).Code);
    }

    [Fact]
    public async Task The_ledger_balances_at_every_step()
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = 3 });
        load.Database.Refuses = Bad;
        load.Database.FailCalls(4, 2);
        var steps = 0;
        load.Database.OnCall = () =>
        {
            load.AssertBalanced(SinkId);
            steps++;
        };
        var accepted = 0;
        for (var request = 0; request < 6; request++)
        {
            await load.SendAsync(Table, Record(request), Record(request + 10, isBad: request % 2 == 0), """{"_id":"rejected"}""");
            accepted += 2;
            Assert.Equal(accepted, load.AssertBalanced(SinkId).Pending);
        }
        await load.LoadAllAsync();
        Assert.InRange(steps, 8, 100);
        Assert.Equal(new SinkLedger(6, 18, 12, 6, 9, 3, 0), load.AssertBalanced(SinkId));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_crash_at_any_call_loads_everything_exactly_once(bool afterCommit)
    {
        var crashes = 0;
        for (var n = 1; n < 30; n++)
        {
            var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = 3 });
            load.Database.Refuses = Bad;
            var model = new ModelTable();
            var random = new Random(n);
            for (var request = 0; request < 4; request++) await load.SendAsync(Table, [.. Enumerable.Range(0, 2).Select(_ => model.Next(random, Table, keys: 3))]);
            var next = Table.WithColumn("n", ColumnType.Int);
            await load.ChangeAsync(next);
            await load.SendAsync(next, Record(900), Record(901, isBad: true), Record(902));
            load.Database.CrashInCall(n, afterCommit);
            try
            {
                await load.LoadAllAsync();
            }
            catch (SimulatedCrashException)
            {
                crashes++;
            }
            load = load.Restart();
            load.AssertBalanced(SinkId);
            await load.LoadAllAsync();
            Assert.Equal([.. model.Rows().Concat(["900: 1=900 2='good'", "902: 1=902 2='good'"])], load.Database.Rows());
            Assert.Equal("901", Assert.Single(load.Database.Errors).Key);
            Assert.Equal(new SinkLedger(5, 11, 11, 0, 10, 1, 0), load.AssertBalanced(SinkId));
            load.Dispose();
        }
        Assert.InRange(crashes, 6, 29);
    }

    static bool Bad(RowBatch rows, int row) => rows.FindColumn(2) is { } text && Cell(text, row) == "'bad'";

    static string Record(long key, bool isBad = false) => $"{{\"_id\":{key},\"i\":{key},\"s\":\"{(isBad ? "bad" : "good")}\"}}";

    static async Task UntilAsync(Func<bool> isTrue)
    {
        while (!isTrue()) await Task.Yield();
    }
}
