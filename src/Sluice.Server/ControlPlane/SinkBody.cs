using System.Text.Json;
using Sluice.Client;
using Sluice.Log;
using Sluice.Schema;

namespace Sluice.Server;

/// <summary>What a body asks of a sink, checked as far as it can be without knowing the table. <see cref="SinkMapping"/> does the rest.</summary>
/// <param name="Name"><c>null</c>: not given.</param>
/// <param name="DatabaseId"><c>null</c>: not given.</param>
/// <param name="Table">Name or id of the table; <c>null</c>: not given.</param>
/// <param name="Schema">With <c>_id</c> under that name, whatever name the body gave it; <c>null</c>: not given.</param>
/// <param name="RejectTruncation"><c>null</c>: not given.</param>
/// <param name="MaxRecords"><c>null</c>: not given.</param>
/// <param name="MaxBytes"><c>null</c>: not given.</param>
sealed record SinkBody(string? Name, Guid? DatabaseId, string? Table, SinkSchema? Schema, bool? RejectTruncation, int? MaxRecords, int? MaxBytes)
{
    /// <summary>What the body says of the quarantine.</summary>
    public QuarantineBody Quarantine { get; init; } = new(null, null, null);

    /// <summary>Whether the newest records are kept in memory; <c>null</c>: not given.</summary>
    public bool? KeepsSample { get; init; }

    // deeper than a record may be nested, no value can be found
    const int MaxPathSteps = 63;

    /// <summary>Reads the body of a creation: everything must be there.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.MissingParameter"/>, <see cref="ErrorCode.InvalidParameter"/>.</exception>
    public static SinkBody ParseNew(JsonBody body)
    {
        ResourceNames.Check(body.RequiredText("name"), "name");
        var details = body.RequiredObject("sink_details");
        _ = ReadDatabaseId(details) ?? throw details.Missing("database_id");
        _ = details.RequiredText("table");
        return ParseChange(body, isSchemaRequired: true);
    }

    /// <summary>Reads the body of an update: names and ids may be left out, the schema only where <paramref name="isSchemaRequired"/> is false.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.MissingParameter"/>, <see cref="ErrorCode.InvalidParameter"/>.</exception>
    public static SinkBody ParseChange(JsonBody body, bool isSchemaRequired)
    {
        var details = body.OptionalObject("sink_details");
        var schema = isSchemaRequired ? body.RequiredObject("schema") : body.OptionalObject("schema");
        return new SinkBody(
            body.OptionalText("name"),
            details is null ? null : ReadDatabaseId(details),
            details?.OptionalText("table"),
            schema is null ? null : ReadSchema(schema),
            ReadTruncation(body),
            body.OptionalInteger("max_records", 1, 1 << LogPosition.RecordIndexBits),
            body.OptionalInteger("max_bytes", 1, 1 << 30))
        {
            Quarantine = body.OptionalObject("quarantine") is { } quarantine ? QuarantineBody.Read(quarantine) : new QuarantineBody(null, null, null),
            KeepsSample = body.OptionalFlag("sample"),
        };
    }

    // "deployment" is the first version's word for a database
    static Guid? ReadDatabaseId(JsonBody details) =>
        details.Has("database_id") ? details.RequiredId("database_id")
        : details.Has("deployment_id") ? details.RequiredId("deployment_id")
        : null;

    static bool? ReadTruncation(JsonBody body) => body.OptionalText("truncation") switch
    {
        null => null,
        "warn" => false,
        "error" => true,
        _ => throw body.Invalid("truncation", "must be \"warn\" or \"error\""),
    };

    /// <summary>Reads a mapping alone.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.MissingParameter"/>, <see cref="ErrorCode.InvalidParameter"/>.</exception>
    public static SinkSchema ReadSchema(JsonBody schema)
    {
        if (schema.OptionalText("type") is { } type && type != "json")
            throw schema.Invalid("type", "must be \"json\"");
        var allowMissing = schema.RequiredFlag("allow_missing_fields");
        var (key, isNumber) = ReadKey(schema);
        var fields = (schema.OptionalObjects("definition") ?? throw schema.Missing("definition")).Select(ReadField).ToList();
        NameKey(schema, fields, key);
        RefuseDuplicates(schema, fields);
        return new SinkSchema(
            "json", isNumber ? TableSchema.KeyColumnName : null, isNumber ? null : [TableSchema.KeyColumnName], allowMissing, fields);
    }

    /// <summary>The name that the definition gives to <c>_id</c>, and which of the two members said so.</summary>
    static (string Name, bool IsNumber) ReadKey(JsonBody schema)
    {
        var idField = schema.OptionalText("id_field") is { Length: > 0 } text ? text : null;
        var primary = schema.OptionalArray("primary_key_fields") is { Count: > 0 } array ? array : null;
        if (idField is not null && primary is not null)
            throw schema.Invalid("primary_key_fields", "cannot be given together with 'id_field': a table's _id is a Number or a String");
        if (idField is not null)
            return (idField, true);
        if (primary is null)
            throw new SluiceException(ErrorCode.MissingParameter, $"Parameter '{schema.PathOf("id_field")}' or '{schema.PathOf("primary_key_fields")}' is required.");
        if (primary.Count > 1)
            throw schema.Invalid("primary_key_fields", "can have one entry only; keys joined from several fields are not supported");
        return primary[0].ValueKind == JsonValueKind.String
            ? (primary[0].GetString()!, false)
            : throw schema.Invalid("primary_key_fields[0]", $"must be a string, not {JsonBody.Describe(primary[0])}");
    }

    static SinkField ReadField(JsonBody entry) => new(
        entry.RequiredText("name"),
        ReadPath(entry),
        entry.OptionalText("type"),
        entry.OptionalObject("config") is null ? null : entry.Find("config"));

    static List<WirePathStep> ReadPath(JsonBody entry)
    {
        var path = entry.RequiredArray("path");
        if (path.Count is 0 or > MaxPathSteps)
            throw entry.Invalid("path", $"must have 1 to {MaxPathSteps} entries");
        return path.Select((step, index) => ReadStep(entry, step, index)).ToList();
    }

    static WirePathStep ReadStep(JsonBody entry, JsonElement step, int index) => step.ValueKind switch
    {
        JsonValueKind.String => step.GetString()!,
        JsonValueKind.Number when step.TryGetInt32(out var element) && element >= 0 => element,
        _ => throw entry.Invalid($"path[{index}]", $"must be a string (a member) or an integer from 0 (an array element), not {JsonBody.Describe(step)}"),
    };

    /// <summary>In the first version the key could have any name in the definition; here it is <c>_id</c> from now on.</summary>
    static void NameKey(JsonBody schema, List<SinkField> fields, string key)
    {
        var index = fields.FindIndex(field => field.Name == key);
        if (index < 0)
            throw schema.Invalid("definition", $"must have an entry named \"{(key.Length <= 64 ? key : TableSchema.KeyColumnName)}\": a record needs its _id");
        fields[index] = fields[index] with { Name = TableSchema.KeyColumnName };
    }

    static void RefuseDuplicates(JsonBody schema, List<SinkField> fields)
    {
        var first = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < fields.Count; i++)
        {
            if (!first.TryAdd(fields[i].Name, i))
                throw schema.Invalid($"definition[{i}].name", $"repeats the name of entry {first[fields[i].Name]}");
        }
    }
}

/// <summary>The member <c>quarantine</c> of a sink; what is <c>null</c> was not given.</summary>
sealed record QuarantineBody(bool? KeepRaw, int? MaxBytes, TimeSpan? MaxAge)
{
    static readonly HashSet<string> s_known = ["keep_raw", "max_bytes", "max_age"];
    static readonly TimeSpan s_maxAge = TimeSpan.FromDays(3_650);

    public static QuarantineBody Read(JsonBody body)
    {
        body.RefuseUnknown(s_known);
        return new QuarantineBody(body.OptionalFlag("keep_raw"), body.OptionalInteger("max_bytes", 0, 1 << 30), ReadAge(body));
    }

    static TimeSpan? ReadAge(JsonBody body) => body.OptionalText("max_age") is not { } text ? null
        : TimeToLive.TryParse(text, out var age) && age > TimeSpan.Zero && age <= s_maxAge ? age
        : throw body.Invalid("max_age", "must be a duration in whole seconds such as 24h or 7d, at most 3650d");
}
