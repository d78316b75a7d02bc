using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sluice.Client;
using Sluice.Schema;

namespace Sluice.Server.Components;

/// <summary>A record made up for a mapping: one that its sink would accept. What stands too far down an array, or too deep, is left out.</summary>
static class SampleRecord
{
    // a path may say any number, and each element before its own would be written too
    const int MaxIndex = 100;

    // with the request around it and a set in it, a JSON text is as deep as it may be
    const int MaxSteps = 60;

    static readonly JsonSerializerOptions Readable = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A request with one record.</summary>
    public static string BodyOf(SinkSchema mapping, TableSchema table) =>
        new JsonObject { ["records"] = new JsonArray(new JsonObject { ["value"] = Make(mapping, table) }) }.ToJsonString(Readable);

    /// <summary>The record's value alone.</summary>
    public static string ValueOf(SinkSchema mapping, TableSchema table) => Make(mapping, table).ToJsonString(Readable);

    static JsonNode Make(SinkSchema mapping, TableSchema table)
    {
        JsonNode? value = new JsonObject();
        foreach (var field in mapping.Definition.Where(field => field.Path.Count <= MaxSteps && field.Path.All(step => step.Index <= MaxIndex)))
            value = Put(value, [.. field.Path], ValueOf(field.Name, table));
        return value!;
    }

    static JsonNode? Put(JsonNode? node, ReadOnlySpan<WirePathStep> path, JsonNode? value)
    {
        if (path.IsEmpty)
            return value;
        if (path[0].Name is { } name)
        {
            var members = node as JsonObject ?? [];
            var before = members.TryGetPropertyValue(name, out var found) ? found : null;
            members.Remove(name);
            members.Add(name, Put(before, path[1..], value));
            return members;
        }
        var elements = node as JsonArray ?? [];
        while (elements.Count <= path[0].Index)
            elements.Add((JsonNode?)null);
        var element = elements[path[0].Index];
        elements[path[0].Index] = null;
        elements[path[0].Index] = Put(element, path[1..], value);
        return elements;
    }

    static JsonNode? ValueOf(string column, TableSchema table)
    {
        if (column == TableSchema.KeyColumnName)
            return table.Key == KeyKind.Number ? JsonValue.Create(1) : JsonValue.Create("a-1");
        if (table.FindColumn(column)?.Type is not { } type)
            return JsonValue.Create("2026-01-01T09:30:00Z");
        return type.Kind switch
        {
            ColumnKind.Bool => JsonValue.Create(true),
            ColumnKind.Id => JsonValue.Create(1),
            ColumnKind.Int => JsonValue.Create(Math.Clamp(42, type.Min, type.Max)),
            ColumnKind.Decimal => JsonNode.Parse(type.Scale == 0 ? "12" : "12." + new string('5', Math.Min(2, type.Scale))),
            ColumnKind.Timestamp => JsonValue.Create("2026-01-01T09:30:00Z"),
            ColumnKind.IdSet or ColumnKind.IdSetQ => new JsonArray(1, 2),
            ColumnKind.StringSet or ColumnKind.StringSetQ => new JsonArray("new", "web"),
            ColumnKind.Vector => new JsonArray([.. Enumerable.Range(0, Math.Min(type.VectorLength, 1_024)).Select(_ => (JsonNode?)JsonValue.Create(0.5))]),
            _ => JsonValue.Create("text"),
        };
    }
}
