using Microsoft.AspNetCore.Components;
using Microsoft.JSInterop;
using Sluice.Records;
using Sluice.Server.Catalog;
using Sluice.Server.Components.Parts;
using Sluice.Stores.DuckDb;

namespace Sluice.Server.Components.Sinks;

/// <summary>What became, or would become, of one record.</summary>
sealed record RecordFate(int Index, bool IsAccepted, IReadOnlyList<string> Lines)
{
    const int MaxShown = 400;

    /// <param name="values">What columns would get, by index of the record; empty once it was sent.</param>
    public static List<RecordFate> Of(BatchOutcome outcome, IReadOnlyDictionary<int, string> values)
    {
        var rejected = outcome.Rejected.ToDictionary(record => record.Index);
        var warnings = outcome.Warnings.ToLookup(warning => warning.RecordIndex);
        return
        [
            .. Enumerable.Range(0, outcome.RecordCount).Select(index => rejected.TryGetValue(index, out var bad)
                ? new RecordFate(index, IsAccepted: false, Reasons(bad))
                : new RecordFate(index, IsAccepted: true, [.. warnings[index].Select(warning => $"{warning.Column}: digits were cut to what the column holds"), .. Shown(values, index)])),
        ];
    }

    static IEnumerable<string> Shown(IReadOnlyDictionary<int, string> values, int index) =>
        values.TryGetValue(index, out var value) ? [value.Length <= MaxShown ? value : value[..MaxShown] + "…"] : [];

    static IReadOnlyList<string> Reasons(RejectedRecord record) =>
        record.LateReason is { } late ? [late]
        : record.IsDiscarded ? ["nothing is wrong with it: its batch was discarded because another record lacks a field"]
        : [.. record.Errors.Select(error => $"{(error.Column.Length > 0 ? error.Column : "record")}: expected {error.Expected}, got {error.Got} ({error.Code})")];
}

/// <summary>SEND RECORDS: an editor, a check while typing, and the fate of each record beside it.</summary>
public sealed partial class SinkSend
{
    static readonly TimeSpan TypingPause = TimeSpan.FromMilliseconds(400);

    CodeEditor? _editor;
    string? _first;
    CatalogSink? _sink;
    BatchOutcome? _outcome;
    List<RecordFate> _fates = [];
    bool _isSent;
    bool _isSending;
    CancellationTokenSource? _typing;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    RecordDesk Records { get; set; } = null!;

    [Inject]
    IJSRuntime Script { get; set; } = null!;

    [Inject]
    TimeProvider Time { get; set; } = null!;

    [Parameter, EditorRequired]
    public Guid SinkId { get; set; }

    string QueryPath => $"/query?database={_sink?.DatabaseId}&sql={Uri.EscapeDataString($"SELECT * FROM {UserQuery.Quote(_sink?.Table?.Name ?? "")} LIMIT 100")}";

    protected override Task OnInitializedAsync() => TryAsync(async caller =>
    {
        _sink = await Plane.GetSinkAsync(caller, SinkId, CancellationToken.None);
        // the wizard leaves the sample that the source was made from
        var kept = await Script.InvokeAsync<string?>("sluice.read", $"sample.{SinkId}");
        _first = string.IsNullOrEmpty(kept) ? SampleRecord.BodyOf(_sink.Mapping.ReadSchema(), _sink.Table!.ToSchema()) : kept;
    });

    public override void Dispose()
    {
        _typing?.Cancel();
        _typing?.Dispose();
        _typing = null; // a last key may still be on its way
        base.Dispose();
    }

    async Task SendAsync()
    {
        if (_isSending || _editor is null)
            return;
        _isSending = true; // before anything is awaited: a second click comes soon
        _typing?.Cancel(); // a check that came late would take the place of the result
        try
        {
            var text = await _editor.ReadTextAsync();
            if (await TryAsync(async caller => _outcome = await Records.SendAsync(caller, SinkId, text, CancellationToken.None)))
                Show(values: null);
        }
        finally
        {
            _isSending = false;
        }
    }

    async Task TypedAsync()
    {
        _typing?.Cancel();
        _typing?.Dispose();
        var typing = _typing = new CancellationTokenSource();
        try
        {
            await Task.Delay(TypingPause, Time, typing.Token);
        }
        catch (OperationCanceledException)
        {
            return; // another key came
        }
        var text = await _editor!.ReadTextAsync();
        if (typing.IsCancellationRequested)
            return; // another key came, or it is being sent
        DryRun? check = null;
        if (text.Trim().Length > 0)
            await TryAsync(caller => Task.FromResult(check = typing.IsCancellationRequested ? null : Records.Check(caller, SinkId, text)));
        if (typing.IsCancellationRequested)
            return;
        _outcome = check?.Outcome;
        if (check is not null)
            Show(check.Values);
        StateHasChanged();
    }

    /// <param name="values"><c>null</c>: it was sent.</param>
    void Show(IReadOnlyDictionary<int, string>? values) => (_isSent, _fates) = (values is null, RecordFate.Of(_outcome!, values ?? new Dictionary<int, string>()));
}
