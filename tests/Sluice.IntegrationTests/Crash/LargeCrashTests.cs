using Xunit;

namespace Sluice.IntegrationTests.Crash;

/// <summary>kill -9 of the real server while large bodies arrive: each is in its table whole, once, or not at all.</summary>
public sealed class LargeCrashTests(ITestOutputHelper output)
{
    const int RecordsPerBody = 60_000; // of about 150 bytes: several parts

    static bool IsLong => Environment.GetEnvironmentVariable("SLUICE_TEST_LONG") == "1";

    static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_body_that_was_being_sent_is_there_as_a_whole_or_not_at_all()
    {
        var directory = Directory.CreateTempSubdirectory("sluice-crash-").FullName;
        var random = new Random(Environment.TickCount);
        var oracle = new CrashOracle(recordsPerBatch: RecordsPerBody, asLines: true);
        try
        {
            for (var cycle = 0; cycle < (IsLong ? 60 : 6); cycle++)
            {
                await using var server = await ServerProcess.StartAsync(directory, "Sluice.Server", Cancellation);
                using var api = await ApiClient.LoginAsync(server.HttpPort, Cancellation);
                if (cycle == 0) await oracle.CreateAsync(api, Cancellation);
                using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
                var acknowledgedBefore = oracle.AcknowledgedCount;
                var senders = oracle.SendAllAsync(2, server.HttpPort, api.Token, stop.Token);
                while (oracle.AcknowledgedCount == acknowledgedBefore && !senders.IsCompleted)
                    await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, Cancellation);
                await Task.Delay(TimeSpan.FromMilliseconds(random.Next(10, 700)), TimeProvider.System, Cancellation);
                await server.KillAsync();
                await stop.CancelAsync();
                await senders;
            }

            await using var last = await ServerProcess.StartAsync(directory, "Sluice.Server", Cancellation);
            using var judge = await ApiClient.LoginAsync(last.HttpPort, Cancellation);
            var verdict = await oracle.JudgeAsync(judge, Cancellation);
            output.WriteLine(verdict.ToString());
            Assert.True(verdict.Acknowledged > 2 && verdict.Unknown > 2, $"too little was sent, or nothing was interrupted: {verdict}");
            Assert.True(verdict.IsClean, $"{verdict}\n{string.Join('\n', oracle.LedgerFaults)}");
            var ledger = await judge.WaitLoadedAsync(oracle.SinkId, Cancellation);
            Assert.Equal(
                (verdict.Stored, (long)verdict.Stored * oracle.RecordsOf(oracle.SinkId), 0L),
                (ledger["requests"]!.GetValue<int>(), ledger["loaded"]!.GetValue<long>(), ledger["pending"]!.GetValue<long>()));

            // the control: half a body must be seen, in both tables, and so must one that nobody has sent
            await oracle.SendHalfAsync(judge, Cancellation);
            await oracle.SendUnknownAsync(judge, Cancellation);
            var broken = await oracle.JudgeAsync(judge, Cancellation);
            Assert.Equal((2, 2, 0, 0), (broken.Partial, broken.Phantom, broken.Lost, broken.Duplicated));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
