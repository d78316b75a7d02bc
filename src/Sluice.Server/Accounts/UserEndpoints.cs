using Microsoft.AspNetCore.Http.HttpResults;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

sealed record UserAnswer(Guid Id, string Email, string FullName, string Role, string Status, DateTime CreatedAt, DateTime UpdatedAt)
{
    public static UserAnswer Of(User user) =>
        new(user.Id, user.Email, user.FullName, user.Role.ToString(), user.Status.ToString(), user.CreatedAt.UtcDateTime, user.UpdatedAt.UtcDateTime);
}

sealed record UserList(IReadOnlyList<UserAnswer> Resources);

/// <summary>Body of <c>PUT /v2/users/{id}</c>; what is left out stays as it is.</summary>
sealed record UserShape(string? FullName, string? Role, string? Status);

sealed record PasswordShape(string CurrentPassword, string Password);

/// <summary><c>/v2/users</c>: who am I, and who else is there. An id may be <c>current</c>.</summary>
static class UserEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        var users = routes.MapGroup("/v2/users").WithTags("Users").RequireAuthorization(Policies.Read);
        users.MapGet("", ListAsync).WithName("getUsers").WithSummary("All users, for administrators; for others, themselves.");
        users.MapGet("/current", GetCurrentAsync).WithName("getCurrentUser").WithSummary("The user whose token or key this is.");
        users.MapGet("/{id}", GetAsync).WithName("getUser").WithSummary("One user.");
        users.MapPut("/{id}", UpdateAsync).DescribesBody<UserShape>().WithName("putUser").WithSummary("Changes a name, a role or a status; what is left out stays.");
        users.MapPut("/current/password", ChangePasswordAsync).DescribesBody<PasswordShape>()
            .WithName("putPassword").WithSummary("Changes one's own password, and ends all other logins of the user.");
    }

    /// <summary>The id in a path: a UUID, or <c>current</c>. What is neither names nobody.</summary>
    public static Guid IdFrom(string id, Caller caller) => id == "current" ? caller.UserId : Api.IdFrom(id, "user");

    static async Task<Ok<UserList>> ListAsync(HttpContext http, Users users, CancellationToken cancellation) =>
        TypedResults.Ok(new UserList([.. (await users.ListAsync(Caller.Of(http), cancellation)).Select(UserAnswer.Of)]));

    static Task<Ok<UserAnswer>> GetCurrentAsync(HttpContext http, Users users, CancellationToken cancellation) => GetAsync("current", http, users, cancellation);

    static async Task<Ok<UserAnswer>> GetAsync(string id, HttpContext http, Users users, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        return TypedResults.Ok(UserAnswer.Of(await users.GetAsync(caller, IdFrom(id, caller), cancellation)));
    }

    static async Task<Ok<UserAnswer>> UpdateAsync(string id, HttpContext http, Users users, ServerOptions options, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        var userId = IdFrom(id, caller);
        await RefuseEmailAsync(body, caller, userId, users, cancellation);
        var change = new UserChange(body.OptionalText("full_name"), body.OptionalWord<Role>("role"), body.OptionalWord<UserStatus>("status"));
        return TypedResults.Ok(UserAnswer.Of(await users.UpdateAsync(caller, userId, change, cancellation)));
    }

    static async Task<Ok<UserAnswer>> ChangePasswordAsync(HttpContext http, Users users, Sessions sessions, ServerOptions options, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        caller.RequireLogin();
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        await sessions.ChangePasswordAsync(caller, body.RequiredSecret("current_password"), body.RequiredSecret("password"), http.Connection.RemoteIpAddress, cancellation);
        return TypedResults.Ok(UserAnswer.Of(await users.GetAsync(caller, caller.UserId, cancellation)));
    }

    /// <summary>Clients may send back what they got, so the address may stand there; another one may not.</summary>
    static async Task RefuseEmailAsync(JsonBody body, Caller caller, Guid userId, Users users, CancellationToken cancellation)
    {
        if (body.OptionalText("email") is { } email && email != (await users.GetAsync(caller, userId, cancellation)).Email)
            throw body.Invalid("email", "cannot change");
    }
}
