using Sluice.Load;
using System.Net.WebSockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace Sluice.Server;

/// <summary>
/// The outermost step of every request: refuses while the server drains, sets the headers every answer has, and turns every
/// exception into an answer. The only place in the request path that catches <see cref="Exception"/>.
/// </summary>
sealed class RequestEdge(RequestDelegate next, Drain drain, ILogger<RequestEdge> logger)
{
    public async Task InvokeAsync(HttpContext context)
    {
        SetSecurityHeaders(context.Response.Headers);

        if (IsUncounted(context))
        {
            await AnswerAsync(context);
            return;
        }

        if (!drain.TryEnter())
        {
            if (HttpProtocol.IsHttp11(context.Request.Protocol) || HttpProtocol.IsHttp10(context.Request.Protocol))
                context.Response.Headers.Connection = "close";
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
            await next(context);
            await CompleteBareStatusAsync(context);
        }
        catch (Exception e) when (context.RequestAborted.IsCancellationRequested && IsAbort(e))
        {
            // the client is gone: nobody to answer, and not an error
        }
        catch (Exception e)
        {
            await RefuseAsync(context, e);
        }
    }

    async Task RefuseAsync(HttpContext context, Exception e)
    {
        var (refusal, message, outcome) = e switch
        {
            SluiceException fault => (Refusals.For(fault.Code), fault.Message, fault.Outcome),
            RefusedException fault => (fault.Refusal, fault.Message, RefusalOutcome.NotStored),
            StoreException { IsTransient: true } => (Refusals.For(ErrorCode.Unavailable), "The database cannot be used at this moment.", RefusalOutcome.Unknown),
            BadHttpRequestException fault => Known(Refusals.For(fault)),
            _ => (Refusals.Internal, "The server failed; its log has more under this request id.", RefusalOutcome.Unknown),
        };

        if (refusal.Status == StatusCodes.Status500InternalServerError)
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

        var (refusal, message) = Refusals.ForBareStatus(response.StatusCode);
        await Refusals.WriteAsync(context, refusal, message, RefusalOutcome.NotStored);
    }

    /// <summary>Health is answered while draining, and an upgraded connection lives on without being a request under way.</summary>
    static bool IsUncounted(HttpContext context) =>
        context.Request.Path.StartsWithSegments("/health")
        || (context.Features.Get<IHttpUpgradeFeature>()?.IsUpgradableRequest == true && context.Request.Headers.Upgrade.ToString().Equals("websocket", StringComparison.OrdinalIgnoreCase))
        || context.Features.Get<IHttpExtendedConnectFeature>()?.IsExtendedConnect == true;

    static bool IsAbort(Exception e) => e is OperationCanceledException or IOException or ConnectionAbortedException or WebSocketException;

    static void SetSecurityHeaders(IHeaderDictionary headers)
    {
        headers.XContentTypeOptions = "nosniff";
        headers.XFrameOptions = "DENY";
        headers["Referrer-Policy"] = "no-referrer";
    }
}
