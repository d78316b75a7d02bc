using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sluice.Cli;

/// <summary>Where a Sluice server is, and how it is trusted.</summary>
/// <param name="CaFile">PEM file of the only certificate authority to trust, as in <c>data/tls/ca.crt</c>; <c>null</c>: those of the machine.</param>
sealed record ServerAddress(Uri Url, string? CaFile)
{
    /// <exception cref="CommandException"><see cref="CaFile"/> cannot be read.</exception>
    public HttpClient Connect() => new(new SocketsHttpHandler { SslOptions = Trust() }) { BaseAddress = Url };

    /// <exception cref="CommandException"><see cref="CaFile"/> cannot be read.</exception>
    public SslClientAuthenticationOptions Trust()
    {
        var options = new SslClientAuthenticationOptions { TargetHost = Url.Host };
        if (CaFile is null) return options;
        options.CertificateChainPolicy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck, // a local authority publishes no revocations
            CustomTrustStore = { ReadAuthority(CaFile) },
        };
        options.EncryptionPolicy = EncryptionPolicy.RequireEncryption;
        return options;
    }

    static X509Certificate2 ReadAuthority(string path)
    {
        try
        {
            return X509CertificateLoader.LoadCertificate(File.ReadAllBytes(path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new CommandException($"The certificate authority to trust (--ca, SLUICE_CA, or as it was at login) cannot be read: {(e is CryptographicException ? $"{path} is not a certificate." : e.Message)}");
        }
    }
}
