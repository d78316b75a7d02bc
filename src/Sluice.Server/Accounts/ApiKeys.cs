using Microsoft.EntityFrameworkCore;
using Sluice.Quotas;
using Sluice.Server.Audit;
using Sluice.Server.Catalog;

namespace Sluice.Server.Accounts;

/// <param name="Role"><c>null</c>: that of the user.</param>
/// <param name="SinkIds">With <see cref="Catalog.Role.IngestKey"/>, and only then: the sinks it may send to.</param>
/// <param name="ExpiresAt"><c>null</c>: never.</param>
sealed record KeyRequest(string Description, Role? Role, IReadOnlyList<Guid>? SinkIds, DateTimeOffset? ExpiresAt)
{
    public QuotaBody Quota { get; init; } = QuotaBody.Nothing;
}

/// <summary>
/// API keys. A user sees and changes their own, an administrator everybody's; what one may not see does not exist. Keys are made,
/// changed and revoked with a login only. Every method authorises its caller. Any thread.
/// </summary>
sealed class ApiKeys(IDbContextFactory<CatalogContext> catalog, Callers callers, QuotaOptions quotas, KeyQuotas keyQuotas, AuditLog audit, TimeProvider time)
{
    public const int MaxDescriptionLength = 256;
    public const int MaxSinks = 100;

    /// <returns>The key and its secret, which is kept nowhere.</returns>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.Forbidden"/>: a key, or a quota above the server's that no administrator gives; <see cref="ErrorCode.NotFound"/>: no such user; <see cref="ErrorCode.InvalidParameter"/>,
    /// <see cref="ErrorCode.MissingParameter"/>; <see cref="ErrorCode.RelatedNotFound"/>: no such sink.
    /// </exception>
    public async Task<(ApiKey Key, string Secret)> CreateAsync(Caller caller, Guid userId, KeyRequest request, CancellationToken cancellation)
    {
        caller.RequireLogin();
        CheckDescription(request.Description);
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await Users.FindAsync(context, caller, userId, cancellation);
        var role = CheckRole(request.Role ?? user.Role, user.Role);
        var now = time.GetUtcNow();
        if (request.ExpiresAt <= now)
            throw Invalid("Parameter 'expires_at' must be in the future.");
        await CheckSinksAsync(context, role, request.SinkIds, cancellation);
        CheckQuota(caller, request.Quota);

        var id = Guid.NewGuid();
        var secret = KeySecret.Make(id);
        var key = new ApiKey
        {
            Id = id,
            UserId = user.Id,
            Description = request.Description,
            SecretHash = KeySecret.Hash(secret),
            Role = role,
            SinkIds = request.SinkIds?.Distinct().ToList(),
            QuotaRecordsPerSecond = request.Quota.RecordsPerSecond,
            QuotaBytesPerSecond = request.Quota.BytesPerSecond,
            QuotaBurstSeconds = request.Quota.BurstSeconds,
            CreatedAt = now,
            ExpiresAt = request.ExpiresAt,
        };
        context.ApiKeys.Add(key);
        await context.SaveChangesAsync(cancellation);
        Note(caller, AuditAction.CreateKey, key);
        return (key, secret);
    }

    /// <summary>The keys of a user that are not revoked, oldest first; expired ones too.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public async Task<List<ApiKey>> ListAsync(Caller caller, Guid userId, CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var user = await Users.FindAsync(context, caller, userId, cancellation);
        return await InForce(context).AsNoTracking().Where(key => key.UserId == user.Id).ToListAsync(cancellation);
    }

    /// <summary>The keys of all users, oldest first.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>: no administrator.</exception>
    public async Task<List<ApiKey>> ListAllAsync(Caller caller, CancellationToken cancellation)
    {
        if (!caller.IsAdministrator)
            throw new SluiceException(ErrorCode.Forbidden, "Only an administrator sees the keys of all users.");

        await using var context = await catalog.CreateDbContextAsync(cancellation);
        return await InForce(context).AsNoTracking().ToListAsync(cancellation);
    }

    /// <exception cref="SluiceException"><see cref="ErrorCode.NotFound"/>.</exception>
    public async Task<ApiKey> GetAsync(Caller caller, Guid userId, Guid keyId, CancellationToken cancellation)
    {
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        return await FindAsync(context, caller, userId, keyId, cancellation);
    }

    /// <summary>Changes all that is given, or nothing. A quota holds from the next request on; what is left of the old one and what is owed stay.</summary>
    /// <param name="description"><c>null</c>: stays.</param>
    /// <param name="quota">What it leaves out stays.</param>
    /// <exception cref="SluiceException">
    /// <see cref="ErrorCode.Forbidden"/>: a key, or more than the server's quota by no administrator; <see cref="ErrorCode.NotFound"/>; <see cref="ErrorCode.InvalidParameter"/>.
    /// </exception>
    public async Task<ApiKey> ChangeAsync(Caller caller, Guid userId, Guid keyId, string? description, QuotaBody quota, CancellationToken cancellation)
    {
        caller.RequireLogin();
        if (description is not null) CheckDescription(description);
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var key = await FindAsync(context, caller, userId, keyId, cancellation);
        key.Description = description ?? key.Description;
        if (quota != QuotaBody.Nothing)
        {
            var changed = quota.Or(key.Quota);
            CheckQuota(caller, changed);
            (key.QuotaRecordsPerSecond, key.QuotaBytesPerSecond, key.QuotaBurstSeconds) = (changed.RecordsPerSecond, changed.BytesPerSecond, changed.BurstSeconds);
        }
        await context.SaveChangesAsync(cancellation);
        callers.ReadKeyAgain(key.Id);
        if (description is not null) Note(caller, AuditAction.RenameKey, key);
        if (quota != QuotaBody.Nothing) Note(caller, AuditAction.LimitKey, key);
        return key;
    }

    /// <summary>Refuses the key from the next request on. Requests under way are finished.</summary>
    /// <exception cref="SluiceException"><see cref="ErrorCode.Forbidden"/>: a key; <see cref="ErrorCode.NotFound"/>.</exception>
    public async Task<ApiKey> RevokeAsync(Caller caller, Guid userId, Guid keyId, CancellationToken cancellation)
    {
        caller.RequireLogin();
        await using var context = await catalog.CreateDbContextAsync(cancellation);
        var key = await FindAsync(context, caller, userId, keyId, cancellation);
        key.RevokedAt = time.GetUtcNow();
        await context.SaveChangesAsync(cancellation);
        callers.ForgetKey(key.Id);
        Note(caller, AuditAction.RevokeKey, key);
        return key;
    }

    static IQueryable<ApiKey> InForce(CatalogContext context) =>
        context.ApiKeys.Where(key => key.RevokedAt == null).OrderBy(key => key.CreatedAt).ThenBy(key => key.Id);

    static async Task<ApiKey> FindAsync(CatalogContext context, Caller caller, Guid userId, Guid keyId, CancellationToken cancellation)
    {
        var user = await Users.FindAsync(context, caller, userId, cancellation);
        return await InForce(context).SingleOrDefaultAsync(key => key.Id == keyId && key.UserId == user.Id, cancellation)
            ?? throw new SluiceException(ErrorCode.NotFound, "There is no such key.");
    }

    static async Task CheckSinksAsync(CatalogContext context, Role role, IReadOnlyList<Guid>? sinkIds, CancellationToken cancellation)
    {
        if (role != Role.IngestKey)
        {
            if (sinkIds is not null)
                throw Invalid("Parameter 'sinks' goes with the role IngestKey only.");
            return;
        }

        if (sinkIds is null)
            throw new SluiceException(ErrorCode.MissingParameter, "Parameter 'sinks' is required: the ids of the sinks that the ingest key may send to.");
        if (sinkIds.Count is 0 or > MaxSinks)
            throw Invalid($"Parameter 'sinks' must name from 1 to {MaxSinks} sinks.");

        var known = await context.Sinks.Where(sink => sinkIds.Contains(sink.Id) && sink.DeletedAt == null).Select(sink => sink.Id).ToListAsync(cancellation);
        if (sinkIds.Except(known).ToList() is [var unknown, ..])
            throw new SluiceException(ErrorCode.RelatedNotFound, $"There is no sink {unknown}.");
    }

    /// <summary>The quota of a key, with the server's defaults where it sets none.</summary>
    public Quota QuotaOf(ApiKey key) => key.Quota.Or(quotas.Key);

    /// <summary>Of a key that sets none.</summary>
    public Quota DefaultQuota => quotas.Key;

    /// <summary>What is left of the quota of a key at this moment.</summary>
    public (double Records, double Bytes) QuotaLeftOf(ApiKey key) => keyQuotas.LeftOf(key.Id, QuotaOf(key));

    /// <summary>Users give their keys less than the server's default; otherwise they would not be held to it.</summary>
    void CheckQuota(Caller caller, QuotaBody asked)
    {
        if (caller.IsAdministrator)
            return;

        var (quota, most) = (asked.Or(quotas.Key), quotas.Key);
        if (IsMore(quota.RecordsPerSecond, most.RecordsPerSecond) || IsMore(quota.BytesPerSecond, most.BytesPerSecond) || (!most.IsUnlimited && quota.BurstSeconds > most.BurstSeconds))
            throw new SluiceException(ErrorCode.Forbidden, $"Only an administrator gives a key more than {most}, kept for {most.BurstSeconds} seconds.");

        static bool IsMore(long rate, long most) => most > 0 && (rate == 0 || rate > most);
    }

    static void CheckDescription(string description)
    {
        if (description.Length > MaxDescriptionLength)
            throw Invalid($"The description is longer than {MaxDescriptionLength} characters.");
    }

    static Role CheckRole(Role role, Role userRole) => Policies.Lesser(role, userRole) == role
        ? role
        : throw Invalid($"A key of this user cannot have the role {role}: it is more than the user's own.");

    void Note(Caller caller, string action, ApiKey key) => audit.Write(AuditEvent.By(caller, action) with
    {
        Target = "key",
        TargetId = key.Id.ToString(),
        TargetName = key.Description,
        Detail = $"{key.Role} of user {key.UserId}",
    });

    static SluiceException Invalid(string message) => new(ErrorCode.InvalidParameter, message);
}
