using Sluice.Load;
using Sluice.Log;
using Sluice.Metrics;
using Sluice.Records;
using Sluice.Schema;
using static Sluice.Tests.Records.SampleTable;

namespace Sluice.Tests.Load;

/// <summary>Requests in parts: they take effect once, as a whole, where their last part stands, or never.</summary>
public sealed class PartLoadTests
{
    static readonly TableSchema Table = TableOf(KeyKind.Number, ("i", ColumnType.Int), ("s", ColumnType.String), ("ss", ColumnType.StringSet));
    static readonly Guid SinkId = SinkOf(Table).Id;

    [Fact]
    public async Task Parts_are_one_request()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        var position = await load.SendPartsAsync(Table, ["""{"_id":1,"i":1,"ss":["a"]}""", "5"], ["""{"_id":1,"s":"x","ss":["b"]}"""], ["""{"_id":2}""", """{"_id":"no"}"""]);
        Assert.Equal(4UL, position.Sequence);
        Assert.Equal(new SinkLedger(1, 5, 3, 2, 0, 0, 3), load.AssertBalanced(SinkId));
        Assert.Equal([new MinutePoint(1, 1, 3, 2)], load.Ledger.ReadMinutes(SinkId));
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "load 2 rows @4"], load.Database.Calls);
        Assert.Equal(["1: 1=1 2='x' 3=['a','b']", "2:"], load.Database.Rows());
        Assert.Equal(new SinkLedger(1, 5, 3, 2, 3, 0, 0), load.AssertBalanced(SinkId));
    }

    /// <summary>A barrier does not go on from a position that the store has left already.</summary>
    [Fact]
    public async Task A_deletion_after_parts_whose_passing_took_effect_and_reported_a_failure_is_applied()
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxBytes = 1 });
        await using var upload = load.Upload(Table);
        await upload.AppendAsync(Record(1));
        load.Database.FailAfterEffectInCall(2);
        Task? deletion = null;
        load.Database.OnCall = () =>
        {
            if (load.Database.CallCount == 1) deletion = load.Log.AppendAsync(DeletionFrame.Encode(new Deletion(Guid.NewGuid(), null), Table.Version, 0));
        };
        var loading = Task.Run(() => load.Loader.RunAsync(CancellationToken.None), TestContext.Current.CancellationToken);
        await load.PassTimeUntilAsync(CalledAsync(load, 2));
        await deletion!;
        await load.Log.CloseAsync();
        await load.PassTimeUntilAsync(loading);
        Assert.Equal(["schema 1 @1", "load 0 rows @2 failed", "delete all @3"], load.Database.Calls);
    }

    /// <summary>The parts do not count as loaded because the position has passed them.</summary>
    [Fact]
    public async Task A_request_whose_parts_were_passed_with_a_failure_that_took_effect_is_loaded_whole()
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxBytes = 1 });
        await using var upload = load.Upload(Table);
        await upload.AppendAsync(Record(1));
        load.Database.FailAfterEffectInCall(2);
        Task<LogPosition>? completing = null;
        load.Database.OnCall = () =>
        {
            if (load.Database.CallCount == 1) completing = upload.CompleteAsync(Record(2));
        };
        var loading = Task.Run(() => load.Loader.RunAsync(CancellationToken.None), TestContext.Current.CancellationToken);
        await load.PassTimeUntilAsync(CalledAsync(load, 2));
        await completing!;
        await load.Log.CloseAsync();
        await load.PassTimeUntilAsync(loading);
        Assert.Equal("load 0 rows @2 failed", load.Database.Calls[1]);
        Assert.Equal(["1", "2"], Keys(load));
        Assert.Equal(new SinkLedger(1, 2, 2, 0, 2, 0, 0), load.AssertBalanced(SinkId));
    }

    static async Task CalledAsync(LoadFixture load, int count)
    {
        while (load.Database.CallCount < count) await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task Without_its_last_part_a_request_never_was()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await using (var upload = load.Upload(Table))
        {
            await upload.AppendAsync(Record(1));
            await upload.AppendAsync(Record(2));
        }
        await load.SendAsync(Table, Record(3));
        await using var cut = load.Upload(Table);
        await cut.AppendAsync(Record(4));
        await load.LoadAllAsync();
        Assert.Equal(["3"], Keys(load));
        Assert.Equal(new SinkLedger(1, 1, 1, 0, 1, 0, 0), load.AssertBalanced(SinkId));

        using var restarted = load.Restart();
        Assert.Equal(new SinkLedger(1, 1, 1, 0, 1, 0, 0), restarted.AssertBalanced(SinkId));
        await restarted.LoadAllAsync();
        Assert.Equal(["3"], Keys(restarted));
    }

    [Fact]
    public async Task A_request_takes_effect_where_its_last_part_stands()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await using var a = load.Upload(Table);
        await using var b = load.Upload(Table);
        await a.AppendAsync("""{"_id":1,"s":"a1"}""", """{"_id":2,"s":"a1"}""");
        await b.AppendAsync("""{"_id":1,"s":"b1"}""", """{"_id":3,"s":"b1"}""");
        await load.SendAsync(Table, """{"_id":1,"s":"c"}""", """{"_id":4,"s":"c"}""");
        await a.AppendAsync("""{"_id":4,"s":"a2"}""");
        await b.CompleteAsync("""{"_id":3,"s":"b2"}""");
        await load.SendAsync(Table, """{"_id":2,"s":"d"}""", """{"_id":3,"s":"d"}""");
        await a.CompleteAsync("""{"_id":5,"s":"a3"}""");
        await load.LoadAllAsync();
        // c, b, d, a
        Assert.Equal(["1: 2='a1'", "2: 2='a1'", "3: 2='d'", "4: 2='a2'", "5: 2='a3'"], load.Database.Rows());
        Assert.Equal(new SinkLedger(4, 11, 11, 0, 11, 0, 0), load.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task A_request_larger_than_a_load_is_loaded_in_several_with_the_position_behind_its_last_part()
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = 3 });
        await load.SendAsync(Table, Record(0));
        await load.SendPartsAsync(Table, [Record(1), "5", Record(2)], [Record(3), Record(4)], [Record(5)], [Record(6), Record(7)]);
        await load.SendAsync(Table, Record(8));
        await load.LoadAllAsync();
        Assert.Equal(["schema 1 @1", "load 3 rows @2+3", "load 3 rows @2+6", "load 3 rows @7"], load.Database.Calls);
        Assert.Equal(["0", "1", "2", "3", "4", "5", "6", "7", "8"], Keys(load));
        Assert.Equal(new SinkLedger(3, 10, 9, 1, 9, 0, 0), load.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task A_record_that_fails_in_a_part_before_another_request_is_quarantined_as_itself()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await using var parts = load.Upload(Table);
        await parts.AppendAsync("""{"_id":3,"i":3},"op":"patch","version":7""", Record(4));
        await load.SendAsync(Table, Record(1));
        await parts.CompleteAsync(Record(2));
        await load.LoadAllAsync();
        Assert.Equal(["1", "2", "4"], Keys(load));
        var error = Assert.Single(load.Database.Errors);
        Assert.Equal((0, LateErrorCode.KeyMissing, "3"), (error.RecordIndex, error.Code, error.Key));
        Assert.Equal(1, load.AssertBalanced(SinkId).Failed);
    }

    [Fact]
    public async Task Waiting_for_a_request_ends_with_its_last_load()
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = 1 });
        var request = await load.SendPartsAsync(Table, [Record(1)], [Record(2)], [Record(3)]);
        var waiting = load.Loader.WaitAsync(request.Sequence, CancellationToken.None);
        load.Database.OnCall = () => Assert.False(waiting.IsCompleted);
        await load.LoadAllAsync();
        await waiting;
        Assert.Equal(["1", "2", "3"], Keys(load));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_crash_at_any_call_and_any_cap_loads_every_request_exactly_once(bool afterCommit)
    {
        var crashes = 0;
        for (var n = 1; n < 40; n++)
        {
            var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = 1 + (n % 4) });
            load.Database.Refuses = Bad;
            await using (var open = load.Upload(Table))
            {
                await using var a = load.Upload(Table);
                await using var b = load.Upload(Table);
                await open.AppendAsync(Record(100));
                await a.AppendAsync("""{"_id":1,"ss":["a1"]}""", Record(2, isBad: true), """{"_id":"no"}""");
                await b.AppendAsync("""{"_id":1,"ss":["b1"]}""", Record(3));
                await load.SendAsync(Table, """{"_id":1,"s":"c","ss":["c"]}""");
                await a.AppendAsync("""{"_id":1,"s":"a2"}""", Record(4));
                await b.AppendAsync(Record(5), Record(6, isBad: true), """{"_id":1,"ss":["b2"]}""");
                await a.CompleteAsync(Record(7));
                await load.ChangeAsync(Table.WithColumn("n", ColumnType.Int));
                await b.CompleteAsync();
                await load.SendAsync(Table, Record(8));
                await open.AppendAsync(Record(101));
            }
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
            Assert.Equal(
                ["1: 2='a2' 3=['a1','b1','b2','c']", "3: 1=3 2='good'", "4: 1=4 2='good'", "5: 1=5 2='good'", "7: 1=7 2='good'", "8: 1=8 2='good'"], load.Database.Rows());
            Assert.Equal(["2", "6"], load.Database.Errors.Select(error => error.Key));
            Assert.Equal(new SinkLedger(4, 13, 12, 1, 10, 2, 0), load.AssertBalanced(SinkId));
            load.Dispose();
        }
        Assert.InRange(crashes, 12, 39);
    }

    /// <summary>The control of the test above: a store that forgets how far into a request it was loads records twice.</summary>
    [Fact]
    public async Task A_position_without_the_records_ahead_is_found_out()
    {
        var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = 2 });
        await load.SendPartsAsync(Table, [Record(1), Record(2)], [Record(3), Record(4)]);
        load.Database.CrashInCall(2, afterCommit: true);
        await Assert.ThrowsAsync<SimulatedCrashException>(load.LoadAllAsync);
        Assert.Equal(2, load.Database.Position.RecordsAhead);
        load.Database.Move(load.Database.Position with { RecordsAhead = 0 });
        load = load.Restart();
        await load.LoadAllAsync();
        Assert.Equal(-2, load.Ledger.Read(SinkId).Pending);
        load.Dispose();
    }

    public enum Damage
    {
        None,
        LoadedPart,
        NextPart,
        LastPart,

        /// <summary>Nothing says any more that there was a request.</summary>
        LastPartAndHeaders,
    }

    /// <summary>The table has the first part of a request, and the repair finds it damaged: the rest is lost, and the next request is not mistaken for it.</summary>
    [Theory]
    [InlineData(Damage.None, 10, 10, 0)] // the control, with the other damage
    [InlineData(Damage.LoadedPart, 10, 7, 3)]
    [InlineData(Damage.NextPart, 10, 7, 3)]
    [InlineData(Damage.LastPart, 10, 7, 3)]
    [InlineData(Damage.LastPartAndHeaders, 7, 7, 0)]
    public async Task A_repair_beside_a_request_that_is_loaded_in_part_loses_the_rest_of_it_and_nothing_else(Damage damage, int received, int loaded, int lost)
    {
        var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = 2 });
        await SendAsync(1, 2, 4);
        await SendAsync(6, 7, 9);
        await load.SendAsync(Table, Record(100)); // its frame is damaged too, and nothing says what it was
        load.Database.CrashInCall(2, afterCommit: true);
        await Assert.ThrowsAsync<SimulatedCrashException>(load.LoadAllAsync);
        Assert.Equal((1UL, 2), (load.Database.Position.Sequence, load.Database.Position.RecordsAhead));
        load = load.Repair((bytes, frames) =>
        {
            bytes[frames[8] + 50] ^= 1; // in its header
            if (damage != Damage.None) bytes[frames[damage switch { Damage.LoadedPart => 2UL, Damage.NextPart => 3, _ => 4 }] + FrameHeader.Size + 20] ^= 1;
            if (damage == Damage.LastPartAndHeaders) bytes[frames[4] + 50] ^= 1;
        });
        for (var life = 0; life < 3; life++)
        {
            await load.LoadAllAsync();
            Assert.Equal([.. damage == Damage.None ? new[] { "1", "2", "3", "4", "5" } : ["1", "2"], "6", "7", "8", "9", "10"], Keys(load).OrderBy(int.Parse));
            var ledger = load.AssertBalanced(SinkId);
            Assert.Equal((received, loaded, lost, 0), (ledger.Received, ledger.Loaded, ledger.Lost, ledger.Pending));
            load = life == 0 ? load.Repair((_, _) => { }) : load.Restart(); // a second repair counts nothing twice
        }
        load.Dispose();

        async Task SendAsync(int first, int second, int third)
        {
            var before = load.Log.DurablePosition.Sequence;
            await using var upload = load.Upload(Table);
            await upload.AppendAsync(Record(first), Record(first + 1));
            await load.Log.WaitForMoreAsync(before, TestContext.Current.CancellationToken);
            await upload.AppendAsync(Record(third - 1), Record(third));
            await load.Log.WaitForMoreAsync(before + 1, TestContext.Current.CancellationToken);
            await upload.CompleteAsync(Record(third + 1));
        }
    }

    [Fact]
    public async Task Late_errors_name_the_request_and_the_record_in_it()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        load.Database.Refuses = Bad;
        await using var upload = load.Upload(Table);
        await upload.AppendAsync(Record(1), "5", Record(2));
        await load.SendAsync(Table, Record(3, isBad: true));
        await upload.AppendAsync("5", Record(4, isBad: true));
        var request = await upload.CompleteAsync(Record(5), Record(6, isBad: true));
        await load.LoadAllAsync();
        Assert.Equal(["1", "2", "5"], Keys(load));
        Assert.Equal(
            [("3", 0, LogPosition.OfRecord(3, 0)), ("4", 4, LogPosition.OfRecord(4, 1)), ("6", 6, LogPosition.OfRecord(5, 1))],
            load.Database.Errors.Select(error => (error.Key, error.RecordIndex, error.Position)));
        Assert.All(load.Database.Errors.Skip(1), error => Assert.Equal(FrameHeader.FormatRequestId(request), error.RequestId));
        Assert.Equal(new SinkLedger(2, 8, 6, 2, 3, 3, 0), load.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task Rows_keep_the_position_of_their_part()
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await load.SendPartsAsync(Table, ["5", Record(1)], ["5", "5", Record(2), Record(3)]);
        using var reader = new RequestReader(load.Log, load.Log.DurablePosition with { Sequence = 1 });
        var batch = new FrameBatch(Table);
        while (reader.TryPeek(out var frame))
        {
            batch.Add(frame);
            reader.Take();
        }
        Assert.Equal([LogPosition.OfRecord(2, 1), LogPosition.OfRecord(3, 2), LogPosition.OfRecord(3, 3)], batch.Rows.Positions.ToArray());
        Assert.Equal([1, 4, 5], [batch.Frames[0].RecordIndexOf(0), batch.Frames[1].RecordIndexOf(1), batch.Frames[1].RecordIndexOf(2)]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_record_that_lacks_a_field_in_any_part_discards_all_of_them(int bad)
    {
        using var load = await LoadFixture.CreateAsync(Table);
        await using var upload = load.Upload(Table, SinkOf(Table, allowMissing: false));
        var parts = Enumerable.Range(0, 3).Select(i => i == bad ? """{"_id":9}""" : $"{{\"_id\":{i},\"i\":1,\"s\":\"a\",\"ss\":[]}}").ToList();
        await upload.AppendAsync(parts[0]);
        await upload.AppendAsync(parts[1]);
        var request = await upload.CompleteAsync(parts[2]);
        await load.LoadAllAsync();
        Assert.Empty(load.Database.Rows());
        var error = Assert.Single(load.Database.Errors);
        Assert.Equal((FrameHeader.FormatRequestId(request), -1), (error.RequestId, error.RecordIndex));
        Assert.Contains("the whole request of 3 records was discarded", error.Message, StringComparison.Ordinal);
        Assert.Equal(new SinkLedger(1, 3, 0, 3, 0, 0, 0), load.AssertBalanced(SinkId));
        using var restarted = load.Restart();
        Assert.Equal(new SinkLedger(1, 3, 0, 3, 0, 0, 0), restarted.AssertBalanced(SinkId));
    }

    [Fact]
    public async Task Parts_of_nothing_move_the_position_only_when_they_have_become_many()
    {
        using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxBytes = 1_000 });
        using var stop = new CancellationTokenSource();
        var running = Task.Run(() => load.Loader.RunAsync(stop.Token), TestContext.Current.CancellationToken);
        await using var upload = load.Upload(Table);
        await upload.AppendAsync(Record(1));
        for (var i = 0; i < 10; i++) await upload.AppendAsync(Record(2));
        await load.PassTimeUntilAsync(UntilAsync(() => load.Loader.Loaded > 1));
        var request = await upload.CompleteAsync(Record(3));
        await load.PassTimeUntilAsync(UntilAsync(() => load.Loader.Loaded == request.Sequence));
        Assert.Equal(["1", "2", "3"], Keys(load));
        Assert.Equal(12, load.AssertBalanced(SinkId).Loaded);
        Assert.InRange(load.Database.CallCount, 3, 12);
        await stop.CancelAsync();
        await running.ContinueWith(_ => { }, TaskScheduler.Default);
    }

    [Fact]
    public async Task Passing_failures_of_the_store_change_nothing()
    {
        for (var n = 2; n < 12; n++)
        {
            using var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = 2 });
            load.Database.Refuses = Bad;
            await load.SendAsync(Table, Record(0));
            await load.SendPartsAsync(Table, [Record(1), Record(2, isBad: true)], [Record(3)], [Record(4), Record(5)], [Record(6)]);
            load.Database.FailCalls(n, count: 2);
            await load.LoadAllAsync();
            Assert.Equal(["0", "1", "3", "4", "5", "6"], Keys(load));
            Assert.Equal(new SinkLedger(2, 7, 7, 0, 6, 1, 0), load.AssertBalanced(SinkId));
        }
    }

    [Fact]
    public async Task Any_mix_of_requests_and_crashes_loads_to_what_one_after_the_other_makes()
    {
        var first = Random.Shared.Next();
        var ahead = 0;
        for (var seed = first; seed < first + 300; seed++)
        {
            var random = new Random(seed);
            var load = await LoadFixture.CreateAsync(Table, new LoadOptions { MaxRecords = random.Next(1, 8), MaxBytes = random.Next(1, 3_000) });
            var model = new PartModel(random, Table);
            for (var round = random.Next(1, 4); round > 0; round--)
            {
                for (var step = random.Next(1, 25); step > 0; step--) await model.StepAsync(load);
                await model.GiveUpAsync();
                load.Database.CrashInCall(random.Next(1, 12), random.Next(2) == 0);
                try
                {
                    await load.LoadAllAsync();
                }
                catch (SimulatedCrashException)
                {
                    if (load.Database.Position.RecordsAhead > 0) ahead++;
                }
                load = load.Restart();
                load.AssertBalanced(SinkId);
            }
            load.Database.CrashInCall(0, afterCommit: false);
            await load.LoadAllAsync();
            Assert.True(model.Rows().SequenceEqual(load.Database.Rows()), $"seed {seed}: {string.Join(", ", load.Database.Calls)}");
            var ledger = load.AssertBalanced(SinkId);
            Assert.Equal((seed, model.Requests, model.Records, 0), (seed, ledger.Requests, ledger.Loaded, ledger.Pending));
            load.Dispose();
        }
        Assert.InRange(ahead, 10, 900); // it does die in the middle of requests
    }

    /// <summary>Requests whole and in parts, several under way, and the rows that the complete ones make in the order of their ends.</summary>
    sealed class PartModel(Random random, TableSchema schema)
    {
        readonly SortedDictionary<string, int> _last = new(StringComparer.Ordinal);
        readonly List<(TestUpload Upload, List<(int Key, int Value)> Records)> _open = [];
        int _next;

        public int Requests { get; private set; }

        public int Records { get; private set; }

        public async Task StepAsync(LoadFixture load)
        {
            var records = Enumerable.Range(0, random.Next(1, 4)).Select(_ => (Key: random.Next(6), Value: _next++)).ToList();
            var values = records.Select(record => $"{{\"_id\":{record.Key},\"i\":{record.Value}}}").ToArray();
            switch (random.Next(6))
            {
                case 0:
                    await load.SendAsync(schema, values);
                    Complete(records);
                    break;
                case 1:
                    var upload = load.Upload(schema);
                    await upload.AppendAsync(values);
                    _open.Add((upload, records));
                    break;
                case 2 or 3 when _open.Count > 0:
                    var more = _open[random.Next(_open.Count)];
                    await more.Upload.AppendAsync(values);
                    more.Records.AddRange(records);
                    break;
                case 4 when _open.Count > 0:
                    var done = _open[random.Next(_open.Count)];
                    await done.Upload.CompleteAsync(values);
                    Complete([.. done.Records, .. records]);
                    _open.Remove(done);
                    break;
                case 5 when _open.Count > 0:
                    await _open[0].Upload.DisposeAsync();
                    _open.RemoveAt(0);
                    break;
            }
        }

        public async Task GiveUpAsync()
        {
            foreach (var (upload, _) in _open) await upload.DisposeAsync();
            _open.Clear();
        }

        public string[] Rows() => [.. _last.Select(row => $"{row.Key}: 1={row.Value}")];

        void Complete(List<(int Key, int Value)> records)
        {
            Requests++;
            Records += records.Count;
            foreach (var (key, value) in records) _last[$"{key}"] = value;
        }
    }

    static bool Bad(RowBatch rows, int row) => rows.FindColumn(2) is { } text && Cell(text, row) == "'bad'";

    static string Record(long key, bool isBad = false) => $"{{\"_id\":{key},\"i\":{key},\"s\":\"{(isBad ? "bad" : "good")}\"}}";

    static IEnumerable<string> Keys(LoadFixture load) => load.Database.Rows().Select(row => row.Split(':')[0]);

    static async Task UntilAsync(Func<bool> isTrue)
    {
        while (!isTrue()) await Task.Yield();
    }
}
