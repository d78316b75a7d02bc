using Sluice.Load;

namespace Sluice.Records;

/// <summary>One wrong field of a record.</summary>
/// <param name="Column">Name of the column; empty when the record as a whole is wrong.</param>
/// <param name="Path">JSON Pointer (RFC 6901) into the record's value; empty for the value itself.</param>
/// <param name="Code">Stable and documented in docs/errors.md.</param>
/// <param name="Expected">What the column takes, as in <c>decimal(2)</c>.</param>
/// <param name="Got">What came, at most 64 characters of it.</param>
public sealed record FieldError(string Column, string Path, FieldErrorCode Code, string Expected, string Got);

/// <summary>Why a field is wrong. The names are stable API (docs/errors.md): add, never rename.</summary>
public enum FieldErrorCode
{
    /// <summary>A line of an NDJSON body is not JSON, or deeper than 64 levels.</summary>
    NotJson,

    /// <summary>The element of <c>records</c> is not an object.</summary>
    NotARecord,

    /// <summary>The element has no member <c>value</c>.</summary>
    MissingValue,

    /// <summary><c>value</c> is not an object.</summary>
    ValueNotAnObject,

    /// <summary>The path of the mapping is not in the record.</summary>
    MissingField,

    /// <summary>The column is required, and the record says nothing of it, or null, or "" where that stores nothing.</summary>
    MissingRequired,

    /// <summary>A step of the path is neither object nor array.</summary>
    PathNotAnObject,

    /// <summary>The same path, or one of the members <c>value</c>, <c>op</c> and <c>version</c>, stands twice in the record.</summary>
    DuplicateField,

    /// <summary>A record needs an <c>_id</c>.</summary>
    MissingKey,

    /// <summary>A String <c>_id</c> of more than 1,024 bytes.</summary>
    KeyTooLong,
    WrongType,
    NotAnId,
    NotAnInteger,
    NotADecimal,
    NotABool,
    NotATimestamp,
    OutOfRange,
    WrongLength,

    /// <summary>Text that is not well-formed Unicode: invalid UTF-8 or a lone surrogate.</summary>
    InvalidUnicode,

    /// <summary>Text with U+0000, which stores cannot hold.</summary>
    NulCharacter,

    /// <summary>Fraction digits beyond the column's scale, where the sink asks for an error.</summary>
    Truncated,

    /// <summary><c>op</c> is none of the five.</summary>
    UnknownOperation,

    /// <summary><c>version</c> is not a whole number from 0 to 2^63-1.</summary>
    NotAVersion,

    /// <summary>A record with <c>op</c> <c>remove</c> gives a value for a column that is no set.</summary>
    NotASet,
}

/// <summary>A record that was not accepted.</summary>
/// <param name="Index">Its place in <c>records</c>, from 0.</param>
/// <param name="IsDiscarded">
/// True: nothing is wrong with this record, its request was discarded because another record lacks a field. False: see <paramref name="Errors"/>.
/// </param>
/// <param name="Errors">All wrong fields; empty where a very large request has too many of them.</param>
public sealed record RejectedRecord(int Index, bool IsDiscarded, IReadOnlyList<FieldError> Errors)
{
    /// <summary>Why the store refused a record that had been accepted; <c>null</c> for every other.</summary>
    public string? LateReason { get; init; }

    /// <summary>The same for programs.</summary>
    public LateErrorCode? LateCode { get; init; }
}

/// <summary>A column whose value was stored with fewer digits than were sent (code <c>Truncated</c>).</summary>
public readonly record struct TruncationWarning(int RecordIndex, string Column);

/// <summary>What became of each record of one request.</summary>
/// <param name="RequestId">Names the request in errors and in the log: log identity and sequence.</param>
/// <param name="Sequence">The request's place in its table's log.</param>
/// <param name="RecordCount">Elements of <c>records</c>.</param>
/// <param name="Rejected">By index. Every other record was accepted and is durable.</param>
/// <param name="Warnings">By index; of accepted records only.</param>
public sealed record BatchOutcome(
    string RequestId, ulong Sequence, int RecordCount, IReadOnlyList<RejectedRecord> Rejected, IReadOnlyList<TruncationWarning> Warnings)
{
    /// <summary>Rejected records whose errors are left out, because the request has more than 10,000 errors.</summary>
    public int UndetailedCount { get; init; }

    /// <summary>Warnings that are left out; 0 but for large requests.</summary>
    public int OmittedWarningCount { get; init; }

    /// <summary>The request came before with the same key: this is its answer again.</summary>
    public bool IsRepeated { get; init; }

    public int RejectedCount => Rejected.Count;

    public int AcceptedCount => RecordCount - RejectedCount;
}
