using Microsoft.AspNetCore.Http.Features;

namespace Sluice.Server;

/// <summary>Where the content of an answer to <c>HEAD</c> goes: nowhere. Kestrel leaves it out by itself, but over HTTP/2 not what is written before the headers are.</summary>
sealed class HeadAnswer(IHttpResponseBodyFeature body) : StreamResponseBodyFeature(Stream.Null, body)
{
    public static bool IsAskedFor(HttpContext context) => context.Features.Get<IHttpResponseBodyFeature>() is HeadAnswer;

    /// <summary>From here on nothing that is written is sent.</summary>
    public static void Prepare(HttpContext context) =>
        context.Features.Set<IHttpResponseBodyFeature>(new HeadAnswer(context.Features.GetRequiredFeature<IHttpResponseBodyFeature>()));

    public override Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default) => Task.CompletedTask;
}
