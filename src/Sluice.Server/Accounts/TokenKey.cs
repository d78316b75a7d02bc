using System.Security.Cryptography;
using Microsoft.IdentityModel.Tokens;

namespace Sluice.Server.Accounts;

/// <summary>
/// The key that tokens are signed with: ECDSA on P-256, in <c>keys/tokens.key</c> (0600), made on first run. Deleting the file makes a new
/// one at the next start; tokens of the old one are then refused, refresh tokens go on.
/// </summary>
sealed class TokenKey : IDisposable
{
    readonly ECDsa _key;

    TokenKey(ECDsa key)
    {
        _key = key;
        SecurityKey = new ECDsaSecurityKey(key);
        // the key id is the key's own thumbprint (RFC 7638): two keys never share one
        SecurityKey.KeyId = Base64UrlEncoder.Encode(SecurityKey.ComputeJwkThumbprint());
    }

    public ECDsaSecurityKey SecurityKey { get; }

    /// <exception cref="StartupException"><see cref="ExitCode.DamagedData"/>: the file is not a key.</exception>
    public static TokenKey Open(string directory)
    {
        SafeFile.MakeDirectory(directory);
        var file = Path.Combine(directory, "tokens.key");

        var key = ECDsa.Create();
        try
        {
            if (!File.Exists(file))
            {
                using var made = ECDsa.Create(ECCurve.NamedCurves.nistP256);
                SafeFile.WriteSecret(file, made.ExportPkcs8PrivateKeyPem() + "\n");
            }

            key.ImportFromPem(File.ReadAllText(file));
            if (key.KeySize != 256) throw new CryptographicException($"it has {key.KeySize} bits instead of 256");
            return KeyProof.Belong(key, key) ? new TokenKey(key) : throw new CryptographicException("its halves do not belong together");
        }
        catch (Exception e) when (KeyProof.IsDamage(e) || e is IOException or UnauthorizedAccessException)
        {
            key.Dispose();
            throw new StartupException(ExitCode.DamagedData, $"{file} is not a P-256 key: {e.Message}; delete it to have a new one made", e);
        }
    }

    public void Dispose() => _key.Dispose();
}
