using System.Text.Json;
using Microsoft.AspNetCore.Components;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Parts;

namespace Sluice.Server.Components.Sinks;

/// <summary>MAPPING: the present one, changed and tried in place.</summary>
public sealed partial class SinkMappings
{
    CodeEditor? _editor;
    MappingForm? _mapping;
    IReadOnlyDictionary<string, MappedSample>? _tried;
    JsonElement? _sample;
    string _sampleText = "";
    bool _isSaved;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Parameter, EditorRequired]
    public CatalogSink Sink { get; set; } = null!;

    /// <summary>A new version was saved.</summary>
    [Parameter]
    public EventCallback Changed { get; set; }

    protected override void OnInitialized() => Reset();

    void Reset()
    {
        (_isSaved, Fault) = (false, null);
        _mapping = MappingForm.Of(Sink.Table!.ToSchema(), Sink.Mapping.ReadSchema());
        if (_sampleText.Length == 0)
            _sampleText = SampleRecord.ValueOf(Sink.Mapping.ReadSchema(), _mapping.Table);
        TryMapping();
    }

    void Use(CatalogSinkMapping version)
    {
        (_isSaved, Fault) = (false, null);
        _mapping = MappingForm.Of(Sink.Table!.ToSchema(), version.ReadSchema());
        TryMapping();
    }

    async Task FollowAsync()
    {
        await Changed.InvokeAsync();
        Reset();
        _isSaved = true;
    }

    Task ReadSampleAsync() => TryAsync(async _ =>
    {
        _sample = SampleShape.Of(await _editor!.ReadTextAsync()).Records[0];
        _tried = _mapping!.Try(_sample.Value);
    });

    void TryMapping()
    {
        Fault = null;
        if (_sample is not { } sample)
            return;
        try
        {
            _tried = _mapping!.Try(sample);
        }
        catch (SluiceException e)
        {
            Fault = FaultText.Of(e);
        }
    }

    async Task SaveAsync()
    {
        if (!await TryAsync(caller => Plane.UpdateSinkAsync(caller, Sink.Id, SinkForm.ChangeOf(_mapping!.ToSchema()), keepOthers: true, CancellationToken.None)))
            return;
        await Changed.InvokeAsync();
        _isSaved = true;
    }
}
