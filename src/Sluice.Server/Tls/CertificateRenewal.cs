namespace Sluice.Server.Tls;

/// <summary>Looks after the certificate while the server runs.</summary>
sealed class CertificateRenewal(ServerCertificate certificate, TimeProvider time, ILogger<CertificateRenewal> logger) : BackgroundService
{
    // two small files are read; an operator who has replaced the files sees the new certificate soon
    static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    // why the last look failed; null: it did not
    string? _told;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        using var stopping = stoppingToken.Register(timer.Dispose);

        while (await timer.WaitForNextTickAsync(CancellationToken.None))
            Look();
    }

    /// <summary>Renews or reads the certificate when that is due. A failure is told once, and again when it is another or comes back.</summary>
    internal void Look()
    {
        try
        {
            certificate.Refresh();
            _told = null;
        }
        catch (Exception e) when (KeyProof.IsDamage(e) || e is IOException or UnauthorizedAccessException)
        {
            if (e.Message != _told)
                logger.CertificateNotRenewed(e, certificate.Certificate.NotAfter);
            _told = e.Message;
        }
    }
}
