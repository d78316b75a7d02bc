namespace Sluice.Idempotency;

/// <summary>How long a request that was sent with a key can be asked for again.</summary>
public sealed record IdempotencyOptions
{
    /// <summary>Most keys of all sinks together; the oldest go first. Defaults to 5,000,000: under 40 bytes of memory each, 200 MB in all.</summary>
    public int MaxKeys { get; init; } = 5_000_000;

    /// <summary>A key is forgotten so long after its request was received. Defaults to 24 hours.</summary>
    public TimeSpan KeptFor { get; init; } = TimeSpan.FromHours(24);
}
