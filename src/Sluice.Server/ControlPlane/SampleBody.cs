using System.Text.Json;

namespace Sluice.Server;

/// <summary>The records of a body that samples stand in, whichever form it has.</summary>
static class SampleBody
{
    /// <summary>
    /// Takes <c>{"records":[{"value":{...}}]}</c>, an array of objects, an object a line, an object with one member that is an array of objects (a GeoJSON file is such), or one object.
    /// </summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidBody"/>: no JSON, or no objects in it.</exception>
    public static IReadOnlyList<JsonElement> Read(ReadOnlyMemory<byte> body, int maxSamples)
    {
        var roots = ReadRoots(body);
        var values = roots.Count > 1 ? roots : ValuesOf(roots[0]);
        var samples = values.Where(value => value.ValueKind == JsonValueKind.Object).Take(maxSamples).ToList();
        return samples.Count > 0 ? samples : throw new SluiceException(ErrorCode.InvalidBody, "The body has no JSON object that could be a record.");
    }

    static IReadOnlyList<JsonElement> ValuesOf(JsonElement root)
    {
        if (root.ValueKind == JsonValueKind.Array) return [.. root.EnumerateArray()];
        if (root.ValueKind != JsonValueKind.Object) return [];
        if (root.TryGetProperty("records", out var records) && records.ValueKind == JsonValueKind.Array)
            return [.. records.EnumerateArray().Where(record => record.ValueKind == JsonValueKind.Object).Select(record => record.TryGetProperty("value", out var value) ? value : record)];
        var lists = root.EnumerateObject().Where(member => member.Value.ValueKind == JsonValueKind.Array && member.Value.GetArrayLength() > 1
            && member.Value.EnumerateArray().All(element => element.ValueKind == JsonValueKind.Object)).ToList();
        return lists.Count == 1 ? [.. lists[0].Value.EnumerateArray()] : [root];
    }

    static List<JsonElement> ReadRoots(ReadOnlyMemory<byte> body)
    {
        var reader = new Utf8JsonReader(body.Span, new JsonReaderOptions { AllowMultipleValues = true, MaxDepth = 64 });
        var roots = new List<JsonElement>();
        try
        {
            WellFormedText.Check(body.Span, allowsMultipleValues: true);
            while (reader.Read()) roots.Add(JsonElement.ParseValue(ref reader));
        }
        catch (JsonException e)
        {
            throw new SluiceException(ErrorCode.InvalidBody, $"The body is not valid JSON{(e.LineNumber is { } line ? $" (line {line + 1}, byte {e.BytePositionInLine + 1})" : "")}.", e);
        }
        return roots.Count > 0 ? roots : throw new SluiceException(ErrorCode.InvalidBody, "The body is empty.");
    }
}
