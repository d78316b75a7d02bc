using System.Globalization;
using Microsoft.AspNetCore.Components;
using Sluice.Quarantine;

namespace Sluice.Server.Components.Sinks;

/// <summary>ERRORS: what failed, at the door or when it was loaded, by group or one by one.</summary>
public sealed partial class SinkErrors
{
    const int MaxGroups = 200;

    QuarantineOverview? _overview;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Parameter, EditorRequired]
    public Guid SinkId { get; set; }

    /// <summary>single; anything else: grouped.</summary>
    [Parameter]
    public string? View { get; set; }

    /// <summary>The id of a group, as the API writes it.</summary>
    [Parameter]
    public string? Group { get; set; }

    bool IsSingle => View == "single";

    ulong? GroupId => ulong.TryParse(Group, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var id) ? id : null;

    protected override Task OnInitializedAsync() => ReadAsync();

    Task ReadAsync() => TryAsync(async caller => _overview = await Plane.ReadQuarantineAsync(caller, SinkId, CancellationToken.None));

    void ChooseAsync(string? view) => Remember("view", view);

    string PathOf(QuarantineGroup group) => Navigation.GetUriWithQueryParameter("group", group.Signature.Id.ToString("x16", CultureInfo.InvariantCulture));
}
