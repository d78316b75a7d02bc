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

    // The page reads the address for its tabs: a component that comes or goes with a change of the address must not listen to it
    // itself, since the framework walks its listeners while they change.
    [SupplyParameterFromQuery(Name = "range")]
    string? Range { get; set; }

    [SupplyParameterFromQuery(Name = "lang")]
    string? Lang { get; set; }

    [SupplyParameterFromQuery(Name = "view")]
    string? View { get; set; }

    [SupplyParameterFromQuery(Name = "group")]
    string? Group { get; set; }

    [SupplyParameterFromQuery(Name = "filter")]
    string? Filter { get; set; }

    [SupplyParameterFromQuery(Name = "errors")]
    string? Errors { get; set; }

    string Active => Tab ?? Tabs[0].Item1;

    protected override Task OnParametersSetAsync() => _sink?.Id == SinkId ? Task.CompletedTask : ReadAsync();

    Task ReadAsync() => TryAsync(async caller => _sink = await Plane.GetSinkAsync(caller, SinkId, CancellationToken.None));
}
