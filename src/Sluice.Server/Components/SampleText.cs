using System.Text.Json;
using Sluice.Records;

namespace Sluice.Server.Components;

/// <summary>Records as they were sent.</summary>
static class SampleText
{
    /// <summary>The value of a record: what paths count from.</summary>
    /// <exception cref="JsonException">The text is no JSON, or not in Unicode.</exception>
    public static JsonElement ValueOf(ReadOnlySpan<byte> raw, RecordForm form)
    {
        WellFormedText.Check(raw);
        var element = JsonElement.Parse(raw);
        return !form.IsBare && element.ValueKind == JsonValueKind.Object && element.TryGetProperty("value", out var value) ? value : element;
    }
}
