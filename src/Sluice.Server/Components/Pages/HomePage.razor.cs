using Microsoft.AspNetCore.Components;
using Sluice.Load;
using Sluice.Server.Catalog;

namespace Sluice.Server.Components.Pages;

/// <summary>The whole server at a glance, moving.</summary>
public sealed partial class HomePage
{
    const int PageSize = 50;
    const int MaxErrors = 10;

    // each costs a look into a database
    const int MaxSinksForErrors = 50;

    List<(CatalogSink Sink, LateError Error)> _errors = [];
    List<CatalogSink>? _sinks;
    FeedMoment? _moment;
    HashSet<Guid> _known = [];
    int _page;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    SinkFeed Feed { get; set; } = null!;

    [Inject]
    RecordDesk Records { get; set; } = null!;

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
        var errors = new List<(CatalogSink Sink, LateError Error)>();
        var sinks = await Plane.ListSinksAsync(caller, CancellationToken.None);
        foreach (var sink in sinks.Where(sink => sink.Status == SinkStatus.Active).TakeLast(MaxSinksForErrors))
        {
            try
            {
                errors.AddRange((await Records.ReadErrorsAsync(caller, sink.Id, MaxErrors, CancellationToken.None)).Select(error => (sink, error)));
            }
            catch (Exception e) when (e is SluiceException or StoreException)
            {
                // deleted meanwhile, or its database is damaged; the others have theirs
            }
        }
        _errors = [.. errors.OrderByDescending(error => error.Error.TimeMicroseconds).Take(MaxErrors)];
        _sinks = sinks;
        _moment = Feed.Latest;
        _known = [.. _moment?.Sinks.Keys ?? []];
    });

    FeedSecond Now => _moment?.Now ?? default;

    /// <summary>The last minute of a figure; what is before the server's start is not known.</summary>
    double[] Line(Func<FeedSecond, double> figure)
    {
        var seconds = _moment?.LastMinute ?? [];
        return [.. Enumerable.Repeat(double.NaN, SinkFeed.Seconds - seconds.Count), .. seconds.Select(figure)];
    }

    /// <summary>A source that was made meanwhile is seen too.</summary>
    void Show(FeedMoment moment)
    {
        var isNew = !moment.Sinks.Keys.All(_known.Contains);
        (_moment, _known) = (moment, [.. moment.Sinks.Keys]);
        if (isNew)
            _ = ReadAgainAsync();
        else
            StateHasChanged();
    }

    async Task ReadAgainAsync()
    {
        await ReadAsync();
        StateHasChanged();
    }
}
