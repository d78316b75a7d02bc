using BlazorMonaco.Editor;
using Microsoft.JSInterop;

namespace Sluice.Server.Components.Parts;

/// <summary>
/// The editor of BlazorMonaco, made in several calls to the browser. Its page may be left between two of them: what fails then is no
/// error, and would be shown in the place of the page that came instead.
/// </summary>
public sealed class MonacoEditor : StandaloneCodeEditor
{
    bool _isLeft;

    public override void Dispose()
    {
        _isLeft = true;
        base.Dispose();
    }

    protected override async Task OnAfterRenderAsync(bool firstRender)
    {
        try
        {
            await base.OnAfterRenderAsync(firstRender);
        }
        catch (Exception e) when (_isLeft && e is ObjectDisposedException or JSException)
        {
            // there is nothing left to show it in
        }
    }
}
