using Microsoft.AspNetCore.Components;
using MudBlazor;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Dialogs;

namespace Sluice.Server.Components.Settings;

/// <summary>Who can log in. Who is no administrator sees themselves.</summary>
public sealed partial class UserSettings
{
    const int PageSize = 50;

    List<User>? _users;
    bool _isAdministrator;
    Guid _own;
    string _email = "";
    Role _role = Role.User;
    IReadOnlyList<(string Email, string Link)> _links = [];
    int _page;

    [Inject]
    Users Users { get; set; } = null!;

    [Inject]
    Invites Invites { get; set; } = null!;

    [Inject]
    IDialogService Dialogs { get; set; } = null!;

    protected override Task OnInitializedAsync() => ReadAsync();

    Task<bool> ReadAsync() => TryAsync(async caller =>
    {
        (_isAdministrator, _own) = (caller.IsAdministrator, caller.UserId);
        _users = await Users.ListAsync(caller, CancellationToken.None);
    });

    async Task InviteAsync()
    {
        var emails = _email.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (await TryAsync(async caller => ShowLinks(await Invites.CreateAsync(caller, emails, _role, CancellationToken.None))))
            await ReadAsync();
    }

    Task RenewAsync(User user) => TryAsync(async caller => ShowLinks([await Invites.RenewAsync(caller, user.Id, CancellationToken.None)]));

    async Task ChangeAsync(User user, UserChange change)
    {
        await TryAsync(caller => Users.UpdateAsync(caller, user.Id, change, CancellationToken.None));
        var fault = Fault;
        await ReadAsync(); // what was refused is shown as it is
        Fault = fault;
    }

    async Task DeactivateAsync(User user)
    {
        if (await Dialogs.AskAsync($"Deactivate {user.Email}?", "The user's logins and keys are refused from now on. An administrator can reactivate the user.", user.Email, "Deactivate"))
            await ChangeAsync(user, new UserChange(null, null, UserStatus.Deactivated));
    }

    void ShowLinks(IReadOnlyList<InviteOf> invites)
    {
        _links = [.. invites.Select(invite => (invite.User.Email, InviteEndpoints.UrlOf(invite.Token!, Navigation.BaseUri.TrimEnd('/'))))];
        _email = "";
    }
}
