using Microsoft.AspNetCore.Components;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;

namespace Sluice.Server.Components.Settings;

/// <summary>Name, address and contacts of whoever runs the server.</summary>
public sealed partial class OrganizationSettings
{
    string _name = "";
    string _address = "";
    string _technical = "";
    string _billing = "";
    bool _isAdministrator;
    bool _isKnown;
    bool _isSaved;

    [Inject]
    OrganizationRecord Record { get; set; } = null!;

    protected override Task OnInitializedAsync() => TryAsync(async caller =>
    {
        Show(await Record.GetAsync(caller, CancellationToken.None));
        (_isAdministrator, _isKnown) = (caller.IsAdministrator, true);
    });

    async Task SaveAsync()
    {
        _isSaved = false;
        _isSaved = await TryAsync(async caller => Show(await Record.UpdateAsync(
            caller,
            row => (row.Name, row.Address, row.TechnicalContact, row.BillingContact) = (_name.Trim(), _address.Trim(), _technical.Trim(), _billing.Trim()),
            CancellationToken.None)));
    }

    void Show(Organization row) => (_name, _address, _technical, _billing) = (row.Name, row.Address, row.TechnicalContact, row.BillingContact);
}
