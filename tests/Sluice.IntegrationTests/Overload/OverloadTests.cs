using System.Globalization;
using System.Net;
using Sluice.IntegrationTests.Server;
using Xunit;

namespace Sluice.IntegrationTests.Overload;

/// <summary>More than a table can load (F-09): what is taken stays fast and is loaded, what is not is told so.</summary>
public sealed class OverloadTests(ITestOutputHelper output) : IDisposable
{
    const int Overload = 3;

    static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    readonly TemporaryDirectory _data = new();

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _data.Dispose();

    /// <summary>With a store that is slow on purpose, so that the sender needs little of the machine and the figures mean something on a busy one.</summary>
    [Fact]
    public async Task Three_times_what_a_table_loads_is_refused_truthfully_and_costs_neither_time_nor_memory()
    {
        await using var server = await StartAsync("Sluice.FaultyServer", backlogBytes: 160 << 10, ("SLUICE_FAULT_RECORDS_PER_SECOND", "20000"));
        var (normal, over) = await RunAsync(server, recordsPerRequest: 200, TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(4));

        // a neighbour on the machine may hold up any request: how far the latency really goes is in docs/reliability.md
        Assert.InRange(over[0].P99, TimeSpan.Zero, 10 * Max(normal.P99, TimeSpan.FromMilliseconds(50)));
    }

    /// <summary>Held to a third of what it could load, so that the processors, which the sender needs too, are not what is short: those who wait would wait in the sender.</summary>
    [Fact(Explicit = true)] // with --long
    public async Task Three_times_what_a_fast_table_loads_does_not_double_the_latency_of_what_is_taken()
    {
        await using var server = await StartAsync("Sluice.FaultyServer", backlogBytes: 8 << 20, ("SLUICE_FAULT_RECORDS_PER_SECOND", "300000"));
        var (normal, over) = await RunAsync(server, recordsPerRequest: 1_000, TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(60));

        Assert.InRange(over[0].P99, TimeSpan.Zero, 2 * Max(normal.P99, TimeSpan.FromMilliseconds(20)));
    }

    /// <summary>The sender needs the processors too: where system calls are dear, the latency is not held (docs/reliability.md).</summary>
    [Fact(Explicit = true)] // with --long
    public async Task Three_times_what_the_real_store_loads_is_refused_truthfully_and_costs_neither_time_nor_memory()
    {
        await using var server = await StartAsync("Sluice.Server", backlogBytes: 32 << 20);
        var (normal, over) = await RunAsync(server, recordsPerRequest: 1_000, TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(60));

        Assert.InRange(over[0].P99, TimeSpan.Zero, 4 * Max(normal.P99, TimeSpan.FromMilliseconds(20)));
    }

    /// <summary>Until the backlog is full everything is taken, and what the processors cannot take at once waits in the sender: a queue that must be gone after ten seconds (docs/reliability.md).</summary>
    [Fact(Explicit = true)] // with --long
    public async Task The_queue_that_three_times_the_load_makes_while_the_backlog_fills_goes_away()
    {
        await using var server = await StartAsync("Sluice.Server", backlogBytes: 32 << 20);
        var (normal, over) = await RunAsync(server, recordsPerRequest: 1_000, TimeSpan.FromSeconds(20), TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(60));

        Assert.InRange(over[0].P99, TimeSpan.Zero, TimeSpan.FromSeconds(2)); // 0.4 to 1.0 s
        Assert.InRange(over[1].P99, TimeSpan.Zero, 4 * Max(normal.P99, TimeSpan.FromMilliseconds(20)));
    }

    [Fact]
    public async Task A_table_whose_database_fails_is_refused_when_its_backlog_is_full_and_taken_again_when_it_works()
    {
        using var steering = new TemporaryDirectory();
        var fault = Path.Combine(steering.Path, "fails");
        await using var server = await StartAsync("Sluice.FaultyServer", backlogBytes: 64 << 10, ("SLUICE_FAULT_FAILING_WHILE", fault));
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var sink = await MakeSinkAsync(api);
        await File.WriteAllTextAsync(fault, "", Cancellation);

        Answer answer;
        do answer = await SendOneAsync(api, sink, 1_000);
        while (answer.Status == HttpStatusCode.OK);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.Status);
        var started = TimeProvider.System.GetTimestamp();
        while (answer.Json["cause"]?.GetValue<string>() != "loader_stalled")
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < s_patience, answer.Text);
            answer = await SendOneAsync(api, sink, 1);
        }

        File.Delete(fault);
        await UntilTakenAsync(api, sink);
        var ledger = await api.WaitLoadedAsync(sink, Cancellation);
        Assert.Equal((0, 0), (ledger["pending"]!.GetValue<int>(), ledger["failed"]!.GetValue<int>()));
        Assert.Equal(ledger["received"]!.GetValue<int>(), ledger["loaded"]!.GetValue<int>());
    }

    static TimeSpan Max(TimeSpan one, TimeSpan other) => one > other ? one : other;

    Task<ServerProcess> StartAsync(string assembly, long backlogBytes, params (string, string)[] environment) => ServerProcess.StartAsync(
        _data.Path, assembly, Cancellation,
        [.. environment, ("Sluice__Storage__MaxBacklogBytes", Text(backlogBytes)), ("Sluice__Storage__SegmentBytes", Text(backlogBytes / 8))]);

    /// <summary>Measures what the table loads, then sends half of it, then three times as much; what must hold on every machine is held here.</summary>
    /// <param name="overTimes">How long three times as much is sent; each time has a report of its own.</param>
    async Task<(LoadReport Normal, List<LoadReport> Over)> RunAsync(ServerProcess server, int recordsPerRequest, TimeSpan normalTime, params TimeSpan[] overTimes)
    {
        using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
        var sink = await MakeSinkAsync(api);
        var load = new OpenLoop(server, api.Token, sink, recordsPerRequest);
        var (rate, saturated) = await MeasureRateAsync(api, sink, load, normalTime);
        await api.WaitLoadedAsync(sink, Cancellation);
        var normal = await load.RunAsync(rate / 2 / recordsPerRequest, normalTime, Cancellation);
        var over = new List<LoadReport>();
        foreach (var time in overTimes) over.Add(await load.RunAsync(Overload * rate / recordsPerRequest, time, Cancellation));
        output.WriteLine($"loads {rate:0} records a second\nsaturated: {saturated}\nhalf of it: {normal}\nthree times: {string.Join("\nthree times, after that: ", over)}");

        foreach (var report in (LoadReport[])[saturated, normal, .. over])
        {
            Assert.Empty(report.Broken);
            Assert.Empty(report.Untruthful);
        }
        Assert.InRange(normal.Refusals.Values.Sum(), 0, normal.Sent / 5); // the machine may have stood still for longer than the backlog is
        foreach (var (report, time) in over.Zip(overTimes))
        {
            Assert.InRange(report.Refusals.GetValueOrDefault("503 log_backlog"), report.Sent / 3, report.Sent);
            Assert.InRange(report.Admitted * recordsPerRequest, 0.5 * rate * time.TotalSeconds, double.MaxValue); // refusing does not cost the loading
            Assert.InRange(report.MostBytes, 0, 1.5 * normal.MostBytes);
        }

        await UntilTakenAsync(api, sink);
        var ledger = await api.WaitLoadedAsync(sink, Cancellation);
        var records = (long)recordsPerRequest * (saturated.Admitted + normal.Admitted + over.Sum(report => report.Admitted)) + 1;
        Assert.Equal((records, records, records), (Count("received"), Count("accepted"), Count("loaded")));
        Assert.Equal((0, 0, 0), (Count("rejected"), Count("failed"), Count("pending")));
        Assert.Equal(0, await server.StopAsync(Cancellation));
        return (normal, over);

        long Count(string member) => ledger[member]!.GetValue<long>();
    }

    /// <summary>The rate at which a table loads when there is always something that waits.</summary>
    static async Task<(double RecordsPerSecond, LoadReport Report)> MeasureRateAsync(ApiClient api, string sink, OpenLoop load, TimeSpan time)
    {
        var isOver = false;
        var saturating = load.SaturateAsync(connections: 4, () => Volatile.Read(ref isOver), Cancellation);
        var first = await LoadedAsync(); // not from the beginning: the first loads compile everything
        while (first == 0)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, Cancellation);
            first = await LoadedAsync();
        }
        var started = TimeProvider.System.GetTimestamp();
        await Task.Delay(time, TimeProvider.System, Cancellation);
        var rate = (await LoadedAsync() - first) / TimeProvider.System.GetElapsedTime(started).TotalSeconds;
        Volatile.Write(ref isOver, true);
        return (rate, await saturating);

        async Task<long> LoadedAsync() => (await api.GetAsync($"v2/sinks/{sink}/ledger", Cancellation)).Json["loaded"]!.GetValue<long>();
    }

    /// <summary>A refusal is over by itself.</summary>
    static async Task UntilTakenAsync(ApiClient api, string sink)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (await SendOneAsync(api, sink, 1) is { Status: not HttpStatusCode.OK } answer)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < s_patience, answer.Text);
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, Cancellation);
        }
    }

    static Task<Answer> SendOneAsync(ApiClient api, string sink, int records) => api.PostAsync(
        $"v2/sinks/{sink}?return=summary", $$"""{"records":[{{string.Join(',', Enumerable.Range(0, records).Select(id => $$$"""{"value":{"id":{{{id}}},"price":1}}"""))}}]}""", Cancellation);

    static async Task<string> MakeSinkAsync(ApiClient api)
    {
        var database = await api.CreateAsync("v2/databases", """{"name":"overload"}""", Cancellation);
        await api.CreateAsync($"v2/tables/{database}", """{"name":"t","options":{"keys":false}}""", Cancellation);
        await api.CreateAsync($"v2/tables/{database}/t/fields/price", """{"options":{"type":"decimal","scale":2}}""", Cancellation);
        return await api.CreateAsync("v2/sinks", $$$"""
            {"name":"s","sink_details":{"database_id":"{{{database}}}","table":"t"},
             "schema":{"id_field":"_id","allow_missing_fields":true,"definition":[{"name":"_id","path":["id"]},{"name":"price","path":["price"]}]}}
            """, Cancellation);
    }

    static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
