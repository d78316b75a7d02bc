using System.Text.Json.Serialization;

namespace Sluice.Comparison;

sealed record Latency(long Count, double P50Milliseconds, double P99Milliseconds, double P999Milliseconds);

sealed record ServerUse(double CpuSeconds, IReadOnlyList<double> ResidentMegabytes);

/// <summary>What <c>sluice bench --json</c> prints, as far as it is used here.</summary>
sealed record Report(
    double Seconds, double RowsPerSecond, double RequestsPerSecond, double BytesPerRecord, Latency Durable, Latency? Loaded, double? LoadedRowsPerSecond,
    long BacklogRowsAtStart, long BacklogRows, long Errors, string? FirstError, long RejectedRecords, long? RowsInTable, long RowsExpected,
    double GeneratorCpuSeconds, ServerUse? Server)
{
    /// <summary>Seconds of the server's CPU, all cores, for a million acknowledged rows.</summary>
    public double CpuSecondsPerMillionRows => Server!.CpuSeconds / (RowsPerSecond * Seconds / 1e6);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(Report))]
sealed partial class ReportJson : JsonSerializerContext;
