using Microsoft.AspNetCore.Components;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;

namespace Sluice.Server.Components.Pages;

/// <summary>The signed-in user, by themselves.</summary>
public sealed partial class ProfilePage
{
    User? _user;
    string _fullName = "";
    string _current = "";
    string _password = "";
    string? _done;

    [Inject]
    Users Users { get; set; } = null!;

    [Inject]
    Sessions Sessions { get; set; } = null!;

    protected override Task OnInitializedAsync() => TryAsync(async caller =>
    {
        _user = await Users.GetAsync(caller, caller.UserId, CancellationToken.None);
        _fullName = _user.FullName;
    });

    async Task SaveNameAsync()
    {
        _done = null;
        if (await TryAsync(async caller => _user = await Users.UpdateAsync(caller, caller.UserId, new UserChange(_fullName.Trim(), null, null), CancellationToken.None)))
            _done = "Your name is saved.";
    }

    async Task ChangePasswordAsync()
    {
        _done = null;
        if (await TryAsync(caller => Sessions.ChangePasswordAsync(caller, _current, _password, address: null, CancellationToken.None)))
            _done = "The new password is in force.";
        (_current, _password) = ("", "");
    }
}
