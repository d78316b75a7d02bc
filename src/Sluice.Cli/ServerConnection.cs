using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace Sluice.Cli;

/// <summary>Makes HTTP clients for a Sluice server.</summary>
static class ServerConnection
{
    /// <summary>A client that trusts the machine's authorities, and the given one.</summary>
    /// <param name="caFile">PEM file of a certificate authority, as in <c>data/tls/ca.crt</c>; <c>null</c>: none.</param>
    public static HttpClient Open(Uri url, string? caFile)
    {
        var handler = new SocketsHttpHandler();
        if (caFile is not null)
        {
            var authority = X509CertificateLoader.LoadCertificateFromFile(caFile);
            handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                RevocationMode = X509RevocationMode.NoCheck, // a local authority publishes no revocations
                CustomTrustStore = { authority },
            };
            handler.SslOptions.EncryptionPolicy = EncryptionPolicy.RequireEncryption;
        }
        return new HttpClient(handler) { BaseAddress = url };
    }
}
