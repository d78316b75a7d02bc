using Microsoft.AspNetCore.Components;
using MudBlazor;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Dialogs;

namespace Sluice.Server.Components.Pages;

/// <summary>All databases.</summary>
public sealed partial class DatabasesPage
{
    const int PageSize = 50;

    List<CatalogDatabase>? _databases;
    int _page;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    IDialogService Dialogs { get; set; } = null!;

    [SupplyParameterFromQuery(Name = "q")]
    string? Search { get; set; }

    List<CatalogDatabase> Found => [.. _databases!.Where(database => database.Name.Contains(Search ?? "", StringComparison.OrdinalIgnoreCase))];

    protected override Task OnInitializedAsync() => ReadAsync();

    Task<bool> ReadAsync() => TryAsync(async caller => _databases = await Plane.ListDatabasesAsync(caller, CancellationToken.None));

    async Task CreateAsync()
    {
        var dialog = await Dialogs.ShowAsync<NewDatabaseDialog>("New database");
        if (await dialog.Result is { Canceled: false })
            await ReadAsync();
    }

    async Task DeleteAsync(CatalogDatabase database)
    {
        if (!await Dialogs.AskAsync($"Delete {database.Name}?", "The database is deleted with all its tables and rows; their data sources fail from then on.", database.Name))
            return;
        if (await TryAsync(caller => Plane.DeleteDatabaseAsync(caller, database.Id, force: true, CancellationToken.None)))
            await ReadAsync();
    }
}
