using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Components;
using Sluice.Server.Accounts;

namespace Sluice.Server.Components.Pages;

/// <summary>A plain form: who is not signed in has no circuit.</summary>
public sealed partial class SignInPage
{
    string? _fault;

    [Inject]
    Sessions Sessions { get; set; } = null!;

    [Inject]
    Callers Callers { get; set; } = null!;

    [Inject]
    NavigationManager Navigation { get; set; } = null!;

    [CascadingParameter]
    HttpContext Http { get; set; } = null!;

    [SupplyParameterFromForm(FormName = "sign-in")]
    SignInForm? Form { get; set; }

    /// <summary>Where the visitor was going.</summary>
    [SupplyParameterFromQuery(Name = ConsoleCookie.ReturnParameter)]
    string? Return { get; set; }

    async Task SignInAsync()
    {
        try
        {
            var session = await Sessions.LogInAsync(Form?.Email ?? "", Form?.Password ?? "", Http.Connection.RemoteIpAddress, RequestOrigin.Of(Http) with { IsConsole = true }, Http.RequestAborted);
            var caller = (await Callers.ByTokenAsync(session.IdToken, Http.RequestAborted)).Principal!.Caller;
            await Http.SignInAsync(ConsoleCookie.SchemeName, ConsoleCookie.PrincipalOf(caller.UserId, session.Id));
        }
        catch (RefusedException e)
        {
            _fault = e.Refusal == Refusals.LoginFailed ? "E-mail or password is wrong. Check both and try again." : FaultText.Of(e);
            return;
        }
        Navigation.NavigateTo(IsLocal(Return) ? Return! : "/");
    }

    /// <summary>An address of this server and nothing else: a link to the sign-in may not send people away.</summary>
    internal static bool IsLocal(string? path) => path is ['/'] or ['/', not ('/' or '\\'), ..] && !path.Any(char.IsControl);

    internal sealed class SignInForm
    {
        public string? Email { get; set; }

        public string? Password { get; set; }
    }
}
