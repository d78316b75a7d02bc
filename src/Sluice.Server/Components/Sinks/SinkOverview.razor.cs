using Microsoft.AspNetCore.Components;
using Sluice.Server.Catalog;

namespace Sluice.Server.Components.Sinks;

/// <summary>What a data source is, what it does now, and how to send to it.</summary>
public sealed partial class SinkOverview : IDisposable
{
    SinkPulse? _pulse;
    IDisposable? _watching;
    string _snippet = "";
    bool _allowsMissing;

    [Inject]
    SinkFeed Feed { get; set; } = null!;

    [Parameter, EditorRequired]
    public CatalogSink Sink { get; set; } = null!;

    /// <summary>Of the snippet; anything unknown is the first.</summary>
    [Parameter]
    public string? Lang { get; set; }

    string Language => Snippets.Languages.FirstOrDefault(language => language == Lang) ?? Snippets.Languages[0];

    string Endpoint => $"{Navigation.BaseUri}v2/sinks/{Sink.Id}";

    protected override Task OnInitializedAsync() => TryAsync(caller =>
    {
        _pulse = Feed.Latest?.Sinks.GetValueOrDefault(Sink.Id);
        _watching = Feed.Watch(caller, Show);
        return Task.CompletedTask;
    });

    protected override void OnParametersSet()
    {
        var mapping = Sink.Mapping.ReadSchema();
        _allowsMissing = mapping.AllowMissingFields;
        _snippet = Snippets.Of(Language, Endpoint, SampleRecord.BodyOf(mapping, Sink.Table!.ToSchema()));
    }

    public void Dispose() => _watching?.Dispose();

    void Show(FeedMoment moment)
    {
        _pulse = moment.Sinks.GetValueOrDefault(Sink.Id);
        _ = Rendering.RenderAsync(InvokeAsync, StateHasChanged);
    }
}
