using System.Globalization;
using System.Net;
using System.Net.WebSockets;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Sluice.Load;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;
using Sluice.Server.Operations;

namespace Sluice.Server;

/// <summary>
/// The outermost step of every request: refuses while the server drains, sets the headers every answer has, turns every exception
/// into an answer, and writes down who was denied. The only place in the request path that catches <see cref="Exception"/>.
/// </summary>
sealed class RequestEdge(RequestDelegate next, Drain drain, RefusalMeter meter, AuditLog audit, ILogger<RequestEdge> logger)
{
    public async Task InvokeAsync(HttpContext context)
    {
        SetSecurityHeaders(context);
        if (HttpMethods.IsHead(context.Request.Method))
            HeadAnswer.Prepare(context);

        if (IsUncounted(context))
        {
            await AnswerAsync(context);
            return;
        }

        if (!drain.TryEnter())
        {
            if (HttpProtocol.IsHttp11(context.Request.Protocol) || HttpProtocol.IsHttp10(context.Request.Protocol))
                context.Response.Headers.Connection = "close";
            meter.RequestRefused(Refusals.For(ErrorCode.Draining));
            await Refusals.WriteAsync(context, Refusals.For(ErrorCode.Draining), "The server is stopping; send the request again.", RefusalOutcome.NotStored);
            return;
        }

        try
        {
            await AnswerAsync(context);
        }
        finally
        {
            drain.Leave();
        }
    }

    async Task AnswerAsync(HttpContext context)
    {
        try
        {
            ThrowIfDotSegment(context);
            TakeBody(context);
            await next(context);
            await CompleteBareStatusAsync(context);
        }
        catch (Exception e) when (IsDeparture(context, e))
        {
            context.Abort(); // the client is gone: nobody to answer, and not an error
        }
        catch (Exception e)
        {
            await RefuseAsync(context, e);
        }

        if (context.Response.StatusCode is StatusCodes.Status401Unauthorized or StatusCodes.Status403Forbidden)
            NoteDenied(context);
    }

    async Task RefuseAsync(HttpContext context, Exception e)
    {
        var (refusal, message, outcome) = e switch
        {
            SluiceException fault => (Refusals.For(fault), fault.Message, fault.Outcome),
            RefusedException fault => (fault.Refusal, fault.Message, RefusalOutcome.NotStored),
            // nothing is allowed that cannot be looked up: without the catalogue nobody is known
            SqliteException or DbUpdateException => (Refusals.For(ErrorCode.Unavailable), "The catalogue cannot be read or written at this moment.", RefusalOutcome.Unknown),
            StoreException { IsTransient: true } => (Refusals.For(ErrorCode.Unavailable), "The database cannot be used at this moment.", RefusalOutcome.Unknown),
            BadHttpRequestException fault => Known(Refusals.For(fault)),
            _ => (Refusals.Internal, "The server failed; its log has more under this request id.", RefusalOutcome.Unknown),
        };

        meter.RequestRefused(refusal);
        if (refusal.Status == StatusCodes.Status500InternalServerError || e is SqliteException or DbUpdateException)
            logger.RequestFailed(e, context.TraceIdentifier);

        if (context.Response.HasStarted)
            context.Abort(); // half an answer must not look like a whole one
        else
            await Refusals.WriteAsync(context, refusal, message, outcome);

        static (Refusal, string, RefusalOutcome) Known((Refusal Refusal, string Message) it) => (it.Refusal, it.Message, RefusalOutcome.NotStored);
    }

    /// <summary>Gives an error status that was set without a body (unknown route, wrong method) the shape of every refusal.</summary>
    static async Task CompleteBareStatusAsync(HttpContext context)
    {
        var response = context.Response;
        if (response.HasStarted || response.StatusCode < StatusCodes.Status400BadRequest || response.ContentType is not null || response.ContentLength > 0)
            return;

        // HEAD is answered wherever GET is
        if (response.Headers.Allow.ToString() is var allow && allow.Contains(HttpMethods.Get, StringComparison.Ordinal) && !allow.Contains(HttpMethods.Head, StringComparison.Ordinal))
            response.Headers.Allow = $"{allow}, {HttpMethods.Head}";

        var (refusal, message) = response.StatusCode == StatusCodes.Status400BadRequest && FindUnreadable(context) is { } parameter
            ? (Refusals.For(ErrorCode.InvalidParameter), $"The parameter {parameter}.")
            : Refusals.ForBareStatus(response.StatusCode);
        await Refusals.WriteAsync(context, refusal, message, RefusalOutcome.NotStored);
    }

    /// <summary>The framework answers 400 and does not tell which parameter it could not read.</summary>
    /// <returns>Its name, and what it must be.</returns>
    static string? FindUnreadable(HttpContext context)
    {
        foreach (var parameter in context.GetEndpoint()?.Metadata.GetOrderedMetadata<IParameterBindingMetadata>() ?? [])
        {
            if (!context.Request.Query.TryGetValue(parameter.Name, out var text)) continue;
            var type = parameter.ParameterInfo.ParameterType;
            if ((type == typeof(int) || type == typeof(int?)) && !int.TryParse(text, CultureInfo.InvariantCulture, out _)) return $"{parameter.Name} must be a whole number of at most 32 bits";
            if (type == typeof(long) && !long.TryParse(text, CultureInfo.InvariantCulture, out _)) return $"{parameter.Name} must be a whole number of at most 64 bits";
            if (type == typeof(bool) && !bool.TryParse(text, out _)) return $"{parameter.Name} must be true or false";
        }
        return null;
    }

    /// <summary>Kestrel has resolved them (RFC 3986 5.2.4), so that a column's name that is <c>..</c> would stand for the table.</summary>
    static void ThrowIfDotSegment(HttpContext context)
    {
        var target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        if (!target.Contains("/.", StringComparison.Ordinal) && !target.Contains("%2e", StringComparison.OrdinalIgnoreCase))
            return;
        var segments = target.Split('?')[0].Split('/');
        if (segments.Any(segment => segment.Replace("%2e", ".", StringComparison.OrdinalIgnoreCase) is "." or ".."))
            throw new SluiceException(ErrorCode.InvalidParameter, "The path has a segment '.' or '..', which would stand for another resource.");
    }

    /// <summary>Refuses what would be read otherwise than it was sent, and has a client that leaves told apart from a disk that fails.</summary>
    static void TakeBody(HttpContext context)
    {
        var codings = context.Request.Headers.TransferEncoding;
        if (codings.Count > 0 && !codings.ToString().Trim().Equals("chunked", StringComparison.OrdinalIgnoreCase))
        {
            context.Response.Headers.Connection = "close";
            throw new RefusedException(Refusals.TransferCoding, "Transfer-Encoding must be chunked, or absent; what compresses a body is its Content-Encoding.");
        }
        if (context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true)
            context.Request.Body = new ClientBody(context.Request.Body);
    }

    /// <summary>Health and metrics are answered while draining, and an upgraded connection lives on without being a request under way.</summary>
    static bool IsUncounted(HttpContext context) =>
        context.Request.Path.StartsWithSegments("/health")
        || context.Request.Path == MetricsEndpoint.Path
        || (context.Features.Get<IHttpUpgradeFeature>()?.IsUpgradableRequest == true && context.Request.Headers.Upgrade.ToString().Equals("websocket", StringComparison.OrdinalIgnoreCase))
        || context.Features.Get<IHttpExtendedConnectFeature>()?.IsExtendedConnect == true;

    /// <summary>Never an <see cref="IOException"/> as such: that may be the disk's, whether or not the client is there.</summary>
    static bool IsDeparture(HttpContext context, Exception e) =>
        e is ConnectionAbortedException or ConnectionResetException
        || (context.RequestAborted.IsCancellationRequested && e is OperationCanceledException or WebSocketException);

    /// <summary>The query is left out: it may hold anything.</summary>
    void NoteDenied(HttpContext context)
    {
        var caller = Caller.Of(context.User);
        audit.Write(new AuditEvent(AuditAction.Denied, AuditResult.Denied)
        {
            UserId = caller?.UserId,
            Email = caller?.Email,
            KeyId = caller?.KeyId,
            Target = $"{context.Request.Method} {context.Request.Path.Value}",
            Detail = context.Features.Get<IAuthenticateResultFeature>()?.AuthenticateResult?.Failure?.Message,
            Origin = RequestOrigin.Of(context),
        });
    }

    /// <summary>An answer of the API is never a page; the console's pages set a policy of their own.</summary>
    static void SetSecurityHeaders(HttpContext context)
    {
        var headers = context.Response.Headers;
        headers.XContentTypeOptions = "nosniff";
        headers.XFrameOptions = "DENY";
        headers["Referrer-Policy"] = "no-referrer";
        headers.ContentSecurityPolicy = "default-src 'none'; frame-ancestors 'none'";
        if (context.Request.IsHttps && !IsLoopback(context.Request.Host.Host))
            headers.StrictTransportSecurity = "max-age=31536000";
    }

    /// <summary>A browser that was told to use HTTPS for localhost would do so for everything else that runs there.</summary>
    static bool IsLoopback(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(host.Trim('[', ']'), out var address) && IPAddress.IsLoopback(address));
}
