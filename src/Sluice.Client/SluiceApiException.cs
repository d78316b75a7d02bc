using System.Net;

namespace Sluice.Client;

/// <summary>A request that the server refused as a whole.</summary>
/// <param name="status">HTTP status of the answer.</param>
/// <param name="body">What the server says; made up from the status when the answer is not one of this API.</param>
public sealed class SluiceApiException(HttpStatusCode status, RefusalBody body) : Exception($"{body.Code}: {body.Message}")
{
    public HttpStatusCode Status { get; } = status;

    public RefusalBody Body { get; } = body;

    /// <summary>How long the server asks to wait before the request is sent again; <c>null</c>: it does not say.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>Whether the same request may succeed later: 408, 429 and 503.</summary>
    public bool IsTransient =>
        Status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable;

    /// <summary>Whether more was sent than the quota of the sink or key allows.</summary>
    public bool IsQuota => Status == HttpStatusCode.TooManyRequests && Body.Cause == "quota";
}
