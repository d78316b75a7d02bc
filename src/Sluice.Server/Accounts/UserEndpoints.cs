using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Http.Json;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

sealed record UserAnswer(Guid Id, string Email, string FullName, string Role, string Status, DateTime CreatedAt, DateTime UpdatedAt);

/// <param name="Secret">Present only in the answer that makes the key: it is kept nowhere.</param>
sealed record KeyAnswer(
    Guid Id, Guid UserId, string Description, string Role, DateTime CreatedAt,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Secret);

/// <param name="Role"><c>null</c>: the role of the user.</param>
sealed record NewKey(string? Description, string? Role);

sealed record KeyList(IReadOnlyList<KeyAnswer> Resources);

/// <summary><c>/v2/users</c>: who am I, and API keys. A user sees their own, an administrator everybody's.</summary>
static class UserEndpoints
{
    const int MaxDescriptionLength = 256;

    public static void Map(IEndpointRouteBuilder routes)
    {
        var users = routes.MapGroup("/v2/users").WithTags("Users");
        users.MapGet("/current", ReadCurrentAsync).RequireAuthorization(Policies.Read).WithName("getCurrentUser").WithSummary("The user whose token or key this is.");

        var keys = users.MapGroup("/{id}/keys").WithTags("Keys");
        keys.MapPost("", CreateKeyAsync).RequireAuthorization(Policies.Read).DescribesBody<NewKey>()
            .WithName("postKey").WithSummary("Makes an API key. Its secret is in this answer and nowhere else.");
        keys.MapGet("", ListKeysAsync).RequireAuthorization(Policies.Read).WithName("getKeys").WithSummary("The keys that are in force.");
        keys.MapDelete("/{keyId}", RevokeKeyAsync).RequireAuthorization(Policies.Read).WithName("deleteKey").WithSummary("Revokes a key, from the next request on.");
    }

    static async Task<Ok<UserAnswer>> ReadCurrentAsync(HttpContext http, IDbContextFactory<CatalogContext> catalog, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await context.Users.AsNoTracking().SingleAsync(it => it.Id == caller.UserId, cancellation);
        return TypedResults.Ok(new UserAnswer(user.Id, user.Email, user.FullName, user.Role.ToString(), user.Status.ToString(), user.CreatedAt.UtcDateTime, user.UpdatedAt.UtcDateTime));
    }

    static async Task<Created<KeyAnswer>> CreateKeyAsync(
        string id, HttpContext http, IDbContextFactory<CatalogContext> catalog, TimeProvider time, ServerOptions options, IOptions<JsonOptions> json, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        ThrowIfKey(caller);
        var body = await ControlBody.ReadJsonAsync<NewKey>(http.Request, options.Limits.MaxControlBodyBytes, json.Value.SerializerOptions, cancellation);
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await FindUserAsync(id, caller, context, cancellation);

        var keyId = Guid.NewGuid();
        var secret = KeySecret.Make(keyId);
        var key = new ApiKey
        {
            Id = keyId,
            UserId = user.Id,
            Description = ReadDescription(body),
            SecretHash = KeySecret.Hash(secret),
            Role = ReadRole(body, user.Role),
            CreatedAt = time.GetUtcNow(),
        };
        context.ApiKeys.Add(key);
        await context.SaveChangesAsync(cancellation);

        http.Response.Headers.CacheControl = "no-store";
        return TypedResults.Created($"/v2/users/{user.Id}/keys/{key.Id}", Answer(key, secret));
    }

    static async Task<Ok<KeyList>> ListKeysAsync(string id, HttpContext http, IDbContextFactory<CatalogContext> catalog, CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await FindUserAsync(id, Caller.Of(http), context, cancellation);
        var keys = await context.ApiKeys.AsNoTracking().Where(key => key.UserId == user.Id && key.RevokedAt == null).OrderBy(key => key.CreatedAt).ToListAsync(cancellation);
        return TypedResults.Ok(new KeyList([.. keys.Select(key => Answer(key, secret: null))]));
    }

    static async Task<Accepted<KeyAnswer>> RevokeKeyAsync(
        string id, string keyId, HttpContext http, IDbContextFactory<CatalogContext> catalog, Callers callers, TimeProvider time, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        ThrowIfKey(caller);
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await FindUserAsync(id, caller, context, cancellation);

        var key = Guid.TryParse(keyId, out var parsed)
            ? await context.ApiKeys.SingleOrDefaultAsync(it => it.Id == parsed && it.UserId == user.Id && it.RevokedAt == null, cancellation)
            : null;
        if (key is null)
            throw new SluiceException(ErrorCode.NotFound, "There is no such key.");

        key.RevokedAt = time.GetUtcNow();
        await context.SaveChangesAsync(cancellation);
        callers.ForgetKey(key.Id);
        return TypedResults.Accepted((string?)null, Answer(key, secret: null));
    }

    /// <summary>A user that the caller may not see does not exist for the caller.</summary>
    static async Task<User> FindUserAsync(string id, Caller caller, CatalogContext context, CancellationToken cancellation)
    {
        var userId = id == "current" ? caller.UserId : Guid.TryParse(id, out var parsed) ? parsed : Guid.Empty;
        var user = userId == caller.UserId || caller.IsAdministrator
            ? await context.Users.AsNoTracking().SingleOrDefaultAsync(it => it.Id == userId, cancellation)
            : null;

        return user ?? throw new SluiceException(ErrorCode.NotFound, "There is no such user.");
    }

    /// <summary>A stolen key must not be able to make itself permanent.</summary>
    static void ThrowIfKey(Caller caller)
    {
        if (caller.KeyId is not null)
            throw new SluiceException(ErrorCode.Forbidden, "Keys are made and revoked with the token of a login, not with a key.");
    }

    static string ReadDescription(NewKey body)
    {
        var description = body.Description ?? "";
        return description.Length <= MaxDescriptionLength
            ? description
            : throw new SluiceException(ErrorCode.InvalidParameter, $"The description is longer than {MaxDescriptionLength} characters.");
    }

    static Role ReadRole(NewKey body, Role userRole)
    {
        if (body.Role is null)
            return userRole;

        if (!Enum.TryParse<Role>(body.Role, ignoreCase: true, out var role) || !Enum.IsDefined(role))
            throw new SluiceException(ErrorCode.InvalidParameter, $"The role must be one of {string.Join(", ", Enum.GetNames<Role>())}.");

        return Policies.Lesser(role, userRole) == role
            ? role
            : throw new SluiceException(ErrorCode.InvalidParameter, $"A key of this user cannot have the role {role}: it is more than the user's own.");
    }

    static KeyAnswer Answer(ApiKey key, string? secret) => new(key.Id, key.UserId, key.Description, key.Role.ToString(), key.CreatedAt.UtcDateTime, secret);
}
