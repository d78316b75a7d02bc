using Microsoft.AspNetCore.Components;
using Sluice.Watch;

namespace Sluice.Server.Components.Sinks;

/// <summary>LIVE TAIL: records as they come, newest first, at most two renders a second, and fewer where many pages are open.</summary>
public sealed partial class SinkTail
{
    const int MaxRecords = 200;

    // 40 a second: more than anybody reads, and all that a page should cost
    const int MaxNewRecords = 20;

    static readonly TimeSpan RenderInterval = TimeSpan.FromMilliseconds(500);

    // without records; with them each render asks
    static readonly TimeSpan AskInterval = TimeSpan.FromSeconds(15);

    readonly List<TailRecord> _records = []; // newest first; of the page's own thread
    TailSubscription? _subscription;
    CancellationTokenSource _stop = new();
    (string? Filter, string? Errors) _watched;
    bool _isPaused;
    long _missed;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    SinkFeed Feed { get; set; } = null!;

    [Inject]
    TimeProvider Time { get; set; } = null!;

    [Parameter, EditorRequired]
    public Guid SinkId { get; set; }

    /// <summary>Part of the text; <c>null</c>: all.</summary>
    [Parameter]
    public string? Filter { get; set; }

    /// <summary>1: rejected records alone.</summary>
    [Parameter]
    public string? Errors { get; set; }

    bool OnlyErrors => Errors == "1";

    protected override Task OnInitializedAsync() => BeginAsync();

    public override void Dispose()
    {
        End();
        _stop.Dispose();
        base.Dispose();
    }

    /// <summary>Another filter has come with the address.</summary>
    protected override Task OnParametersSetAsync()
    {
        if (_subscription is null || _watched == (Filter, Errors))
            return Task.CompletedTask;
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
        _watched = (Filter, Errors);
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
            var coming = subscription.Records.WaitToReadAsync(stop).AsTask();
            while (true)
            {
                await Task.WhenAny(coming, Task.Delay(AskInterval, Time, stop));
                stop.ThrowIfCancellationRequested();
                await InvokeAsync(() => LookAsync(subscription, stop));
                if (coming.IsCompleted && !await coming)
                    return; // its source is gone
                if (coming.IsCompleted)
                    coming = subscription.Records.WaitToReadAsync(stop).AsTask();
                await Task.Delay(RenderInterval * Feed.Pace, Time, stop);
            }
        }
        catch (OperationCanceledException)
        {
            // paused, refused, or left
        }
        catch (ObjectDisposedException)
        {
            // left between the look and the render
        }
    }

    /// <summary>Shows what has come to who may still see it; for others the tail ends.</summary>
    async Task LookAsync(TailSubscription subscription, CancellationToken stop)
    {
        var mayRead = await TryAsync(caller =>
        {
            ControlPlane.RequireRead(caller);
            return Task.CompletedTask;
        });
        if (stop.IsCancellationRequested)
            return;
        if (mayRead)
        {
            Take(subscription);
            return;
        }
        End();
        _isPaused = true;
        StateHasChanged();
    }

    void Take(TailSubscription subscription)
    {
        var newest = new Queue<TailRecord>();
        while (subscription.Records.TryRead(out var record))
        {
            newest.Enqueue(record);
            _missed += record.Missed;
            if (newest.Count <= MaxNewRecords)
                continue;
            newest.Dequeue();
            _missed++;
        }
        _records.InsertRange(0, newest.Reverse());
        if (_records.Count > MaxRecords)
            _records.RemoveRange(MaxRecords, _records.Count - MaxRecords);
        StateHasChanged();
    }
}
