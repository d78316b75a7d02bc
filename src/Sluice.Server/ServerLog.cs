namespace Sluice.Server;

/// <summary>Every event the server logs. Ids are unique and stay; nothing is logged per request or per record.</summary>
static partial class ServerLog
{
    [LoggerMessage(1, LogLevel.Information, "listening on {Address}")]
    public static partial void Listening(this ILogger logger, string address);

    [LoggerMessage(2, LogLevel.Information, "stopping: {Cause}")]
    public static partial void Stopping(this ILogger logger, string cause);

    [LoggerMessage(3, LogLevel.Warning, "requests are still under way after {Timeout}; stopping without them")]
    public static partial void DrainTimedOut(this ILogger logger, TimeSpan timeout);

    [LoggerMessage(4, LogLevel.Critical, "the log has failed; the server stops and recovers from disk when it is started again")]
    public static partial void EngineFailed(this ILogger logger, Exception cause);

    [LoggerMessage(5, LogLevel.Warning, "{Key} is not an option and is ignored")]
    public static partial void UnknownOption(this ILogger logger, string key);

    [LoggerMessage(6, LogLevel.Error, "request {RequestId} failed")]
    public static partial void RequestFailed(this ILogger logger, Exception cause, string requestId);

    [LoggerMessage(7, LogLevel.Warning, "others can read the data directory {Path}: chmod 700 it")]
    public static partial void DataDirectoryOpenToOthers(this ILogger logger, string path);

    [LoggerMessage(8, LogLevel.Information, "made a certificate for {Names}, valid until {NotAfter:u}")]
    public static partial void CertificateMade(this ILogger logger, string names, DateTimeOffset notAfter);

    [LoggerMessage(9, LogLevel.Information, "read the certificate {Path}, valid until {NotAfter:u}")]
    public static partial void CertificateRead(this ILogger logger, string path, DateTimeOffset notAfter);

    [LoggerMessage(10, LogLevel.Error, "cannot renew or read the certificate; the present one stays in use until {NotAfter:u}")]
    public static partial void CertificateNotRenewed(this ILogger logger, Exception cause, DateTimeOffset notAfter);

    [LoggerMessage(11, LogLevel.Warning, "a new certificate authority was made because {Reason}: clients have to trust {Path} anew")]
    public static partial void AuthorityReplaced(this ILogger logger, string reason, string path);

    [LoggerMessage(12, LogLevel.Warning, "the certificate leaves out {Name}: the authority in {Path} may not certify it; add it to Sluice:Tls:Names to have a new authority made")]
    public static partial void NameNotCertified(this ILogger logger, string name, string path);

    [LoggerMessage(13, LogLevel.Information, "the first administrator {Email} was created")]
    public static partial void AdministratorCreated(this ILogger logger, string email);

    [LoggerMessage(14, LogLevel.Warning, "logins from {Address} are held back for {Delay} after {Failures} failures")]
    public static partial void LoginHeldBack(this ILogger logger, string address, TimeSpan delay, int failures);

    [LoggerMessage(15, LogLevel.Warning, "a used refresh token of user {UserId} came again: its whole family is revoked")]
    public static partial void RefreshTokenReused(this ILogger logger, Guid userId);

    [LoggerMessage(16, LogLevel.Warning, "the catalogue could not be sealed")]
    public static partial void CatalogueNotSealed(this ILogger logger, Exception cause);

    [LoggerMessage(17, LogLevel.Warning, "a change of the catalogue is durable, but could not be marked")]
    public static partial void CatalogueNotMarked(this ILogger logger, Exception cause);

    [LoggerMessage(18, LogLevel.Warning, "{Path} holds no key and is passed over: who is signed in to the console signs in again; delete it")]
    public static partial void ConsoleKeyNotRead(this ILogger logger, Exception cause, string path);

    [LoggerMessage(19, LogLevel.Warning, "the certificate authority {Path} is not valid before {NotBefore:u}, until then clients refuse it: set the clock, or when the clock is right delete ca.crt and ca.key to have new ones made, which clients have to trust anew")]
    public static partial void AuthorityNotYetValid(this ILogger logger, string path, DateTimeOffset notBefore);

    // the highest id is 19
}
