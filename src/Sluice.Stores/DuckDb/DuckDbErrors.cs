using System.Text.RegularExpressions;
using DuckDB.NET.Data;
using DuckDB.NET.Native;
using Sluice.Load;

namespace Sluice.Stores.DuckDb;

/// <summary>An error that DuckDB reported through its native interface.</summary>
sealed class DuckDbNativeException(DuckDBErrorType type, string message) : Exception(message)
{
    public DuckDBErrorType ErrorType { get; } = type;
}

/// <summary>The one place that judges what a DuckDB error means for a load.</summary>
static partial class DuckDbErrors
{
    // a statement that fails while being prepared carries no error type, only its name in front of the message
    static readonly (string Prefix, DuckDBErrorType Type)[] Prefixes =
    [
        ("Constraint Error", DuckDBErrorType.Constraint),
        ("Conversion Error", DuckDBErrorType.Conversion),
        ("Out of Range Error", DuckDBErrorType.OutOfRange),
        ("Invalid Input Error", DuckDBErrorType.InvalidInput),
        ("FATAL Error", DuckDBErrorType.Fatal),
        ("INTERNAL Error", DuckDBErrorType.Internal),
        ("Out of Memory Error", DuckDBErrorType.OutOfMemory),
        ("TransactionContext Error", DuckDBErrorType.Transaction),
    ];

    /// <summary>Whether the exception comes from DuckDB, and so says something of the store and nothing of our code.</summary>
    public static bool IsDuckDb(Exception error) => error is DuckDBException or DuckDbNativeException or OperationCanceledException;

    /// <summary>Whether DuckDB refuses everything from now on, until all connections of the instance are closed.</summary>
    public static bool IsFatal(Exception error) => TypeOf(error) is DuckDBErrorType.Fatal or DuckDBErrorType.Internal;

    /// <summary>Whether the memory limit was too low: for a statement, for a COMMIT or for reading the write-ahead log, which have other types of errors.</summary>
    public static bool IsOutOfMemory(Exception error) =>
        (IsDuckDb(error) && (TypeOf(error) == DuckDBErrorType.OutOfMemory || (!IsPermanent(TypeOf(error)) && NoMemory().IsMatch(Quoted().Replace(error.Message, "")))))
        || (error.InnerException is { } inner && IsOutOfMemory(inner));

    [GeneratedRegex(@"Out of Memory Error|failed to (pin|allocate|resize|offload) [^(]*\([^)]* used\)|could not allocate block [^(]*\([^)]* used\)")]
    private static partial Regex NoMemory();

    /// <summary>Whether a write met another transaction, or what one left behind: only one is ever open, so the instance is at fault.</summary>
    public static bool IsConflict(Exception error) => IsDuckDb(error) && TypeOf(error) == DuckDBErrorType.Transaction && !IsOutOfMemory(error);

    /// <summary>Whether the statement is at fault, or what it needs: the same statement would fail again.</summary>
    public static bool IsOfStatement(Exception error) => IsDuckDb(error) && TypeOf(error) is not (
        DuckDBErrorType.Fatal or DuckDBErrorType.Internal or DuckDBErrorType.Io or DuckDBErrorType.Connection or DuckDBErrorType.Transaction or DuckDBErrorType.Interrupt);

    /// <summary>Why a database file cannot be opened or read. DuckDB says it in words only.</summary>
    public static StoreFault FaultOf(Exception error) => error switch
    {
        UnauthorizedAccessException => StoreFault.NotPermitted,
        QueryException => StoreFault.OutOfResources, // no thread is to be had
        _ when IsOutOfMemory(error) => StoreFault.OutOfResources, // also when it was met in the write-ahead log, which need not be damaged
        _ => FaultIn(Quoted().Replace(error.Message, "")),
    };

    static StoreFault FaultIn(string message) => s_faultTexts.FirstOrDefault(known => message.Contains(known.Text, StringComparison.OrdinalIgnoreCase)).Fault;

    [GeneratedRegex("\"[^\"]*\"")] // a path may have any words
    private static partial Regex Quoted();

    /// <summary>What an operator does about it; nothing when it is not known what it is.</summary>
    public static string WayOut(StoreFault fault) => fault switch
    {
        StoreFault.Damaged => ". It is damaged: restore the file from a backup, or rebuild it from the logs (sluice-server rebuild)",
        StoreFault.DiskFull => ". The disk is full, the file need not be damaged: make room, and start again",
        StoreFault.NotPermitted => ". The file need not be damaged: let the server's user read and write it and its directory, and start again",
        StoreFault.OutOfResources => ". Memory, threads or file handles did not suffice, the file need not be damaged: give the server more, and start again",
        StoreFault.InUse => ". The file need not be damaged: end the other process that has it open, and start again",
        _ => "",
    };

    // the first that fits: a text about a lock or a full disk may name a damaged write-ahead log as well
    static readonly (string Text, StoreFault Fault)[] s_faultTexts =
    [
        ("Could not set lock", StoreFault.InUse),
        ("No space left on device", StoreFault.DiskFull),
        ("not enough space on the disk", StoreFault.DiskFull),
        ("Disk quota exceeded", StoreFault.DiskFull),
        ("Permission denied", StoreFault.NotPermitted),
        ("Operation not permitted", StoreFault.NotPermitted),
        ("Read-only file system", StoreFault.NotPermitted),
        ("Too many open files", StoreFault.OutOfResources),
        ("Cannot allocate memory", StoreFault.OutOfResources),
        ("not a valid DuckDB database", StoreFault.Damaged),
        ("Corrupt", StoreFault.Damaged),
        ("checksum", StoreFault.Damaged),
        ("Could not read enough bytes", StoreFault.Damaged),
        ("Serialization Error", StoreFault.Damaged),
        ("Failure while replaying WAL", StoreFault.Damaged),
        ("INTERNAL Error", StoreFault.Damaged),
    ];

    public static StoreException Translate(Exception error) => new(!IsPermanent(TypeOf(error)), error.Message, error) { Fault = FaultOf(error) };

    /// <summary>
    /// Whether the values are at fault. Everything else is transient, the unknown too: waiting loses nothing, while a wrong
    /// "permanent" would drop good records.
    /// </summary>
    static bool IsPermanent(DuckDBErrorType type) => type
        is DuckDBErrorType.Constraint
        or DuckDBErrorType.Conversion
        or DuckDBErrorType.OutOfRange
        or DuckDBErrorType.InvalidInput
        or DuckDBErrorType.Decimal
        or DuckDBErrorType.MismatchType;

    static DuckDBErrorType TypeOf(Exception error) => error switch
    {
        DuckDBException { ErrorType: not DuckDBErrorType.Invalid } e => e.ErrorType,
        DuckDbNativeException { ErrorType: not DuckDBErrorType.Invalid } e => e.ErrorType,
        OperationCanceledException => DuckDBErrorType.Interrupt, // how DuckDB.NET reports it
        _ => FromMessage(error.Message),
    };

    static DuckDBErrorType FromMessage(string message)
    {
        foreach (var (prefix, type) in Prefixes)
            if (message.StartsWith(prefix, StringComparison.Ordinal)) return type;
        return DuckDBErrorType.Invalid;
    }
}
