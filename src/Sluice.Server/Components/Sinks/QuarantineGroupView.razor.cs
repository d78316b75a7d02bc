using System.Text.Json;
using Microsoft.AspNetCore.Components;
using MudBlazor;
using Sluice.Client;
using Sluice.Quarantine;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Dialogs;

namespace Sluice.Server.Components.Sinks;

/// <summary>The records that failed alike: tried with another mapping, replayed, or thrown away.</summary>
public sealed partial class QuarantineGroupView
{
    CatalogSink? _sink;
    MappingForm? _mapping;
    IReadOnlyDictionary<string, MappedSample>? _tried;
    ReplayOutcome? _outcome;
    string? _done;
    bool _isTrial;
    int _version;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    IDialogService Dialogs { get; set; } = null!;

    [Parameter, EditorRequired]
    public Guid SinkId { get; set; }

    [Parameter, EditorRequired]
    public QuarantineGroup Group { get; set; } = null!;

    /// <summary>Something was replayed or discarded.</summary>
    [Parameter]
    public EventCallback Changed { get; set; }

    /// <summary>A new mapping was saved.</summary>
    [Parameter]
    public EventCallback MappingSaved { get; set; }

    QuarantineChoice Choice => new(Group.Signature.Id, null);

    Task OpenMappingAsync() => TryAsync(async caller =>
    {
        _sink = await Plane.GetSinkAsync(caller, SinkId, CancellationToken.None);
        _mapping = _mapping is null ? MappingForm.Of(_sink.Table!.ToSchema(), _sink.Mapping.ReadSchema()) : null;
        TryMapping();
    });

    /// <summary>The newest record of the group stands beside the paths.</summary>
    void TryMapping()
    {
        Fault = null;
        if (_mapping is null || Group.Sample?.Raw is not { } raw)
            return;
        try
        {
            _tried = _mapping.Try(SampleText.ValueOf(raw, Group.Sample.Form));
        }
        catch (Exception e) when (e is SluiceException or JsonException)
        {
            Fault = e is JsonException ? "The newest record is no JSON, so no mapping will do." : FaultText.Of(e);
        }
    }

    Task TryOnGroupAsync() => RunAsync(_mapping!.ToSchema, isDryRun: true);

    Task ReplayAsync() => RunAsync(() => null, isDryRun: false);

    async Task SaveAndReplayAsync()
    {
        if (!await TryAsync(caller => Plane.UpdateSinkAsync(caller, SinkId, SinkForm.ChangeOf(_mapping!.ToSchema()), keepOthers: true, CancellationToken.None)))
            return;
        await MappingSaved.InvokeAsync();
        await RunAsync(() => null, isDryRun: false);
    }

    async Task RunAsync(Func<SinkSchema?> trial, bool isDryRun)
    {
        _done = null;
        if (!await TryAsync(async caller => _outcome = await Plane.ReplayAsync(caller, SinkId, Choice, trial(), isDryRun, CancellationToken.None)))
            return;
        _isTrial = isDryRun;
        if (!isDryRun)
            await TellAsync();
    }

    async Task DiscardAsync()
    {
        if (!await Dialogs.AskAsync("Discard the records?", $"{Words.Plural(Group.Waiting, "record")} that failed are thrown away; they stay counted.", "DISCARD", "Discard"))
            return;
        if (await TryAsync(async caller => _done = $"{Words.Plural(await Plane.DiscardAsync(caller, SinkId, Choice, CancellationToken.None), "record")} discarded."))
            await TellAsync();
    }

    Task TellAsync()
    {
        _version++;
        return Changed.InvokeAsync();
    }
}
