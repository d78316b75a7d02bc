using Microsoft.EntityFrameworkCore;

namespace Sluice.Server.Catalog;

/// <summary>Users, their invites, keys and refresh tokens, and the organization.</summary>
public sealed partial class CatalogContext
{
    public DbSet<User> Users => Set<User>();

    public DbSet<ApiKey> ApiKeys => Set<ApiKey>();

    public DbSet<RefreshToken> RefreshTokens => Set<RefreshToken>();

    public DbSet<Invite> Invites => Set<Invite>();

    public DbSet<Organization> Organizations => Set<Organization>();

    static void ConfigureAccounts(ModelBuilder model)
    {
        model.Entity<User>(user =>
        {
            user.ToTable("users");
            user.Property(u => u.Id).ValueGeneratedNever();
            user.Property(u => u.Email).HasMaxLength(254);
            user.HasIndex(u => u.Email).IsUnique();
        });

        model.Entity<ApiKey>(key =>
        {
            key.ToTable("api_keys");
            key.Property(k => k.Id).ValueGeneratedNever();
            key.HasOne<User>().WithMany().HasForeignKey(k => k.UserId).OnDelete(DeleteBehavior.Restrict);
            key.Property(k => k.Description).HasMaxLength(256);
        });

        model.Entity<RefreshToken>(token =>
        {
            token.ToTable("refresh_tokens");
            token.Property(t => t.Id).ValueGeneratedNever();
            token.HasOne<User>().WithMany().HasForeignKey(t => t.UserId).OnDelete(DeleteBehavior.Restrict);
            token.HasIndex(t => t.Hash).IsUnique();
            token.HasIndex(t => t.FamilyId);
            token.HasIndex(t => t.ExpiresAt);
        });

        model.Entity<Invite>(invite =>
        {
            invite.ToTable("invites");
            invite.Property(i => i.Id).ValueGeneratedNever();
            invite.HasOne<User>().WithMany().HasForeignKey(i => i.UserId).OnDelete(DeleteBehavior.Restrict);
            invite.HasIndex(i => i.TokenHash).IsUnique();
        });

        model.Entity<Organization>(organization =>
        {
            organization.ToTable("organizations");
            organization.Property(o => o.Id).ValueGeneratedNever();
        });
    }
}
