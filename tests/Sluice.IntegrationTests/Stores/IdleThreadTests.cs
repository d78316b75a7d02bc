using System.Globalization;
using System.Runtime.InteropServices;
using Sluice.IntegrationTests.Faults;
using Sluice.IntegrationTests.Server;
using Sluice.IntegrationTests.Sql;
using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

public sealed partial class IdleThreadTests
{
    const int SchedOther = 0;
    const int SchedIdle = 5;
    const int ThreadProcessorTime = 3; // CLOCK_THREAD_CPUTIME_ID

    [Fact]
    public async Task It_gives_way_to_all_others_and_threads_that_the_runtime_starts_on_it_do_not()
    {
        using var idle = IdleThread.Start();

        // the runtime gives its threads the usual policy: were it handed on, a thread of the pool that is started here would serve requests so for ever
        await EventuallyAsync(() => idle.RunAsync(ReadPolicy), SchedIdle); // on a busy machine the watch may let it compete for a moment
        Assert.Equal(SchedOther, await idle.RunAsync(PolicyOfNewThread));
        Assert.Equal(SchedOther, PolicyOfNewThread());
    }

    /// <summary>Without the watch it gets less than a hundredth of a processor: this took more than a minute.</summary>
    [Fact]
    public async Task It_gets_its_turn_beside_threads_that_never_rest_and_gives_way_again()
    {
        if (!MayLeave())
        {
            TestContext.Current.AddWarning("the system does not let this user's threads out of their class (docs/sql.md): not tested");
            return;
        }

        using var busy = new CancellationTokenSource();
        var neighbours = Enumerable.Range(0, 2 * Environment.ProcessorCount).Select(_ => new Thread(() => Spin(busy.Token))).ToList();
        neighbours.ForEach(neighbour => neighbour.Start());
        try
        {
            using var idle = IdleThread.Start();
            var started = TimeProvider.System.GetTimestamp();

            var policies = await idle.RunAsync(() => PoliciesWhileRunning(TimeSpan.FromMilliseconds(200)));

            Assert.InRange(TimeProvider.System.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromSeconds(20)); // 3 s on two processors
            Assert.Contains(SchedOther, policies);
            await EventuallyAsync(() => idle.RunAsync(ReadPolicy), SchedIdle);
        }
        finally
        {
            await busy.CancelAsync();
            neighbours.ForEach(neighbour => neighbour.Join());
        }
    }

    [Fact]
    public async Task One_whose_call_is_to_end_soon_competes_with_all_others_until_it_has()
    {
        if (!MayLeave())
        {
            TestContext.Current.AddWarning("the system does not let this user's threads out of their class (docs/sql.md): not tested");
            return;
        }

        using var idle = IdleThread.Start();
        await EventuallyAsync(() => idle.RunAsync(ReadPolicy), SchedIdle);
        idle.Hurry();
        for (var look = 0; look < 10; look++)
        {
            Assert.Equal(SchedOther, await idle.RunAsync(ReadPolicy));
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System, TestContext.Current.CancellationToken);
        }
    }

    [Fact]
    public async Task A_query_that_is_to_end_runs_on_a_thread_that_competes()
    {
        if (!MayLeave())
        {
            TestContext.Current.AddWarning("the system does not let this user's threads out of their class (docs/sql.md): not tested");
            return;
        }

        using var database = new QueryDatabase();
        using var end = new CancellationTokenSource();
        var policy = -1;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => database.Queries.RunAsync(
            database.OpenAsync, "SELECT 1", QueryForm.Rows, [],
            async result =>
            {
                var underWay = result.RunAsync(() =>
                {
                    Assert.True(end.Token.WaitHandle.WaitOne(TimeSpan.FromSeconds(20)));
                    for (var look = 0; look < 200 && policy != SchedOther; look++)
                    {
                        Thread.Sleep(10);
                        policy = ReadPolicy();
                    }
                    return true;
                });
                await end.CancelAsync();
                await underWay;
                await result.RunAsync(() => true); // it was cancelled
            },
            end.Token));

        Assert.Equal(SchedOther, policy);
    }

    /// <summary>The watch needs one for each look, and an exception on its thread would end the process.</summary>
    [Fact]
    public async Task A_server_that_has_no_file_handle_left_while_a_query_runs_lives()
    {
        FaultTools.Need(root: false, "prlimit");
        var cancellation = TestContext.Current.CancellationToken;
        using var data = new TemporaryDirectory();
        await using var server = await ServerProcess.StartAsync(data.Path, "Sluice.Server", cancellation, ("Sluice__Query__Time", "00:00:10"));
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        var database = await api.CreateAsync("v2/databases", """{"name":"d"}""", cancellation);
        await api.QueryAsync(database, "SELECT 1", cancellation);
        await EventuallyAsync(() => Task.FromResult(CountIdle(server.Id)), 0);

        var query = Record.ExceptionAsync(() => api.QueryAsync(database, "SELECT count(*) FROM range(100000000000)", cancellation));
        await EventuallyAsync(() => Task.FromResult(CountIdle(server.Id)), 1);
        await FaultTools.RunAsync("prlimit", "--pid", $"{server.Id}", "--nofile=1:");
        await Task.Delay(TimeSpan.FromMilliseconds(500), TimeProvider.System, cancellation);
        Assert.False(query.IsCompleted); // there was something to watch
        await FaultTools.RunAsync("prlimit", "--pid", $"{server.Id}", "--nofile=4096:");
        Assert.NotNull(await query); // it ended at its limit
        await api.QueryAsync(database, "SELECT 1", cancellation);
        Assert.Equal(0, await server.StopAsync(cancellation));
    }

    /// <summary>A load waits for what they do of it, and spins meanwhile: with idle ones, loading beside one busy neighbour was half as fast.</summary>
    [Fact]
    public async Task The_workers_of_a_database_are_ordinary_threads()
    {
        const int workers = 40; // more than the pool would start meanwhile
        var cancellation = TestContext.Current.CancellationToken;
        using var data = new TemporaryDirectory();
        await using var server = await ServerProcess.StartAsync(data.Path, "Sluice.Server", cancellation, ("Sluice__Store__Threads", $"{workers + 1}"));
        using var api = await ApiClient.LoginAsync(server.HttpPort, cancellation);
        var before = CountThreads(server.Id);
        var database = await api.CreateAsync("v2/databases", """{"name":"d"}""", cancellation);
        await api.QueryAsync(database, "CREATE TABLE t (_id ID)", cancellation);
        await api.QueryAsync(database, "SELECT count(*) FROM t", cancellation);

        Assert.InRange(CountThreads(server.Id), before + workers - 5, int.MaxValue); // some of the pool's may have ended
        await EventuallyAsync(() => Task.FromResult(CountIdle(server.Id)), 0); // the query's own thread ends by itself
    }

    [Fact]
    public async Task A_call_that_fails_fails_for_its_caller_and_the_thread_goes_on()
    {
        using var idle = IdleThread.Start();

        await Assert.ThrowsAsync<InvalidDataException>(() => idle.RunAsync<int>(() => throw new InvalidDataException()));
        Assert.Equal(2, await idle.RunAsync(() => 2));
    }

    static bool MayLeave()
    {
        var policy = -1;
        var thread = new Thread(() =>
        {
            IdleScheduling.Enter(thread: 0);
            IdleScheduling.Leave(thread: 0);
            policy = ReadPolicy();
        });
        thread.Start();
        thread.Join();
        return policy == SchedOther;
    }

    static async Task EventuallyAsync(Func<Task<int>> read, int expected)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (await read() is var last && last != expected)
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < TimeSpan.FromSeconds(20), $"{last} instead of {expected}");
            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System);
        }
    }

    static void Spin(CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
        }
    }

    /// <summary>
    /// The policies the calling thread had until it got so much of a processor. Asks the kernel without a file: what a thread holds of /proc's directories while it does not run, the watch waits for.
    /// </summary>
    static HashSet<int> PoliciesWhileRunning(TimeSpan processorTime)
    {
        var policies = new HashSet<int>();
        for (var time = default(TimeSpec); (time.Seconds * 1e9) + time.Nanoseconds < processorTime.TotalNanoseconds; _ = GetTime(ThreadProcessorTime, out time))
            policies.Add(GetScheduler(thread: 0));
        return policies;
    }

    static int PolicyOfNewThread()
    {
        var policy = -1;
        var thread = new Thread(() => policy = ReadPolicy());
        thread.Start();
        thread.Join();
        return policy;
    }

    static int ReadPolicy() => GetScheduler(thread: 0);

    static int CountThreads(int process) => Directory.EnumerateDirectories($"/proc/{process}/task").Count();

    static int CountIdle(int process) => Directory.EnumerateDirectories($"/proc/{process}/task").Count(task =>
    {
        try
        {
            return PolicyIn(File.ReadAllText(Path.Combine(task, "stat"))) == SchedIdle;
        }
        catch (IOException)
        {
            return false; // it has ended meanwhile
        }
    });

    /// <summary>How the system schedules a thread: the 41st value of its line. The second, the name in brackets, may have blanks.</summary>
    static int PolicyIn(string line) => int.Parse(line[(line.LastIndexOf(')') + 2)..].Split(' ')[38], CultureInfo.InvariantCulture);

    struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, out TimeSpec time);

    [LibraryImport("libc", EntryPoint = "sched_getscheduler")]
    private static partial int GetScheduler(int thread);
}
