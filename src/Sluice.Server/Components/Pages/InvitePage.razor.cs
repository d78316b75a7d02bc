using Microsoft.AspNetCore.Components;
using Sluice.Server.Accounts;

namespace Sluice.Server.Components.Pages;

/// <summary>A plain form for who has an invite and no login yet. The token stands in the address behind #, where no log sees it.</summary>
public sealed partial class InvitePage
{
    string? _fault;
    bool _isDone;

    [Inject]
    Invites Invites { get; set; } = null!;

    [CascadingParameter]
    HttpContext Http { get; set; } = null!;

    [SupplyParameterFromForm(FormName = "invite")]
    InviteForm? Form { get; set; }

    async Task AcceptAsync()
    {
        try
        {
            var name = string.IsNullOrWhiteSpace(Form?.FullName) ? null : Form.FullName.Trim();
            await Invites.AcceptAsync(Form?.Token?.Trim() ?? "", Form?.Password ?? "", name, RequestOrigin.Of(Http) with { IsConsole = true }, Http.RequestAborted);
            _isDone = true;
        }
        catch (SluiceException e)
        {
            _fault = FaultText.Of(e);
        }
    }

    internal sealed class InviteForm
    {
        public string? Token { get; set; }

        public string? FullName { get; set; }

        public string? Password { get; set; }
    }
}
