using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http.HttpResults;
using Sluice.Client;
using Sluice.Quotas;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <param name="Sinks">With the role IngestKey only.</param>
/// <param name="Status"><c>Active</c> or <c>Expired</c>; a revoked key is not shown.</param>
/// <param name="LastUsedAt">To the minute.</param>
/// <param name="Secret">Present only in the answer that makes the key: it is kept nowhere.</param>
sealed record KeyAnswer(
    Guid Id, Guid UserId, string Description, string Role, string Status, DateTime CreatedAt, DateTime? ExpiresAt, DateTime? LastUsedAt,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] IReadOnlyList<Guid>? Sinks,
    QuotaRates Quota,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Secret)
{
    public static KeyAnswer Of(ApiKey key, Quota quota, DateTimeOffset now, string? secret = null) => new(
        key.Id, key.UserId, key.Description, key.Role.ToString(), key.ExpiresAt <= now ? "Expired" : "Active",
        key.CreatedAt.UtcDateTime, key.ExpiresAt?.UtcDateTime, key.LastUsedAt?.UtcDateTime, key.SinkIds, quota.ToResource(), secret);
}

sealed record KeyList(IReadOnlyList<KeyAnswer> Resources);

/// <param name="Role"><c>null</c>: the role of the user.</param>
/// <param name="Sinks">Ids, with the role IngestKey.</param>
/// <param name="ExpiresAt">RFC 3339.</param>
sealed record KeyShape(string? Description, string? Role, IReadOnlyList<Guid>? Sinks, DateTime? ExpiresAt, QuotaRates? Quota);

/// <summary>At least one of both.</summary>
sealed record KeyChangeShape(string? Description, QuotaRates? Quota);

/// <summary><c>/v2/users/{id}/keys</c> and <c>/v2/keys</c>.</summary>
static class KeyEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        var keys = routes.MapGroup("/v2/users/{id}/keys").WithTags("Keys").RequireAuthorization(Policies.Read);
        keys.MapPost("", CreateAsync).DescribesBody<KeyShape>().WithName("postKey").WithSummary("Makes an API key. Its secret is in this answer and nowhere else.");
        keys.MapGet("", ListAsync).WithName("getKeys").WithSummary("The keys of a user that are not revoked.");
        keys.MapGet("/{keyId}", GetAsync).WithName("getKey").WithSummary("One key.");
        keys.MapPut("/{keyId}", ChangeAsync).DescribesBody<KeyChangeShape>().WithName("putUserKey").WithSummary("Changes the description or the quota of a key.");
        keys.MapDelete("/{keyId}", RevokeAsync).WithName("deleteKey").WithSummary("Revokes a key, from the next request on.");

        routes.MapGet("/v2/keys", ListAllAsync).WithTags("Keys").RequireAuthorization(Policies.Administer).WithName("getAllKeys").WithSummary("The keys of all users.");
    }

    static async Task<Created<KeyAnswer>> CreateAsync(string id, HttpContext http, ApiKeys keys, TimeProvider time, ServerOptions options, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        caller.RequireLogin();
        var userId = UserEndpoints.IdFrom(id, caller);
        var request = Read(await JsonBody.ReadAsync(http.Request, options, cancellation));
        var (key, secret) = await keys.CreateAsync(caller, userId, request, cancellation);
        http.Response.Headers.CacheControl = "no-store";
        return TypedResults.Created($"/v2/users/{key.UserId}/keys/{key.Id}", KeyAnswer.Of(key, keys.QuotaOf(key), time.GetUtcNow(), secret));
    }

    static async Task<Ok<KeyList>> ListAsync(string id, HttpContext http, ApiKeys keys, TimeProvider time, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        return Answer(keys, await keys.ListAsync(caller, UserEndpoints.IdFrom(id, caller), cancellation), time);
    }

    static async Task<Ok<KeyList>> ListAllAsync(HttpContext http, ApiKeys keys, TimeProvider time, CancellationToken cancellation) =>
        Answer(keys, await keys.ListAllAsync(Caller.Of(http), cancellation), time);

    static async Task<Ok<KeyAnswer>> GetAsync(string id, string keyId, HttpContext http, ApiKeys keys, TimeProvider time, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        var key = await keys.GetAsync(caller, UserEndpoints.IdFrom(id, caller), Api.IdFrom(keyId, "key"), cancellation);
        return TypedResults.Ok(KeyAnswer.Of(key, keys.QuotaOf(key), time.GetUtcNow()));
    }

    static async Task<Ok<KeyAnswer>> ChangeAsync(string id, string keyId, HttpContext http, ApiKeys keys, TimeProvider time, ServerOptions options, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        var quota = QuotaBody.Read(body);
        var description = quota == QuotaBody.Nothing ? body.RequiredText("description") : body.OptionalText("description");
        var key = await keys.ChangeAsync(caller, UserEndpoints.IdFrom(id, caller), Api.IdFrom(keyId, "key"), description, quota, cancellation);
        return TypedResults.Ok(KeyAnswer.Of(key, keys.QuotaOf(key), time.GetUtcNow()));
    }

    static async Task<Accepted<KeyAnswer>> RevokeAsync(string id, string keyId, HttpContext http, ApiKeys keys, TimeProvider time, CancellationToken cancellation)
    {
        var caller = Caller.Of(http);
        var key = await keys.RevokeAsync(caller, UserEndpoints.IdFrom(id, caller), Api.IdFrom(keyId, "key"), cancellation);
        return TypedResults.Accepted((string?)null, KeyAnswer.Of(key, keys.QuotaOf(key), time.GetUtcNow()));
    }

    static KeyRequest Read(JsonBody body) => new(
        body.OptionalText("description") ?? "",
        body.OptionalWord<Role>("role"),
        body.OptionalArray("sinks")?.Select(element => SinkId(body, element)).ToList(),
        body.OptionalTime("expires_at"))
    {
        Quota = QuotaBody.Read(body),
    };

    static Guid SinkId(JsonBody body, JsonElement element) =>
        element.ValueKind == JsonValueKind.String && element.TryGetGuid(out var id) ? id : throw body.Invalid("sinks", $"must hold ids of sinks, not {JsonBody.Describe(element)}");

    static Ok<KeyList> Answer(ApiKeys keys, List<ApiKey> found, TimeProvider time)
    {
        var now = time.GetUtcNow();
        return TypedResults.Ok(new KeyList([.. found.Select(key => KeyAnswer.Of(key, keys.QuotaOf(key), now))]));
    }
}
