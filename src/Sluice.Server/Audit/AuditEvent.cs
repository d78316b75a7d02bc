using Sluice.Server.Accounts;

namespace Sluice.Server.Audit;

/// <summary>What is written down. The names stand in the log for good: never rename or reuse one.</summary>
static class AuditAction
{
    public const string Login = "login";
    public const string Refresh = "login.refresh";
    public const string Logout = "logout";

    /// <summary>A request that was answered 401 or 403.</summary>
    public const string Denied = "denied";

    public const string ChangePassword = "password.change";
    public const string CreateInvite = "invite.create";
    public const string RevokeInvite = "invite.revoke";
    public const string AcceptInvite = "invite.accept";
    public const string UpdateUser = "user.update";
    public const string CreateKey = "key.create";
    public const string RenameKey = "key.rename";
    public const string LimitKey = "key.limit";
    public const string RevokeKey = "key.revoke";
    public const string UpdateOrganization = "organization.update";
    public const string CreateBackup = "backup.create";

    /// <summary>A statement that changes rows or definitions; the detail is the SHA-256 of its text.</summary>
    public const string SqlWrite = "sql.write";

    /// <summary>What callers can cause as often as they like: each has a budget of lines a minute, so that none of them can push the others out of a bounded log.</summary>
    public static IReadOnlySet<string> Frequent { get; } = new HashSet<string>(StringComparer.Ordinal) { Login, Refresh, Logout, Denied, ChangePassword, AcceptInvite, SqlWrite };
}

enum AuditResult
{
    Ok,

    /// <summary>Nothing was changed.</summary>
    Failed,

    Denied,

    /// <summary>It may have taken effect, or will: who asked left, or was told that it is not known.</summary>
    Unknown,
}

/// <summary>One thing that happened: who, what, to what, from where, and how it ended. Texts may hold anything: they are escaped when they are written.</summary>
/// <param name="Action">One of <see cref="AuditAction"/>, or a resource and a verb: <c>table.create</c>.</param>
sealed record AuditEvent(string Action, AuditResult Result)
{
    public Guid? UserId { get; init; }

    /// <summary>Of who did it; at a failed login, what was given as the name.</summary>
    public string? Email { get; init; }

    public Guid? KeyId { get; init; }

    /// <summary>What kind of thing was acted on, as in <c>sink</c>; at a denied request, its method and path.</summary>
    public string? Target { get; init; }

    public string? TargetId { get; init; }
    public string? TargetName { get; init; }
    public string? Detail { get; init; }

    /// <summary><c>null</c>: no request, as when something interrupted is finished at the start.</summary>
    public RequestOrigin? Origin { get; init; }

    public static AuditEvent By(Caller caller, string action) =>
        new(action, AuditResult.Ok) { UserId = caller.UserId, Email = caller.Email, KeyId = caller.KeyId, Origin = caller.Origin };
}
