using System.Diagnostics.Metrics;
using Sluice.Metrics;

namespace Sluice.Server;

/// <summary>Counts what was refused for overload or over a quota; what the sender did wrong is not counted. Any thread.</summary>
sealed class RefusalMeter(IMeterFactory factory)
{
    public const string Refused = "sluice.requests.refused";

    readonly Counter<long> _refused = factory.Create(IngestMeters.MeterName).CreateCounter<long>(
        Refused, "{request}", "Requests refused with 429 or 503, by cause");

    public void RequestRefused(Refusal refusal)
    {
        if (refusal.Cause is { } cause)
            _refused.Add(1, new KeyValuePair<string, object?>("cause", cause));
    }
}
