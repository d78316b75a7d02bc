using Sluice.Quotas;

namespace Sluice.Server;

/// <summary>The member <c>quota</c> of a sink or a key; what is <c>null</c> was not given, and 0 is no limit.</summary>
public sealed record QuotaBody(long? RecordsPerSecond = null, long? BytesPerSecond = null, int? BurstSeconds = null)
{
    static readonly HashSet<string> s_known = ["records_per_second", "bytes_per_second", "burst_seconds"];

    public static QuotaBody Nothing { get; } = new();

    /// <summary>Reads the member <c>quota</c> of a body, if it has one.</summary>
    internal static QuotaBody Read(JsonBody body)
    {
        if (body.OptionalObject("quota") is not { } quota)
            return Nothing;

        quota.RefuseUnknown(s_known);
        return new QuotaBody(
            quota.OptionalLong("records_per_second", 0, Quota.MaxRate),
            quota.OptionalLong("bytes_per_second", 0, Quota.MaxRate),
            quota.OptionalInteger("burst_seconds", 1, Quota.MaxBurstSeconds));
    }

    /// <summary>What is given here, and of the others what is not.</summary>
    public QuotaBody Or(QuotaBody others) => new(RecordsPerSecond ?? others.RecordsPerSecond, BytesPerSecond ?? others.BytesPerSecond, BurstSeconds ?? others.BurstSeconds);

    /// <inheritdoc cref="Or(QuotaBody)"/>
    public Quota Or(Quota defaults) => new()
    {
        RecordsPerSecond = RecordsPerSecond ?? defaults.RecordsPerSecond,
        BytesPerSecond = BytesPerSecond ?? defaults.BytesPerSecond,
        BurstSeconds = BurstSeconds ?? defaults.BurstSeconds,
    };
}
