namespace Sluice.Comparison;

/// <summary>A section of the summary and how its figures are got.</summary>
/// <param name="Seconds">How long each of its runs sends unless told otherwise.</param>
/// <param name="Measure">Gives the section's text.</param>
/// <param name="IsOnOneServer">Its runs share one server, which is warm from the first on.</param>
sealed record Part(string Name, string Title, int Seconds, Func<Bench, CancellationToken, Task<string>> Measure, bool IsOnOneServer = false)
{
    /// <summary>In the order of the summary.</summary>
    public static IReadOnlyList<Part> All { get; } =
    [
        new("ack", "Acknowledged", 60, Measurements.AcknowledgedAsync),
        new("loaded", "Sustained until queryable", 20, Measurements.LoadedAsync),
        new("upsert", "Sustained upsert of whole rows", 20, Measurements.UpsertAsync),
        new("bulk", "One large body", 10, Measurements.BulkAsync),
        new("latency", "Latency at half load", 20, Measurements.LatencyAsync),
        new("memory", "Memory and allocation", 30, Measurements.MemoryAsync),
        new("growth", "Growth of the table", 10, Measurements.GrowthAsync),
        new("https", "HTTPS", 10, Measurements.HttpsAsync),
        new("outside", "The generator against another", 10, Measurements.OutsideAsync, IsOnOneServer: true),
    ];
}
