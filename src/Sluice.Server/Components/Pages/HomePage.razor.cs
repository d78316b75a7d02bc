using Microsoft.AspNetCore.Components;
using Sluice.Load;
using Sluice.Server.Catalog;

namespace Sluice.Server.Components.Pages;

/// <summary>The whole server at a glance, moving.</summary>
public sealed partial class HomePage : IDisposable
{
    const int PageSize = 50;
    const int MaxErrors = 10;

    // each costs a look into a database
    const int MaxSinksForErrors = 50;

    readonly List<(CatalogSink Sink, LateError Error)> _errors = [];
    List<CatalogSink>? _sinks;
    FeedMoment? _moment;
    IDisposable? _watching;
    int _page;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    SinkFeed Feed { get; set; } = null!;

    [Inject]
    RecordDesk Records { get; set; } = null!;

    protected override Task OnInitializedAsync() => TryAsync(async caller =>
    {
        var sinks = await Plane.ListSinksAsync(caller, CancellationToken.None);
        foreach (var sink in sinks.Where(sink => sink.Status == SinkStatus.Active).TakeLast(MaxSinksForErrors))
            _errors.AddRange((await Records.ReadErrorsAsync(caller, sink.Id, MaxErrors, CancellationToken.None)).Select(error => (sink, error)));
        _errors.Sort((a, b) => b.Error.TimeMicroseconds.CompareTo(a.Error.TimeMicroseconds));
        _errors.RemoveRange(Math.Min(MaxErrors, _errors.Count), Math.Max(0, _errors.Count - MaxErrors));
        _sinks = sinks;
        _moment = Feed.Latest;
        _watching = Feed.Watch(caller, Show);
    });

    public void Dispose() => _watching?.Dispose();

    FeedSecond Now => _moment?.Now ?? default;

    /// <summary>The last minute of a figure; what is before the server's start is not known.</summary>
    double[] Line(Func<FeedSecond, double> figure)
    {
        var seconds = _moment?.LastMinute ?? [];
        return [.. Enumerable.Repeat(double.NaN, SinkFeed.Seconds - seconds.Count), .. seconds.Select(figure)];
    }

    void Show(FeedMoment moment)
    {
        _moment = moment;
        _ = Rendering.RenderAsync(InvokeAsync, StateHasChanged);
    }
}
