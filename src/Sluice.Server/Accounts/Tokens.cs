using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace Sluice.Server.Accounts;

/// <summary>A token that was proven to be ours.</summary>
/// <param name="SessionId">The login it comes from; it counts only while that lasts.</param>
/// <param name="ExpiresAt">Until then it counts, clock skew included.</param>
readonly record struct VerifiedToken(Guid UserId, Guid SessionId, DateTimeOffset ExpiresAt);

/// <summary>Signs and verifies the tokens of logins: JWTs (RFC 7519) with ES256, and nothing else. Any thread.</summary>
sealed class Tokens(TokenKey key, TimeProvider time)
{
    public const string Issuer = "sluice";
    public const string Audience = "sluice";
    public const string IdUse = "id";
    public const string AccessUse = "access";

    /// <summary>Those of FeatureBase Cloud.</summary>
    public static TimeSpan Lifetime { get; } = TimeSpan.FromMinutes(60);

    public static TimeSpan ClockSkew { get; } = TimeSpan.FromSeconds(60);

    // one MAC or curve more in this list is one way more to forge: only what we sign with
    static readonly string[] Algorithms = [SecurityAlgorithms.EcdsaSha256];

    readonly JsonWebTokenHandler _handler = new() { MapInboundClaims = false, SetDefaultTimesOnTokenCreation = false };
    readonly SigningCredentials _credentials = new(key.SecurityKey, SecurityAlgorithms.EcdsaSha256);

    /// <param name="use"><see cref="IdUse"/> or <see cref="AccessUse"/>.</param>
    public string Issue(Guid userId, Guid sessionId, string email, string use)
    {
        var now = time.GetUtcNow().UtcDateTime;
        return _handler.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = Issuer,
            Audience = Audience,
            IssuedAt = now,
            NotBefore = now,
            Expires = now + Lifetime,
            SigningCredentials = _credentials,
            Claims = new Dictionary<string, object>
            {
                [JwtRegisteredClaimNames.Sub] = userId.ToString(),
                [JwtRegisteredClaimNames.Sid] = sessionId.ToString(),
                [JwtRegisteredClaimNames.Email] = email,
                [JwtRegisteredClaimNames.Jti] = Guid.NewGuid().ToString(),
                ["token_use"] = use,
            },
        });
    }

    /// <returns><c>null</c>: not ours, altered, expired, or not for this use.</returns>
    public async ValueTask<VerifiedToken?> VerifyAsync(string token)
    {
        var result = await _handler.ValidateTokenAsync(token, Parameters());

        return result.IsValid
            && result.SecurityToken is JsonWebToken jwt
            && jwt.TryGetPayloadValue<string>("token_use", out var use) && use is IdUse or AccessUse
            && Guid.TryParse(jwt.Subject, out var userId)
            && jwt.TryGetPayloadValue<string>(JwtRegisteredClaimNames.Sid, out var session) && Guid.TryParse(session, out var sessionId)
            ? new VerifiedToken(userId, sessionId, new DateTimeOffset(jwt.ValidTo, TimeSpan.Zero) + ClockSkew)
            : null;
    }

    TokenValidationParameters Parameters() => new()
    {
        ValidIssuer = Issuer,
        ValidAudience = Audience,
        ValidAlgorithms = Algorithms,
        ValidTypes = ["JWT"],
        IssuerSigningKey = key.SecurityKey,
        // the key id must name our key; any "jku", "jwk" or "x5c" in the token is never looked at
        TryAllIssuerSigningKeys = false,
        RequireSignedTokens = true,
        RequireExpirationTime = true,
        LifetimeValidator = (notBefore, expires, _, _) => IsInTime(notBefore, expires),
    };

    bool IsInTime(DateTime? notBefore, DateTime? expires)
    {
        var now = time.GetUtcNow().UtcDateTime;
        return notBefore - ClockSkew <= now && now <= expires + ClockSkew;
    }
}
