using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Web;
using Microsoft.JSInterop;

namespace Sluice.Server.Components.Layout;

/// <summary>The frame of every page for signed-in users: navigation on the left, or behind a button where there is no room.</summary>
public sealed partial class ConsoleLayout
{
    ErrorBoundary? _boundary;
    string _email = "";
    bool _isDark;
    bool _isNarrow;
    bool _isOpen;

    [Inject]
    IJSRuntime Script { get; set; } = null!;

    [Inject]
    ConsoleUser User { get; set; } = null!;

    [Inject]
    NavigationManager Navigation { get; set; } = null!;

    string Here => Navigation.Uri.Split('#')[0];

    string ThemeLabel => _isDark ? "Light colours" : "Dark colours";

    protected override void OnParametersSet() => _boundary?.Recover();

    protected override async Task OnAfterRenderAsync(bool firstRender)
    {
        if (!firstRender)
            return;

        _isDark = await Script.InvokeAsync<bool>("sluice.isDark");
        _isNarrow = await Script.InvokeAsync<bool>("sluice.isFolded");
        try
        {
            _email = (await User.CallerAsync()).Email;
        }
        catch (SluiceException)
        {
            // the page itself leads to the sign-in
        }
        catch (Exception e) when (FaultText.IsOfDatabase(e))
        {
            User.NoteFailed(e, new Uri(Navigation.Uri).AbsolutePath); // the page itself says so
        }
        StateHasChanged();
    }

    async Task SwitchThemeAsync()
    {
        _isDark = !_isDark;
        await Script.InvokeVoidAsync("sluice.setDark", _isDark);
    }

    async Task FoldAsync()
    {
        _isNarrow = !_isNarrow;
        await Script.InvokeVoidAsync("sluice.setFolded", _isNarrow);
    }
}
