namespace Sluice.Server.Tls;

/// <summary>Looks after the certificate while the server runs.</summary>
sealed class CertificateRenewal(ServerCertificate certificate, TimeProvider time, ILogger<CertificateRenewal> logger) : BackgroundService
{
    // two stat calls; an operator who has replaced the files sees the new certificate soon
    static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        using var stopping = stoppingToken.Register(timer.Dispose);
        var isFailing = false;

        while (await timer.WaitForNextTickAsync(CancellationToken.None))
            isFailing = !TryRefresh(isLogged: isFailing);
    }

    bool TryRefresh(bool isLogged)
    {
        try
        {
            certificate.Refresh();
            return true;
        }
        catch (Exception e) when (KeyProof.IsDamage(e) || e is IOException or UnauthorizedAccessException)
        {
            if (!isLogged)
                logger.CertificateNotRenewed(e, certificate.Certificate.NotAfter);
            return false;
        }
    }
}
