using System.Text.Json;
using Microsoft.AspNetCore.Components;
using Sluice.Client;
using Sluice.Server.Catalog;

namespace Sluice.Server.Components.Sinks;

/// <summary>Fields of the newest records that the mapping leaves out.</summary>
public sealed partial class DriftInbox
{
    const int MaxFields = 50;

    List<ColumnChoice> _fields = [];

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Parameter, EditorRequired]
    public CatalogSink Sink { get; set; } = null!;

    /// <summary>A column was added and mapped.</summary>
    [Parameter]
    public EventCallback Changed { get; set; }

    protected override Task OnParametersSetAsync() => TryAsync(caller =>
    {
        var records = Plane.ReadSample(caller, Sink.Id).Select(ValueOf).OfType<JsonElement>().Where(value => value.ValueKind == JsonValueKind.Object).ToList();
        var mapped = Sink.Mapping.ReadSchema().Definition.Select(field => DotPath.Write(field.Path)).ToList();
        if (records.Count > 0)
        {
            var shape = SampleShape.Of(records);
            var names = Sink.Table!.Columns.Select(column => column.Name).ToHashSet();
            // the proposal's own key is a field like others here; what stands under or above a mapped path is not unknown
            _fields = [.. shape.Columns.Where(column => !mapped.Any(path => IsWithin(path, column.Path) || IsWithin(column.Path, path)) && !names.Contains(column.Form.Name))];
        }
        return Task.CompletedTask;
    });

    async Task AddAsync(ColumnChoice field)
    {
        var isAdded = await TryAsync(async caller =>
        {
            await Plane.AddColumnAsync(caller, Sink.DatabaseId, Sink.TableId.ToString(), field.Form.ToColumn(), CancellationToken.None);
            var schema = (await Plane.GetSinkAsync(caller, Sink.Id, CancellationToken.None)).Mapping.ReadSchema();
            var changed = DotPath.TryParse(field.Path, out var path)
                ? schema with { Definition = [.. schema.Definition, new SinkField(field.Form.Name, path)] }
                : throw new SluiceException(ErrorCode.InvalidParameter, $"The path {field.Path} cannot be mapped.");
            await Plane.UpdateSinkAsync(caller, Sink.Id, SinkForm.ChangeOf(changed), keepOthers: true, CancellationToken.None);
        });
        if (isAdded)
            await Changed.InvokeAsync();
    }

    static JsonElement? ValueOf(Watch.SampledRecord record)
    {
        try
        {
            return SampleText.ValueOf(record.Raw, record.Form);
        }
        catch (JsonException)
        {
            return null; // what is no JSON has no fields
        }
    }

    static bool IsWithin(string path, string outer) => path == outer || path.StartsWith(outer + ".", StringComparison.Ordinal);
}
