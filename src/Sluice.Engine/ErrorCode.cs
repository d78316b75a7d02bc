namespace Sluice;

/// <summary>Every reason to refuse a whole request. Has no HTTP status: the server's <c>Refusals</c> maps it.</summary>
public enum ErrorCode
{
    /// <summary>The body is not the JSON that is asked for.</summary>
    InvalidBody,
    InvalidParameter,
    MissingParameter,
    UnsupportedEncoding,
    RequestTooLarge,
    TooManyRecords,
    MissingToken,
    Unauthorized,
    Forbidden,
    NotFound,
    RelatedNotFound,
    AlreadyExists,

    /// <summary>An Idempotency-Key that was sent before comes with another body.</summary>
    KeyReused,
    IncorrectState,
    LimitExceeded,

    /// <summary>The request did not arrive in time.</summary>
    RequestTimeout,

    /// <summary>The sink or the key has used up its quota. Retry later.</summary>
    QuotaExceeded,

    /// <summary>The log holds more than it may before the loader has caught up. Retry later.</summary>
    LogBacklog,

    /// <summary>The same, and the loader does not get on because its store fails. Retry later.</summary>
    LoaderStalled,

    /// <summary>The disk has less free space than the reserve. Retry later.</summary>
    DiskLow,

    /// <summary>Request bodies take as much memory as they may. Retry later.</summary>
    MemoryLow,

    /// <summary>A write or fsync failed; the log takes nothing more until the process has restarted and recovered.</summary>
    LogFailed,

    /// <summary>The server is stopping.</summary>
    Draining,

    /// <summary>Something the server needs is not there yet. Retry later.</summary>
    Unavailable,

    /// <summary>What is on disk does not add up. Needs an operator.</summary>
    Corrupt,

    /// <summary>The table's database is lost, damaged, or of another time than its log: the table is closed until an operator has restored or rebuilt it.</summary>
    DatabaseDamaged,
}

/// <summary>What a refusal knows about the records of its request.</summary>
public enum RefusalOutcome
{
    /// <summary>Nothing of the request will ever be loaded; send it again when the cause is gone.</summary>
    NotStored,

    /// <summary>Bytes were handed to the operating system: the request may be found, once, after a restart.</summary>
    Unknown,
}

/// <summary>A request that is refused as a whole.</summary>
/// <param name="code">What the caller can act on.</param>
/// <param name="message">A sentence for the sender; holds no payload text beyond 64 characters.</param>
public sealed class SluiceException(ErrorCode code, string message, Exception? inner = null) : Exception(message, inner)
{
    public ErrorCode Code { get; } = code;

    public RefusalOutcome Outcome { get; init; } = RefusalOutcome.NotStored;

    /// <summary>After this time the same request may succeed, as far as that was measured; <c>null</c>: it was not.</summary>
    public TimeSpan? RetryAfter { get; init; }
}
