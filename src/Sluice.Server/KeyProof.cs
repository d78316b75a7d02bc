using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sluice.Server;

/// <summary>Whether keys and certificates that were read are sound. The platform reads a key with a flipped bit, and a certificate whose signature is wrong, without a word.</summary>
static class KeyProof
{
    /// <summary>Whether the exception says that a key or a certificate cannot be read. A damaged name of a curve is "not supported by the platform".</summary>
    public static bool IsDamage(Exception fault) => fault is CryptographicException or AsnContentException or ArgumentException or PlatformNotSupportedException;

    /// <summary>Whether what the one signs, the other verifies.</summary>
    public static bool Belong(ECDsa secret, ECDsa known)
    {
        var challenge = RandomNumberGenerator.GetBytes(32);
        return known.VerifyData(challenge, secret.SignData(challenge, HashAlgorithmName.SHA256), HashAlgorithmName.SHA256);
    }

    /// <summary>Whether the certificate's private key is that of its public one. Not an elliptic curve: the platform's word is taken.</summary>
    public static bool HasItsKey(X509Certificate2 certificate)
    {
        using var secret = certificate.GetECDsaPrivateKey();
        using var known = certificate.GetECDsaPublicKey();
        return secret is null || known is null || Belong(secret, known);
    }

    /// <summary>Whether a certificate is signed, with ECDSA and SHA-256, by its own key.</summary>
    public static bool IsSelfSigned(X509Certificate2 certificate)
    {
        var parts = new AsnReader(certificate.RawData, AsnEncodingRules.DER).ReadSequence();
        var content = parts.ReadEncodedValue();
        _ = parts.ReadEncodedValue(); // the algorithm
        var signature = parts.ReadBitString(out _);
        using var key = certificate.GetECDsaPublicKey();
        return key is not null && key.VerifyData(content.Span, signature, HashAlgorithmName.SHA256, DSASignatureFormat.Rfc3279DerSequence);
    }
}
