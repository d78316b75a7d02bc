using Microsoft.AspNetCore.Components;
using MudBlazor;
using Sluice.Schema;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Dialogs;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Components.Pages;

/// <summary>One table: its columns, some of its rows, and what feeds it.</summary>
public sealed partial class TablePage
{
    const int SampleRows = 20;

    CatalogTable? _table;
    List<CatalogSink> _sinks = [];
    QueryAnswer? _sample;
    long? _rowCount;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    QueryDesk Queries { get; set; } = null!;

    [Inject]
    IDialogService Dialogs { get; set; } = null!;

    [Parameter]
    public Guid DatabaseId { get; set; }

    [Parameter]
    public Guid TableId { get; set; }

    string QueryPath => $"/query?database={DatabaseId}&sql={Uri.EscapeDataString($"SELECT * FROM {UserQuery.Quote(_table?.Name ?? "")} LIMIT 100")}";

    string Retention => RetentionText.Write(TimeSpan.FromSeconds(_table!.RetentionSeconds));

    protected override Task OnParametersSetAsync() => ReadAsync();

    Task<bool> ReadAsync() => TryAsync(async caller =>
    {
        _table = await Plane.GetTableAsync(caller, DatabaseId, TableId.ToString(), CancellationToken.None);
        _sinks = [.. (await Plane.ListSinksAsync(caller, CancellationToken.None)).Where(sink => sink.TableId == TableId)];
        var name = UserQuery.Quote(_table.Name);
        var count = await Queries.RunAsync(caller, DatabaseId, $"SELECT count(*) FROM {name}", firstRows: null, CancellationToken.None);
        _rowCount = count.Rows.Count == 1 ? count.Rows[0][0].GetInt64() : null;
        _sample = await Queries.RunAsync(caller, DatabaseId, $"SELECT * FROM {name}", SampleRows, CancellationToken.None);
    });

    async Task AddColumnAsync()
    {
        var dialog = await Dialogs.ShowAsync<NewColumnDialog>("Add column", new DialogParameters<NewColumnDialog> { { it => it.Table, _table } });
        if (await dialog.Result is { Canceled: false })
            await ReadAsync();
    }

    async Task ChangeRetentionAsync()
    {
        if (await Dialogs.AskTextAsync($"How long rows of {_table!.Name} are kept", "Keep rows for", Retention, RetentionText.Hint) is { } text
            && await TryAsync(caller => Plane.SetRetentionAsync(caller, DatabaseId, TableId.ToString(), RetentionText.Read(text), CancellationToken.None)))
        {
            await ReadAsync();
        }
    }

    async Task DropColumnAsync(CatalogColumn column)
    {
        if (!await Dialogs.AskAsync($"Drop column {column.Name}?", "The column is dropped with its values in every row, and the mappings of data sources lose it.", column.Name, "Drop column"))
            return;
        if (await TryAsync(caller => Plane.DropColumnAsync(caller, DatabaseId, TableId.ToString(), column.Name, CancellationToken.None)))
            await ReadAsync();
    }

    static string Constraints(Column column)
    {
        var parts = new[] { Bounds(column.Type), column.IsRequired ? "required" : "", column.Default is { } value ? $"default {value}" : "" };
        return parts.Where(part => part.Length > 0).DefaultIfEmpty("–").Aggregate((before, part) => $"{before}, {part}");
    }

    static string Bounds(ColumnType type) => type.Kind switch
    {
        ColumnKind.Int when type.Min != long.MinValue || type.Max != long.MaxValue => $"{type.Min} to {type.Max}",
        ColumnKind.Timestamp => $"in {TimeUnits.Write(type.Unit)}",
        ColumnKind.IdSetQ or ColumnKind.StringSetQ => $"quantum {type.TimeQuantum}{(type.TimeToLive > TimeSpan.Zero ? $", kept {TimeToLive.Write(type.TimeToLive)}" : "")}",
        _ => "",
    };
}
