using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Sluice.Load;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Server.DataPlane;

/// <summary>The entries of <c>records</c> that say more than success. One thread.</summary>
/// <param name="withIndex">Each entry names its record, because the array leaves others out.</param>
sealed class RecordNotes(IBufferWriter<byte> output, bool withIndex) : IDisposable
{
    const string Preamble = "Incorrect values for one or more of record fields";
    const string Discarded = "The record was discarded with its request: another record lacks a mapped field, and the sink does not allow that";

    const string Undetailed = Preamble + ": left out, because so many records of the request are wrong; send the record alone to see what is wrong with it";

    static readonly JsonEncodedText[] Codes = [.. Enum.GetNames<FieldErrorCode>().Select(name => JsonEncodedText.Encode(name))];

    readonly Utf8JsonWriter _json = new(output, new JsonWriterOptions
    {
        // quotes as \", text as it is: the answer is JSON and is never read as anything else
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        SkipValidation = true,
    });

    public void WriteRejected(RejectedRecord record)
    {
        Begin("error"u8, record.Index);
        _json.WriteString("error_code"u8, record.IsDiscarded ? "BatchDiscarded"u8 : record.LateReason is null ? "InvalidBody"u8 : "LoadFailed"u8);
        _json.WriteString("error_message"u8, record.IsDiscarded ? Discarded : record.LateReason ?? MessageFor(record.Errors));

        if (!record.IsDiscarded)
        {
            _json.WriteStartArray("errors"u8);
            if (record.LateCode is { } late)
                Write(late, record.LateReason!);
            foreach (var error in record.Errors)
                Write(error);
            _json.WriteEndArray();
        }

        End();
    }

    /// <summary>Writes the entry of an accepted record with all its warnings.</summary>
    /// <param name="first">The record's first warning.</param>
    /// <returns>The place after its last one.</returns>
    public int WriteWarned(IReadOnlyList<TruncationWarning> warnings, int first)
    {
        Begin("success"u8, warnings[first].RecordIndex);
        var next = WriteWarnings(warnings, first);
        End();
        return next;
    }

    /// <summary>Writes the entry of a record that would be accepted.</summary>
    /// <param name="value">JSON; <c>null</c>: not told.</param>
    /// <param name="first">The record's first warning, or that of a later one.</param>
    /// <returns>The place after its last one.</returns>
    public int WriteAccepted(int record, string? value, IReadOnlyList<TruncationWarning> warnings, int first)
    {
        Begin("success"u8, record);
        if (value is not null)
        {
            _json.WritePropertyName("value"u8);
            _json.WriteRawValue(value, skipInputValidation: true);
        }
        var next = first < warnings.Count && warnings[first].RecordIndex == record ? WriteWarnings(warnings, first) : first;
        End();
        return next;
    }

    int WriteWarnings(IReadOnlyList<TruncationWarning> warnings, int first)
    {
        var record = warnings[first].RecordIndex;
        _json.WriteStartArray("warnings"u8);
        var next = first;
        for (; next < warnings.Count && warnings[next].RecordIndex == record; next++)
        {
            _json.WriteStartObject();
            _json.WriteString("column"u8, warnings[next].Column);
            _json.WriteString("code"u8, Codes[(int)FieldErrorCode.Truncated]);
            _json.WriteEndObject();
        }

        _json.WriteEndArray();
        return next;
    }

    public void Dispose() => _json.Dispose();

    void Begin(ReadOnlySpan<byte> status, int index)
    {
        _json.Reset();
        _json.WriteStartObject();
        if (withIndex)
            _json.WriteNumber("index"u8, index);
        _json.WriteString("status"u8, status);
    }

    void End()
    {
        _json.WriteEndObject();
        _json.Flush();
    }

    void Write(FieldError error) => Write(error.Column, error.Path, Codes[(int)error.Code], error.Expected, error.Got);

    void Write(LateErrorCode code, string reason)
    {
        var (column, expected, got) = code switch
        {
            LateErrorCode.KeyExists => (TableSchema.KeyColumnName, "no row with this _id", "one"),
            LateErrorCode.KeyMissing => (TableSchema.KeyColumnName, "a row with this _id", "none"),
            _ => ("", "values that the store takes", reason),
        };
        Write(column, "", JsonEncodedText.Encode(code.ToString()), expected, got);
    }

    void Write(string column, string path, JsonEncodedText code, string expected, string got)
    {
        _json.WriteStartObject();
        _json.WriteString("column"u8, column);
        _json.WriteString("path"u8, path);
        _json.WriteString("code"u8, code);
        _json.WriteString("expected"u8, expected);
        _json.WriteString("got"u8, got);
        _json.WriteEndObject();
    }

    static string MessageFor(IReadOnlyList<FieldError> errors) => errors.Count == 0 ? Undetailed : $"{Preamble}: {string.Join("; ", errors.Select(Describe))}";

    static string Describe(FieldError error) =>
        error.Column.Length == 0 ? $"expected {error.Expected}, got {error.Got}" : $"{error.Column}: expected {error.Expected}, got {error.Got}";
}
