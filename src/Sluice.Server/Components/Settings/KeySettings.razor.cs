using Microsoft.AspNetCore.Components;
using MudBlazor;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Dialogs;

namespace Sluice.Server.Components.Settings;

/// <summary>The keys of the signed-in user.</summary>
public sealed partial class KeySettings
{
    const int PageSize = 50;

    List<ApiKey>? _keys;
    string _description = "";
    Role _role = Role.IngestKey;
    string? _secret;
    int _page;

    [Inject]
    ApiKeys Keys { get; set; } = null!;

    [Inject]
    IDialogService Dialogs { get; set; } = null!;

    protected override Task OnInitializedAsync() => ReadAsync();

    Task<bool> ReadAsync() => TryAsync(async caller => _keys = await Keys.ListAsync(caller, caller.UserId, CancellationToken.None));

    async Task CreateAsync()
    {
        var request = new KeyRequest(_description.Trim(), _role, SinkIds: null, ExpiresAt: null);
        if (!await TryAsync(async caller => _secret = (await Keys.CreateAsync(caller, caller.UserId, request, CancellationToken.None)).Secret))
            return;
        _description = "";
        await ReadAsync();
    }

    async Task RevokeAsync(ApiKey key)
    {
        var name = key.Description.Length > 0 ? key.Description : key.Id.ToString();
        if (!await Dialogs.AskAsync("Revoke the key?", "Programs that use it are refused from the next request on.", name, "Revoke"))
            return;
        if (await TryAsync(caller => Keys.RevokeAsync(caller, key.UserId, key.Id, CancellationToken.None)))
            await ReadAsync();
    }
}
