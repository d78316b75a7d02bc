namespace Sluice.Server.Operations;

public sealed record MetricsOptions
{
    /// <summary><c>/metrics</c> answers without a token: everybody who reaches the server sees the names of tables and sinks, and how much they take. Defaults to false.</summary>
    public bool Anonymous { get; init; }
}
