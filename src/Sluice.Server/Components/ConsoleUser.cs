using Microsoft.AspNetCore.Components.Authorization;
using Sluice.Server.Accounts;

namespace Sluice.Server.Components;

/// <summary>Who uses this page now. Asked before every action, so that a changed role, an ended login or a deactivation holds at once.</summary>
sealed class ConsoleUser(AuthenticationStateProvider authentication, Callers callers)
{
    /// <exception cref="SluiceException"><see cref="ErrorCode.Unauthorized"/>: the login has ended.</exception>
    public async Task<Caller> CallerAsync()
    {
        var state = await authentication.GetAuthenticationStateAsync();
        if (ConsoleCookie.LoginOf(state.User) is not var (userId, sessionId))
            throw new SluiceException(ErrorCode.Unauthorized, "Nobody is signed in.");

        var found = await callers.BySessionAsync(userId, sessionId, CancellationToken.None);
        return found.Principal?.Caller ?? throw new SluiceException(ErrorCode.Unauthorized, found.Fault ?? "The login has ended.");
    }
}
