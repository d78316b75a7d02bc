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
static class DuckDbErrors
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
    ];

    /// <summary>Whether the exception comes from DuckDB, and so says something of the store and nothing of our code.</summary>
    public static bool IsDuckDb(Exception error) => error is DuckDBException or DuckDbNativeException or OperationCanceledException;

    /// <summary>Whether DuckDB refuses everything from now on, until all connections of the instance are closed.</summary>
    public static bool IsFatal(Exception error) => TypeOf(error) is DuckDBErrorType.Fatal or DuckDBErrorType.Internal;

    /// <summary>Whether the memory limit was too low.</summary>
    public static bool IsOutOfMemory(Exception error) => IsDuckDb(error) && TypeOf(error) == DuckDBErrorType.OutOfMemory;

    /// <summary>Whether the statement is at fault, or what it needs: the same statement would fail again.</summary>
    public static bool IsOfStatement(Exception error) => IsDuckDb(error) && TypeOf(error) is not (
        DuckDBErrorType.Fatal or DuckDBErrorType.Internal or DuckDBErrorType.Io or DuckDBErrorType.Connection or DuckDBErrorType.Transaction or DuckDBErrorType.Interrupt);

    public static StoreException Translate(Exception error) => new(!IsPermanent(TypeOf(error)), error.Message, error);

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
