using MudBlazor;
using Sluice.Quotas;
using Sluice.Server.Accounts;

namespace Sluice.Server.Components.Dialogs;

static class Confirmation
{
    /// <summary>Asks for the name of what will be gone.</summary>
    /// <returns>False: cancelled.</returns>
    public static async Task<bool> AskAsync(this IDialogService dialogs, string title, string text, string name, string action = "Delete")
    {
        var parameters = new DialogParameters<ConfirmDialog>
        {
            { it => it.Title, title },
            { it => it.Text, text },
            { it => it.Name, name },
            { it => it.Action, action },
        };
        var dialog = await dialogs.ShowAsync<ConfirmDialog>(title, parameters);
        return await dialog.Result is { Canceled: false };
    }

    /// <summary>Asks for another quota and keeps it.</summary>
    /// <returns>True: it was kept, or nothing was changed.</returns>
    public static async Task<bool> AskQuotaAsync(this IDialogService dialogs, string name, Quota quota, Func<Caller, QuotaBody, Task> save)
    {
        var parameters = new DialogParameters<QuotaDialog> { { it => it.Name, name }, { it => it.Quota, quota }, { it => it.Save, save } };
        var dialog = await dialogs.ShowAsync<QuotaDialog>(name, parameters);
        return await dialog.Result is { Canceled: false };
    }

    /// <summary>Asks for one text.</summary>
    /// <returns><c>null</c>: cancelled.</returns>
    public static async Task<string?> AskTextAsync(this IDialogService dialogs, string title, string label, string value, string? hint = null)
    {
        var parameters = new DialogParameters<TextDialog>
        {
            { it => it.Title, title },
            { it => it.Label, label },
            { it => it.Hint, hint },
            { it => it.Value, value },
        };
        var dialog = await dialogs.ShowAsync<TextDialog>(title, parameters);
        return await dialog.Result is { Canceled: false, Data: string text } ? text : null;
    }
}
