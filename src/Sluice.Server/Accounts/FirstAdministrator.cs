using Microsoft.EntityFrameworkCore;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <summary>Makes the first administrator. There is no setup page: who starts the server says who it is.</summary>
static class FirstAdministrator
{
    /// <summary>
    /// Does nothing when the catalogue has a user. Called under the data directory's lock, so a race of two starts makes one.
    /// </summary>
    /// <param name="console">Gets a generated password, once. Never a logger: logs are kept and shipped.</param>
    public static async Task EnsureAsync(
        IDbContextFactory<CatalogContext> catalog,
        AdministratorOptions options,
        Passwords passwords,
        TextWriter console,
        TimeProvider time,
        ILogger logger,
        CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        await using var transaction = await context.Database.BeginTransactionAsync(cancellation);

        if (await context.Users.AnyAsync(cancellation))
            return;

        var password = options.Password ?? Passwords.Generate();
        var now = time.GetUtcNow();
        var administrator = new User
        {
            Id = Guid.NewGuid(),
            Email = options.Email.ToLowerInvariant(),
            Role = Role.Administrator,
            Status = UserStatus.Active,
            PasswordHash = passwords.Hash(password),
            CreatedAt = now,
            UpdatedAt = now,
        };
        context.Users.Add(administrator);
        await context.SaveChangesAsync(cancellation);

        // before the commit: a password that is in force and was never shown would lock everybody out
        if (options.Password is null)
            Show(console, administrator.Email, password);

        await transaction.CommitAsync(cancellation);
        logger.AdministratorCreated(administrator.Email);
    }

    static void Show(TextWriter console, string email, string password)
    {
        console.WriteLine(
            $"""
            The first administrator was created. The password is shown this once:
              e-mail:   {email}
              password: {password}
            """);
        console.Flush();
    }
}
