using Microsoft.AspNetCore.Components;
using Sluice.Load;

namespace Sluice.Server.Components.Sinks;

/// <summary>ERRORS: what was accepted and then could not be loaded.</summary>
public sealed partial class SinkErrors
{
    const int MaxErrors = 1_000;

    List<LateError>? _errors;

    [Inject]
    RecordDesk Records { get; set; } = null!;

    [Parameter, EditorRequired]
    public Guid SinkId { get; set; }

    /// <summary>single; anything else: grouped.</summary>
    [SupplyParameterFromQuery(Name = "view")]
    string? View { get; set; }

    bool IsSingle => View == "single";

    protected override Task OnInitializedAsync() => ReadAsync();

    Task ReadAsync() => TryAsync(async caller => _errors = [.. await Records.ReadErrorsAsync(caller, SinkId, MaxErrors, CancellationToken.None)]);
}
