using System.Text;
using System.Text.Json;
using Sluice.Client;
using Sluice.Records;
using Sluice.Schema;

namespace Sluice.Server.Components;

/// <summary>Where the value of one column stands in a record, as it is typed.</summary>
sealed class MappingRow
{
    public required string Column { get; init; }

    public required string Type { get; init; }

    /// <summary>Empty: the column gets no value.</summary>
    public string Path { get; set; } = "";

    /// <summary>What else the mapping says about the column; carried over unseen.</summary>
    public JsonElement? Config { get; init; }
}

/// <summary>What a mapping makes of a sample for one column.</summary>
/// <param name="Found">The value at the path; <c>null</c>: there is none.</param>
/// <param name="Fault">Why the column does not take it; <c>null</c>: it does.</param>
sealed record MappedSample(string? Found, string? Fault);

/// <summary>A mapping as it is typed into a form, one row a column.</summary>
sealed class MappingForm
{
    public required TableSchema Table { get; init; }

    /// <summary><c>_id</c> first, unless the server makes it, then the columns by name, then the time of quantum sets where there are any.</summary>
    public required IReadOnlyList<MappingRow> Rows { get; init; }

    /// <summary>A record in which a path is missing is stored with what it has; false: its request is discarded.</summary>
    public bool AllowMissing { get; set; } = true;

    /// <param name="schema">The present mapping; <c>null</c>: each path is the column's name.</param>
    public static MappingForm Of(TableSchema table, SinkSchema? schema)
    {
        var columns = table.Columns.OrderBy(column => column.Name, StringComparer.Ordinal).Select(column => (column.Name, Type: column.Type.ToString()))
            .ToList();
        if (!table.IsAutoId)
            columns.Insert(0, (TableSchema.KeyColumnName, table.Key == KeyKind.Number ? "id" : "string"));
        if (table.Columns.Any(column => column.Type.IsQuantum))
            columns.Add((SinkDefinition.TimeQuantumName, "timestamp"));
        return new MappingForm
        {
            Table = table,
            AllowMissing = schema?.AllowMissingFields ?? true,
            Rows = [.. columns.Select(column => RowOf(column.Name, column.Type, schema))],
        };
    }

    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: a path cannot be read or is too long, or <c>_id</c> has none.</exception>
    public SinkSchema ToSchema()
    {
        var fields = Rows.Where(row => row.Path.Trim().Length > 0).Select(row => new SinkField(row.Column, PathOf(row), Config: row.Config)).ToList();
        if (Table.IsAutoId)
            return new SinkSchema("json", null, null, AllowMissing, fields);
        if (fields.Count == 0 || fields[0].Name != TableSchema.KeyColumnName)
            throw new SluiceException(ErrorCode.InvalidParameter, "The column _id needs a path: it says which row a record is for.");
        var isNumber = Table.Key == KeyKind.Number;
        return new SinkSchema("json", isNumber ? TableSchema.KeyColumnName : null, isNumber ? null : [TableSchema.KeyColumnName], AllowMissing, fields);
    }

    /// <summary>Tries the mapping on a sample: the decoder that records go through says what each column makes of it.</summary>
    /// <param name="sample">One record's value.</param>
    /// <exception cref="SluiceException">As <see cref="ToSchema"/>.</exception>
    public IReadOnlyDictionary<string, MappedSample> Try(JsonElement sample)
    {
        var schema = ToSchema();
        var errors = Check(Table, schema, sample).Outcome.Rejected.SelectMany(record => record.Errors).ToLookup(error => error.Column);
        return Rows.ToDictionary(row => row.Column, row =>
        {
            var found = DotPath.TryParse(row.Path, out var path) && row.Path.Length > 0 ? DotPath.Find(sample, path) : null;
            var fault = errors[row.Column].FirstOrDefault();
            return new MappedSample(found?.GetRawText(), fault is null ? null : $"expected {fault.Expected}, got {fault.Got}");
        });
    }

    static List<WirePathStep> PathOf(MappingRow row)
    {
        if (!DotPath.TryParse(row.Path, out var path))
            throw Refusal("cannot be read: write it as in order.items.0.price");
        return path.Count <= SinkBody.MaxPathSteps ? path : throw Refusal(SinkBody.PathLengthComplaint);

        SluiceException Refusal(string complaint) => new(ErrorCode.InvalidParameter, $"The path of {row.Column} {complaint}.");
    }

    static DryRun Check(TableSchema table, SinkSchema schema, JsonElement sample)
    {
        var definition = new SinkDefinition
        {
            Id = Guid.Empty,
            Name = "",
            TableId = table.TableId,
            MappingVersion = 0,
            AllowMissingFields = true,
            Fields = SinkMapping.Resolve(schema, table),
        };
        return DryRun.Of(definition, table, Encoding.UTF8.GetBytes($"[{sample.GetRawText()}]"), BodyFormat.Values, RecordOperation.Upsert);
    }

    static MappingRow RowOf(string column, string type, SinkSchema? schema)
    {
        var field = schema?.Definition.FirstOrDefault(field => field.Name == column);
        var path = field is not null ? DotPath.Write(field.Path) : schema is null && column != SinkDefinition.TimeQuantumName ? column : "";
        return new MappingRow { Column = column, Type = type, Path = path, Config = field?.Config };
    }
}
