using Sluice.Quotas;

namespace Sluice.Server;

/// <summary>The quotas of sinks and keys that set none.</summary>
public sealed record QuotaOptions
{
    /// <summary>Of each sink. Defaults to no limit.</summary>
    public Quota Sink { get; init; } = new();

    /// <summary>Of each API key; a login has none. Defaults to no limit.</summary>
    public Quota Key { get; init; } = new();
}
