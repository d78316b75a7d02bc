using System.Globalization;
using Microsoft.AspNetCore.Components;
using Microsoft.JSInterop;
using Sluice.Schema;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Parts;

namespace Sluice.Server.Components.Pages;

/// <summary>SQL: an editor, what there is to ask, and the answer.</summary>
public sealed partial class QueryPage
{
    static readonly string[] Keywords =
        ["SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "HAVING", "LIMIT", "JOIN", "LEFT JOIN", "ON", "AS", "AND", "OR", "NOT", "IN", "BETWEEN", "IS NULL", "COUNT(*)", "SUM", "AVG", "MIN", "MAX", "DISTINCT", "CASE", "WHEN", "THEN", "ELSE", "END", "WITH", "UNION ALL", "DESC", "SHOW TABLES", "SHOW COLUMNS FROM", "INSERT INTO", "VALUES"];

    const int All = 0;

    static readonly int[] Limits = [10, 100, 1_000, 10_000, All];

    readonly CancellationTokenSource _leaving = new();
    CodeEditor? _editor;
    QueryHistory? _history;
    List<CatalogDatabase>? _databases;
    List<CatalogTable> _tables = [];
    QueryAnswer? _answer;
    CancellationTokenSource? _running;
    string _ran = "";
    Guid _ranOn;
    string _firstText = "";
    string? _side;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    QueryDesk Queries { get; set; } = null!;

    [Inject]
    IJSRuntime Script { get; set; } = null!;

    [Inject]
    TimeProvider Time { get; set; } = null!;

    /// <summary>The id of a database; anything unknown is the first.</summary>
    [SupplyParameterFromQuery(Name = "database")]
    string? Database { get; set; }

    /// <summary>Stands in the editor at first; it is not run before somebody says so.</summary>
    [SupplyParameterFromQuery(Name = "sql")]
    string? Sql { get; set; }

    /// <summary>Rows of an answer that are shown; anything unknown is 100.</summary>
    [SupplyParameterFromQuery(Name = "limit")]
    string? Limit { get; set; }

    int Rows => int.TryParse(Limit, CultureInfo.InvariantCulture, out var limit) && Limits.Contains(limit) ? limit : Limits[1];

    Guid DatabaseId => (Guid.TryParse(Database, out var asked) ? _databases!.Find(database => database.Id == asked) : null)?.Id ?? _databases![0].Id;

    protected override Task OnInitializedAsync()
    {
        _firstText = Sql ?? "";
        return TryAsync(async caller =>
        {
            _databases = await Plane.ListDatabasesAsync(caller, CancellationToken.None);
            if (_databases.Count > 0)
                await ReadTablesAsync();
        });
    }

    public override void Dispose()
    {
        _running?.Cancel();
        _running?.Dispose();
        _leaving.Cancel();
        _leaving.Dispose();
        base.Dispose();
    }

    async Task ChooseDatabaseAsync(string? id)
    {
        Remember("database", id);
        Database = id;
        await ReadTablesAsync();
    }

    Task ReadTablesAsync() => TryAsync(async caller =>
    {
        _tables = await Plane.ListTablesAsync(caller, DatabaseId, CancellationToken.None);
        var words = _tables.Select(table => new { label = table.Name, kind = "table", detail = "table" })
            .Concat(_tables.SelectMany(table => table.Columns.Select(column => new { label = column.Name, kind = "column", detail = $"{column.ToType()} of {table.Name}" })))
            .Concat(Keywords.Append(TableSchema.KeyColumnName).Select(word => new { label = word, kind = "word", detail = "" }));
        await Script.InvokeVoidAsync("sluice.setWords", words);
    });

    void ShowSide(string side) => _side = _side == side ? null : side;

    Task InsertAsync(string sql) => _editor!.SetTextAsync(sql);

    void Cancel() => _running?.Cancel();

    async Task RunAsync()
    {
        if (_running is not null)
            return;
        using var running = _running = new CancellationTokenSource(); // before anything is awaited: a second click comes soon
        var cancellation = running.Token; // the page may be left, and the source disposed, before it is asked for
        StateHasChanged(); // the cancel button
        var started = Time.GetUtcNow();
        var sql = "";
        try
        {
            sql = (await _editor!.ReadTextAsync()).Trim();
            cancellation.ThrowIfCancellationRequested();
            if (sql.Length == 0)
                return;
            (_answer, _ran, _ranOn) = (null, sql, DatabaseId);
            await TryAsync(async caller => _answer = await Queries.RunAsync(caller, _ranOn, sql, Rows == All ? null : Rows, cancellation));
        }
        catch (OperationCanceledException)
        {
            Fault = "The query was cancelled.";
        }
        finally
        {
            _running = null;
        }
        if (_answer is not null)
            await QueryHistory.AddAsync(Script, new HistoryEntry(sql, started, _answer.Elapsed.TotalMilliseconds, _answer.Rows.Count, _answer.Error is null));
        if (_history is not null)
            await _history.ReadAsync();
        StateHasChanged();
    }

    /// <summary>Runs the query once more, where it ran before: the page has only the rows it shows.</summary>
    async Task ExportAsync()
    {
        var left = _leaving.Token;
        try
        {
            await TryAsync(async caller =>
            {
                await using var file = await Queries.ExportAsync(caller, _ranOn, _ran, left);
                using var stream = new DotNetStreamReference(file);
                // it takes as long as the line needs, also once the page is left: a stream that ends while it is read ends the whole console
                await Script.InvokeVoidAsync("sluice.download", Timeout.InfiniteTimeSpan, "result.parquet", "application/vnd.apache.parquet", stream);
            });
        }
        catch (OperationCanceledException) when (left.IsCancellationRequested)
        {
            // nobody waits for the file
        }
    }
}
