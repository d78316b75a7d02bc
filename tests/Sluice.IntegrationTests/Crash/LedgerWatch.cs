using System.Collections.Concurrent;
using System.Net;
using System.Text.Json.Nodes;

namespace Sluice.IntegrationTests.Crash;

/// <summary>
/// Reads the ledgers of sinks again and again: at every moment received = accepted + rejected and accepted = loaded + failed + pending, none below zero, no less than
/// was acknowledged before; and no counter ever goes back, over any number of restarts.
/// </summary>
sealed class LedgerWatch
{
    static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(25);
    static readonly string[] s_growing = ["requests", "received", "accepted", "rejected", "loaded", "failed"];

    readonly ConcurrentDictionary<string, long> _acknowledged = []; // sink -> records
    readonly ConcurrentDictionary<(string, string), long> _last = []; // sink, counter
    readonly ConcurrentQueue<string> _faults = [];

    public IReadOnlyCollection<string> Faults => _faults;

    public void Acknowledge(string sinkId, int records) => _acknowledged.AddOrUpdate(sinkId, records, (_, before) => before + records);

    /// <summary>Looks until cancelled; a server that does not answer is asked again.</summary>
    public async Task RunAsync(string[] sinkIds, int httpPort, string token, CancellationToken cancellation)
    {
        using var api = new ApiClient(httpPort);
        api.UseToken(token);
        while (!cancellation.IsCancellationRequested)
        {
            try
            {
                await CheckAsync(api, sinkIds, cancellation);
                await Task.Delay(Interval, TimeProvider.System, cancellation);
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
            {
                // down, paused, or not now
            }
        }
    }

    public async Task CheckAsync(ApiClient api, string[] sinkIds, CancellationToken cancellation)
    {
        foreach (var sinkId in sinkIds)
        {
            var acknowledged = _acknowledged.GetValueOrDefault(sinkId);
            var answer = await api.GetAsync($"v2/sinks/{sinkId}/ledger", cancellation);
            if (answer.Status == HttpStatusCode.OK) Check(sinkId, answer.Json, acknowledged);
        }
    }

    void Check(string sinkId, JsonNode ledger, long acknowledged)
    {
        long Count(string name) => ledger[name]!.GetValue<long>();
        var isBalanced = Count("received") == Count("accepted") + Count("rejected") && Count("accepted") == Count("loaded") + Count("failed") + Count("pending") && Count("pending") >= 0;
        if (!isBalanced) _faults.Enqueue($"does not add up: {ledger.ToJsonString()}");
        if (Count("accepted") < acknowledged) _faults.Enqueue($"{acknowledged} records were acknowledged: {ledger.ToJsonString()}");
        foreach (var name in s_growing)
        {
            var last = _last.GetValueOrDefault((sinkId, name));
            if (Count(name) < last) _faults.Enqueue($"{name} was {last}: {ledger.ToJsonString()}");
            _last[(sinkId, name)] = Count(name);
        }
    }
}
