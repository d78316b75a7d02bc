using System.Text.Json.Serialization.Metadata;

namespace Sluice.Server;

/// <summary>What the control plane's endpoints share.</summary>
static class Api
{
    /// <summary>The path prefixes every resource is served under; the first version differs in a few names only.</summary>
    public static IReadOnlyList<string> Versions { get; } = ["/v2", "/v1"];

    public static bool IsFirstVersion(HttpRequest request) => request.Path.StartsWithSegments("/v1", StringComparison.OrdinalIgnoreCase);

    /// <summary>Scheme and host as the caller wrote them.</summary>
    public static string OriginOf(HttpRequest request) => $"{request.Scheme}://{request.Host.ToUriComponent()}";

    /// <summary>The answer as indented JSON, which shell clients cut by line.</summary>
    public static IResult Answer<T>(T value, JsonTypeInfo<T> type, int status) => Results.Json(value, type, "application/json", status);

    /// <summary>The id in a path. What is no UUID names nothing.</summary>
    /// <param name="noun">For the message.</param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public static Guid IdFrom(string text, string noun) =>
        Guid.TryParse(text, out var id) ? id : throw new SluiceException(ErrorCode.NotFound, $"There is no {noun} {(text.Length <= 64 ? text : "of that id")}.");

    /// <summary>Documents the route under its operation id, in the newest version only: an id stands once.</summary>
    public static RouteHandlerBuilder Describe(this RouteHandlerBuilder route, string version, string operation, string summary) =>
        version == Versions[0] ? route.WithName(operation).WithSummary(summary) : route.ExcludeFromDescription();
}
