using System.Text.Json;
using Microsoft.AspNetCore.Http.HttpResults;
using Sluice.Server.Accounts;

namespace Sluice.Server.Audit;

/// <param name="Resources">Newest first, each as it stands in the file.</param>
/// <param name="NextBefore">Value of <c>before</c> for the next page; <c>null</c>: there is none.</param>
sealed record AuditPage(IReadOnlyList<JsonElement> Resources, long? NextBefore);

/// <summary><c>GET /v2/audit</c>, for administrators.</summary>
static class AuditEndpoint
{
    const int MaxLimit = 1_000;

    public static void Map(IEndpointRouteBuilder routes) =>
        routes.MapGet("/v2/audit", Read).WithTags("Operations").RequireAuthorization(Policies.Administer)
            .WithName("getAudit").WithSummary("The audit log, newest first; limit is at most 1,000, before is the next_before of the page before.");

    static Ok<AuditPage> Read(AuditLog audit, int limit = 100, long before = long.MaxValue)
    {
        if (limit is < 1 or > MaxLimit)
            throw new SluiceException(ErrorCode.InvalidParameter, $"The parameter limit must be from 1 to {MaxLimit}.");

        var page = audit.Read(before, limit);
        return TypedResults.Ok(new AuditPage(page, page.Count == limit ? AuditFile.SequenceOf(page[^1]) : null));
    }
}
