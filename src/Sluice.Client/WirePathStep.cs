using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sluice.Client;

/// <summary>One step of a path on the wire: a JSON string names an object member, a JSON integer an array element.</summary>
/// <param name="Name"><c>null</c>: the step is <paramref name="Index"/>.</param>
/// <param name="Index">0 and up.</param>
[JsonConverter(typeof(WirePathStepConverter))]
public readonly record struct WirePathStep(string? Name, int Index)
{
    public static implicit operator WirePathStep(string name) => new(name, 0);

    public static implicit operator WirePathStep(int index) => new(null, index);

    public override string ToString() => Name ?? $"[{Index}]";
}

sealed class WirePathStepConverter : JsonConverter<WirePathStep>
{
    public override WirePathStep Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType switch
    {
        JsonTokenType.String => reader.GetString()!,
        JsonTokenType.Number when reader.TryGetInt32(out var index) && index >= 0 => index,
        _ => throw new JsonException("a path step is a string or an integer from 0"),
    };

    public override void Write(Utf8JsonWriter writer, WirePathStep value, JsonSerializerOptions options)
    {
        if (value.Name is { } name)
            writer.WriteStringValue(name);
        else
            writer.WriteNumberValue(value.Index);
    }
}
