using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <param name="Token">Present only in the answer that makes the invite, as is <paramref name="InviteUrl"/>: it is kept nowhere.</param>
sealed record InviteAnswer(
    Guid Id, Guid UserId, string Email, string Role, string CreatedBy, DateTime CreatedAt, DateTime ExpiresAt,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Token,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? InviteUrl)
{
    public static InviteAnswer Of(InviteOf it, HttpRequest request) => new(
        it.Invite.Id, it.User.Id, it.User.Email, it.User.Role.ToString(), it.Invite.CreatedBy, it.Invite.CreatedAt.UtcDateTime, it.Invite.ExpiresAt.UtcDateTime,
        it.Token, it.Token is null ? null : InviteEndpoints.UrlOf(it.Token, Api.OriginOf(request)));
}

sealed record InviteList(IReadOnlyList<InviteAnswer> Resources);

/// <summary>Either one address, or several.</summary>
/// <param name="Role">Defaults to User.</param>
sealed record InviteShape(string? Email, IReadOnlyList<string>? Emails, string? Role);

/// <param name="Password">8 to 1,024 characters with an upper-case letter, a digit, and one that is neither letter nor digit.</param>
sealed record AcceptShape(string Token, string Password, string? FullName);

/// <summary><c>/v2/invites</c>: how users come in, and how they get a new password.</summary>
static class InviteEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        var invites = routes.MapGroup("/v2/invites").WithTags("Users");
        invites.MapPost("", CreateAsync).RequireAuthorization(Policies.Administer).DescribesBody<InviteShape>().Produces<InviteAnswer>(StatusCodes.Status201Created)
            .WithName("postInvite").WithSummary("Invites one or more people. Each token is in this answer and nowhere else; it is good for 7 days.");
        invites.MapGet("", ListAsync).RequireAuthorization(Policies.Administer).WithName("getInvites").WithSummary("The invites that can still be accepted.");
        invites.MapGet("/{id}", GetAsync).RequireAuthorization(Policies.Administer).WithName("getInvite").WithSummary("One invite.");
        invites.MapDelete("/{id}", RevokeAsync).RequireAuthorization(Policies.Administer).WithName("deleteInvite").WithSummary("Withdraws an invite.");
        invites.MapPost("/accept", AcceptAsync).AllowAnonymous().DisableAntiforgery().DescribesBody<AcceptShape>()
            .WithName("acceptInvite").WithSummary("Chooses a password with the token of an invite.");

        routes.MapPost("/v2/users/{id}/invites", RenewAsync).WithTags("Users").RequireAuthorization(Policies.Administer)
            .WithName("postUserInvite").WithSummary("Makes a new invite for a user: for one who lost the first, or the password.");
    }

    /// <summary>Where the token is typed in. It stands in the fragment, which browsers do not send and no log sees.</summary>
    public static string UrlOf(string token, string origin) => $"{origin}/invite#{token}";

    static async Task<IResult> CreateAsync(HttpContext http, Invites invites, ServerOptions options, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        caller.RequireAdministratorLogin();
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        var role = body.OptionalWord<Role>("role") ?? Role.User;
        http.Response.Headers.CacheControl = "no-store";
        if (body.OptionalArray("emails") is { } emails)
        {
            var made = await invites.CreateAsync(caller, [.. emails.Select(element => Email(body, element))], role, cancellation);
            return TypedResults.Created((string?)null, new InviteList([.. made.Select(it => InviteAnswer.Of(it, http.Request))]));
        }

        var single = (await invites.CreateAsync(caller, [body.RequiredText("email")], role, cancellation))[0];
        return TypedResults.Created($"/v2/invites/{single.Invite.Id}", InviteAnswer.Of(single, http.Request));
    }

    static async Task<Created<InviteAnswer>> RenewAsync(string id, HttpContext http, Invites invites, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        var made = await invites.RenewAsync(caller, UserEndpoints.IdFrom(id, caller), cancellation);
        http.Response.Headers.CacheControl = "no-store";
        return TypedResults.Created($"/v2/invites/{made.Invite.Id}", InviteAnswer.Of(made, http.Request));
    }

    static async Task<Ok<InviteList>> ListAsync(HttpContext http, Invites invites, CancellationToken cancellation) =>
        TypedResults.Ok(new InviteList([.. (await invites.ListAsync(Caller.Of(http), cancellation)).Select(it => InviteAnswer.Of(it, http.Request))]));

    static async Task<Ok<InviteAnswer>> GetAsync(string id, HttpContext http, Invites invites, CancellationToken cancellation) =>
        TypedResults.Ok(InviteAnswer.Of(await invites.GetAsync(Caller.Of(http), Api.IdFrom(id, "invite"), cancellation), http.Request));

    static async Task<Accepted<InviteAnswer>> RevokeAsync(string id, HttpContext http, Invites invites, CancellationToken cancellation) =>
        TypedResults.Accepted((string?)null, InviteAnswer.Of(await invites.RevokeAsync(Caller.Of(http), Api.IdFrom(id, "invite"), cancellation), http.Request));

    static async Task<Ok<UserAnswer>> AcceptAsync(HttpContext http, Invites invites, CancellationToken cancellation)
    {
        // open to everybody: no more is read than a token, a password and a name take
        const int maxBodyBytes = 16 * 1024;
        var body = JsonBody.Parse(await ControlBody.ReadAsync(http.Request, maxBodyBytes, cancellation));
        var user = await invites.AcceptAsync(
            body.RequiredSecret("token"), body.RequiredSecret("password"), body.OptionalText("full_name"), RequestOrigin.Of(http), cancellation);
        return TypedResults.Ok(UserAnswer.Of(user));
    }

    static string Email(JsonBody body, JsonElement element) =>
        element.ValueKind == JsonValueKind.String ? element.GetString()! : throw body.Invalid("emails", $"must hold e-mail addresses, not {JsonBody.Describe(element)}");
}
