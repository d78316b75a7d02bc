using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;

namespace Sluice.Server;

/// <summary>How a refused request is answered.</summary>
/// <param name="Status">The HTTP status.</param>
/// <param name="Code">The member <c>code</c>: stable API, compatible with FeatureBase Cloud where that had a code for the case.</param>
/// <param name="RetryAfterSeconds">After this time the same request may succeed; <c>null</c>: sending it again does not help.</param>
/// <param name="Cause">For 503, and 429 of a quota: what is missing, stable. Else <c>null</c>.</param>
/// <param name="Type">For logins: the member <c>__type</c> that clients of FeatureBase Cloud know from its identity provider. Else <c>null</c>.</param>
/// <param name="RecordCode">For those that clients of FeatureBase Cloud look for among the records, whatever the status: the <c>error_code</c> of one record that is answered for all. Else <c>null</c>.</param>
sealed record Refusal(int Status, string Code, int? RetryAfterSeconds = null, string? Cause = null, string? Type = null, string? RecordCode = null);

/// <summary>A refusal for a reason that only the HTTP edge knows, so that <see cref="ErrorCode"/> has no word for it.</summary>
/// <param name="message">A sentence for the sender.</param>
sealed class RefusedException(Refusal refusal, string message) : Exception(message)
{
    public Refusal Refusal { get; } = refusal;
}

/// <summary>Every reason to refuse a request, with its HTTP status; nothing else in the server chooses an error status.</summary>
/// <remarks>Body: <c>{"code","message","request_id","outcome","cause"?}</c>, application/json; over a quota with the members of an answer, too. docs/http-api.md lists the codes.</remarks>
static class Refusals
{
    const string Unavailable = "ServiceUnavailable";

    public static Refusal MultipartBody { get; } = new(StatusCodes.Status400BadRequest, "InvalidContentType");
    public static Refusal TransferCoding { get; } = new(StatusCodes.Status400BadRequest, "InvalidContentType");
    public static Refusal MethodNotAllowed { get; } = new(StatusCodes.Status405MethodNotAllowed, "MethodNotAllowed");

    public static Refusal LoginFailed { get; } = new(StatusCodes.Status400BadRequest, "Unauthorized", Type: "NotAuthorizedException");
    public static Refusal WrongPassword { get; } = new(StatusCodes.Status400BadRequest, "InvalidParameter");
    public static Refusal LoginMalformed { get; } = new(StatusCodes.Status400BadRequest, "InvalidBody", Type: "InvalidParameterException");

    /// <summary>A fault of ours. The records of the request may have been stored.</summary>
    public static Refusal Internal { get; } = new(StatusCodes.Status500InternalServerError, "Internal");

    static readonly JsonWriterOptions Indented = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static Refusal LoginHeldBack(TimeSpan remaining) =>
        new(StatusCodes.Status429TooManyRequests, "TooManyRequests", (int)Math.Ceiling(remaining.TotalSeconds), Type: "TooManyRequestsException");

    public static Refusal For(SluiceException fault) => fault.RetryAfter is { } measured
        ? For(fault.Code) with { RetryAfterSeconds = (int)Math.Ceiling(measured.TotalSeconds) }
        : For(fault.Code);

    public static Refusal For(ErrorCode code) => code switch
    {
        ErrorCode.InvalidBody => new(StatusCodes.Status400BadRequest, "InvalidBody"),
        ErrorCode.InvalidParameter => new(StatusCodes.Status400BadRequest, "InvalidParameter"),
        ErrorCode.MissingParameter => new(StatusCodes.Status400BadRequest, "MissingParameter"),
        ErrorCode.UnsupportedEncoding => new(StatusCodes.Status415UnsupportedMediaType, "InvalidContentType"),
        ErrorCode.RequestTooLarge => new(StatusCodes.Status413PayloadTooLarge, "PayloadTooLarge"),
        ErrorCode.TooManyRecords => new(StatusCodes.Status413PayloadTooLarge, "PayloadTooLarge"),
        ErrorCode.MissingToken => new(StatusCodes.Status401Unauthorized, "MissingAuthenticationToken"),
        ErrorCode.Unauthorized => new(StatusCodes.Status401Unauthorized, "Unauthorized"),
        ErrorCode.Forbidden => new(StatusCodes.Status403Forbidden, "Forbidden"),
        ErrorCode.NotFound => new(StatusCodes.Status404NotFound, "ResourceNotFound"),
        ErrorCode.RelatedNotFound => new(StatusCodes.Status400BadRequest, "RelatedResourceNotFound"),
        ErrorCode.AlreadyExists => new(StatusCodes.Status409Conflict, "ResourceAlreadyExists"),
        ErrorCode.KeyReused => new(StatusCodes.Status409Conflict, "IdempotencyKeyReused"),
        ErrorCode.IncorrectState => new(StatusCodes.Status409Conflict, "IncorrectState", 1),
        ErrorCode.LimitExceeded => new(StatusCodes.Status400BadRequest, "ResourceLimitExceeded"),
        ErrorCode.RequestTimeout => new(StatusCodes.Status408RequestTimeout, "RequestTimeout", 1),
        ErrorCode.QuotaExceeded => new(StatusCodes.Status429TooManyRequests, "ResourceThroughputExceeded", 1, "quota", RecordCode: "ProvisionedThroughputExceededException"),
        ErrorCode.LogBacklog => new(StatusCodes.Status503ServiceUnavailable, Unavailable, 1, "log_backlog"),
        ErrorCode.LoaderStalled => new(StatusCodes.Status503ServiceUnavailable, Unavailable, 10, "loader_stalled"),
        ErrorCode.DiskLow => new(StatusCodes.Status503ServiceUnavailable, Unavailable, 30, "disk_low"),
        ErrorCode.MemoryLow => new(StatusCodes.Status503ServiceUnavailable, Unavailable, 1, "memory"),
        // the process ends and is started again; a supervisor needs a few seconds for that
        ErrorCode.LogFailed => new(StatusCodes.Status503ServiceUnavailable, Unavailable, 10, "log_failed"),
        ErrorCode.Draining => new(StatusCodes.Status503ServiceUnavailable, Unavailable, 5, "draining"),
        ErrorCode.Unavailable => new(StatusCodes.Status503ServiceUnavailable, Unavailable, 1, "unavailable"),
        ErrorCode.DatabaseDamaged => new(StatusCodes.Status503ServiceUnavailable, Unavailable, 300, "database_damaged"), // an operator needs minutes at least
        ErrorCode.Corrupt => new(StatusCodes.Status500InternalServerError, "DamagedData"),
        _ => throw new ArgumentOutOfRangeException(nameof(code), code, "no status for this code"),
    };

    /// <summary>Every <see cref="Refusal.Cause"/> there is.</summary>
    public static IReadOnlyList<string> Causes { get; } = [.. Enum.GetValues<ErrorCode>().Select(code => For(code).Cause).OfType<string>().Distinct()];

    /// <summary>What a status stands for that the framework has set without a body.</summary>
    public static (Refusal Refusal, string Message) ForBareStatus(int status) => status switch
    {
        StatusCodes.Status404NotFound => (For(ErrorCode.NotFound), "There is nothing at this address."),
        StatusCodes.Status405MethodNotAllowed => (MethodNotAllowed, "This address does not take this method; the header Allow names those it takes."),
        StatusCodes.Status413PayloadTooLarge => (For(ErrorCode.RequestTooLarge), "The request body is too large."),
        StatusCodes.Status415UnsupportedMediaType => (For(ErrorCode.UnsupportedEncoding), "The content type or content encoding is not supported."),
        < StatusCodes.Status500InternalServerError => (For(ErrorCode.InvalidBody) with { Status = status }, "The request is malformed."),
        _ => (Internal with { Status = status }, "The server could not answer."),
    };

    /// <summary>What Kestrel or the framework's body binding found wrong with a request.</summary>
    public static (Refusal Refusal, string Message) For(BadHttpRequestException fault) => fault.StatusCode switch
    {
        StatusCodes.Status408RequestTimeout => (For(ErrorCode.RequestTimeout), "The request did not arrive in time."),
        StatusCodes.Status413PayloadTooLarge => (For(ErrorCode.RequestTooLarge), fault.Message),
        StatusCodes.Status415UnsupportedMediaType => (For(ErrorCode.UnsupportedEncoding), fault.Message),
        _ => (For(ErrorCode.InvalidBody), fault.Message),
    };

    public static Task WriteAsync(HttpContext context, SluiceException fault) => WriteAsync(context, For(fault), fault.Message, fault.Outcome);

    /// <summary>Answers with the refusal. Does nothing when an answer is under way already.</summary>
    public static async Task WriteAsync(HttpContext context, Refusal refusal, string message, RefusalOutcome outcome)
    {
        var response = context.Response;
        if (response.HasStarted)
            return;

        // Kestrel reads what is still coming, for 5 s at most, so that the sender hears the refusal and not a connection that is cut
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = null;

        response.StatusCode = refusal.Status;
        response.ContentType = "application/json";
        response.Headers.CacheControl = "no-store";
        if (refusal.RetryAfterSeconds is { } seconds)
            response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);

        using (var json = new Utf8JsonWriter(response.BodyWriter, Indented))
            WriteBody(json, refusal, message, context.TraceIdentifier, outcome);

        await response.BodyWriter.FlushAsync(context.RequestAborted);
    }

    static void WriteBody(Utf8JsonWriter json, Refusal refusal, string message, string requestId, RefusalOutcome outcome)
    {
        json.WriteStartObject();
        if (refusal.Type is not null)
            json.WriteString("__type", refusal.Type);
        json.WriteString("code", refusal.Code);
        json.WriteString("message", message);
        json.WriteString("request_id", requestId);
        json.WriteString("outcome", outcome == RefusalOutcome.Unknown ? "unknown" : "not_stored");
        if (refusal.Cause is not null)
            json.WriteString("cause", refusal.Cause);
        if (refusal.RecordCode is not null)
            WriteRecord(json, refusal.RecordCode, message);
        json.WriteEndObject();
    }

    /// <summary>The counts and the one record that clients read without looking at the status.</summary>
    static void WriteRecord(Utf8JsonWriter json, string code, string message)
    {
        json.WriteNumber("success_count", 0);
        json.WriteNumber("error_count", 1);
        json.WriteStartArray("records");
        json.WriteStartObject();
        json.WriteString("status", "error");
        json.WriteString("error_code", code);
        json.WriteString("error_message", message);
        json.WriteEndObject();
        json.WriteEndArray();
    }
}
