using System.Text.Json.Serialization;

namespace Sluice.Cli.Bench;

/// <summary>What the records look like.</summary>
enum RecordShape
{
    Flat,
    Wide,
    Sets,
}

/// <summary>Which keys the records have.</summary>
enum KeyChoice
{
    New,
    Half,
    Same,
}

/// <summary>What is asked of the server.</summary>
/// <param name="Rate">Requests a second in an open loop; <c>null</c>: each connection sends when it has its answer.</param>
/// <param name="Rows">Rows in the table before measuring.</param>
sealed record BenchLoad(
    TimeSpan Duration, TimeSpan Warmup, int Connections, int Batch, int? Rate, RecordShape Shape, KeyChoice Keys, long Rows, bool WaitLoaded);

/// <param name="Count">Measured requests.</param>
sealed record LatencyReport(long Count, double P50Milliseconds, double P99Milliseconds, double P999Milliseconds, double MaxMilliseconds);

/// <param name="Loaded">Of probes, ten a second beside the load, that wait until their record is visible to SQL; <c>null</c>: there were none.</param>
/// <param name="LoadedRowsPerSecond">Rows that became visible between the first request and the time all of them were.</param>
/// <param name="DrainSeconds">From the last answer until every row was visible; <c>null</c>: not within a minute.</param>
sealed record BenchReport(
    BenchLoad Load, double Seconds, double RowsPerSecond, double RequestsPerSecond, double MegabytesPerSecond, LatencyReport Durable, LatencyReport? Loaded,
    double LoadedRowsPerSecond, long BacklogRows, double? DrainSeconds, long Errors, long RejectedRecords);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, UseStringEnumConverter = true)]
[JsonSerializable(typeof(BenchReport))]
sealed partial class BenchJson : JsonSerializerContext;
