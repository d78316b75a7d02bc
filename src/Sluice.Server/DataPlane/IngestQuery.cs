namespace Sluice.Server.DataPlane;

/// <summary>Which records the answer lists.</summary>
enum ReturnedRecords
{
    /// <summary>One entry a record, in their order.</summary>
    All,

    /// <summary>Those that failed or have a warning, each with its <c>index</c>.</summary>
    Errors,

    /// <summary>None: the counts only.</summary>
    Summary,
}

/// <summary>What a request with records asks for beside storing them.</summary>
readonly record struct IngestQuery(ReturnedRecords Return)
{
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: a value that the parameter does not have.</exception>
    /// <exception cref="RefusedException">Something this server cannot do yet. Better refused than ignored: the sender relies on it.</exception>
    public static IngestQuery Parse(HttpRequest request)
    {
        ThrowIfAsked(request.Headers.ContainsKey("Idempotency-Key"), "Idempotency-Key");
        ThrowIfAsked(IsOtherFormat(request.ContentType), "a body of another format than {\"records\":[{\"value\":{}}]}");

        // nearly no request has a query
        if (!request.QueryString.HasValue)
            return new(ReturnedRecords.All);

        ThrowIfAsked(Choose(request, "dry_run", "false", "true") == "true", "dry_run");
        ThrowIfAsked(Choose(request, "wait", "durable", "loaded") == "loaded", "wait=loaded");
        ThrowIfAsked(Choose(request, "format", "json", "ndjson", "array") != "json", "format");

        return new(Choose(request, "return", "all", "errors", "summary") switch
        {
            "all" => ReturnedRecords.All,
            "errors" => ReturnedRecords.Errors,
            _ => ReturnedRecords.Summary,
        });
    }

    /// <param name="choices">The first is the default.</param>
    static string Choose(HttpRequest request, string name, params ReadOnlySpan<string> choices)
    {
        if (!request.Query.TryGetValue(name, out var value))
            return choices[0];

        return choices.Contains(value.ToString())
            ? value.ToString()
            : throw new SluiceException(ErrorCode.InvalidParameter, $"The parameter {name} must be one of {string.Join(", ", choices.ToArray())}.");
    }

    static bool IsOtherFormat(string? contentType) =>
        contentType is not null
        && (contentType.StartsWith("application/x-ndjson", StringComparison.OrdinalIgnoreCase)
            || contentType.StartsWith("application/vnd.sluice.values+json", StringComparison.OrdinalIgnoreCase));

    static void ThrowIfAsked(bool asked, string what)
    {
        if (asked)
            throw new RefusedException(Refusals.NotImplemented, $"This server does not offer {what} yet; nothing was stored.");
    }
}
