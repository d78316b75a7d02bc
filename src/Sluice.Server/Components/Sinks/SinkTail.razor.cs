using Microsoft.AspNetCore.Components;
using Sluice.Watch;

namespace Sluice.Server.Components.Sinks;

/// <summary>LIVE TAIL: records as they come, newest first, at most four renders a second.</summary>
public sealed partial class SinkTail : IDisposable
{
    const int MaxRecords = 200;

    static readonly TimeSpan RenderInterval = TimeSpan.FromMilliseconds(250);

    readonly List<TailRecord> _records = []; // newest first; of the page's own thread
    TailSubscription? _subscription;
    CancellationTokenSource _stop = new();
    bool _isPaused;
    long _missed;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    TimeProvider Time { get; set; } = null!;

    [Parameter, EditorRequired]
    public Guid SinkId { get; set; }

    [SupplyParameterFromQuery(Name = "filter")]
    string? Filter { get; set; }

    [SupplyParameterFromQuery(Name = "errors")]
    string? Errors { get; set; }

    bool OnlyErrors => Errors == "1";

    protected override Task OnInitializedAsync() => BeginAsync();

    public void Dispose()
    {
        End();
        _stop.Dispose();
    }

    Task WatchAsync(string parameter, string? value)
    {
        Remember(parameter, value);
        (Filter, Errors) = parameter == "filter" ? (value, Errors) : (Filter, value);
        _records.Clear();
        return BeginAsync();
    }

    Task PauseAsync()
    {
        _isPaused = !_isPaused;
        if (!_isPaused)
            return BeginAsync();
        End();
        return Task.CompletedTask;
    }

    Task BeginAsync() => TryAsync(caller =>
    {
        End();
        _stop.Dispose();
        _stop = new CancellationTokenSource();
        _subscription = Plane.Tail(caller, SinkId, new TailFilter(OnlyErrors, Filter ?? ""));
        _isPaused = false;
        _ = ShowAsync(_subscription, _stop.Token);
        return Task.CompletedTask;
    });

    void End()
    {
        _stop.Cancel();
        _subscription?.Dispose();
        _subscription = null;
    }

    async Task ShowAsync(TailSubscription subscription, CancellationToken stop)
    {
        try
        {
            while (await subscription.Records.WaitToReadAsync(stop))
            {
                await Rendering.RenderAsync(InvokeAsync, () => Take(subscription));
                await Task.Delay(RenderInterval, Time, stop);
            }
        }
        catch (OperationCanceledException)
        {
            // paused, or left
        }
    }

    void Take(TailSubscription subscription)
    {
        while (subscription.Records.TryRead(out var record))
        {
            _records.Insert(0, record);
            _missed += record.Missed;
        }
        if (_records.Count > MaxRecords)
            _records.RemoveRange(MaxRecords, _records.Count - MaxRecords);
        StateHasChanged();
    }
}
