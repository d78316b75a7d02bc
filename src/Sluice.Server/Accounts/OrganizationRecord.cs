using Microsoft.EntityFrameworkCore;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <summary>What administrators write about whose server this is. Every method authorises its caller. Any thread.</summary>
sealed class OrganizationRecord(IDbContextFactory<CatalogContext> catalog, AuditLog audit, TimeProvider time)
{
    public const int MaxTextLength = 1_000;

    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>.</exception>
    public async Task<Organization> GetAsync(Caller caller, CancellationToken cancellation)
    {
        if (!Policies.Allows(caller.Role, Policies.Read))
            throw new SluiceException(ErrorCode.Forbidden, $"The role {caller.Role} may not read.");
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        return await FindAsync(context, cancellation);
    }

    /// <param name="change">Is given the row to change.</param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>; <see cref="ErrorCode.InvalidParameter"/>: a text is too long.</exception>
    public async Task<Organization> UpdateAsync(Caller caller, Action<Organization> change, CancellationToken cancellation)
    {
        caller.RequireAdministratorLogin();
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var organization = await FindAsync(context, cancellation);
        change(organization);
        if (new[] { organization.Name, organization.Address, organization.TechnicalContact, organization.BillingContact }.Any(text => text.Length > MaxTextLength))
            throw new SluiceException(ErrorCode.InvalidParameter, $"A text of the organization may have at most {MaxTextLength} characters.");

        organization.UpdatedAt = time.GetUtcNow();
        await context.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        audit.Write(AuditEvent.By(caller, AuditAction.UpdateOrganization) with { Target = "organization", TargetId = organization.Id.ToString(), TargetName = organization.Name });
        return organization;
    }

    /// <summary>The one row; made when it is missing.</summary>
    async Task<Organization> FindAsync(CatalogContext context, CancellationToken cancellation)
    {
        if (await context.Organizations.OrderBy(row => row.CreatedAt).FirstOrDefaultAsync(cancellation) is { } found)
            return found;

        var now = time.GetUtcNow();
        var made = new Organization { Id = Guid.NewGuid(), CreatedAt = now, UpdatedAt = now };
        context.Organizations.Add(made);
        await context.SaveChangesAsync(cancellation);
        return made;
    }
}
