using BlazorMonaco;
using BlazorMonaco.Editor;
using Microsoft.AspNetCore.Components;
using Microsoft.JSInterop;

namespace Sluice.Server.Components.Parts;

/// <summary>An editor with highlighting. Its files are loaded when the first one is shown.</summary>
public sealed partial class CodeEditor : IAsyncDisposable
{
    readonly string _id = $"editor-{Guid.NewGuid():n}";
    MonacoEditor? _editor;
    bool _isLoaded;
    bool _hasFailed;
    bool _isLeft;
    bool _isReady;

    [Inject]
    IJSRuntime Script { get; set; } = null!;

    /// <summary>What it begins with; later changes go through <see cref="SetTextAsync"/>.</summary>
    [Parameter]
    public string Text { get; set; } = "";

    /// <summary>json or sql.</summary>
    [Parameter, EditorRequired]
    public string Language { get; set; } = "";

    /// <summary>For those who hear it.</summary>
    [Parameter, EditorRequired]
    public string Label { get; set; } = "";

    [Parameter]
    public string Class { get; set; } = "";

    /// <summary>Ctrl+Enter, or Cmd+Enter.</summary>
    [Parameter]
    public EventCallback OnRun { get; set; }

    /// <summary>Typing has changed the text; read it with <see cref="ReadTextAsync"/>.</summary>
    [Parameter]
    public EventCallback OnTyped { get; set; }

    public async Task<string> ReadTextAsync() => _isReady ? await _editor!.GetValue() : Text;

    public async Task SetTextAsync(string text)
    {
        Text = text;
        if (_isReady)
            await _editor!.SetValue(text);
    }

    /// <summary>The browser keeps an editor, its text and what listens to it until it is told.</summary>
    public async ValueTask DisposeAsync()
    {
        _isReady = false;
        _isLeft = true;
        if (!_isLoaded)
            return;
        try
        {
            await Script.InvokeVoidAsync("sluice.closeEditor", _id);
        }
        catch (Exception e) when (e is JSDisconnectedException or OperationCanceledException)
        {
            // the browser has left altogether
        }
    }

    protected override async Task OnAfterRenderAsync(bool firstRender)
    {
        if (!firstRender)
            return;
        try
        {
            await Script.InvokeVoidAsync("sluice.loadEditor");
            _isLoaded = !_isLeft;
        }
        catch (Exception e) when (e is JSException or OperationCanceledException)
        {
            _hasFailed = true; // a file did not come, or not in time
        }
        if (!_isLeft)
            StateHasChanged();
    }

    StandaloneEditorConstructionOptions Options(StandaloneCodeEditor editor) => new()
    {
        AutomaticLayout = true,
        AriaLabel = Label,
        // what is pasted or typed stays what it is: JSON and SQL come from elsewhere more often than they are written here
        AutoClosingBrackets = "never",
        AutoClosingQuotes = "never",
        AutoSurround = "never",
        FontSize = 13,
        Language = Language,
        Minimap = new EditorMinimapOptions { Enabled = false },
        Padding = new EditorPaddingOptions { Top = 8, Bottom = 8 },
        ScrollBeyondLastLine = false,
        TabSize = 2,
        Value = Text,
        WordWrap = "on",
    };

    async Task ReadyAsync()
    {
        _isReady = true;
        if (OnRun.HasDelegate)
            await _editor!.AddCommand((int)KeyMod.CtrlCmd | (int)KeyCode.Enter, _ => InvokeAsync(() => OnRun.InvokeAsync()));
    }

    Task ChangedAsync(ModelContentChangedEvent change) => OnTyped.InvokeAsync();
}
