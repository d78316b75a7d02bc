using Microsoft.AspNetCore.Http.HttpResults;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

sealed record OrganizationAnswer(Guid Id, string Name, string Address, string TechnicalContact, string BillingContact, DateTime CreatedAt, DateTime UpdatedAt)
{
    public static OrganizationAnswer Of(Organization row) =>
        new(row.Id, row.Name, row.Address, row.TechnicalContact, row.BillingContact, row.CreatedAt.UtcDateTime, row.UpdatedAt.UtcDateTime);
}

/// <summary>Body of <c>PUT /v2/orgs/current</c>; what is left out stays as it is.</summary>
sealed record OrganizationShape(string? Name, string? Address, string? TechnicalContact, string? BillingContact);

/// <summary><c>/v2/orgs/current</c>.</summary>
static class OrganizationEndpoints
{
    public static void Map(IEndpointRouteBuilder routes)
    {
        var organization = routes.MapGroup("/v2/orgs/current").WithTags("Organization");
        organization.MapGet("", GetAsync).RequireAuthorization(Policies.Read).WithName("getOrg").WithSummary("The organization: name, address and contacts.");
        organization.MapPut("", UpdateAsync).RequireAuthorization(Policies.Administer).DescribesBody<OrganizationShape>()
            .WithName("putOrg").WithSummary("Changes what the body names.");
    }

    static async Task<Ok<OrganizationAnswer>> GetAsync(HttpContext http, OrganizationRecord organization, CancellationToken cancellation) =>
        TypedResults.Ok(OrganizationAnswer.Of(await organization.GetAsync(Caller.Of(http), cancellation)));

    static async Task<Ok<OrganizationAnswer>> UpdateAsync(HttpContext http, OrganizationRecord organization, ServerOptions options, CancellationToken cancellation)
    {
        var body = await JsonBody.ReadAsync(http.Request, options, cancellation);
        var changed = await organization.UpdateAsync(
            Caller.Of(http),
            row =>
            {
                row.Name = body.OptionalText("name") ?? row.Name;
                row.Address = body.OptionalText("address") ?? row.Address;
                row.TechnicalContact = body.OptionalText("technical_contact") ?? row.TechnicalContact;
                row.BillingContact = body.OptionalText("billing_contact") ?? row.BillingContact;
            },
            cancellation);
        return TypedResults.Ok(OrganizationAnswer.Of(changed));
    }
}
