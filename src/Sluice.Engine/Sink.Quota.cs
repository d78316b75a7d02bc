using Sluice.Quotas;

namespace Sluice;

/// <summary>The quota of a sink, and of who sends to it. Rows written with SQL and replays are not charged: those were charged when they were sent first.</summary>
public sealed partial class Sink
{
    readonly QuotaBucket _quota; // survives changes of the mapping

    /// <summary>What is left of the sink's own quota; see <see cref="QuotaBucket.LeftOf"/>.</summary>
    public (double Records, double Bytes) QuotaLeft => _quota.LeftOf(_quota.Quota);

    /// <returns><see cref="ErrorCode.QuotaExceeded"/>, with the time until there is something left again; <c>null</c>: there is.</returns>
    SluiceException? FindSpentQuota(Sender sender)
    {
        var own = _quota.TimeToAdmit();
        var senders = sender.Quota?.TimeToAdmit() ?? TimeSpan.Zero;
        if (own == TimeSpan.Zero && senders == TimeSpan.Zero) return null;
        return own >= senders
            ? new SluiceException(ErrorCode.QuotaExceeded, $"The sink takes {_quota.Quota}, and has taken more.") { RetryAfter = own }
            : new SluiceException(ErrorCode.QuotaExceeded, $"The key may send {sender.Quota!.Quota}, and has sent more.") { RetryAfter = senders };
    }

    /// <summary>For all that was decoded, whatever becomes of it.</summary>
    void Charge(Sender sender, int records, long bytes)
    {
        _quota.Charge(records, bytes);
        sender.Quota?.Charge(records, bytes);
    }
}
