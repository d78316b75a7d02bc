using Microsoft.AspNetCore.Components;
using Sluice.Load;
using Sluice.Server.Accounts;

namespace Sluice.Server.Components;

/// <summary>What every page does the same way: acts as the signed-in user, turns a refusal into a sentence, and lets go of what it watches.</summary>
public abstract class ConsolePage : ComponentBase, IDisposable
{
    readonly List<IDisposable> _kept = [];

    [Inject]
    ConsoleUser User { get; set; } = null!;

    [Inject]
    protected NavigationManager Navigation { get; set; } = null!;

    /// <summary>A sentence about the last action; <c>null</c>: it went well.</summary>
    protected string? Fault { get; set; }

    /// <summary>True while an action runs: its button is disabled.</summary>
    protected bool IsBusy { get; private set; }

    /// <summary>True once another page is shown.</summary>
    protected bool IsLeft { get; private set; }

    public virtual void Dispose()
    {
        IsLeft = true;
        _kept.ForEach(it => it.Dispose());
        _kept.Clear();
        GC.SuppressFinalize(this);
    }

    /// <summary>Disposes of it when the page is left; at once, where it was left while this one was still being made.</summary>
    protected void Keep(IDisposable it)
    {
        if (IsLeft)
            it.Dispose();
        else
            _kept.Add(it);
    }

    /// <summary>Does something as the present user. A login that has ended leads to the page that begins a new one.</summary>
    /// <returns>False: it was refused, and <see cref="Fault"/> says why.</returns>
    internal async Task<bool> TryAsync(Func<Caller, Task> act)
    {
        IsBusy = true;
        Fault = null;
        Caller? caller = null;
        try
        {
            caller = await User.CallerAsync();
            await act(caller);
            return true;
        }
        catch (SluiceException e) when (e.Code == ErrorCode.Unauthorized)
        {
            Navigation.NavigateTo(SignInAgain(), forceLoad: true);
            return false;
        }
        catch (Exception e) when (e is SluiceException or RefusedException or StoreException || FaultText.IsOfDatabase(e))
        {
            if (FaultText.IsOfDatabase(e))
                User.NoteFailed(e, new Uri(Navigation.Uri).AbsolutePath);
            if (caller is not null && e is SluiceException { Code: ErrorCode.Forbidden })
                User.NoteDenied(caller, new Uri(Navigation.Uri).AbsolutePath);
            Fault = FaultText.Of(e);
            return false;
        }
        finally
        {
            IsBusy = false;
        }
    }

    /// <summary>Puts a value into the address, so that reload, back and a sent link show the same.</summary>
    protected void Remember(string parameter, string? value, bool replace = true) =>
        Navigation.NavigateTo(Navigation.GetUriWithQueryParameter(parameter, string.IsNullOrEmpty(value) ? null : value), forceLoad: false, replace: replace);

    string SignInAgain() => $"{ConsoleCookie.SignInPath}?{ConsoleCookie.ReturnParameter}={Uri.EscapeDataString("/" + Navigation.ToBaseRelativePath(Navigation.Uri))}";
}
