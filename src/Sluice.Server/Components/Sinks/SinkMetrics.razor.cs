using Microsoft.AspNetCore.Components;
using Sluice.Server.Accounts;
using Sluice.Server.Components.Parts;

namespace Sluice.Server.Components.Sinks;

/// <summary>What a data source did by the minute.</summary>
public sealed partial class SinkMetrics
{
    // a drawing has no room for more
    const int MaxPoints = 180;

    static readonly MetricRange[] Ranges =
        [new("15m", "Last 15 minutes", 15), new("1h", "Last hour", 60), new("6h", "Last 6 hours", 360), new("24h", "Last 24 hours", 1_440), new("7d", "Last 7 days", 10_080), new("31d", "Last 31 days", 44_640)];

    DateTimeOffset _from;
    DateTimeOffset _to;
    IReadOnlyList<ChartLine> _ingest = [];
    IReadOnlyList<ChartLine> _requests = [];
    IReadOnlyList<ChartLine> _errors = [];
    IReadOnlyList<ChartLine> _loaded = [];
    IReadOnlyList<ChartLine> _lag = [];
    long _shown;

    [Inject]
    RecordDesk Records { get; set; } = null!;

    [Inject]
    SinkFeed Feed { get; set; } = null!;

    [Inject]
    TimeProvider Time { get; set; } = null!;

    [Parameter, EditorRequired]
    public Guid SinkId { get; set; }

    /// <summary>Name of a range; anything else is the last hour.</summary>
    [Parameter]
    public string? Range { get; set; }

    MetricRange Chosen => Ranges.FirstOrDefault(range => range.Name == Range) ?? Ranges[1];

    protected override Task OnInitializedAsync() => TryAsync(caller =>
    {
        Keep(Feed.Watch(caller, moment => _ = Rendering.RenderAsync(InvokeAsync, () => Follow(moment))));
        return Task.CompletedTask;
    });

    protected override Task OnParametersSetAsync() => TryAsync(ReadAsync);

    /// <summary>Minutes change once a minute, but the present one every second.</summary>
    void Follow(FeedMoment moment)
    {
        var now = moment.At.ToUnixTimeSeconds();
        if (now - _shown < 5)
            return;
        _ = TryAsync(ReadAsync).ContinueWith(_ => Rendering.RenderAsync(InvokeAsync, StateHasChanged), TaskScheduler.Default);
    }

    Task ReadAsync(Caller caller)
    {
        var now = Time.GetUtcNow();
        _shown = now.ToUnixTimeSeconds();
        var last = _shown / 60;
        var first = last - Chosen.Minutes + 1;
        (_from, _to) = (DateTimeOffset.UnixEpoch.AddMinutes(first), DateTimeOffset.UnixEpoch.AddMinutes(last));

        var minutes = Records.ReadMinutes(caller, SinkId).Where(point => point.Minute >= first).ToList();
        _ingest = [new("records", Spread(minutes, first, point => point.Minute, point => point.Accepted))];
        _requests = [new("requests", Spread(minutes, first, point => point.Minute, point => point.Requests))];
        _errors = [new("records", Spread(minutes, first, point => point.Minute, point => point.Rejected))];
        var loads = Feed.ReadLoadMinutes(caller, SinkId).Where(point => point.Minute >= first).ToList();
        _loaded = [new("records", Known(loads, first, point => point.Loaded))];
        _lag =
        [
            new("p50", Known(loads, first, point => point.LagMedian.TotalSeconds, worst: true)),
            new("p99", Known(loads, first, point => point.LagHigh.TotalSeconds, worst: true)),
        ];
        return Task.CompletedTask;
    }

    /// <summary>Values evenly over the range: the mean of the minutes that share a place, a minute without a point being zero; or the worst of them.</summary>
    double[] Spread<T>(List<T> points, long first, Func<T, long> minute, Func<T, double> value, bool worst = false)
    {
        var count = Math.Min(MaxPoints, Chosen.Minutes);
        var perPlace = Chosen.Minutes / (double)count;
        var places = new double[count];
        foreach (var point in points)
        {
            var place = Math.Min(count - 1, (int)((minute(point) - first) / perPlace));
            places[place] = worst ? Math.Max(places[place], value(point)) : places[place] + value(point) / perPlace;
        }
        return places;
    }

    /// <summary>What is known of a minute once it is over leaves the present one out.</summary>
    double[] Known(List<LoadMinute> minutes, long first, Func<LoadMinute, double> value, bool worst = false)
    {
        var places = Spread(minutes, first, point => point.Minute, value, worst);
        if (minutes is not [.., var last] || last.Minute < first + Chosen.Minutes - 1)
            places[^1] = double.NaN;
        return places;
    }

    sealed record MetricRange(string Name, string Text, int Minutes);
}
