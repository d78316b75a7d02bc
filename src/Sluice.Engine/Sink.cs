namespace Sluice;

/// <summary>One ingest endpoint.</summary>
public sealed class Sink
{
    /// <summary>The pseudo-sink that SQL writes count under.</summary>
    public static Guid SqlSinkId { get; } = new("00000000-0000-0000-0000-000000000001");
}
