using System.Text.Json;
using System.Text.Unicode;

namespace Sluice.Server;

/// <summary>
/// Looks through a JSON text for names and strings that are no Unicode: invalid UTF-8, or half of a surrogate pair. The parsers of .NET take both
/// and throw something else later, when the string is asked for.
/// </summary>
static class WellFormedText
{
    /// <exception cref="JsonException">There is such a string, or the text is not JSON.</exception>
    public static void Check(ReadOnlySpan<byte> json, bool allowsMultipleValues = false)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { AllowMultipleValues = allowsMultipleValues });
        while (reader.Read())
        {
            if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.PropertyName)) continue;
            if (!Utf8.IsValid(reader.ValueSpan)) throw Malformed(null);
            if (reader.ValueIsEscaped) CheckEscapes(ref reader);
        }
    }

    static void CheckEscapes(ref Utf8JsonReader reader)
    {
        try
        {
            reader.GetString();
        }
        catch (InvalidOperationException e)
        {
            throw Malformed(e);
        }
    }

    static JsonException Malformed(Exception? inner) => new("a text in it is not well-formed Unicode", inner);
}
