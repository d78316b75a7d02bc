using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Sluice.Server.Components;

/// <summary>A column proposed for what stands at one path of a sample, as the user changes it.</summary>
sealed class ColumnChoice
{
    public bool IsTaken { get; set; }

    public required ColumnForm Form { get; init; }

    public required string Path { get; init; }

    /// <summary>One value, as it came.</summary>
    public required string Example { get; init; }

    /// <summary>Why this type, or why none.</summary>
    public required string Reason { get; init; }
}

/// <summary>A sample, and the columns it asks for: those of <see cref="SchemaInference"/>, open to change.</summary>
sealed class SampleShape
{
    const int MaxRecords = 1_000;

    static readonly JsonSerializerOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The records' values, in their order; at least one.</summary>
    public required IReadOnlyList<JsonElement> Records { get; init; }

    public required IReadOnlyList<ColumnChoice> Columns { get; init; }

    /// <summary>The path proposed for <c>_id</c>; empty: the server makes the ids, as is proposed where the sample has no path that would do.</summary>
    public required string KeyPath { get; set; }

    /// <summary>The records one a line, which can be sent whatever form they came in.</summary>
    public string Lines => string.Join('\n', Records.Select(record => JsonSerializer.Serialize(record, Readable)));

    public bool IsAutoId => KeyPath.Length == 0;

    /// <summary>Whether the ids are numbers: the value at <see cref="KeyPath"/> is one in every record, or the server makes them.</summary>
    public bool IsNumberKey => IsAutoId || DotPath.TryParse(KeyPath, out var path)
        && Records.All(record => DotPath.Find(record, path) is { ValueKind: JsonValueKind.Number } number && number.TryGetInt64(out var id) && id >= 0);

    /// <summary>Reads what was pasted, in every form that can be sent.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidBody"/>: no JSON object is in it.</exception>
    public static SampleShape Of(string text) => Of(SampleBody.Read(Encoding.UTF8.GetBytes(text), MaxRecords));

    /// <param name="records">JSON objects, at least one.</param>
    public static SampleShape Of(IReadOnlyList<JsonElement> records)
    {
        var proposal = SchemaInference.Propose(records);
        return new SampleShape
        {
            Records = records,
            KeyPath = proposal.Key is null ? "" : DotPath.Write(proposal.Key),
            Columns =
            [
                .. proposal.Columns.Select(column => new ColumnChoice
                {
                    IsTaken = column.Type is not null,
                    Form = ColumnForm.Of(column.Name, column.Type),
                    Path = DotPath.Write(column.Path),
                    Example = records.Select(record => DotPath.Find(record, column.Path)).FirstOrDefault(value => value is not null)?.GetRawText() ?? "",
                    Reason = column.Reason,
                }),
            ],
        };
    }
}
