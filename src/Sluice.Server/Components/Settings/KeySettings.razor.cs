using Microsoft.AspNetCore.Components;
using MudBlazor;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Dialogs;

namespace Sluice.Server.Components.Settings;

/// <summary>The keys of the signed-in user; for administrators those of everybody, where they ask for them.</summary>
public sealed partial class KeySettings
{
    const int PageSize = 50;

    readonly HashSet<Guid> _chosen = [];
    List<ApiKey>? _keys;
    List<CatalogSink> _sinks = [];
    Dictionary<Guid, string> _emails = [];
    string _description = "";
    Role _role = Role.IngestKey;
    DateOnly? _until;
    string? _secret;
    bool _isAdministrator;
    int _page;
    QuotaForm? _quota;

    [Inject]
    ApiKeys Keys { get; set; } = null!;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    Users Users { get; set; } = null!;

    [Inject]
    IDialogService Dialogs { get; set; } = null!;

    [Parameter]
    public bool All { get; set; }

    bool CanCreate => _description.Trim().Length > 0 && (_role != Role.IngestKey || _chosen.Count > 0);

    protected override Task OnParametersSetAsync()
    {
        _quota ??= new QuotaForm(Keys.DefaultQuota);
        return ReadAsync();
    }

    Task<bool> ReadAsync() => TryAsync(async caller =>
    {
        _isAdministrator = caller.IsAdministrator;
        _sinks = await Plane.ListSinksAsync(caller, CancellationToken.None);
        _emails = (await Users.ListAsync(caller, CancellationToken.None)).ToDictionary(user => user.Id, user => user.Email);
        _keys = All ? await Keys.ListAllAsync(caller, CancellationToken.None) : await Keys.ListAsync(caller, caller.UserId, CancellationToken.None);
    });

    void Choose(Guid sinkId, bool isChosen) => _ = isChosen ? _chosen.Add(sinkId) : _chosen.Remove(sinkId);

    async Task CreateAsync()
    {
        if (IsBusy || !CanCreate || _quota!.Read() is not { } quota)
            return;
        var until = _until == DateOnly.MaxValue ? DateTime.SpecifyKind(DateTime.MaxValue, DateTimeKind.Utc) : _until?.AddDays(1).ToDateTime(TimeOnly.MinValue, DateTimeKind.Utc);
        var request = new KeyRequest(_description.Trim(), _role, _role == Role.IngestKey ? [.. _chosen] : null, until) { Quota = quota };
        if (!await TryAsync(async caller => _secret = (await Keys.CreateAsync(caller, caller.UserId, request, CancellationToken.None)).Secret))
            return;
        (_description, _until, _quota) = ("", null, new QuotaForm(Keys.DefaultQuota));
        _chosen.Clear();
        await ReadAsync();
    }

    async Task RenameAsync(ApiKey key)
    {
        if (await Dialogs.AskTextAsync("Rename the key", "Description", key.Description) is { } name
            && await TryAsync(caller => Keys.ChangeAsync(caller, key.UserId, key.Id, name, QuotaBody.Nothing, CancellationToken.None)))
        {
            await ReadAsync();
        }
    }

    async Task LimitAsync(ApiKey key)
    {
        var name = key.Description.Length > 0 ? key.Description : key.Id.ToString();
        if (await Dialogs.AskQuotaAsync(name, Keys.QuotaOf(key), (caller, quota) => Keys.ChangeAsync(caller, key.UserId, key.Id, description: null, quota, CancellationToken.None)))
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

    string NameOf(Guid sinkId) => _sinks.Find(sink => sink.Id == sinkId)?.Name ?? "(deleted)";
}
