using System.Globalization;
using Microsoft.AspNetCore.Components;
using MudBlazor;
using Sluice.Load;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Dialogs;

namespace Sluice.Server.Components.Pages;

/// <summary>All data sources, with what they take at this moment.</summary>
public sealed partial class SinksPage
{
    const int PageSize = 50;

    readonly Dictionary<Guid, DateTimeOffset> _last = [];
    List<CatalogSink>? _sinks;
    FeedMoment? _moment;
    int _page;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    RecordDesk Records { get; set; } = null!;

    [Inject]
    SinkFeed Feed { get; set; } = null!;

    [Inject]
    IDialogService Dialogs { get; set; } = null!;

    [SupplyParameterFromQuery(Name = "q")]
    string? Search { get; set; }

    List<CatalogSink> Found => [.. _sinks!.Where(sink => sink.Name.Contains(Search ?? "", StringComparison.OrdinalIgnoreCase))];

    protected override async Task OnInitializedAsync()
    {
        if (await ReadAsync())
            await TryAsync(caller =>
            {
                Keep(Feed.Watch(caller, moment => _ = Rendering.RenderAsync(InvokeAsync, () => Show(moment))));
                return Task.CompletedTask;
            });
    }

    Task<bool> ReadAsync() => TryAsync(async caller =>
    {
        var sinks = await Plane.ListSinksAsync(caller, CancellationToken.None);
        foreach (var sink in sinks.Where(sink => sink.Status == SinkStatus.Active))
        {
            try
            {
                if (Records.ReadMinutes(caller, sink.Id) is [.., var last])
                    _last[sink.Id] = DateTimeOffset.UnixEpoch.AddMinutes(last.Minute);
            }
            catch (Exception e) when (e is SluiceException or StoreException)
            {
                // deleted meanwhile, or its database is damaged; the others have theirs
            }
        }
        _moment = Feed.Latest;
        _sinks = sinks;
    });

    void Show(FeedMoment moment)
    {
        foreach (var (id, pulse) in moment.Sinks)
        {
            if (pulse.RequestsPerSecond > 0)
                _last[id] = moment.At;
        }
        _moment = moment;
        StateHasChanged();
    }

    async Task DeleteAsync(CatalogSink sink)
    {
        if (!await Dialogs.AskAsync($"Delete {sink.Name}?", "Its address takes no more records. What it has accepted is still loaded; its errors and counters are no longer shown.", sink.Name))
            return;
        if (await TryAsync(caller => Plane.DeleteSinkAsync(caller, sink.Id, CancellationToken.None)))
            await ReadAsync();
    }

    static string Share(SinkPulse? pulse) => pulse is null or { Ledger.Received: 0 }
        ? "–"
        : (100.0 * pulse.Ledger.Rejected / pulse.Ledger.Received).ToString("0.##", CultureInfo.InvariantCulture) + " %";
}
