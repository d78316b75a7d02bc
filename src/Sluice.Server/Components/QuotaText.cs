using Sluice.Quotas;

namespace Sluice.Server.Components;

/// <summary>Quotas as people read them.</summary>
static class QuotaText
{
    public static string Records(Quota quota) => quota.RecordsPerSecond == 0 ? "no limit" : $"{Words.Count(quota.RecordsPerSecond)} a second";

    public static string Bytes(Quota quota) => quota.BytesPerSecond == 0 ? "no limit" : $"{Words.Bytes(quota.BytesPerSecond)} a second";

    /// <summary>In one line.</summary>
    public static string Short(Quota quota) => quota.IsUnlimited ? "no limit" : string.Join(", ", new[]
    {
        quota.RecordsPerSecond > 0 ? $"{Words.Count(quota.RecordsPerSecond)} records/s" : null,
        quota.BytesPerSecond > 0 ? $"{Words.Bytes(quota.BytesPerSecond)}/s" : null,
    }.Where(limit => limit is not null));

    /// <summary>The part of the tighter limit that is used, from 0 to 1: nothing is taken at 1.</summary>
    public static double Used(Quota quota, (double Records, double Bytes) left) =>
        Math.Clamp(Math.Max(Part(quota.Burst.Records, left.Records), Part(quota.Burst.Bytes, left.Bytes)), 0, 1);

    /// <summary>As in "63 % used". Used up is said only when nothing is taken, never by rounding.</summary>
    public static string UsedNow(Quota quota, (double Records, double Bytes) left)
    {
        var isUsedUp = (quota.RecordsPerSecond > 0 && left.Records < 1) || (quota.BytesPerSecond > 0 && left.Bytes < 1);
        return isUsedUp ? "used up" : FormattableString.Invariant($"{Math.Min(99, Math.Ceiling(100 * Used(quota, left))):0} % used");
    }

    static double Part(double burst, double left) => burst == 0 ? 0 : 1 - (left / burst);
}
