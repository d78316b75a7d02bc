using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sluice.Server.Tls;

/// <summary>The local certificate authority: made on first run, good only for this machine's names, kept in <c>tls/ca.crt</c> and <c>tls/ca.key</c>.</summary>
sealed class CertificateAuthority : IDisposable
{
    static readonly TimeSpan Lifetime = TimeSpan.FromDays(3_650);

    // a client's clock may be behind ours
    static readonly TimeSpan ClockSkew = TimeSpan.FromHours(1);

    readonly X509Certificate2 _certificate;
    readonly NameConstraints _constraints;

    CertificateAuthority(X509Certificate2 certificate, NameConstraints constraints)
    {
        _certificate = certificate;
        _constraints = constraints;
    }

    public DateTimeOffset NotBefore => _certificate.NotBefore;

    public DateTimeOffset NotAfter => _certificate.NotAfter;

    public bool MayCertify(string name) => _constraints.Permits(name);

    /// <summary>Makes an authority for the names and writes its files.</summary>
    public static CertificateAuthority Make(string certificateFile, string keyFile, IEnumerable<string> names, DateTimeOffset now)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var constraints = NameConstraints.For(names);
        var request = new CertificateRequest($"CN=Sluice local authority {Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4))}", key, HashAlgorithmName.SHA256);

        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        request.CertificateExtensions.Add(constraints.ToExtension());

        var certificate = request.CreateSelfSigned(now - ClockSkew, now + Lifetime);
        SafeFile.WriteSecret(keyFile, key.ExportPkcs8PrivateKeyPem() + "\n");
        SafeFile.WritePublic(certificateFile, certificate.ExportCertificatePem() + "\n");
        return new CertificateAuthority(certificate, constraints);
    }

    /// <exception cref="CryptographicException">The files are damaged or do not belong together.</exception>
    public static CertificateAuthority Read(string certificateFile, string keyFile)
    {
        var certificate = X509Certificate2.CreateFromPemFile(certificateFile, keyFile);
        // clients trust what was there before: a bit less, and they would refuse all that is issued from now on
        if (!KeyProof.IsSelfSigned(certificate)) throw new CryptographicException($"{certificateFile} is damaged: its signature does not fit");
        if (!KeyProof.HasItsKey(certificate)) throw new CryptographicException($"{keyFile} is damaged: it is not the key of {certificateFile}");
        return NameConstraints.Read(certificate) is { } constraints
            ? new CertificateAuthority(certificate, constraints)
            : throw new CryptographicException($"{certificateFile} has no name constraints, so it was not made by this server");
    }

    /// <summary>Makes a server certificate with a new key; valid for at most <paramref name="lifetime"/>, and only while the authority is.</summary>
    /// <param name="names">Host names and addresses; all of them permitted.</param>
    /// <returns>With its private key.</returns>
    public X509Certificate2 Issue(IReadOnlyList<string> names, DateTimeOffset now, TimeSpan lifetime)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=Sluice server", key, HashAlgorithmName.SHA256);

        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], critical: false)); // serverAuth
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_certificate, true, false));
        request.CertificateExtensions.Add(AlternativeNames(names));

        // the clock may have been set back since the authority was made
        var notBefore = now - ClockSkew > NotBefore ? now - ClockSkew : NotBefore;
        var notAfter = notBefore + lifetime;
        using var bare = request.Create(_certificate, notBefore, notAfter < NotAfter ? notAfter : NotAfter, RandomNumberGenerator.GetBytes(16));
        return bare.CopyWithPrivateKey(key);
    }

    /// <summary>Whether the certificate was signed by this authority's key and is for exactly these names.</summary>
    public bool Issued(X509Certificate2 certificate, IReadOnlyList<string> names)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(_certificate);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        // its time is the caller's matter: an expired one is still ours
        chain.ChainPolicy.VerificationFlags = X509VerificationFlags.IgnoreNotTimeValid;

        return chain.Build(certificate) && NamesOf(certificate).ToHashSet().SetEquals(names);
    }

    public void Dispose() => _certificate.Dispose();

    static IEnumerable<string> NamesOf(X509Certificate2 certificate) =>
        certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>()
            .SelectMany(extension => extension.EnumerateDnsNames().Concat(extension.EnumerateIPAddresses().Select(address => address.ToString())));

    static X509Extension AlternativeNames(IEnumerable<string> names)
    {
        var builder = new SubjectAlternativeNameBuilder();
        foreach (var name in names)
        {
            if (IPAddress.TryParse(name, out var address))
                builder.AddIpAddress(address);
            else
                builder.AddDnsName(name);
        }

        return builder.Build();
    }
}
