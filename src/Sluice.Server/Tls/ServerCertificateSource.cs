using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Sluice.Server.Tls;

/// <summary>Where the server's certificate comes from. One caller at a time.</summary>
abstract class ServerCertificateSource
{
    public abstract string CertificateFile { get; }

    /// <summary>What an operator can do when the files cannot be used.</summary>
    public abstract string WayOut { get; }

    /// <summary>True: the operator's files. False: made here.</summary>
    public abstract bool IsOperators { get; }

    /// <summary>The certificate to use from now on; <c>null</c> when the one returned before still stands.</summary>
    public abstract Loaded? LoadIfChanged(DateTimeOffset now);

    /// <param name="Certificate">With its private key.</param>
    /// <param name="Intermediates">Sent along; may be empty.</param>
    public sealed record Loaded(X509Certificate2 Certificate, X509Certificate2Collection Intermediates);
}

/// <summary>A certificate of the operator's own.</summary>
sealed class OperatorCertificateSource(string certificateFile, string keyFile, ILogger logger) : ServerCertificateSource
{
    byte[] _seen = [];

    public override string CertificateFile => certificateFile;

    public override bool IsOperators => true;

    public override string WayOut => $"put a PEM certificate there and its key, not encrypted, into {keyFile}, or leave both options out";

    public override Loaded? LoadIfChanged(DateTimeOffset now)
    {
        // what they hold, not when they were written: a link that leads to a renewed pair keeps its own time
        var (certificates, key) = (File.ReadAllText(certificateFile), File.ReadAllText(keyFile));
        var seen = SHA256.HashData(Encoding.UTF8.GetBytes(certificates + key));
        if (seen.SequenceEqual(_seen))
            return null;

        var all = new X509Certificate2Collection();
        all.ImportFromPem(certificates);
        var certificate = X509Certificate2.CreateFromPem(certificates, key);
        _seen = seen; // not before: a pair that was half replaced is tried again
        logger.CertificateRead(certificateFile, certificate.NotAfter);
        return new Loaded(certificate, [.. all.Skip(1)]);
    }
}

/// <summary>A certificate of the local authority, in <c>tls/server.crt</c> and <c>tls/server.key</c>.</summary>
sealed class LocalCertificateSource(string directory, IReadOnlyList<string> optionNames, int httpsPort, TextWriter console, ILogger logger) : ServerCertificateSource
{
    /// <summary>Browsers refuse server certificates of 398 days and more; a short life costs nothing, for renewal is by itself.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromDays(90);

    static readonly TimeSpan RenewBefore = TimeSpan.FromDays(30);

    readonly IReadOnlyList<string> _optionNames = [.. optionNames.Select(Normal)];
    X509Certificate2? _current;
    DateTimeOffset _authorityNotBefore;

    public override string CertificateFile => Path.Combine(directory, "server.crt");

    public override bool IsOperators => false;

    public override string WayOut => $"restore {AuthorityFile} and {AuthorityKeyFile} from a backup, or delete both to have new ones made, which clients have to trust anew";

    public string AuthorityFile => Path.Combine(directory, "ca.crt");

    string KeyFile => Path.Combine(directory, "server.key");

    string AuthorityKeyFile => Path.Combine(directory, "ca.key");

    public override Loaded? LoadIfChanged(DateTimeOffset now)
    {
        if (_current is not null && !IsDue(_current, now))
            return null;

        SafeFile.MakeDirectory(directory);
        using var authority = OpenAuthority(now);
        var names = CertifiableNames(authority);
        _current = ReadSound(authority, names, now) ?? Renew(authority, names, now);
        return new Loaded(_current, []);
    }

    /// <summary>It ends soon, or has yet to begin: the clock was wrong when it was made. Before the authority begins, another one would be no better.</summary>
    bool IsDue(X509Certificate2 certificate, DateTimeOffset now) =>
        certificate.NotAfter - now < RenewBefore || (now < certificate.NotBefore && now >= _authorityNotBefore);

    CertificateAuthority OpenAuthority(DateTimeOffset now)
    {
        var authority = ReadOrMakeAuthority(now);
        _authorityNotBefore = authority.NotBefore;
        // not replaced: it may be today's clock that is wrong, and trust would be lost with it
        if (now < authority.NotBefore)
            logger.AuthorityNotYetValid(AuthorityFile, authority.NotBefore);
        return authority;
    }

    CertificateAuthority ReadOrMakeAuthority(DateTimeOffset now)
    {
        var (hasCertificate, hasKey) = (File.Exists(AuthorityFile), File.Exists(AuthorityKeyFile));
        // a key alone that has certified nothing: a first start was interrupted
        if (!hasCertificate && (!hasKey || !File.Exists(CertificateFile)))
        {
            var first = CertificateAuthority.Make(AuthorityFile, AuthorityKeyFile, WantedNames(), now);
            SayHowToTrust();
            return first;
        }

        // clients may trust it: whether that is given up is the operator's to say
        if (!hasCertificate || !hasKey)
            throw new FileNotFoundException($"there is no file {(hasKey ? AuthorityFile : AuthorityKeyFile)}");

        var authority = CertificateAuthority.Read(AuthorityFile, AuthorityKeyFile);
        if (ReasonToReplace(authority, now) is not { } reason)
            return authority;

        authority.Dispose();
        logger.AuthorityReplaced(reason, AuthorityFile);
        return CertificateAuthority.Make(AuthorityFile, AuthorityKeyFile, WantedNames(), now);
    }

    /// <summary>A new machine name is no reason: containers have a new one at each start, and trust would be lost with it.</summary>
    string? ReasonToReplace(CertificateAuthority authority, DateTimeOffset now) =>
        authority.NotAfter - now < RenewBefore ? "the old one expires"
        : _optionNames.FirstOrDefault(name => !authority.MayCertify(name)) is { } name ? $"the old one may not certify {name}"
        : null;

    X509Certificate2? ReadSound(CertificateAuthority authority, IReadOnlyList<string> names, DateTimeOffset now)
    {
        if (!File.Exists(CertificateFile) || !File.Exists(KeyFile))
            return null;

        try
        {
            var certificate = X509Certificate2.CreateFromPemFile(CertificateFile, KeyFile);
            if (!IsDue(certificate, now) && authority.Issued(certificate, names) && KeyProof.HasItsKey(certificate))
                return certificate;

            certificate.Dispose();
            return null;
        }
        catch (Exception e) when (KeyProof.IsDamage(e))
        {
            return null; // a new one is made in its place; nothing depends on the old
        }
    }

    X509Certificate2 Renew(CertificateAuthority authority, IReadOnlyList<string> names, DateTimeOffset now)
    {
        var certificate = authority.Issue(names, now, Lifetime);
        using var key = certificate.GetECDsaPrivateKey()!;
        // a power loss between the two leaves a pair that does not match, which ReadSound replaces
        SafeFile.WriteSecret(KeyFile, key.ExportPkcs8PrivateKeyPem() + "\n");
        SafeFile.WritePublic(CertificateFile, certificate.ExportCertificatePem() + "\n");
        logger.CertificateMade(string.Join(", ", names), certificate.NotAfter);
        return certificate;
    }

    List<string> CertifiableNames(CertificateAuthority authority)
    {
        var names = new List<string>();
        foreach (var name in WantedNames())
        {
            if (authority.MayCertify(name))
                names.Add(name);
            else
                logger.NameNotCertified(name, AuthorityFile);
        }

        return names;
    }

    /// <summary>
    /// The four prefixes are those of the hosts that clients of FeatureBase Cloud use. No wildcard: OpenSSL matches none directly
    /// below a top-level name.
    /// </summary>
    List<string> WantedNames()
    {
        var machine = Dns.GetHostName().ToLowerInvariant();
        IEnumerable<string> names = ["localhost", "id.localhost", "api.localhost", "data.localhost", "query.localhost", "127.0.0.1", "::1"];
        if (Uri.CheckHostName(machine) == UriHostNameType.Dns && Ascii.IsValid(machine))
            names = names.Append(machine);

        return [.. names.Concat(_optionNames).Distinct()];
    }

    /// <summary>As it stands in a certificate: in lower case, and beyond ASCII as <c>xn--</c>.</summary>
    static string Normal(string name) =>
        IPAddress.TryParse(name, out var address) ? address.ToString() : new IdnMapping().GetAscii(name).ToLowerInvariant();

    void SayHowToTrust() => console.WriteLine(
        $"""
        Sluice made a certificate authority for this machine: {AuthorityFile}
          try it:      curl --cacert {AuthorityFile} https://localhost:{httpsPort}/health
          trust it:    sudo cp {AuthorityFile} /usr/local/share/ca-certificates/sluice.crt && sudo update-ca-certificates
          replace it:  set Sluice__Tls__CertificateFile and Sluice__Tls__KeyFile to a certificate of your own
        """);
}
