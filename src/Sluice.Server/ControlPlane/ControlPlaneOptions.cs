namespace Sluice.Server;

public sealed record ControlPlaneOptions
{
    /// <summary>Databases that may exist at a time. Defaults to 10, as in the original; each has its own file and its share of memory.</summary>
    public int MaxDatabases { get; init; } = 10;

    /// <summary>How long the rows of deleted databases, tables and sinks are kept. Defaults to 30 days.</summary>
    public TimeSpan DeletedRetention { get; init; } = TimeSpan.FromDays(30);
}
