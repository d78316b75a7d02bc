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
    Known,
    Same,
}

/// <summary>How the records stand in a body.</summary>
enum BodyForm
{
    /// <summary><c>{"records":[{"value":{...}}, ...]}</c>.</summary>
    Records,

    /// <summary>One bare value a line.</summary>
    Ndjson,
}

/// <summary>What an answer waits for.</summary>
enum WaitLevel
{
    Durable,
    Loaded,
}

/// <summary>What is asked of the server.</summary>
/// <param name="Rate">Requests a second in an open loop; <c>null</c>: each connection sends when it has its answer.</param>
/// <param name="Rows">Rows in the table before measuring.</param>
/// <param name="MaxBacklog">Sending pauses while more rows than these are not loaded; <c>null</c>: it never does.</param>
/// <param name="ProbesPerSecond">Single records beside the load that wait until they are visible to SQL; zero: none.</param>
/// <param name="DrainPatience">How long to wait at the end until every row is visible; zero: not at all.</param>
sealed record BenchLoad(
    TimeSpan Duration, TimeSpan Warmup, int Connections, int Batch, int? Rate, RecordShape Shape, BodyForm Form, KeyChoice Keys, long Rows,
    bool WaitLoaded, long? MaxBacklog, int ProbesPerSecond, TimeSpan DrainPatience);

/// <param name="Count">Measured requests.</param>
sealed record LatencyReport(long Count, double P50Milliseconds, double P99Milliseconds, double P999Milliseconds, double MaxMilliseconds);

/// <summary>What the server's process used between the first measured request and the last answer.</summary>
/// <param name="ResidentMegabytes">The most memory in each sixth of the time, in order; growth shows.</param>
sealed record ServerUse(double CpuSeconds, IReadOnlyList<double> ResidentMegabytes);

/// <param name="BytesPerRecord">Mean length of a record in the body, with its separators.</param>
/// <param name="Durable">From sending a request, or from when it was due, until its answer.</param>
/// <param name="Loaded">Of probes that wait until their record is visible to SQL; <c>null</c>: there were none.</param>
/// <param name="LoadedRowsPerSecond">Rows that became visible between the first and the last load seen while sending; <c>null</c>: there were too few loads to tell.</param>
/// <param name="BacklogRowsAtStart">Rows that were not loaded when measuring began.</param>
/// <param name="BacklogRows">Rows that were not loaded at the last answer.</param>
/// <param name="DrainSeconds">From the last answer until every row was visible; <c>null</c>: not within the patience.</param>
/// <param name="RowsInTable">As <c>count(*)</c> says at the end; <c>null</c>: the table was not drained, or an answer was lost.</param>
/// <param name="RowsExpected">Distinct keys that were acknowledged.</param>
/// <param name="GeneratorCpuSeconds">CPU seconds that sending and measuring took from the same machine.</param>
sealed record BenchReport(
    string Target, BenchLoad Load, double Seconds, double RowsPerSecond, double RequestsPerSecond, double MegabytesPerSecond, double BytesPerRecord,
    LatencyReport Durable, LatencyReport? Loaded, double? LoadedRowsPerSecond, long BacklogRowsAtStart, long BacklogRows, double? DrainSeconds,
    long Errors, string? FirstError, long RejectedRecords, long? RowsInTable, long RowsExpected, double GeneratorCpuSeconds, ServerUse? Server)
{
    /// <summary>The server did what it promised: nothing refused, nothing rejected, every acknowledged row in the table as far as that was looked at.</summary>
    public bool IsClean => Errors == 0 && RejectedRecords == 0 && (RowsInTable is null || RowsInTable == RowsExpected);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, UseStringEnumConverter = true)]
[JsonSerializable(typeof(BenchReport))]
sealed partial class BenchJson : JsonSerializerContext;
