using Microsoft.AspNetCore.Components;
using Sluice.Server.Catalog;

namespace Sluice.Server.Components.Pages;

/// <summary>One data source; each tab is a component of its own.</summary>
public sealed partial class SinkPage
{
    static readonly (string, string)[] Tabs =
        [("overview", "Overview"), ("send", "Send records"), ("metrics", "Metrics"), ("errors", "Errors"), ("mapping", "Mapping"), ("tail", "Live tail")];

    CatalogSink? _sink;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Parameter]
    public Guid SinkId { get; set; }

    [SupplyParameterFromQuery(Name = "tab")]
    string? Tab { get; set; }

    [SupplyParameterFromQuery(Name = "range")]
    string? Range { get; set; }

    string Active => Tab ?? Tabs[0].Item1;

    protected override Task OnParametersSetAsync() => _sink?.Id == SinkId ? Task.CompletedTask : ReadAsync();

    Task ReadAsync() => TryAsync(async caller => _sink = await Plane.GetSinkAsync(caller, SinkId, CancellationToken.None));
}
