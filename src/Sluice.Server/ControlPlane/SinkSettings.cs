using Sluice.Server.Catalog;

namespace Sluice.Server;

/// <summary>What a sink has beside its mapping; <c>null</c>: the default, or not given.</summary>
sealed record SinkSettings(
    bool? RejectTruncation, int? MaxRecords, long? MaxBytes, bool? KeepRaw, int? QuarantineMaxBytes, int? QuarantineMaxAgeSeconds, bool? KeepsSample, QuotaBody Quota)
{
    public static SinkSettings Of(SinkBody body) => new(
        body.RejectTruncation, body.MaxRecords, body.MaxBytes, body.Quarantine.KeepRaw, body.Quarantine.MaxBytes, (int?)body.Quarantine.MaxAge?.TotalSeconds, body.KeepsSample, body.Quota);

    public static SinkSettings Of(CatalogSinkMapping row) => new(
        row.RejectTruncation, row.MaxRecords, row.MaxBytes, row.QuarantineKeepRaw, row.QuarantineMaxBytes, row.QuarantineMaxAgeSeconds, row.KeepsSample, row.Quota);

    /// <summary>What is given here, and of the others what is not.</summary>
    public SinkSettings Or(SinkSettings others) => new(
        RejectTruncation ?? others.RejectTruncation, MaxRecords ?? others.MaxRecords, MaxBytes ?? others.MaxBytes, KeepRaw ?? others.KeepRaw,
        QuarantineMaxBytes ?? others.QuarantineMaxBytes, QuarantineMaxAgeSeconds ?? others.QuarantineMaxAgeSeconds, KeepsSample ?? others.KeepsSample, Quota.Or(others.Quota));
}
