namespace Sluice.Server.Catalog;

/// <summary>What a caller may do. The names are stored and stand in tokens' users: never rename or reuse one.</summary>
public enum Role
{
    /// <summary>Everything, other users and their keys among it.</summary>
    Administrator,

    /// <summary>Reads and writes data, and makes databases, tables and sinks.</summary>
    User,

    /// <summary>Reads, and changes nothing.</summary>
    Reader,

    /// <summary>Sends records to the sinks it is bound to, and nothing else. A role of keys, never of users.</summary>
    IngestKey,
}

public enum UserStatus
{
    /// <summary>Invited, has not chosen a password.</summary>
    Open,
    Active,

    /// <summary>Cannot log in; tokens and keys of the user are refused.</summary>
    Deactivated,

    /// <summary>Has gone by their own choice; as Deactivated otherwise.</summary>
    Left,
}

/// <summary>Somebody who can log in. Users are never deleted, and their e-mail address never changes.</summary>
public sealed class User
{
    public Guid Id { get; init; }

    /// <summary>The login name, lower case, unique.</summary>
    public required string Email { get; init; }

    public string FullName { get; set; } = "";
    public Role Role { get; set; }
    public UserStatus Status { get; set; }

    /// <summary>As <see cref="Accounts.Passwords"/> writes it: algorithm, cost, salt and hash. Empty: no password was chosen yet, so none fits.</summary>
    public required string PasswordHash { get; set; }

    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset UpdatedAt { get; set; }
}
