using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Sluice.Server.Accounts;

/// <summary>The text of an API key: <c>slk_</c>, the key's id in 32 hexadecimal digits, <c>_</c>, and 256 random bits as base64url.</summary>
static class KeySecret
{
    const string Prefix = "slk_";
    const int IdDigits = 32;

    public static string Make(Guid keyId) => $"{Prefix}{keyId:n}_{Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32))}";

    public static bool TryReadId([NotNullWhen(true)] string? secret, out Guid keyId)
    {
        keyId = Guid.Empty;
        return secret is not null
            && secret.StartsWith(Prefix, StringComparison.Ordinal)
            && secret.Length > Prefix.Length + IdDigits + 1
            && secret[Prefix.Length + IdDigits] == '_'
            && Guid.TryParseExact(secret.AsSpan(Prefix.Length, IdDigits), "n", out keyId);
    }

    public static byte[] Hash(string secret) => SHA256.HashData(Encoding.UTF8.GetBytes(secret));

    /// <summary>Compares in a time that does not depend on where the two differ. Does not allocate.</summary>
    public static bool Matches(string secret, byte[] hash)
    {
        Span<byte> text = stackalloc byte[256];
        Span<byte> computed = stackalloc byte[SHA256.HashSizeInBytes];

        if (!Encoding.UTF8.TryGetBytes(secret, text, out var length))
            return false;

        SHA256.HashData(text[..length], computed);
        return CryptographicOperations.FixedTimeEquals(computed, hash);
    }
}
