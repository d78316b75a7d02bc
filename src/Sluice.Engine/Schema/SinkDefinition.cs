using System.Collections.Immutable;
using System.Globalization;
using Sluice.Quotas;

namespace Sluice.Schema;

/// <summary>One step of a JSON path: the name of an object member, or the index of an array element.</summary>
/// <param name="Name"><c>null</c>: the step is an index.</param>
public readonly record struct PathStep(string? Name, int Index)
{
    public static PathStep Member(string name) => new(name, 0);

    public static PathStep Element(int index) => new(null, index);

    /// <summary>The step as RFC 6901 (JSON Pointer) writes it, without the leading slash.</summary>
    public override string ToString() =>
        Name?.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal)
        ?? Index.ToString(CultureInfo.InvariantCulture);
}

/// <summary>Where a column's value stands in a record.</summary>
/// <param name="Column">Name of a column of the table, or <c>_id</c>, or <c>_timeQuantum</c>.</param>
/// <param name="Path">At least one step.</param>
public sealed record FieldMapping(string Column, ImmutableArray<PathStep> Path)
{
    /// <summary>What a number for a timestamp column counts in; <c>null</c>: taken from its size (design D11).</summary>
    public TimeUnit? Unit { get; init; }

    /// <summary>What a number for a timestamp column counts from; <c>null</c>: the column's epoch.</summary>
    public DateTimeOffset? Epoch { get; init; }

    /// <summary>The path as RFC 6901 (JSON Pointer) writes it.</summary>
    public string Pointer => string.Concat(Path.Select(step => "/" + step));

    public bool Equals(FieldMapping? other) =>
        other is not null && Column == other.Column && Unit == other.Unit && Epoch == other.Epoch && Path.AsSpan().SequenceEqual(other.Path.AsSpan());

    public override int GetHashCode() => Column.GetHashCode(StringComparison.Ordinal);
}

/// <summary>One ingest endpoint as the catalogue knows it: a mapping from JSON to the columns of one table. Immutable.</summary>
public sealed record SinkDefinition
{
    public const string TimeQuantumName = "_timeQuantum";

    /// <summary>Highest <see cref="MaxRecordsPerRequest"/>: 10,000,000.</summary>
    public const int MostRecordsPerRequest = 10_000_000;

    /// <summary>Highest <see cref="MaxRequestBytes"/>: 17,179,869,184 (16 GiB).</summary>
    public const long MostRequestBytes = 16L << 30;

    public required Guid Id { get; init; }
    public required string Name { get; init; }
    public required Guid TableId { get; init; }

    /// <summary>1 at creation, one more at each change of the mapping. Written to every frame.</summary>
    public required int MappingVersion { get; init; }

    /// <summary>
    /// False: a record in which a mapped path is missing discards the whole request. True: the column is absent in that record.
    /// </summary>
    public required bool AllowMissingFields { get; init; }

    /// <summary>
    /// One entry a mapped column, no name twice, but <c>_id</c>: none where the server makes it, one, or several that are joined by a vertical bar to the key of a
    /// String table. Two entries may share a path.
    /// </summary>
    public required ImmutableArray<FieldMapping> Fields { get; init; }

    /// <summary>What digits that a column cannot keep (a decimal's beyond its scale, an int's fraction, a timestamp's beyond its unit) do: false: they are cut and the record gets a warning; true: an error.</summary>
    public bool RejectTruncation { get; init; }

    /// <summary>What is kept of records that failed.</summary>
    public QuarantinePolicy Quarantine { get; init; } = new();

    /// <summary>Whether the newest records are kept in memory, for trying mappings.</summary>
    public bool KeepsSample { get; init; } = true;

    /// <summary>Most records in one request. Defaults to 100,000.</summary>
    public int MaxRecordsPerRequest { get; init; } = 100_000;

    /// <summary>Longest body after decompression. Defaults to 33,554,432 bytes (32 MiB).</summary>
    public long MaxRequestBytes { get; init; } = 32 * 1024 * 1024;

    /// <summary>How much the sink takes. Defaults to no limit.</summary>
    public Quota Quota { get; init; } = new();
}
