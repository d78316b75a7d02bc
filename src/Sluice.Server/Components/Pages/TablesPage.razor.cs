using Microsoft.AspNetCore.Components;
using MudBlazor;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Dialogs;

namespace Sluice.Server.Components.Pages;

/// <summary>The tables of all databases, or of one.</summary>
public sealed partial class TablesPage
{
    const int PageSize = 50;

    List<CatalogDatabase>? _databases;
    List<CatalogTable>? _tables;
    int _page;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    IDialogService Dialogs { get; set; } = null!;

    [SupplyParameterFromQuery(Name = "q")]
    string? Search { get; set; }

    /// <summary>The id of a database; <c>null</c>: all.</summary>
    [SupplyParameterFromQuery(Name = "database")]
    string? Database { get; set; }

    List<CatalogTable> Found =>
    [
        .. _tables!.Where(table => (string.IsNullOrEmpty(Database) || table.DatabaseId.ToString() == Database) && table.Name.Contains(Search ?? "", StringComparison.OrdinalIgnoreCase)),
    ];

    protected override Task OnInitializedAsync() => ReadAsync();

    Task<bool> ReadAsync() => TryAsync(async caller =>
    {
        var databases = await Plane.ListDatabasesAsync(caller, CancellationToken.None);
        var tables = new List<CatalogTable>();
        foreach (var database in databases)
            tables.AddRange(await Plane.ListTablesAsync(caller, database.Id, CancellationToken.None));
        (_databases, _tables) = (databases, tables);
    });

    string NameOf(Guid databaseId) => _databases!.Find(database => database.Id == databaseId)?.Name ?? "";

    async Task CreateAsync()
    {
        var chosen = _databases!.Find(database => database.Id.ToString() == Database) ?? _databases[0];
        var parameters = new DialogParameters<NewTableDialog> { { it => it.Databases, _databases }, { it => it.DatabaseId, chosen.Id } };
        var dialog = await Dialogs.ShowAsync<NewTableDialog>("New table", parameters);
        if (await dialog.Result is { Canceled: false, Data: CatalogTable made })
            Navigation.NavigateTo($"/tables/{made.DatabaseId}/{made.Id}");
    }

    async Task DropAsync(CatalogTable table)
    {
        if (!await Dialogs.AskAsync($"Drop table {table.Name}?", "The table is dropped with all its rows; its data sources fail from then on.", table.Name, "Drop table"))
            return;
        if (await TryAsync(caller => Plane.DeleteTableAsync(caller, table.DatabaseId, table.Id.ToString(), CancellationToken.None)))
            await ReadAsync();
    }
}
