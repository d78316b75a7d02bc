using System.Text.Json;

namespace Sluice.Server;

/// <summary>
/// One JSON object of a request, read member by member; each fault names the member by its full path. Members that are never asked
/// for are ignored unless <see cref="RefuseUnknown"/> is called. JSON <c>null</c> counts as not given.
/// </summary>
/// <exception cref="SluiceException">
/// <see cref="ErrorCode.MissingParameter"/> and <see cref="ErrorCode.InvalidParameter"/> from every member; nothing was changed.
/// </exception>
sealed class JsonBody
{
    readonly JsonElement _object;
    readonly string _path;

    JsonBody(JsonElement element, string path)
    {
        _object = element;
        _path = path;
    }

    /// <summary>Reads the body of a request as one JSON object, whatever its content type says.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidBody"/>: no JSON object; <see cref="ErrorCode.RequestTooLarge"/>.</exception>
    public static async Task<JsonBody> ReadAsync(HttpRequest request, ServerOptions options, CancellationToken cancellation) =>
        Parse(await ControlBody.ReadAsync(request, options.Limits.MaxControlBodyBytes, cancellation));

    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidBody"/>: no JSON object.</exception>
    public static JsonBody Parse(ReadOnlyMemory<byte> json)
    {
        try
        {
            WellFormedText.Check(json.Span);
            using var document = JsonDocument.Parse(json, Strict);
            return From(document.RootElement.Clone());
        }
        catch (JsonException e)
        {
            throw new SluiceException(ErrorCode.InvalidBody, $"The body is not valid JSON{Position(e)}.", e);
        }
    }

    // the same name twice has no meaning that sender and server agree on
    static JsonDocumentOptions Strict => new() { MaxDepth = 64, AllowDuplicateProperties = false };

    static string Position(JsonException e) =>
        e.LineNumber is { } line && e.BytePositionInLine is { } column ? $" (line {line + 1}, byte {column + 1})" : "";

    static JsonBody From(JsonElement root) => root.ValueKind == JsonValueKind.Object
        ? new JsonBody(root, "")
        : throw new SluiceException(ErrorCode.InvalidBody, $"The body must be a JSON object; this one is {Describe(root)}.");

    /// <summary>The full name of a member, as messages write it: <c>sink_details.table</c>.</summary>
    public string PathOf(string member) => _path.Length == 0 ? member : $"{_path}.{member}";

    public bool Has(string member) => Find(member) is not null;

    public string RequiredText(string member) => OptionalText(member) is { Length: > 0 } text ? text : throw Missing(member);

    /// <summary>As <see cref="RequiredText"/>, for what no message may repeat.</summary>
    public string RequiredSecret(string member) => Find(member) is not { } value ? throw Missing(member)
        : value.ValueKind != JsonValueKind.String ? throw Invalid(member, "must be a string")
        : value.GetString() is { Length: > 0 } text ? text : throw Missing(member);

    public string? OptionalText(string member) => Find(member) is not { } value ? null
        : value.ValueKind == JsonValueKind.String ? value.GetString()
        : throw Invalid(member, $"must be a string, not {Describe(value)}");

    public bool RequiredFlag(string member) => OptionalFlag(member) ?? throw Missing(member);

    public bool? OptionalFlag(string member) => Find(member) is not { } value ? null
        : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean()
        : throw Invalid(member, $"must be true or false, not {Describe(value)}");

    public int? OptionalInteger(string member, int min, int max) => (int?)OptionalLong(member, min, max);

    public long? OptionalLong(string member, long min, long max)
    {
        if (Find(member) is not { } value)
            return null;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out var number) && number >= min && number <= max
            ? number
            : throw Invalid(member, $"must be an integer from {min} to {max}, not {Describe(value)}");
    }

    /// <summary>A name of the enum, in any case.</summary>
    public T? OptionalWord<T>(string member)
        where T : struct, Enum
    {
        if (OptionalText(member) is not { } text)
            return null;
        return Enum.GetNames<T>().FirstOrDefault(name => name.Equals(text, StringComparison.OrdinalIgnoreCase)) is { } found
            ? Enum.Parse<T>(found)
            : throw Invalid(member, $"must be one of {string.Join(", ", Enum.GetNames<T>())}");
    }

    /// <summary>A time in the form of RFC 3339; without an offset it is UTC.</summary>
    public DateTimeOffset? OptionalTime(string member)
    {
        if (Find(member) is not { } value)
            return null;
        if (value.ValueKind != JsonValueKind.String || !value.TryGetDateTime(out var time))
            throw Invalid(member, $"must be a time such as \"2030-01-31T12:00:00Z\", not {Describe(value)}");
        return time.Kind == DateTimeKind.Unspecified ? new DateTimeOffset(time, TimeSpan.Zero) : new DateTimeOffset(time).ToUniversalTime();
    }

    public Guid RequiredId(string member) =>
        Guid.TryParseExact(RequiredText(member), "D", out var id) ? id : throw Invalid(member, "must be a UUID");

    public JsonBody RequiredObject(string member) => OptionalObject(member) ?? throw Missing(member);

    public JsonBody? OptionalObject(string member) => Find(member) is { } value ? AsObject(value, PathOf(member)) : null;

    public IReadOnlyList<JsonElement> RequiredArray(string member) => OptionalArray(member) ?? throw Missing(member);

    public IReadOnlyList<JsonElement>? OptionalArray(string member) => Find(member) is not { } value ? null
        : value.ValueKind == JsonValueKind.Array ? [.. value.EnumerateArray()]
        : throw Invalid(member, $"must be an array, not {Describe(value)}");

    public IReadOnlyList<JsonBody>? OptionalObjects(string member) =>
        OptionalArray(member)?.Select((element, index) => AsObject(element, $"{PathOf(member)}[{index}]")).ToList();

    /// <summary>The member as it was sent; <c>null</c> when it was not.</summary>
    public JsonElement? Find(string member) =>
        _object.TryGetProperty(member, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    /// <summary>Names of all members that are not <c>null</c>.</summary>
    public IEnumerable<string> Members => _object.EnumerateObject().Where(member => member.Value.ValueKind != JsonValueKind.Null).Select(member => member.Name);

    public void RefuseUnknown(IReadOnlySet<string> known)
    {
        if (_object.EnumerateObject().Select(member => member.Name).FirstOrDefault(name => !known.Contains(name)) is { } unknown)
            throw Invalid(Clip(unknown), "is not known here");
    }

    /// <param name="complaint">The rest of the sentence, as in "must be a string".</param>
    public SluiceException Invalid(string member, string complaint) =>
        new(ErrorCode.InvalidParameter, $"Parameter '{PathOf(member)}' {complaint}.");

    public SluiceException Missing(string member) => new(ErrorCode.MissingParameter, $"Parameter '{PathOf(member)}' is required.");

    /// <summary>A value for a message: its kind, and for short scalars the value itself.</summary>
    public static string Describe(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => "an object",
        JsonValueKind.Array => "an array",
        JsonValueKind.String => $"the string \"{Clip(value.GetString()!)}\"",
        _ => Clip(value.GetRawText()),
    };

    static JsonBody AsObject(JsonElement value, string path) => value.ValueKind == JsonValueKind.Object
        ? new JsonBody(value, path)
        : throw new SluiceException(ErrorCode.InvalidParameter, $"Parameter '{path}' must be an object, not {Describe(value)}.");

    // messages echo at most 64 characters of what was sent
    static string Clip(string text) => text.Length <= 64 ? text : $"{text.AsSpan(0, 61)}...";
}
