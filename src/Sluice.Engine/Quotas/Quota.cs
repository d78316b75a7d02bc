namespace Sluice.Quotas;

/// <summary>How much a sink takes, or a key may send. Immutable.</summary>
public sealed record Quota
{
    /// <summary>Highest rate of either kind: 1,000,000,000,000.</summary>
    public const long MaxRate = 1_000_000_000_000;

    /// <summary>Highest <see cref="BurstSeconds"/>: 3,600.</summary>
    public const int MaxBurstSeconds = 3_600;

    /// <summary>Records a second, rejected ones too. Defaults to 0: no limit.</summary>
    public long RecordsPerSecond { get; init; }

    /// <summary>Bytes of bodies a second, after decompression. Defaults to 0: no limit.</summary>
    public long BytesPerSecond { get; init; }

    /// <summary>What was not used is kept for so long, and may be used at once. Defaults to 10 s: whoever sends every few seconds gets the whole rate.</summary>
    public int BurstSeconds { get; init; } = 10;

    /// <summary>What a bucket of this quota holds when nothing was used.</summary>
    public (double Records, double Bytes) Burst => ((double)RecordsPerSecond * BurstSeconds, (double)BytesPerSecond * BurstSeconds);

    public bool IsUnlimited => RecordsPerSecond == 0 && BytesPerSecond == 0;

    /// <summary>The limits as a message tells them.</summary>
    public override string ToString() => string.Join(" and ", new[]
    {
        RecordsPerSecond > 0 ? FormattableString.Invariant($"{RecordsPerSecond} records") : null,
        BytesPerSecond > 0 ? FormattableString.Invariant($"{BytesPerSecond} bytes") : null,
    }.Where(limit => limit is not null)) + " a second";
}
