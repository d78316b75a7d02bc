using System.IO.Hashing;
using System.Text;
using Sluice.Records;

namespace Sluice.Quarantine;

/// <summary>What the failures of one group have in common: the first error of each of its records, without the value.</summary>
/// <param name="Path">JSON Pointer into the record's value; empty for the record itself.</param>
/// <param name="Code">A <see cref="FieldErrorCode"/>, or one of the three below.</param>
/// <param name="Expected">The type that was expected; empty when no field is wrong.</param>
/// <param name="Got">The JSON kind that came; empty when no field is wrong.</param>
public sealed record ErrorSignature(string Path, string Code, string Expected, string Got)
{
    /// <summary>Nothing is wrong with the record: its request was discarded because of another.</summary>
    public const string BatchDiscarded = "BatchDiscarded";

    /// <summary>The request had more errors than a frame keeps (<see cref="Log.RecordsFrame.MaxErrorBytes"/>).</summary>
    public const string ErrorsOmitted = "ErrorsOmitted";

    static readonly string[] s_kinds = ["array", "object", "null", "bool", "number", "string", "nothing", "none"];

    /// <summary>Names the group, over all sinks and restarts.</summary>
    public ulong Id { get; } = XxHash3.HashToUInt64(Encoding.UTF8.GetBytes(string.Join('\0', Path, Code, Expected, Got)));

    /// <summary>The signature for people, as in <c>/price expected decimal(2), got string</c>.</summary>
    public string Text => (Path, Code) switch
    {
        (_, BatchDiscarded) => "discarded with its request: another record lacks a mapped field",
        (_, ErrorsOmitted) => "wrong; the request had too many errors to keep them all",
        (_, _) when Expected.Length == 0 => $"not loaded: {Code}",
        ("", _) => $"record expected {Expected}, got {Got}",
        _ => $"{Path} expected {Expected}, got {Got}",
    };

    public static ErrorSignature Of(IReadOnlyList<FieldError> errors) =>
        errors.Count == 0 ? new("", BatchDiscarded, "", "") : new(errors[0].Path, errors[0].Code.ToString(), errors[0].Expected, KindOf(errors[0].Got));

    /// <summary>A record that was accepted and then not loaded.</summary>
    public static ErrorSignature OfLate(string code) => new("", code, "", "");

    static string KindOf(string got)
    {
        var end = got.IndexOf(' ');
        var word = end < 0 ? got : got[..end];
        return s_kinds.Contains(word) ? word : "something else";
    }
}
