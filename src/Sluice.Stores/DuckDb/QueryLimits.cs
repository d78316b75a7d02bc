namespace Sluice.Stores.DuckDb;

/// <summary>What one query, and all of them together, may use.</summary>
public sealed record QueryLimits
{
    /// <summary>From the start of the query to the last byte of its answer. Defaults to 30 s, the original's limit of 2022.</summary>
    public TimeSpan Time { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a query waits for a free slot before it is refused. Defaults to 10 s.</summary>
    public TimeSpan Queue { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Rows of one answer; one more is an error. Defaults to 1,000,000.</summary>
    public long MaxRows { get; init; } = 1_000_000;

    /// <summary>Bytes of one answer; more is an error. Defaults to 67,108,864 (64 MiB).</summary>
    public long MaxAnswerBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary>Queries of all databases that run at once. Defaults to 4: more only share the same cores and the same memory.</summary>
    public int MaxConcurrent { get; init; } = 4;

    /// <summary>Longest query in characters: the text is parsed before any other limit can hold.</summary>
    public const int MaxTextLength = 256 * 1024;
}
