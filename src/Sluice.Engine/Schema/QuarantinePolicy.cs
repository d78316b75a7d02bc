namespace Sluice.Schema;

/// <summary>What a sink keeps of the records that failed, beside the count of them, which is always kept.</summary>
public sealed record QuarantinePolicy
{
    /// <summary>False: the text of records is not kept, not even in the log; errors are.</summary>
    public bool KeepRaw { get; init; } = true;

    /// <summary>Most bytes of texts and errors. Defaults to 67,108,864 (64 MiB). Beyond, a record is kept without its text.</summary>
    public long MaxBytes { get; init; } = 64L * 1024 * 1024;

    /// <summary>How long a record is kept. Defaults to 7 days.</summary>
    public TimeSpan MaxAge { get; init; } = TimeSpan.FromDays(7);
}
