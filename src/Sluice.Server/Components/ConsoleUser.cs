using Microsoft.AspNetCore.Components.Authorization;
using Sluice.Server.Accounts;
using Sluice.Server.Audit;

namespace Sluice.Server.Components;

/// <summary>Who uses this page now. Asked before every action, so that a changed role, an ended login or a deactivation holds at once.</summary>
sealed class ConsoleUser(AuthenticationStateProvider authentication, Callers callers, AuditLog audit, ILogger<ConsoleUser> logger)
{
    /// <summary>Of the browser, for the audit log.</summary>
    public string Address { get; set; } = "";

    /// <exception cref="SluiceException"><see cref="ErrorCode.Unauthorized"/>: the login has ended.</exception>
    public async Task<Caller> CallerAsync()
    {
        var state = await authentication.GetAuthenticationStateAsync();
        if (ConsoleCookie.LoginOf(state.User) is not var (userId, sessionId))
            throw new SluiceException(ErrorCode.Unauthorized, "Nobody is signed in.");

        var found = await callers.BySessionAsync(userId, sessionId, CancellationToken.None);
        var caller = found.Principal?.Caller ?? throw new SluiceException(ErrorCode.Unauthorized, found.Fault ?? "The login has ended.");
        return caller with { Origin = new RequestOrigin(Address, RequestId: null) { IsConsole = true } };
    }

    /// <summary>Writes down that somebody was not allowed to do something, as the API does for an answer of 403.</summary>
    /// <param name="path">Of the page, without its query.</param>
    public void NoteDenied(Caller caller, string path) =>
        audit.Write(AuditEvent.By(caller, AuditAction.Denied) with { Result = AuditResult.Denied, Target = path });

    /// <summary>Logs what a page tells only in general.</summary>
    /// <param name="path">Of the page, without its query: there is no request to name.</param>
    public void NoteFailed(Exception cause, string path) => logger.RequestFailed(cause, path);
}
