using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Sluice.IntegrationTests.Wire;

/// <summary>
/// One request and its answer as a document shows them: a block fenced <c>```http</c> that begins with a method, and the next one, which begins with a
/// status. <c>{{name}}</c> stands for a value that an earlier answer gave; <c>{{*}}</c> for any value.
/// </summary>
sealed partial record DocumentExample(int Line, string Head, string Body, int Status, string Answer)
{
    public static IReadOnlyList<DocumentExample> ReadAll(string path)
    {
        var examples = new List<DocumentExample>();
        (int Line, string Text)? request = null;
        foreach (var (line, text) in Blocks(File.ReadAllLines(path)))
        {
            if (!char.IsDigit(text[0]))
            {
                request = request is null ? (line, text) : throw new InvalidDataException($"{path}:{line}: the request before has no answer");
                continue;
            }
            if (request is not { } asked) throw new InvalidDataException($"{path}:{line}: an answer without a request");
            var (head, body) = Cut(asked.Text);
            var newline = text.IndexOf('\n', StringComparison.Ordinal);
            var status = newline < 0 ? text : text[..newline];
            examples.Add(new DocumentExample(asked.Line, head, body, int.Parse(status.AsSpan(0, 3), CultureInfo.InvariantCulture), newline < 0 ? "" : text[(newline + 1)..].Trim()));
            request = null;
        }
        return examples;
    }

    public static string Fill(string text, IReadOnlyDictionary<string, string> values) =>
        Placeholder().Replace(text, match => values.TryGetValue(match.Groups[1].Value, out var value) ? value : match.Value);

    /// <summary>The first difference between the answer shown and the one received, or <c>null</c>. Placeholders not known yet take their value.</summary>
    public string? Compare(string received, Dictionary<string, string> values)
    {
        if (Answer.Length == 0) return null;
        return Compare("$", JsonNode.Parse(Answer), JsonNode.Parse(received), values);
    }

    static string? Compare(string at, JsonNode? shown, JsonNode? received, Dictionary<string, string> values)
    {
        if (shown is JsonValue value && value.GetValueKind() == JsonValueKind.String && Placeholder().Match(value.GetValue<string>()) is { Success: true } match && match.Length == value.GetValue<string>().Length)
        {
            var name = match.Groups[1].Value;
            var text = received?.ToString() ?? "null";
            if (name == "*") return null;
            return values.TryAdd(name, text) || values[name] == text ? null : $"{at}: expected {values[name]}, got {text}";
        }
        if (shown is JsonObject shownObject)
        {
            if (received is not JsonObject receivedObject) return $"{at}: expected an object, got {received?.ToJsonString() ?? "null"}";
            if (receivedObject.FirstOrDefault(member => !shownObject.ContainsKey(member.Key)) is { Key: { } extra }) return $"{at}: the answer has a member {extra} that is not shown";
            return shownObject.Select(member => receivedObject.ContainsKey(member.Key)
                ? Compare($"{at}.{member.Key}", member.Value, receivedObject[member.Key], values)
                : $"{at}: the answer has no member {member.Key}").FirstOrDefault(difference => difference is not null);
        }
        if (shown is JsonArray shownArray)
        {
            if (received is not JsonArray receivedArray || receivedArray.Count != shownArray.Count) return $"{at}: expected {shownArray.Count} elements, got {received?.ToJsonString() ?? "null"}";
            return shownArray.Select((element, i) => Compare($"{at}[{i}]", element, receivedArray[i], values)).FirstOrDefault(difference => difference is not null);
        }
        if (shown is JsonValue partly && partly.GetValueKind() == JsonValueKind.String) shown = Fill(partly.GetValue<string>(), values);
        // numbers are compared as text: 5.10 is not 5.1
        return (shown?.ToJsonString() ?? "null") == (received?.ToJsonString() ?? "null") ? null : $"{at}: expected {shown?.ToJsonString() ?? "null"}, got {received?.ToJsonString() ?? "null"}";
    }

    static (string Head, string Body) Cut(string request)
    {
        var blank = request.IndexOf("\n\n", StringComparison.Ordinal);
        return blank < 0 ? (request.Trim(), "") : (request[..blank], request[(blank + 2)..]);
    }

    static IEnumerable<(int Line, string Text)> Blocks(string[] lines)
    {
        for (var i = 0; i < lines.Length; i++)
        {
            if (lines[i] != "```http") continue;
            var end = Array.IndexOf(lines, "```", i);
            yield return (i + 1, string.Join('\n', lines[(i + 1)..end]));
            i = end;
        }
    }

    [GeneratedRegex(@"\{\{([a-z_*]+)\}\}")]
    private static partial Regex Placeholder();
}
