using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <summary>An invite with whom it is for. Its token is known only in the answer that makes it.</summary>
sealed record InviteOf(Invite Invite, User User, string? Token);

/// <summary>
/// Invites: an administrator names an e-mail address, its owner chooses a password. The same way gives a user who has lost the password
/// a new one. There is no mail from this server: who invites passes the link on. Every method authorises its caller. Any thread.
/// </summary>
sealed class Invites(IDbContextFactory<CatalogContext> catalog, Sessions sessions, Callers callers, AuditLog audit, TimeProvider time)
{
    public const int MaxAtOnce = 100;

    // RFC 5321, 4.5.3.1.3
    const int MaxEmailLength = 254;

    /// <summary>That of the original.</summary>
    public static TimeSpan Lifetime { get; } = TimeSpan.FromDays(7);

    /// <summary>Makes a user who is Open for each address, with an invite; or a new invite for one who is Open already. All or nothing.</summary>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.Forbidden"/>; <see cref="ErrorCode.InvalidParameter"/>; <see cref="ErrorCode.AlreadyExists"/>: there is such a user.
    /// </exception>
    public async Task<IReadOnlyList<InviteOf>> CreateAsync(Caller caller, IReadOnlyList<string> emails, Role role, CancellationToken cancellation)
    {
        caller.RequireAdministratorLogin();
        if (role == Role.IngestKey)
            throw Invalid("The role IngestKey is for keys only.");
        if (emails.Count is 0 or > MaxAtOnce)
            throw Invalid($"Name from 1 to {MaxAtOnce} e-mail addresses.");

        var addresses = emails.Select(Normalise).Distinct(StringComparer.Ordinal).ToList();
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var made = new List<InviteOf>();
        foreach (var email in addresses)
        {
            var user = await OpenUserAsync(context, email, role, cancellation);
            made.Add(await AddAsync(context, caller, user, cancellation));
        }

        await context.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        made.ForEach(invite => Note(caller, AuditAction.CreateInvite, invite));
        return made;
    }

    /// <summary>Makes a new invite for a user who is there: its acceptance replaces the password and ends all logins. Until then the old password goes on.</summary>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.Forbidden"/>; <see cref="ErrorCode.NotFound"/>; <see cref="ErrorCode.IncorrectState"/>: the user is neither Open nor Active.
    /// </exception>
    public async Task<InviteOf> RenewAsync(Caller caller, Guid userId, CancellationToken cancellation)
    {
        caller.RequireAdministratorLogin();
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var user = await Users.FindAsync(context, caller, userId, cancellation);
        if (user.Status is not (UserStatus.Open or UserStatus.Active))
            throw new SluiceException(ErrorCode.IncorrectState, $"The user is {user.Status}: reactivate the user first.");

        var invite = await AddAsync(context, caller, user, cancellation);
        await context.SaveChangesAsync(cancellation);
        await transaction.CommitAsync(cancellation);
        Note(caller, AuditAction.CreateInvite, invite);
        return invite;
    }

    /// <summary>Those that can still be accepted, oldest first.</summary>
    public async Task<List<InviteOf>> ListAsync(Caller caller, CancellationToken cancellation)
    {
        RequireAdministrator(caller);
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var now = time.GetUtcNow();
        var found = await Valid(context, now).Join(context.Users, invite => invite.UserId, user => user.Id, (invite, user) => new { invite, user })
            .AsNoTracking().OrderBy(it => it.invite.CreatedAt).ThenBy(it => it.invite.Id).ToListAsync(cancellation);
        return [.. found.Select(it => new InviteOf(it.invite, it.user, null))];
    }

    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>, <see cref="ErrorCode.NotFound"/>.</exception>
    public async Task<InviteOf> GetAsync(Caller caller, Guid id, CancellationToken cancellation)
    {
        RequireAdministrator(caller);
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        return await FindAsync(context, id, cancellation);
    }

    /// <summary>Withdraws an invite; the user stays Open.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>, <see cref="ErrorCode.NotFound"/>.</exception>
    public async Task<InviteOf> RevokeAsync(Caller caller, Guid id, CancellationToken cancellation)
    {
        caller.RequireAdministratorLogin();
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var invite = await FindAsync(context, id, cancellation);
        invite.Invite.RevokedAt = time.GetUtcNow();
        await context.SaveChangesAsync(cancellation);
        Note(caller, AuditAction.RevokeInvite, invite);
        return invite;
    }

    /// <summary>Sets the password of the invited user, who is Active from then on; all logins of the user end.</summary>
    /// <param name="fullName"><c>null</c>: stays as it is.</param>
    /// <exception cref="SluiceException"><see cref="ErrorCode.InvalidParameter"/>: the token is unknown, used or too old, or the password breaks a rule.</exception>
    public async Task<User> AcceptAsync(string token, string password, string? fullName, RequestOrigin origin, CancellationToken cancellation)
    {
        Passwords.Check(password);
        if (fullName?.Length > Users.MaxNameLength)
            throw Invalid($"Parameter 'full_name' may have at most {Users.MaxNameLength} characters.");

        await using var context = await catalog.CreateDbContextAsync(cancellation);
        if (!await IsValidAsync(context, token, cancellation))
        {
            audit.Write(new AuditEvent(AuditAction.AcceptInvite, AuditResult.Failed) { Origin = origin });
            throw NotValid();
        }

        // before the transaction, which holds the catalogue's write lock
        var hash = await sessions.HashAsync(password, cancellation);
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);
        var now = time.GetUtcNow();
        var tokenHash = Hash(token);
        var invite = await Valid(context, now).SingleOrDefaultAsync(it => it.TokenHash == tokenHash, cancellation) ?? throw NotValid();
        var user = await context.Users.SingleAsync(it => it.Id == invite.UserId, cancellation);
        if (user.Status is not (UserStatus.Open or UserStatus.Active))
            throw NotValid();

        invite.AcceptedAt = now;
        user.PasswordHash = hash;
        user.Status = UserStatus.Active;
        user.FullName = fullName ?? user.FullName;
        user.UpdatedAt = now;
        await context.SaveChangesAsync(cancellation);
        await RefreshTokens.RevokeAllAsync(context, user.Id, except: null, now, cancellation);
        await transaction.CommitAsync(cancellation);
        callers.ForgetUser(user.Id);
        audit.Write(new AuditEvent(AuditAction.AcceptInvite, AuditResult.Ok) { UserId = user.Id, Email = user.Email, Target = "invite", TargetId = invite.Id.ToString(), Origin = origin });
        return user;
    }

    async Task<User> OpenUserAsync(CatalogContext context, string email, Role role, CancellationToken cancellation)
    {
        var now = time.GetUtcNow();
        var user = await context.Users.SingleOrDefaultAsync(it => it.Email == email, cancellation);
        if (user is null)
        {
            user = new User { Id = Guid.NewGuid(), Email = email, Role = role, Status = UserStatus.Open, PasswordHash = "", CreatedAt = now, UpdatedAt = now };
            context.Users.Add(user);
            return user;
        }

        if (user.Status != UserStatus.Open)
            throw new SluiceException(ErrorCode.AlreadyExists, $"There is a user {email} already, who is {user.Status}.");

        user.Role = role;
        user.UpdatedAt = now;
        return user;
    }

    async Task<InviteOf> AddAsync(CatalogContext context, Caller caller, User user, CancellationToken cancellation)
    {
        var now = time.GetUtcNow();
        foreach (var old in await Valid(context, now).Where(it => it.UserId == user.Id).ToListAsync(cancellation))
            old.RevokedAt = now;

        var token = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        var invite = new Invite { Id = Guid.NewGuid(), UserId = user.Id, TokenHash = Hash(token), CreatedBy = caller.Email, CreatedAt = now, ExpiresAt = now + Lifetime };
        context.Invites.Add(invite);
        return new InviteOf(invite, user, token);
    }

    async Task<InviteOf> FindAsync(CatalogContext context, Guid id, CancellationToken cancellation)
    {
        var invite = await Valid(context, time.GetUtcNow()).SingleOrDefaultAsync(it => it.Id == id, cancellation)
            ?? throw new SluiceException(ErrorCode.NotFound, "There is no such invite, or it was accepted, withdrawn or is too old.");
        return new InviteOf(invite, await context.Users.SingleAsync(it => it.Id == invite.UserId, cancellation), null);
    }

    Task<bool> IsValidAsync(CatalogContext context, string token, CancellationToken cancellation)
    {
        var hash = Hash(token);
        return Valid(context, time.GetUtcNow()).AnyAsync(it => it.TokenHash == hash, cancellation);
    }

    static IQueryable<Invite> Valid(CatalogContext context, DateTimeOffset now) =>
        context.Invites.Where(invite => invite.AcceptedAt == null && invite.RevokedAt == null && invite.ExpiresAt > now);

    void Note(Caller caller, string action, InviteOf invite) => audit.Write(AuditEvent.By(caller, action) with
    {
        Target = "invite",
        TargetId = invite.Invite.Id.ToString(),
        TargetName = invite.User.Email,
        Detail = invite.User.Role.ToString(),
    });

    static string Normalise(string email)
    {
        var address = email.Trim().ToLowerInvariant();
        return address.Length is >= 3 and <= MaxEmailLength && address.IndexOf('@', StringComparison.Ordinal) is > 0 and var at && at < address.Length - 1
            && !address.Any(character => char.IsWhiteSpace(character) || char.IsControl(character))
            ? address
            : throw Invalid($"\"{(address.Length <= 64 ? address : address[..64])}\" is not an e-mail address.");
    }

    static void RequireAdministrator(Caller caller)
    {
        if (!caller.IsAdministrator)
            throw new SluiceException(ErrorCode.Forbidden, "Only an administrator sees invites.");
    }

    static byte[] Hash(string token) => SHA256.HashData(Encoding.UTF8.GetBytes(token));

    static SluiceException NotValid() => Invalid("The invite is not known, was used or withdrawn, or is older than 7 days.");

    static SluiceException Invalid(string message) => new(ErrorCode.InvalidParameter, message);
}
