using Sluice.Idempotency;
using Sluice.Records;

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
/// <param name="Operation">What the records do that name no <c>op</c>.</param>
/// <param name="IsDryRun">Nothing is stored: the answer says what would become of the records.</param>
/// <param name="Key">The sender's name for this request; <c>null</c>: none.</param>
/// <param name="WaitsUntilLoaded">Answer only when the records are visible to queries, or <paramref name="Timeout"/> has passed.</param>
readonly record struct IngestQuery(ReturnedRecords Return, BodyFormat Format, RecordOperation Operation, bool WaitsUntilLoaded, TimeSpan Timeout, string? Key, bool IsDryRun)
{
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: a value that the parameter does not have.</exception>
    public static IngestQuery Parse(HttpRequest request)
    {
        var key = ReadKey(request);
        var format = FormatOf(request.ContentType);

        // nearly no request has a query
        if (!request.QueryString.HasValue)
            return new(ReturnedRecords.All, format, RecordOperation.Upsert, WaitsUntilLoaded: false, WaitTimeout.Default, key, IsDryRun: false);

        var isDryRun = Choose(request, "dry_run", "false", "true") == "true";
        if (isDryRun && key is not null)
            throw new SluiceException(ErrorCode.InvalidParameter, "dry_run stores nothing, so there is nothing that Idempotency-Key could keep from being stored twice.");
        var returned = Choose(request, "return", "all", "errors", "summary") switch
        {
            "all" => ReturnedRecords.All,
            "errors" => ReturnedRecords.Errors,
            _ => ReturnedRecords.Summary,
        };
        if (request.Query.ContainsKey("format"))
        {
            format = Choose(request, "format", "json", "ndjson", "array") switch
            {
                "ndjson" => BodyFormat.Lines,
                "array" => BodyFormat.Values,
                _ => BodyFormat.Records,
            };
        }
        var operation = Enum.Parse<RecordOperation>(Choose(request, "op", "upsert", "insert", "replace", "patch", "delete", "remove"), ignoreCase: true);
        return new(returned, format, operation, Choose(request, "wait", "durable", "loaded") == "loaded", WaitTimeout.Of(request), key, isDryRun);
    }

    static string? ReadKey(HttpRequest request)
    {
        if (!request.Headers.TryGetValue("Idempotency-Key", out var key))
            return null;

        if (key.Count > 1)
            throw new SluiceException(ErrorCode.InvalidParameter, "The header Idempotency-Key can be given only once.");
        IdempotencyKey.Check(key.ToString());
        return key.ToString();
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

    /// <summary>Two types are named, every other is read as the original's body: its clients send many, and none.</summary>
    static BodyFormat FormatOf(string? contentType) => contentType switch
    {
        null => BodyFormat.Records,
        _ when contentType.StartsWith("application/x-ndjson", StringComparison.OrdinalIgnoreCase) => BodyFormat.Lines,
        _ when contentType.StartsWith("application/vnd.sluice.values+json", StringComparison.OrdinalIgnoreCase) => BodyFormat.Values,
        _ => BodyFormat.Records,
    };
}
