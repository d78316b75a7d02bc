using System.Diagnostics;
using Sluice.Tests.Load;

namespace Sluice.Tests.Simulation;

/// <summary>
/// Histories of a simulated machine, thousands of them (see <see cref="SimulatedMachine"/>): lost, phantom, duplicate, stale and corrupt records are 0, and the ledger adds up at
/// every moment. A history is named by its seed; the environment variable SLUICE_TEST_SEED runs one alone and tells it.
/// </summary>
public sealed class SimulationTests(ITestOutputHelper output)
{
    const int ShortRuns = 250;
    const int LongRuns = 20_000;
    const int RunsToFindADefect = 400;

    static readonly int? OnlySeed = int.TryParse(Environment.GetEnvironmentVariable("SLUICE_TEST_SEED"), out var seed) ? seed : null;

    static bool IsLong => Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1";

    [Fact]
    public void Whatever_fails_every_promise_holds()
    {
        var first = OnlySeed ?? Random.Shared.Next(int.MaxValue / 2);
        var runs = OnlySeed is not null ? 1 : IsLong ? LongRuns : ShortRuns;
        var counts = new SimulationCounts();
        var started = Stopwatch.GetTimestamp();
        for (var seed = first; seed < first + runs; seed++)
        {
            if (Run(seed, Defects.None, counts) is { } failure) Assert.Fail($"SLUICE_TEST_SEED={seed} (history {seed - first + 1}, after {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s): {failure}");
        }
        output.WriteLine($"{runs} histories from seed {first} in {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s: {counts}");
        if (OnlySeed is not null) return;
        // none of it has gone to sleep
        Assert.All(
            new[] { counts.Acknowledged, counts.Unknown, counts.Kills, counts.PowerCuts, counts.Drains, counts.FailedDiskCalls, counts.FailedStoreCalls, counts.SchemaChanges, counts.Deletions, counts.Trims, counts.Repeats, counts.Damages },
            count => Assert.InRange(count, runs / 20, int.MaxValue));
    }

    [Fact]
    public void A_seed_gives_the_same_history_again()
    {
        var seed = OnlySeed ?? Random.Shared.Next();
        Assert.Equal(TraceOf(seed), TraceOf(seed));

        static List<string> TraceOf(int seed)
        {
            var simulation = new SimulatedMachine(seed, Defects.None, new SimulationCounts());
            simulation.Run();
            return simulation.Trace;
        }
    }

    /// <summary>The controls: what the promises rest on is taken away, one at a time, and must be missed.</summary>
    [Theory]
    [InlineData("SyncsNothing")]
    [InlineData("HidesFailedSync")]
    [InlineData("RenamesUnsynced")]
    [InlineData("NoWatermark")]
    [InlineData("PositionApart")]
    [InlineData("ForgetsRequests")]
    [InlineData("ForgetsErrors")]
    public void A_defect_is_found(string name)
    {
        var defects = Enum.TryParse<DiskDefect>(name, out var disk) ? new Defects(disk, StoreDefect.None) : new Defects(DiskDefect.None, Enum.Parse<StoreDefect>(name));
        for (var seed = 1; seed <= RunsToFindADefect; seed++)
        {
            if (Run(seed, defects, new SimulationCounts()) is not { } failure) continue;
            var without = Run(seed, Defects.None, new SimulationCounts());
            Assert.True(without is null, $"history {seed} fails without the defect: {without}");
            output.WriteLine($"found by history {seed}: {failure.Split('\n')[0]}");
            return;
        }
        Assert.Fail($"{RunsToFindADefect} histories did not miss it");
    }

    /// <returns>What is wrong, and what happened before; <c>null</c>: nothing is.</returns>
    static string? Run(int seed, Defects defects, SimulationCounts counts)
    {
        var simulation = new SimulatedMachine(seed, defects, counts);
        try
        {
            simulation.Run();
            return null;
        }
        catch (Exception e)
        {
            return $"{e.Message}\n{string.Join('\n', simulation.Trace)}\n{e}";
        }
    }
}
