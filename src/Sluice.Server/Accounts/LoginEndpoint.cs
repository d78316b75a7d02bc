using System.Text.Json;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Sluice.Server.Accounts;

/// <summary><c>POST /</c>, <c>/v2/login</c> and <c>/v1/login</c>: a password or refresh token in, tokens out.</summary>
static class LoginEndpoint
{
    // an e-mail address, a password, a token
    const int MaxBodyBytes = 16 * 1024;

    public static void Map(IEndpointRouteBuilder routes)
    {
        // "/" is the console's page too, and Razor routes take POST: this one goes first, and has no form with a token to check
        Configure(routes.MapPost("/", HandleAsync).WithOrder(-1)).WithName("loginAtRoot");
        Configure(routes.MapPost("/v2/login", HandleAsync)).WithName("login");
        Configure(routes.MapPost("/v1/login", HandleAsync)).ExcludeFromDescription();

        routes.MapPost("/v2/logout", LogOutAsync).RequireAuthorization(Policies.Read).DisableAntiforgery()
            .WithName("logout").WithTags("Login").WithSummary("Ends this login: its tokens and refresh tokens are refused from the next request on.");
    }

    static RouteHandlerBuilder Configure(RouteHandlerBuilder route) => route
        .DisableAntiforgery()
        .AllowAnonymous()
        .DescribesBody<LoginShape>()
        .Produces<SessionShape>()
        .WithTags("Login")
        .WithSummary("Trades a user name and password, or a refresh token, for tokens.")
        .WithDescription("Body: {\"USERNAME\",\"PASSWORD\"} or {\"REFRESH_TOKEN\"}, any content type, or the same as a form. Send the IdToken with every call.");

    static async Task HandleAsync(HttpContext context, Sessions sessions)
    {
        var cancellation = context.RequestAborted;
        var login = LoginRequest.Parse(await ControlBody.ReadAsync(context.Request, MaxBodyBytes, cancellation));

        var origin = RequestOrigin.Of(context);
        var session = login.RefreshToken is { } token
            ? await sessions.RefreshAsync(token, origin, cancellation)
            : await sessions.LogInAsync(login.UserName!, login.Password!, context.Connection.RemoteIpAddress, origin, cancellation);

        context.Response.ContentType = "application/json";
        context.Response.Headers.CacheControl = "no-store";
        Write(context.Response, session);
        await context.Response.BodyWriter.FlushAsync(cancellation);
    }

    static async Task<Accepted> LogOutAsync(HttpContext context, Sessions sessions, CancellationToken cancellation)
    {
        var caller = Caller.Of(context);
        caller.RequireLogin();
        await sessions.EndAsync(caller, cancellation);
        return TypedResults.Accepted((string?)null);
    }

    /// <summary>
    /// One member a line, and a comma after IdToken: the documented way to cut the token out with grep and sed depends on both.
    /// </summary>
    static void Write(HttpResponse response, Session session)
    {
        using var json = new Utf8JsonWriter(response.BodyWriter, new JsonWriterOptions { Indented = true });
        json.WriteStartObject();
        json.WriteStartObject("AuthenticationResult");
        json.WriteString("AccessToken", session.AccessToken);
        json.WriteNumber("ExpiresIn", (int)Tokens.Lifetime.TotalSeconds);
        json.WriteString("IdToken", session.IdToken);
        json.WriteString("RefreshToken", session.RefreshToken);
        json.WriteString("TokenType", "Bearer");
        json.WriteEndObject();
        json.WriteStartObject("ChallengeParameters");
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
