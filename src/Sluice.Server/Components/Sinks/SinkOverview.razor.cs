using Microsoft.AspNetCore.Components;
using MudBlazor;
using Sluice.Quotas;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Dialogs;

namespace Sluice.Server.Components.Sinks;

/// <summary>What a data source is, what it does now, and how to send to it.</summary>
public sealed partial class SinkOverview
{
    SinkPulse? _pulse;
    string _snippet = "";
    bool _allowsMissing;
    bool _mayChange;
    Quota _quota = new();

    [Inject]
    SinkFeed Feed { get; set; } = null!;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    IDialogService Dialogs { get; set; } = null!;

    [Parameter, EditorRequired]
    public CatalogSink Sink { get; set; } = null!;

    /// <summary>The quota was changed.</summary>
    [Parameter]
    public EventCallback Changed { get; set; }

    /// <summary>Of the snippet; anything unknown is the first.</summary>
    [Parameter]
    public string? Lang { get; set; }

    string Language => Snippets.Languages.FirstOrDefault(language => language == Lang) ?? Snippets.Languages[0];

    string Endpoint => $"{Navigation.BaseUri}v2/sinks/{Sink.Id}";

    protected override Task OnInitializedAsync() => TryAsync(caller =>
    {
        _mayChange = Policies.Allows(caller.Role, Policies.Write);
        _pulse = Feed.Latest?.Sinks.GetValueOrDefault(Sink.Id);
        Keep(Feed.Watch(caller, moment => _ = Rendering.RenderAsync(InvokeAsync, () => Show(moment))));
        return Task.CompletedTask;
    });

    protected override void OnParametersSet()
    {
        var mapping = Sink.Mapping.ReadSchema();
        _allowsMissing = mapping.AllowMissingFields;
        _quota = Plane.QuotaOf(Sink);
        _snippet = Snippets.Of(Language, Endpoint, SampleRecord.BodyOf(mapping, Sink.Table!.ToSchema()));
    }

    async Task ChangeQuotaAsync()
    {
        if (await Dialogs.AskQuotaAsync(Sink.Name, _quota, (caller, quota) => Plane.UpdateSinkAsync(caller, Sink.Id, SinkForm.ChangeOf(quota), keepOthers: true, CancellationToken.None)))
            await Changed.InvokeAsync();
    }

    void Show(FeedMoment moment)
    {
        _pulse = moment.Sinks.GetValueOrDefault(Sink.Id);
        StateHasChanged();
    }
}
