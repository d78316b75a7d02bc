using Microsoft.AspNetCore.Authorization;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <summary>
/// What each role may do. An endpoint that names no policy gets <see cref="ByMethod"/>: GET and HEAD read, everything else writes,
/// and nothing is open to callers without a token.
/// </summary>
static class Policies
{
    /// <summary>May look: administrators, users, readers.</summary>
    public const string Read = "read";

    /// <summary>May change data and its definitions: administrators, users.</summary>
    public const string Write = "write";

    /// <summary>May send records: administrators, users, ingest keys.</summary>
    public const string Ingest = "ingest";

    /// <summary>May change other users.</summary>
    public const string Administer = "administer";

    public static AuthorizationPolicy ByMethod { get; } = new AuthorizationPolicyBuilder()
        .RequireAuthenticatedUser()
        .RequireAssertion(context => context.Resource is HttpContext http && Allows(context, IsReading(http.Request) ? Read : Write))
        .Build();

    public static void Add(AuthorizationOptions options)
    {
        options.DefaultPolicy = ByMethod;
        options.FallbackPolicy = ByMethod;
        foreach (var policy in new[] { Read, Write, Ingest, Administer })
            options.AddPolicy(policy, builder => builder.RequireAuthenticatedUser().RequireAssertion(context => Allows(context, policy)));
    }

    public static bool Allows(Role role, string policy) => (role, policy) switch
    {
        (Role.Administrator, _) => true,
        (Role.User, Read or Write or Ingest) => true,
        (Role.Reader, Read) => true,
        (Role.IngestKey, Ingest) => true,
        _ => false,
    };

    /// <summary>The role that allows what both allow; <c>null</c>: nothing (the ingest key of somebody who has become a reader).</summary>
    public static Role? Lesser(Role key, Role user) => (key, user) switch
    {
        (Role.IngestKey, Role.Reader) => null,
        (Role.IngestKey, _) => Role.IngestKey,
        _ => key > user ? key : user,
    };

    static bool Allows(AuthorizationHandlerContext context, string policy) => Caller.Of(context.User) is { } caller && Allows(caller.Role, policy);

    static bool IsReading(HttpRequest request) => HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method);
}
