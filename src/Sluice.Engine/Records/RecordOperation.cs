using System.Text.Json;

namespace Sluice.Records;

/// <summary>What a record does to the row of its key. The numbers are written to the log: never change or reuse one.</summary>
public enum RecordOperation : byte
{
    /// <summary>Makes the row, or updates it: single values are replaced, members are added to sets.</summary>
    Upsert = 0,

    /// <summary>Makes the row; fails when there is one.</summary>
    Insert = 1,

    /// <summary>Updates the row as an upsert does; fails when there is none.</summary>
    Patch = 2,

    /// <summary>Removes the row, if there is one.</summary>
    Delete = 3,

    /// <summary>Takes members out of the row's sets, if there is a row.</summary>
    Remove = 4,

    /// <summary>Makes the row anew: it has what the record says, and of the row before only the version.</summary>
    Replace = 5,
}

/// <summary>The members <c>op</c> and <c>version</c> of a record, as they stand beside its value.</summary>
static class RecordOperations
{
    /// <summary>The column ids of the two in frames; those of tables are 0 and up.</summary>
    public const int OperationColumnId = -1;

    /// <inheritdoc cref="OperationColumnId"/>
    public const int VersionColumnId = -2;

    /// <summary>In replays: the position of the record that a row comes from.</summary>
    public const int OriginColumnId = -3;

    /// <summary>The version of a record without one; every other is above.</summary>
    public const long NoVersion = -1;

    /// <summary>The operation of this name.</summary>
    public static bool TryParse(ReadOnlySpan<byte> name, out RecordOperation operation)
    {
        var (known, found) =
            name.SequenceEqual("upsert"u8) ? (true, RecordOperation.Upsert)
            : name.SequenceEqual("insert"u8) ? (true, RecordOperation.Insert)
            : name.SequenceEqual("patch"u8) ? (true, RecordOperation.Patch)
            : name.SequenceEqual("delete"u8) ? (true, RecordOperation.Delete)
            : name.SequenceEqual("remove"u8) ? (true, RecordOperation.Remove)
            : name.SequenceEqual("replace"u8) ? (true, RecordOperation.Replace)
            : default;
        operation = found;
        return known;
    }

    public static void ReadOperation(ref Utf8JsonReader reader, RecordRows rows)
    {
        if (reader.TokenType == JsonTokenType.String && JsonText.TryRead(ref reader, rows, out var name) == TextResult.Ok && TryParse(name, out var operation))
            rows.Operation = operation;
        else
            Fail(ref reader, rows, FieldErrorCode.UnknownOperation, "an op of upsert, insert, replace, patch, delete or remove");
    }

    public static void ReadVersion(ref Utf8JsonReader reader, RecordRows rows)
    {
        var isScalar = reader.TokenType is JsonTokenType.Number or JsonTokenType.String;
        if (isScalar && CellDecoder.ReadId(reader.ValueSpan, reader.TokenType, out var version) == NumberResult.Ok)
            rows.Version = version;
        else
            Fail(ref reader, rows, FieldErrorCode.NotAVersion, "a version from 0 to 9223372036854775807");
    }

    static void Fail(ref Utf8JsonReader reader, RecordRows rows, FieldErrorCode code, string expected)
    {
        rows.Fail(new FieldError("", "", code, expected, CellDecoder.Describe(ref reader)));
        reader.Skip();
    }
}
