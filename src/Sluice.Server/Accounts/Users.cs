using Microsoft.EntityFrameworkCore;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <param name="Role"><c>null</c>, as each of them: stays as it is.</param>
sealed record UserChange(string? FullName, Role? Role, UserStatus? Status);

/// <summary>
/// The people who can log in. Administrators see and change all of them, everybody else themselves; whom one may not see does not
/// exist. Every method authorises its caller. Any thread.
/// </summary>
sealed class Users(IDbContextFactory<CatalogContext> catalog, Callers callers, AuditLog audit, TimeProvider time)
{
    public const int MaxNameLength = 256;

    /// <summary>Those the caller may see, oldest first.</summary>
    public async Task<List<User>> ListAsync(Caller caller, CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var users = caller.IsAdministrator ? context.Users : context.Users.Where(user => user.Id == caller.UserId);
        return await users.AsNoTracking().OrderBy(user => user.CreatedAt).ThenBy(user => user.Id).ToListAsync(cancellation);
    }

    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public async Task<User> GetAsync(Caller caller, Guid id, CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        return await FindAsync(context, caller, id, cancellation);
    }

    /// <summary>
    /// Changes a name, a role or a status. A new role and a deactivation hold from the next request on; a deactivation also ends the
    /// user's logins, so that a reactivated user logs in anew.
    /// </summary>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.NotFound"/>; <see cref="ErrorCode.Forbidden"/>: a key, or more than the caller may; <see cref="ErrorCode.InvalidParameter"/>;
    /// <see cref="ErrorCode.IncorrectState"/>: no administrator would be left.
    /// </exception>
    public async Task<User> UpdateAsync(Caller caller, Guid id, UserChange change, CancellationToken cancellation)
    {
        caller.RequireLogin();
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        // the transaction has the catalogue's write lock: two administrators cannot remove each other at the same time
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var user = await FindAsync(context, caller, id, cancellation);
        Check(caller, user, change);
        var before = (user.FullName, user.Role, user.Status);

        user.FullName = change.FullName ?? user.FullName;
        user.Role = change.Role ?? user.Role;
        user.Status = StatusAfter(user, change.Status);
        if (before == (user.FullName, user.Role, user.Status))
            return user;

        await RequireAdministratorLeftAsync(context, user, before.Role, cancellation);
        user.UpdatedAt = time.GetUtcNow();
        await context.SaveChangesAsync(cancellation);
        if (user.Status is UserStatus.Deactivated or UserStatus.Left)
            await RefreshTokens.RevokeAllAsync(context, user.Id, except: null, user.UpdatedAt, cancellation);
        await transaction.CommitAsync(cancellation);

        callers.ForgetUser(user.Id);
        audit.Write(AuditEvent.By(caller, AuditAction.UpdateUser) with
        {
            Target = "user",
            TargetId = user.Id.ToString(),
            TargetName = user.Email,
            Detail = Describe(before.Role, before.Status, user),
        });
        return user;
    }

    /// <summary>Tracked; a user that the caller may not see is not found.</summary>
    public static async Task<User> FindAsync(CatalogContext context, Caller caller, Guid id, CancellationToken cancellation)
    {
        var user = id == caller.UserId || caller.IsAdministrator ? await context.Users.SingleOrDefaultAsync(it => it.Id == id, cancellation) : null;
        return user ?? throw new SluiceException(ErrorCode.NotFound, "There is no such user.");
    }

    static void Check(Caller caller, User user, UserChange change)
    {
        var isOwn = caller.UserId == user.Id;
        if (change.FullName?.Length > MaxNameLength)
            throw Invalid($"Parameter 'full_name' may have at most {MaxNameLength} characters.");
        if (change.Role is Role.IngestKey)
            throw Invalid("The role IngestKey is for keys only.");
        if (change.Role is { } role && role != user.Role && (isOwn || !caller.IsAdministrator))
            throw new SluiceException(ErrorCode.Forbidden, "Only another administrator changes a user's role.");
        if (change.Status is not { } status || status == user.Status)
            return;

        if (status == UserStatus.Left ? !isOwn : !caller.IsAdministrator || isOwn)
            throw new SluiceException(ErrorCode.Forbidden, "Another administrator deactivates and reactivates a user; only the user leaves.");
        if (status == UserStatus.Open || (status == UserStatus.Deactivated && user.Status == UserStatus.Left))
            throw Invalid($"A user who is {user.Status} cannot become {status}.");
        if (status == UserStatus.Active && user.Status == UserStatus.Open)
            throw Invalid("An invited user becomes Active by accepting the invite.");
    }

    /// <summary>Who is reactivated and never had a password is invited still.</summary>
    static UserStatus StatusAfter(User user, UserStatus? wanted) =>
        wanted == UserStatus.Active && user.PasswordHash.Length == 0 ? UserStatus.Open : wanted ?? user.Status;

    static async Task RequireAdministratorLeftAsync(CatalogContext context, User user, Role roleBefore, CancellationToken cancellation)
    {
        if (roleBefore != Role.Administrator || (user.Role == Role.Administrator && user.Status == UserStatus.Active))
            return;
        if (!await context.Users.AnyAsync(it => it.Id != user.Id && it.Role == Role.Administrator && it.Status == UserStatus.Active, cancellation))
            throw new SluiceException(ErrorCode.IncorrectState, "This is the last administrator, and one has to stay.");
    }

    static string Describe(Role role, UserStatus status, User after)
    {
        var changes = new List<string>();
        if (role != after.Role)
            changes.Add($"role {role} -> {after.Role}");
        if (status != after.Status)
            changes.Add($"status {status} -> {after.Status}");
        return changes.Count == 0 ? "name" : string.Join(", ", changes);
    }

    static SluiceException Invalid(string message) => new(ErrorCode.InvalidParameter, message);
}
