using Sluice.Idempotency;
using Sluice.Load;
using Sluice.Log;

namespace Sluice;

/// <summary>What the engine is told once, at its start.</summary>
public sealed record EngineOptions
{
    /// <summary>Where logs are kept, under <c>logs/</c>; the disk whose free space is watched.</summary>
    public required string DataDirectory { get; init; }

    /// <summary>Requests are refused while the disk has less free space. Defaults to 268,435,456 bytes (256 MiB): room for the loader to finish.</summary>
    public long DiskReserveBytes { get; init; } = 256L * 1024 * 1024;

    public LogOptions Log { get; init; } = new();

    public LoadOptions Load { get; init; } = new();

    public IdempotencyOptions Idempotency { get; init; } = new();
}
