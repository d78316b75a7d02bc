using Sluice.Stores.DuckDb;
using Xunit;

namespace Sluice.IntegrationTests.Stores;

/// <summary>Calls that block run beside each other, and one after another on the same thread, which ends when it is not used.</summary>
public sealed class KeptThreadsTests
{
    static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_call_runs_on_the_thread_that_the_last_one_has_left()
    {
        var threads = new KeptThreads(TimeSpan.FromMinutes(1));
        var first = await RunAsync(threads, static () => Thread.CurrentThread);

        await WaitUntilAsync(() => first.ThreadState.HasFlag(ThreadState.WaitSleepJoin)); // the answer comes before it waits again
        for (var i = 0; i < 10; i++)
        {
            Assert.Same(first, await RunAsync(threads, static () => Thread.CurrentThread));
            await WaitUntilAsync(() => first.ThreadState.HasFlag(ThreadState.WaitSleepJoin));
        }
        Assert.False(first.IsThreadPoolThread);
    }

    [Fact]
    public async Task Calls_that_wait_for_each_other_all_end()
    {
        const int Count = 20;
        using var together = new Barrier(Count);
        var threads = new KeptThreads(TimeSpan.FromMinutes(1));

        for (var round = 0; round < 3; round++) // on new threads, then on those
        {
            var calls = Enumerable.Range(0, Count).Select(_ => RunAsync(threads, () => together.SignalAndWait(s_patience)));
            Assert.All(await Task.WhenAll(calls), Assert.True);
        }
    }

    [Fact]
    public async Task A_thread_that_gets_no_call_ends()
    {
        var threads = new KeptThreads(TimeSpan.FromMilliseconds(50));
        var first = await RunAsync(threads, static () => Thread.CurrentThread);

        await WaitUntilAsync(() => !first.IsAlive);
        Assert.NotSame(first, await RunAsync(threads, static () => Thread.CurrentThread)); // and another takes the next
    }

    [Fact]
    public async Task Calls_that_come_while_threads_end_are_run()
    {
        var threads = new KeptThreads(TimeSpan.Zero);

        for (var i = 0; i < 2_000; i++) Assert.Equal(i, await RunAsync(threads, () => i));
    }

    [Fact]
    public async Task A_thread_keeps_nothing_of_the_request_that_began_it()
    {
        var threads = new KeptThreads(TimeSpan.FromMinutes(1));
        var request = new AsyncLocal<string?> { Value = "the first" };

        Assert.Null(await RunAsync(threads, () => request.Value));
    }

    [Fact]
    public async Task What_a_call_throws_is_thrown_to_its_caller_and_the_thread_goes_on()
    {
        var threads = new KeptThreads(TimeSpan.FromMinutes(1));
        Thread? thread = null;

        await Assert.ThrowsAsync<FormatException>(() => RunAsync<bool>(threads, () =>
        {
            thread = Thread.CurrentThread;
            throw new FormatException();
        }));
        await WaitUntilAsync(() => thread!.ThreadState.HasFlag(ThreadState.WaitSleepJoin));
        Assert.Same(thread, await RunAsync(threads, static () => Thread.CurrentThread));
    }

    static Task<T> RunAsync<T>(KeptThreads threads, Func<T> call) => threads.RunAsync(call).WaitAsync(s_patience, Cancellation);

    static async Task WaitUntilAsync(Func<bool> isSo)
    {
        for (var left = s_patience; !isSo(); left -= TimeSpan.FromMilliseconds(5))
        {
            Assert.True(left > TimeSpan.Zero);
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System, Cancellation);
        }
    }
}
