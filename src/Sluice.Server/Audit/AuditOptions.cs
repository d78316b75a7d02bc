namespace Sluice.Server.Audit;

/// <summary>The audit log keeps at most <see cref="MaxFiles"/> times <see cref="MaxFileBytes"/>; the oldest file goes first.</summary>
public sealed record AuditOptions
{
    /// <summary>A file that has reached this size is followed by another. Defaults to 8,388,608 bytes (8 MiB), about 25,000 events.</summary>
    public int MaxFileBytes { get; init; } = 8 * 1024 * 1024;

    /// <summary>Defaults to 32, so 256 MiB in all.</summary>
    public int MaxFiles { get; init; } = 32;
}
