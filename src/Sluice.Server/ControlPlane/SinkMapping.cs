using System.Collections.Immutable;
using System.Text.Json;
using Sluice.Client;
using Sluice.Schema;

namespace Sluice.Server;

/// <summary>A sink's mapping held against the columns of its table.</summary>
static class SinkMapping
{
    /// <summary>Finds the column of every entry and reads what its config says about times.</summary>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.RelatedNotFound"/>: an entry names no column; <see cref="ErrorCode.InvalidParameter"/>: two entries have one name, the key does not
    /// fit the table, <c>_timeQuantum</c> is needed and missing, or a config is not understood.
    /// </exception>
    public static ImmutableArray<FieldMapping> Resolve(SinkSchema schema, TableSchema table)
    {
        CheckNames(schema);
        CheckKey(schema, table);
        var fields = JoinedKeys(schema).Select(field => MapTo(TableSchema.KeyColumnName, field)).ToList();
        for (var i = 0; i < schema.Definition.Count; i++)
        {
            // a part of a key need not be a column as well
            if (!IsKeyPart(schema, schema.Definition[i].Name) || table.FindColumn(schema.Definition[i].Name) is not null)
                fields.Add(ResolveField(schema.Definition[i], i, table));
        }
        CheckTimeQuantum(schema, table);
        return [.. fields];
    }

    /// <summary>The mapping without the columns that are gone and with the new names of the renamed.</summary>
    /// <param name="before">The schema the mapping was resolved with.</param>
    /// <returns>The same instance when nothing changes.</returns>
    public static SinkSchema Follow(SinkSchema schema, TableSchema before, TableSchema after)
    {
        var fields = schema.Definition.Select(field => Follow(schema, field, before, after)).OfType<SinkField>().ToList();
        if (fields.SequenceEqual(schema.Definition))
            return schema;
        var keys = schema.PrimaryKeyFields?.Select(name => NowOf(name, before, after)?.Name ?? name).ToList();
        return schema with { Definition = fields, PrimaryKeyFields = keys };
    }

    static SinkField? Follow(SinkSchema schema, SinkField field, TableSchema before, TableSchema after)
    {
        if (before.FindColumn(field.Name) is null)
            return field; // _id, _timeQuantum, a part of the key alone
        if (NowOf(field.Name, before, after) is not { } now)
            return IsKeyPart(schema, field.Name) ? field : null;
        return now.Name == field.Name ? field : field with { Name = now.Name };
    }

    static Column? NowOf(string name, TableSchema before, TableSchema after) => before.FindColumn(name) is { } old ? after.FindColumn(old.Id) : null;

    /// <summary>The entries that are joined to the key, in its order; none when the key is one entry.</summary>
    static IEnumerable<SinkField> JoinedKeys(SinkSchema schema) =>
        schema.PrimaryKeyFields is { Count: > 1 } keys ? keys.Select(key => schema.Definition.Single(field => field.Name == key)) : [];

    static bool IsKeyPart(SinkSchema schema, string name) => schema.PrimaryKeyFields is { Count: > 1 } keys && keys.Contains(name);

    /// <summary>A column may have been renamed to a part of the key, which need not be a column.</summary>
    static void CheckNames(SinkSchema schema)
    {
        if (schema.Definition.CountBy(field => field.Name).FirstOrDefault(name => name.Value > 1).Key is { } twice)
            throw Invalid("schema.definition", $"has more than one entry named '{Shorten(twice)}'");
    }

    static void CheckKey(SinkSchema schema, TableSchema table)
    {
        var hasKey = schema.IdField is not null || schema.PrimaryKeyFields is not null;
        if (table.IsAutoId)
        {
            if (hasKey || schema.Definition.Any(field => field.Name == TableSchema.KeyColumnName))
                throw Invalid("schema", $"may name no _id, neither in 'id_field' nor in 'definition': the server makes the ids of table '{table.Name}'");
            return;
        }
        if (!hasKey)
            throw new SluiceException(ErrorCode.MissingParameter, "Parameter 'schema.id_field' or 'schema.primary_key_fields' is required.");
        if (table.Key == KeyKind.Number && schema.IdField is null)
            throw Invalid("schema.primary_key_fields", $"does not fit table '{table.Name}': its _id is a Number, which takes 'id_field'");
        if (table.Key == KeyKind.String && schema.IdField is not null)
            throw Invalid("schema.id_field", $"does not fit table '{table.Name}': its _id is a String, which takes 'primary_key_fields'");
        if (schema.PrimaryKeyFields is { Count: > 1 } keys && !keys.Contains(TableSchema.KeyColumnName) && schema.Definition.Any(field => field.Name == TableSchema.KeyColumnName))
            throw Invalid("schema.definition", "may have an entry named \"_id\" only where 'primary_key_fields' names it");
    }

    static void CheckTimeQuantum(SinkSchema schema, TableSchema table)
    {
        if (schema.Definition.Any(field => field.Name == SinkDefinition.TimeQuantumName))
            return;
        if (schema.Definition.FirstOrDefault(field => table.FindColumn(field.Name)?.Type.IsQuantum == true) is { } quantum)
            throw Invalid("schema.definition", $"must have an entry named \"{SinkDefinition.TimeQuantumName}\": column '{quantum.Name}' has a time quantum");
    }

    static FieldMapping ResolveField(SinkField field, int index, TableSchema table)
    {
        var mapping = MapTo(field.Name, field);
        if (field.Name == TableSchema.KeyColumnName)
            return mapping;
        if (field.Name == SinkDefinition.TimeQuantumName)
            return WithTimes(mapping, field.Config, index);
        if (table.FindColumn(field.Name) is not { } column)
            throw new SluiceException(ErrorCode.RelatedNotFound, $"Table '{table.Name}' has no column '{Shorten(field.Name)}'.");
        return column.Type.Kind == ColumnKind.Timestamp ? WithTimes(mapping, field.Config, index) : mapping;
    }

    static FieldMapping MapTo(string column, SinkField field) => new(column, [.. field.Path.Select(step => new PathStep(step.Name, step.Index))]);

    /// <summary>Reads <c>Unit</c>, <c>Epoch</c> and <c>Layout</c>; empty texts count as not given, as the original wrote them.</summary>
    static FieldMapping WithTimes(FieldMapping mapping, JsonElement? config, int index)
    {
        if (config is not { ValueKind: JsonValueKind.Object } given)
            return mapping;
        var path = $"schema.definition[{index}].config";
        if (TextOf(given, "Layout", path) is { } layout && !IsRfc3339(layout))
            throw Invalid($"{path}.Layout", "is not supported: times as text are RFC 3339, as in 2006-01-02T15:04:05Z07:00");
        var epoch = ReadEpoch(given, path);
        // a number that counts from an epoch of its own says nothing about its unit; seconds is the original's default
        return mapping with { Unit = ReadUnit(given, path) ?? (epoch is null ? null : TimeUnit.Second), Epoch = epoch };
    }

    static TimeUnit? ReadUnit(JsonElement config, string path) =>
        TextOf(config, "Unit", path) is not { } text ? null
        : TimeUnits.TryParse(text, out var unit) ? unit
        : throw Invalid($"{path}.Unit", "must be one of s, ms, us, ns");

    static DateTimeOffset? ReadEpoch(JsonElement config, string path)
    {
        if (TextOf(config, "Epoch", path) is not { } text)
            return null;
        if (!Rfc3339.TryParseEpoch(text, out var epoch))
            throw Invalid($"{path}.Epoch", "must be a time in whole seconds as in 2006-01-02T15:04:05Z");
        return epoch == DateTimeOffset.MinValue ? null : epoch; // the original's clients write year 1 for "none"
    }

    static string? TextOf(JsonElement config, string member, string path)
    {
        if (!config.TryGetProperty(member, out var value) || value.ValueKind == JsonValueKind.Null)
            return null;
        if (value.ValueKind != JsonValueKind.String)
            throw Invalid($"{path}.{member}", $"must be a string, not {JsonBody.Describe(value)}");
        return value.GetString() is { Length: > 0 } text ? text : null;
    }

    static bool IsRfc3339(string layout) => layout is "2006-01-02T15:04:05Z07:00" or "2006-01-02T15:04:05.999999999Z07:00" or "RFC3339" or "RFC3339Nano";

    static string Shorten(string text) => text.Length <= 64 ? text : $"{text.AsSpan(0, 61)}...";

    static SluiceException Invalid(string member, string complaint) => new(ErrorCode.InvalidParameter, $"Parameter '{member}' {complaint}.");
}
