using Microsoft.AspNetCore.Components;
using Microsoft.JSInterop;
using Sluice.Client;
using Sluice.Schema;
using Sluice.Server.Accounts;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Parts;

namespace Sluice.Server.Components.Pages;

/// <summary>The wizard: a data source for a table that is there, or both from a sample.</summary>
public sealed partial class NewSinkPage
{
    const string Example = """
        {"order": {"id": 1001, "price": 12.50, "currency": "EUR"}, "placed": "2026-01-01T09:30:00Z", "tags": ["new", "web"], "paid": true}
        {"order": {"id": 1002, "price": 7.25, "currency": "EUR"}, "placed": "2026-01-01T09:31:12Z", "tags": ["web"], "paid": false}
        """;

    CodeEditor? _editor;
    List<CatalogDatabase>? _databases;
    List<CatalogTable> _tables = [];
    SampleShape? _shape;
    MappingForm? _mapping;
    IReadOnlyDictionary<string, MappedSample>? _tried;
    string _sampleText = "";
    string _name = "";
    string _databaseName = "main";
    string _tableName = "events";
    Guid _databaseId;
    Guid _tableId;
    bool _allowMissing = true;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    IJSRuntime Script { get; set; } = null!;

    /// <summary>sample or table.</summary>
    [SupplyParameterFromQuery(Name = "mode")]
    string? Mode { get; set; }

    /// <summary>Anything: begins with a sample that is made up.</summary>
    [SupplyParameterFromQuery(Name = "example")]
    string? WithExample { get; set; }

    [SupplyParameterFromQuery(Name = "database")]
    string? Database { get; set; }

    [SupplyParameterFromQuery(Name = "table")]
    string? Table { get; set; }

    bool IsSample => Mode == "sample" || (Mode is null && IdOf(Table) is null);

    int Step => IsSample && _shape is null ? 1 : CanCreate ? 3 : 2;

    IReadOnlyList<(int, string)> Steps => IsSample
        ? [(1, "Sample"), (2, "Name and target"), (3, "Columns")]
        : [(1, "Sample"), (2, "Name and target"), (3, "Column mappings")];

    bool CanCreate => _name.Trim().Length > 0 && (IsSample ? _shape is not null : _mapping is not null);

    protected override Task OnInitializedAsync()
    {
        _sampleText = WithExample is null ? "" : Example;
        if (WithExample is not null)
            _tableName = "orders";
        return TryAsync(async caller =>
        {
            var databases = await Plane.ListDatabasesAsync(caller, CancellationToken.None);
            _databaseId = databases.Find(database => database.Id == IdOf(Database))?.Id ?? databases.FirstOrDefault()?.Id ?? Guid.Empty;
            await ReadTablesAsync(caller);
            _databases = databases;
        });
    }

    Task ChooseDatabaseAsync() => TryAsync(ReadTablesAsync);

    async Task ReadTablesAsync(Caller caller)
    {
        _tables = _databaseId == Guid.Empty ? [] : [.. (await Plane.ListTablesAsync(caller, _databaseId, CancellationToken.None)).Where(table => table.Status == TableStatus.Running)];
        _tableId = (_tables.Find(table => table.Id == IdOf(Table)) ?? _tables.FirstOrDefault())?.Id ?? Guid.Empty;
        ChooseTable();
    }

    void ChooseTable()
    {
        _mapping = _tables.Find(table => table.Id == _tableId) is { } table ? MappingForm.Of(table.ToSchema(), schema: null) : null;
        if (_mapping is not null && _name.Length == 0 && !IsSample)
            _name = $"{_mapping.Table.Name}-stream";
        TryMapping();
    }

    Task ReadSampleAsync() => TryAsync(async _ =>
    {
        _sampleText = await _editor!.ReadTextAsync();
        _shape = SampleShape.Of(_sampleText);
        if (_name.Length == 0)
            _name = $"{_tableName}-stream";
        TryMapping();
    });

    void TryMapping()
    {
        Fault = null;
        try
        {
            _tried = _shape is not null && _mapping is not null && !IsSample ? _mapping.Try(_shape.Records[0]) : null;
        }
        catch (SluiceException e)
        {
            Fault = FaultText.Of(e);
        }
    }

    async Task CreateAsync()
    {
        if (IsBusy || !CanCreate)
            return; // a double click
        CatalogSink? sink = null;
        if (!await TryAsync(async caller => sink = IsSample ? await CreateBothAsync(caller) : await CreateSinkAsync(caller, _databaseId, _tableId, _mapping!.ToSchema())))
            return;
        if (_shape is not null)
            await Script.InvokeVoidAsync("sluice.write", $"sample.{sink!.Id}", _shape.Lines);
        if (!IsLeft)
            Navigation.NavigateTo($"/sinks/{sink!.Id}{(_shape is null ? "" : "?tab=send")}");
    }

    /// <summary>A table whose source is refused is taken back; a database stays, and the form has it chosen.</summary>
    async Task<CatalogSink> CreateBothAsync(Caller caller)
    {
        var shape = _shape!;
        var taken = shape.Columns.Where(column => column.IsTaken).ToList();
        var key = shape.IsNumberKey ? KeyKind.Number : KeyKind.String;
        var columns = taken.Select(column => column.Form.ToColumn()).ToList();
        ResourceNames.Check(_name.Trim(), "name");
        if (_databaseId == Guid.Empty)
        {
            var database = await Plane.CreateDatabaseAsync(caller, _databaseName.Trim(), shape: null, CancellationToken.None);
            _databases!.Add(database);
            _databaseId = database.Id;
        }
        var table = await Plane.CreateTableAsync(caller, _databaseId, new NewTable(_tableName.Trim(), key, "", columns) { IsAutoId = shape.IsAutoId }, CancellationToken.None);
        var mapping = MappingForm.Of(table.ToSchema(), schema: null);
        mapping.AllowMissing = _allowMissing;
        foreach (var row in mapping.Rows)
            row.Path = row.Column == TableSchema.KeyColumnName ? shape.KeyPath : taken.Find(column => column.Form.Name.Trim() == row.Column)?.Path ?? "";
        try
        {
            return await CreateSinkAsync(caller, _databaseId, table.Id, mapping.ToSchema());
        }
        catch (SluiceException)
        {
            await Plane.DeleteTableAsync(caller, _databaseId, table.Id.ToString(), CancellationToken.None);
            throw;
        }
    }

    static Guid? IdOf(string? text) => Guid.TryParse(text, out var id) ? id : null;

    Task<CatalogSink> CreateSinkAsync(Caller caller, Guid databaseId, Guid tableId, SinkSchema schema) =>
        Plane.CreateSinkAsync(caller, SinkForm.BodyOf(_name.Trim(), databaseId, tableId, schema), CancellationToken.None);
}
