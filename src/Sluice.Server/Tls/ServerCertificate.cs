using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sluice.Server.Tls;

/// <summary>The certificate that the next TLS handshake uses: the server's own, renewed in time, or the operator's, read again when its files change.</summary>
/// <remarks>
/// <see cref="Handshake"/> from any thread; <see cref="Refresh"/> by one caller at a time. Connections that are open keep the
/// certificate they began with.
/// </remarks>
sealed class ServerCertificate
{
    const int NoSpace = 28; // ENOSPC

    readonly Func<DateTimeOffset, ServerCertificateSource.Loaded?> _load;
    readonly TimeProvider _time;
    volatile Current _current;

    ServerCertificate(Func<DateTimeOffset, ServerCertificateSource.Loaded?> load, TimeProvider time, Current first)
    {
        _load = load;
        _time = time;
        _current = first;
    }

    public X509Certificate2 Certificate => _current.Certificate;

    /// <summary>One object a certificate, so that the platform's cache of TLS sessions and contexts works.</summary>
    public SslServerAuthenticationOptions Handshake => _current.Handshake;

    /// <exception cref="StartupException"><see cref="ExitCode.BadOptions"/> or <see cref="ExitCode.DamagedData"/>: no usable certificate.</exception>
    public static ServerCertificate Open(ServerCertificateSource source, TimeProvider time)
    {
        try
        {
            var first = source.LoadIfChanged(time.GetUtcNow()) ?? throw new InvalidOperationException("the first load found no certificate");
            return new ServerCertificate(source.LoadIfChanged, time, new Current(first));
        }
        catch (Exception e) when (KeyProof.IsDamage(e) || e is IOException or UnauthorizedAccessException)
        {
            var wayOut = e is IOException { HResult: NoSpace } ? "make room on the disk" : source.WayOut;
            throw new StartupException(source.IsOperators ? ExitCode.BadOptions : ExitCode.DamagedData, $"cannot use {source.CertificateFile}: {e.Message}; {wayOut}", e);
        }
    }

    /// <summary>Renews or reads the certificate when that is due.</summary>
    /// <exception cref="CryptographicException">The new certificate is not usable; the present one stays.</exception>
    /// <exception cref="IOException">A file cannot be read or written; the present one stays.</exception>
    public void Refresh()
    {
        if (_load(_time.GetUtcNow()) is { } loaded)
            _current = new Current(loaded);
    }

    // the replaced certificate is left to the collector: handshakes under way still use it
    sealed class Current(ServerCertificateSource.Loaded loaded)
    {
        public X509Certificate2 Certificate { get; } = loaded.Certificate;

        public SslServerAuthenticationOptions Handshake { get; } = new()
        {
            ServerCertificateContext = SslStreamCertificateContext.Create(loaded.Certificate, loaded.Intermediates, offline: true),
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            ClientCertificateRequired = false,
        };
    }
}
