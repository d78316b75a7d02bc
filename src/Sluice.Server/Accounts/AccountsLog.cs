namespace Sluice.Server.Accounts;

/// <summary>What the accounts and the audit log say in the server's log. Ids 401 to 499; the highest is 401.</summary>
static partial class AccountsLog
{
    [LoggerMessage(401, LogLevel.Error, "an event of {Action} could not be written to the audit log")]
    public static partial void AuditLineLost(this ILogger logger, Exception exception, string action);
}
