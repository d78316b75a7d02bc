using System.Text.Json;
using Sluice.Client;
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
sealed record SinkBody(string? Name, Guid? DatabaseId, string? Table, SinkSchema? Schema, bool? RejectTruncation, int? MaxRecords, long? MaxBytes)
{
    /// <summary>What the body says of the quarantine.</summary>
    public QuarantineBody Quarantine { get; init; } = new(null, null, null);

    /// <summary>Whether the newest records are kept in memory; <c>null</c>: not given.</summary>
    public bool? KeepsSample { get; init; }

    public QuotaBody Quota { get; init; } = QuotaBody.Nothing;

    // deeper than a record may be nested, no value can be found
    public const int MaxPathSteps = 63;

    /// <summary>What is said of a path that has none or more.</summary>
    public static string PathLengthComplaint => $"must have 1 to {MaxPathSteps} entries";

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
            body.OptionalInteger("max_records", 1, SinkDefinition.MostRecordsPerRequest),
            body.OptionalLong("max_bytes", 1, SinkDefinition.MostRequestBytes))
        {
            Quarantine = body.OptionalObject("quarantine") is { } quarantine ? QuarantineBody.Read(quarantine) : new QuarantineBody(null, null, null),
            KeepsSample = body.OptionalFlag("sample"),
            Quota = QuotaBody.Read(body),
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
        var (idField, keys) = ReadKey(schema);
        var fields = (schema.OptionalObjects("definition") ?? throw schema.Missing("definition")).Select(ReadField).ToList();
        RequireKeys(schema, fields, idField is null ? keys : [idField]);
        if (idField is not null)
            idField = NameKey(fields, idField);
        if (keys.Count == 1)
            keys = [NameKey(fields, keys[0])];
        RefuseDuplicates(schema, fields);
        return new SinkSchema("json", idField, keys.Count == 0 ? null : keys, allowMissing, fields);
    }

    /// <summary>The names that the definition gives to <c>_id</c> or to its parts, by the member that said so; neither where the server makes the ids.</summary>
    static (string? IdField, IReadOnlyList<string> PrimaryKeyFields) ReadKey(JsonBody schema)
    {
        var idField = schema.OptionalText("id_field") is { Length: > 0 } text ? text : null;
        var primary = schema.OptionalArray("primary_key_fields") ?? [];
        if (idField is not null && primary.Count > 0)
            throw schema.Invalid("primary_key_fields", "cannot be given together with 'id_field': a table's _id is a Number or a String");
        var names = new List<string>();
        foreach (var entry in primary)
        {
            var member = $"primary_key_fields[{names.Count}]";
            if (entry.ValueKind != JsonValueKind.String)
                throw schema.Invalid(member, $"must be a string, not {JsonBody.Describe(entry)}");
            if (names.Contains(entry.GetString()!))
                throw schema.Invalid(member, "repeats a name");
            names.Add(entry.GetString()!);
        }
        return (idField, names);
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
            throw entry.Invalid("path", PathLengthComplaint);
        return path.Select((step, index) => ReadStep(entry, step, index)).ToList();
    }

    static WirePathStep ReadStep(JsonBody entry, JsonElement step, int index) => step.ValueKind switch
    {
        JsonValueKind.String => step.GetString()!,
        JsonValueKind.Number when step.TryGetInt32(out var element) && element >= 0 => element,
        _ => throw entry.Invalid($"path[{index}]", $"must be a string (a member) or an integer from 0 (an array element), not {JsonBody.Describe(step)}"),
    };

    static void RequireKeys(JsonBody schema, List<SinkField> fields, IReadOnlyList<string> keys)
    {
        if (keys.FirstOrDefault(key => !fields.Exists(field => field.Name == key)) is { } missing)
            throw schema.Invalid("definition", $"must have an entry named \"{(missing.Length <= 64 ? missing : TableSchema.KeyColumnName)}\": a record needs its _id");
    }

    /// <summary>In the first version the key could have any name in the definition; here it is <c>_id</c> from now on.</summary>
    static string NameKey(List<SinkField> fields, string key)
    {
        var index = fields.FindIndex(field => field.Name == key);
        fields[index] = fields[index] with { Name = TableSchema.KeyColumnName };
        return TableSchema.KeyColumnName;
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
