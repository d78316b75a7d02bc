using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace Sluice.Cli;

/// <summary>Makes HTTP clients for a Sluice server.</summary>
static class ServerConnection
{
    /// <summary>A client that trusts the machine's authorities, and the given one.</summary>
    /// <param name="caFile">PEM file of a certificate authority, as in <c>data/tls/ca.crt</c>; <c>null</c>: none.</param>
    public static HttpClient Open(Uri url, string? caFile) =>
        new(new SocketsHttpHandler { SslOptions = Trust(url, caFile) }) { BaseAddress = url };

    public static SslClientAuthenticationOptions Trust(Uri url, string? caFile)
    {
        var options = new SslClientAuthenticationOptions { TargetHost = url.Host };
        if (caFile is null) return options;
        options.CertificateChainPolicy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck, // a local authority publishes no revocations
            CustomTrustStore = { X509CertificateLoader.LoadCertificateFromFile(caFile) },
        };
        options.EncryptionPolicy = EncryptionPolicy.RequireEncryption;
        return options;
    }
}
