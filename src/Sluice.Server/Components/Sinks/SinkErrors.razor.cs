using System.Globalization;
using Microsoft.AspNetCore.Components;
using Sluice.Quarantine;

namespace Sluice.Server.Components.Sinks;

/// <summary>ERRORS: what failed, at the door or when it was loaded, by group or one by one.</summary>
public sealed partial class SinkErrors
{
    const int MaxGroups = 200;

    // a record is counted when it is answered, and listed about a second later, when its request has been loaded
    const int LooksAfterChange = 5;

    static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(2);

    QuarantineOverview? _overview;
    long _counted;
    int _looks = LooksAfterChange;

    [Inject]
    ControlPlane Plane { get; set; } = null!;

    [Inject]
    RecordDesk Records { get; set; } = null!;

    [Inject]
    SinkFeed Feed { get; set; } = null!;

    [Parameter, EditorRequired]
    public Guid SinkId { get; set; }

    /// <summary>single; anything else: grouped.</summary>
    [Parameter]
    public string? View { get; set; }

    /// <summary>The id of a group, as the API writes it.</summary>
    [Parameter]
    public string? Group { get; set; }

    /// <summary>A new mapping was saved.</summary>
    [Parameter]
    public EventCallback Changed { get; set; }

    bool IsSingle => View == "single";

    ulong? GroupId => ulong.TryParse(Group, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var id) ? id : null;

    protected override async Task OnInitializedAsync()
    {
        if (await ReadAsync())
            await TryAsync(caller =>
            {
                Keep(Feed.Watch(caller, moment => _ = Rendering.RenderAsync(InvokeAsync, () => Follow(moment))));
                return Task.CompletedTask;
            });
    }

    /// <summary>Reads again while what failed has changed.</summary>
    void Follow(FeedMoment moment)
    {
        if (moment.Sinks.GetValueOrDefault(SinkId)?.Ledger is not { } ledger)
            return;
        var counted = ledger.Rejected + ledger.Failed + ledger.Replayed;
        if (counted != _counted)
            (_counted, _looks) = (counted, LooksAfterChange);
        if (_looks == 0)
            return;
        _looks--;
        _ = ReadAgainAsync(moment.At);
    }

    async Task ReadAgainAsync(DateTimeOffset moment)
    {
        await TryAsync(async caller => _overview = await Records.ReadQuarantineAsync(caller, SinkId, moment, MaxAge * Feed.Pace));
        StateHasChanged();
    }

    Task<bool> ReadAsync() => TryAsync(async caller => _overview = await Plane.ReadQuarantineAsync(caller, SinkId, CancellationToken.None));

    void ChooseAsync(string? view) => Remember("view", view);

    string PathOf(QuarantineGroup group) => Navigation.GetUriWithQueryParameter("group", group.Signature.Id.ToString("x16", CultureInfo.InvariantCulture));
}
